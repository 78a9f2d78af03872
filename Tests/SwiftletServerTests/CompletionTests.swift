#if Server
// /v1/completions: what comes back is what the engine makes, in OpenAI's form, as a whole and as a stream.

import Swiftlet
import SwiftletJSON
import SwiftletTokenizer
import Testing

@Suite("Completions", .serialized)
struct CompletionTests {
    static let prompt = "Once upon a time"

    @Test("An answer is the engine's, and so is a stream put together")
    func answers() async throws {
        try await TestServer.run { server in
            let params = SamplingParams(temperature: 0, maxTokens: 24, ignoreEOS: true)
            let expected = try await server.llm.generate([.text(Self.prompt)], params)[0]
            let body = #""prompt": "\#(Self.prompt)", "temperature": 0, "max_tokens": 24, "ignore_eos": true"#
            let answer = try await server.complete("{\(body)}")
            expect(answer, is: .completion)
            #expect(answer["choices"]?[0]?["text"]?.string == expected.text)
            #expect(answer["choices"]?[0]?["finish_reason"]?.string == "length")
            #expect(answer["usage"]?["completion_tokens"]?.int == 24)
            #expect(answer["usage"]?["prompt_tokens"]?.int == expected.usage.promptTokens)
            #expect(answer["id"]?.string?.hasPrefix("cmpl-") ?? false)

            let chunks = try await server.stream("{\(body), \"stream\": true}")
            for chunk in chunks { expect(chunk, is: .completionChunk) }
            #expect(chunks.compactMap { $0["choices"]?[0]?["text"]?.string }.joined() == expected.text)
            #expect(chunks.compactMap { $0["choices"]?[0]?["finish_reason"]?.string } == ["length"])
            #expect(Set(chunks.map { $0["id"]?.string }).count == 1 && chunks.allSatisfy { $0["usage"] == nil })
        }
    }

    @Test("Usage comes in a last chunk without choices, or in every one")
    func usage() async throws {
        try await TestServer.run { server in
            let body = #""prompt": [5, 6, 7], "max_tokens": 5, "ignore_eos": true, "stream": true"#
            var chunks = try await server.stream("{\(body), \"stream_options\": {\"include_usage\": true}}")
            for chunk in chunks { expect(chunk, is: .completionChunk) }
            #expect(chunks.last?["choices"]?.count == 0 && chunks.last?["usage"]?["completion_tokens"]?.int == 5)
            #expect(chunks.dropLast().allSatisfy { $0["usage"]?.isNull ?? false && $0["choices"]?.count == 1 })
            chunks = try await server.stream(
                "{\(body), \"stream_options\": {\"include_usage\": true, \"continuous_usage_stats\": true}}")
            let counts = chunks.compactMap { $0["usage"]?["completion_tokens"]?.int }
            #expect(counts.count == chunks.count && counts == counts.sorted() && counts.last == 5)
        }
    }

    @Test("Prompts are a text, texts, ids or lists of ids; choices are numbered through")
    func prompts() async throws {
        try await TestServer.run { server in
            let ids = server.llm.tokenizer!.encode(Self.prompt)
            let list = "[" + ids.map(String.init).joined(separator: ",") + "]"
            let options = #""temperature": 0, "max_tokens": 8, "ignore_eos": true"#
            let one = try await server.complete(#"{"prompt": "\#(Self.prompt)", \#(options)}"#)
            let text = try #require(one["choices"]?[0]?["text"]?.string)
            for prompt in [list, "[\(list)]", #"["\#(Self.prompt)"]"#] {
                let answer = try await server.complete(#"{"prompt": \#(prompt), \#(options)}"#)
                #expect(answer["choices"]?.count == 1 && answer["choices"]?[0]?["text"]?.string == text)
            }
            let several = #"{"prompt": ["\#(Self.prompt)", "The engine", "\#(Self.prompt)"], "n": 2, \#(options)"#
            let answer = try await server.complete(several + "}")
            expect(answer, is: .completion)
            let choices = try #require(answer["choices"]).elements.map(\.self)
            #expect(choices.map { $0["index"]?.int } == [0, 1, 2, 3, 4, 5])
            // Greedy: both choices of a prompt are the same.
            #expect([0, 1, 4, 5].allSatisfy { choices[$0]["text"]?.string == text })
            #expect(choices[2]["text"]?.string != text && answer["usage"]?["completion_tokens"]?.int == 48)
            var texts = [Int: String]()
            var ends = [Int: Int]()
            for chunk in try await server.stream(several + #", "stream": true}"#) {
                let choice = try #require(chunk["choices"]?[0])
                texts[choice["index"]!.int!, default: ""] += choice["text"]!.string!
                if choice["finish_reason"]?.string != nil { ends[choice["index"]!.int!, default: 0] += 1 }
            }
            #expect((0..<6).allSatisfy { texts[$0] == choices[$0]["text"]?.string && ends[$0] == 1 })
        }
    }

    @Test("Log-probabilities are four lists of one length, and the same in a stream")
    func logprobs() async throws {
        try await TestServer.run { server in
            let body =
                #""prompt": "\#(Self.prompt)", "temperature": 0, "max_tokens": 12, "ignore_eos": true, "logprobs": 3"#
            for echo in [false, true] {
                let answer = try await server.complete(#"{\#(body), "echo": \#(echo)}"#)
                expect(answer, is: .completion)
                let choice = try #require(answer["choices"]?[0])
                let logprobs = try #require(choice["logprobs"])
                let tokens = try #require(logprobs["tokens"]).elements.compactMap(\.string)
                let promptCount = try #require(answer["usage"]?["prompt_tokens"]?.int)
                #expect(tokens.count == 12 + (echo ? promptCount : 0))
                #expect(tokens.joined() == choice["text"]?.string)
                for key in ["token_logprobs", "top_logprobs", "text_offset"] {
                    #expect(logprobs[key]?.count == tokens.count)
                }
                #expect(logprobs["token_logprobs"]?[0]?.isNull == echo)
                #expect(logprobs["top_logprobs"]?[tokens.count - 1]?.count == 3)
                let offsets = logprobs["text_offset"]!.elements.compactMap(\.int)
                #expect(offsets.first == 0 && offsets[1] == tokens[0].unicodeScalars.count)

                var streamed: [String: [JSONValue]] = [:]
                var text = ""
                for chunk in try await server.stream(#"{\#(body), "echo": \#(echo), "stream": true}"#) {
                    expect(chunk, is: .completionChunk)
                    text += chunk["choices"]?[0]?["text"]?.string ?? ""
                    for (key, list) in chunk["choices"]![0]!["logprobs"]!.members {
                        streamed[key, default: []] += list.elements.map(\.self)
                    }
                }
                #expect(text == choice["text"]?.string)
                for (key, list) in logprobs.members {
                    #expect(streamed[key]?.map { Array($0.bytes) } == list.elements.map { Array($0.bytes) }, "\(key)")
                }
            }
        }
    }

    @Test("Streamed choices behind the first had no log-probabilities of the echoed prompt")
    func echoedChoices() async throws {
        try await TestServer.run { server in
            let body =
                #""prompt": ["\#(Self.prompt)", "The cat"], "n": 3, "seed": 1, "max_tokens": 3, "ignore_eos": true, "logprobs": 1, "echo": true"#
            let choices = try #require(try await server.complete("{\(body)}")["choices"]).elements.map(\.self)
            var streamed: [Int: [String]] = [:]
            for chunk in try await server.stream(#"{\#(body), "stream": true}"#) {
                let choice = try #require(chunk["choices"]?[0])
                streamed[choice["index"]!.int!, default: []] +=
                    choice["logprobs"]!["token_logprobs"]!.elements.map { String(decoding: $0.bytes, as: UTF8.self) }
            }
            #expect(choices.count == 6)
            for (index, choice) in choices.enumerated() {
                let whole = choice["logprobs"]!["token_logprobs"]!.elements.map {
                    String(decoding: $0.bytes, as: UTF8.self)
                }
                #expect(whole[0] == "null" && whole[1] != "null" && streamed[index] == whole)
            }
        }
    }

    @Test("The echo of token ids had no special tokens, and offsets pointed elsewhere")
    func echoedSpecialTokens() async throws {
        try await TestServer.run { server in
            let answer = try await server.complete(
                #"{"prompt": [1, 300, 2, 301], "echo": true, "logprobs": 0, "max_tokens": 2, "ignore_eos": true}"#)
            let choice = try #require(answer["choices"]?[0])
            let tokens = choice["logprobs"]!["tokens"]!.elements.map { $0.string! }
            #expect(tokens.count == 6 && choice["text"]?.string?.hasPrefix(tokens[..<4].joined()) == true)
        }
    }

    @Test("Echo with no tokens scores the prompt; prompt_logprobs are vLLM's")
    func scoring() async throws {
        try await TestServer.run { server in
            let answer = try await server.complete(
                #"{"prompt": "\#(Self.prompt)", "max_tokens": 0, "echo": true, "logprobs": 1, "prompt_logprobs": 1}"#)
            expect(answer, is: .completion)
            let choice = try #require(answer["choices"]?[0])
            #expect(choice["text"]?.string == Self.prompt && choice["finish_reason"]?.string == "length")
            let count = try #require(answer["usage"]?["prompt_tokens"]?.int)
            #expect(answer["usage"]?["completion_tokens"]?.int == 0)
            #expect(choice["logprobs"]?["tokens"]?.count == count && choice["prompt_logprobs"]?.count == count)
            #expect(choice["prompt_logprobs"]?[0]?.isNull ?? false)
        }
    }

    @Test("Sampling fields have their effect")
    func sampling() async throws {
        try await TestServer.run { server in
            func text(_ fields: String) async throws -> String {
                let body = #"{"prompt": "\#(Self.prompt)", "max_tokens": 16, "ignore_eos": true, \#(fields)}"#
                return try await server.complete(body)["choices"]?[0]?["text"]?.string ?? ""
            }
            let greedy = try await text(#""temperature": 0"#)
            #expect(try await text(#""seed": 3, "temperature": 1.5"#) == text(#""seed": 3, "temperature": 1.5"#))
            #expect(try await text(#""seed": 3, "temperature": 1.5"#) != text(#""seed": 4, "temperature": 1.5"#))
            #expect(try await text(#""top_k": 1, "temperature": 1"#) == greedy)
            #expect(try await text(#""temperature": 0, "logit_bias": {"300": 100}"#) != greedy)
            #expect(try await text(#""temperature": 0, "allowed_token_ids": [300]"#) != greedy)
            let stop = String(greedy.dropFirst(5).prefix(4))
            let escaped = stop.replacing("\n", with: "\\n")
            #expect(try await text(#""temperature": 0, "stop": ["\#(escaped)"]"#) == String(greedy.prefix(5)))
            #expect(
                try await text(#""temperature": 0, "stop": "\#(escaped)", "include_stop_str_in_output": true"#)
                    == String(greedy.prefix(5)) + stop)
            let answer = try await server.complete(
                #"{"prompt": "\#(Self.prompt)", "temperature": 0, "stop": "\#(escaped)"}"#)
            #expect(answer["choices"]?[0]?["stop_reason"]?.string == stop)
            #expect(answer["choices"]?[0]?["finish_reason"]?.string == "stop")
        }
    }

    @Test("Many requests at once get what each would get alone")
    func concurrent() async throws {
        try await TestServer.run { server in
            let prompts = (0..<24).map { "Story number \($0): once" }
            let params = SamplingParams(temperature: 0, maxTokens: 20, ignoreEOS: true)
            let expected = try await server.llm.generate(prompts.map { .text($0) }, params).map(\.text)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, prompt) in prompts.enumerated() {
                    group.addTask {
                        let body = #"{"prompt": "\#(prompt)", "temperature": 0, "max_tokens": 20, "ignore_eos": true"#
                        let text =
                            index % 2 == 0
                            ? try await server.complete(body + "}")["choices"]?[0]?["text"]?.string
                            : try await server.stream(body + #", "stream": true}"#)
                                .compactMap { $0["choices"]?[0]?["text"]?.string }.joined()
                        #expect(text == expected[index])
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}
#endif

#if Server
// What is refused: every field that the API has and the server does not, every value of a wrong kind or range, every
// body that is none. Refused means 400 with OpenAI's error body, and nothing was started.

import Swiftlet
import SwiftletJSON
import SwiftletServer
import SwiftletTestSupport
import Testing

@Suite("Refusals", .serialized)
struct RefusalTests {
    static let chat = "/v1/chat/completions"
    static let completions = "/v1/completions"
    static let messages = #""messages": [{"role": "user", "content": "x"}]"#

    /// Path, fields besides a valid prompt, the field at fault.
    static let refused: [(String, String, String?)] = [
        (completions, #""suffix": "x""#, "suffix"), (completions, #""best_of": 2"#, "best_of"),
        (completions, #""temperature": -1"#, "temperature"), (completions, #""temperature": "hot""#, "temperature"),
        (completions, #""top_p": 0"#, "top_p"), (completions, #""n": 65"#, "n"), (completions, #""n": 1.5"#, "n"),
        (completions, #""max_tokens": 0"#, "max_tokens"), (completions, #""logprobs": 21"#, "logprobs"),
        (completions, #""logprobs": true"#, "logprobs"), (completions, #""stop": [1]"#, "stop"),
        (completions, #""logit_bias": {"x": 1}"#, "logit_bias"), (completions, #""stream": 1"#, "stream"),
        (completions, #""stream_options": {"include_usage": true}"#, "stream_options"),
        (completions, #""stream": true, "prompt_logprobs": 1"#, "prompt_logprobs"),
        (completions, #""priority": 1"#, "priority"), (completions, #""guided_json": {}"#, "guided_json"),
        (completions, #""use_beam_search": true"#, "use_beam_search"),
        (completions, #""response_format": {"type": "json_object"}"#, "response_format"),
        (completions, #""max_tokens": 100000"#, "prompt"), (completions, #""min_tokens": 20"#, "min_tokens"),
        (chat, #""functions": [{}]"#, "functions"), (chat, #""modalities": ["audio"]"#, "modalities"),
        (chat, #""audio": {}"#, "audio"), (chat, #""echo": true"#, "echo"),
        (chat, #""top_logprobs": 2"#, "top_logprobs"), (chat, #""logprobs": 3"#, "logprobs"),
        (chat, #""logprobs": true, "top_logprobs": 21"#, "logprobs"),
        (chat, #""tool_choice": "auto""#, "tool_choice"), (chat, #""tools": [{}]"#, "tools"),
        (chat, #""chat_template": "x""#, "chat_template"), (chat, #""store": true"#, "store"),
        (chat, #""chat_template_kwargs": {"messages": []}"#, "chat_template_kwargs"),
        (chat, #""response_format": {"type": "json_schema"}"#, "response_format"),
        (chat, #""max_completion_tokens": "x""#, "max_completion_tokens"),
        (chat, #""service_tier": "flex""#, "service_tier"),
    ]

    @Test("A field that is wrong or not supported is named")
    func fields() async throws {
        try await TestServer.run { server in
            for (path, fields, param) in Self.refused {
                let prompt = path == Self.chat ? Self.messages : #""prompt": "x""#
                let reply = try await server.post(path, "{\(prompt), \(fields)}")
                #expect(reply.status == 400, "\(fields): \(reply.text)")
                let json = try reply.json
                expect(json, is: .error)
                #expect(json["error"]?["type"]?.string == "invalid_request_error")
                #expect(json["error"]?["param"]?.string == param, "\(fields): \(reply.text)")
            }
            #expect(server.llm.statistics.steps == 0)
        }
    }

    @Test("What does not fit into the context has OpenAI's code")
    func contextLength() async throws {
        try await TestServer.run { server in
            let text = String(repeating: "word ", count: 3000)
            let bodies = [
                (Self.completions, #"{"prompt": "\#(text)"}"#),
                (Self.completions, #"{"prompt": "x", "max_tokens": 5000}"#),
                (Self.chat, #"{"messages": [{"role": "user", "content": "\#(text)"}]}"#),
                (Self.chat, #"{\#(Self.messages), "max_completion_tokens": 5000, "stream": true}"#),
            ]
            for (path, body) in bodies {
                let reply = try await server.post(path, body)
                let error = try reply.json["error"]
                #expect(reply.status == 400 && error?["code"]?.string == "context_length_exceeded", "\(reply.text)")
                #expect(error?["type"]?.string == "invalid_request_error")
                #expect(error?["param"]?.string == (path == Self.chat ? "messages" : "prompt"))
            }
        }
    }

    @Test("Values that ask for nothing, and fields that no API knows, are accepted")
    func accepted() async throws {
        try await TestServer.run { server in
            let neutral =
                #""suffix": "", "best_of": 1, "n": 1, "guided_json": null, "use_beam_search": false, "user": "u", "metadata": {"a": "b"}, "#
                + #""response_format": {"type": "text"}, "made_up": [1, {"a": 2}], "service_tier": "auto", "temperature": null"#
            let answer = try await server.complete(#"{"prompt": "x", "max_tokens": 2, \#(neutral)}"#)
            expect(answer, is: .completion)
            let chat =
                #""modalities": ["text"], "functions": [], "tools": [], "tool_choice": "none", "store": false, "#
                + #""parallel_tool_calls": true, "seed": -1, "top_k": -1, "logprobs": false, "top_logprobs": 0"#
            let reply = try await server.complete("{\(Self.messages), \"max_tokens\": 2, \(chat)}", Self.chat)
            expect(reply, is: .chatCompletion)
        }
    }

    @Test(
        "A body that is none is refused",
        arguments: [
            "", "x", "[]", "1", "null", "{", #"{"prompt": "#, #"{"prompt": "x"} y"#, #"{"prompt": "\u00"}"#, "{}",
            #"{"prompt": null}"#, #"{"prompt": 5}"#, #"{"prompt": []}"#, #"{"prompt": [[]]}"#, #"{"prompt": [1, "a"]}"#,
            #"{"prompt": [1.5]}"#, #"{"prompt": [99999999999]}"#, #"{"prompt": [-1]}"#, #"{"prompt": [3072]}"#,
            #"{"prompt": {"a": 1}}"#, #"{"prompt": ["a", [1]]}"#, #"{"prompt": ""}"#, #"{"prompt": "x", "model": 5}"#,
        ])
    func bodies(body: String) async throws {
        try await TestServer.run { server in
            let reply = try await server.post(Self.completions, body)
            #expect(reply.status == 400, "\(reply.text)")
            expect(try reply.json, is: .error)
        }
    }

    @Test("A conversation that is none is refused")
    func conversations() async throws {
        try await TestServer.run { server in
            for messages in [
                "5", "[]", "[5]", "[{}]", #"[{"role": "user"}]"#, #"[{"role": 1, "content": "x"}]"#,
                #"[{"role": "user", "content": 5}]"#, #"[{"role": "user", "content": [{"type": "text"}]}]"#,
                #"[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]"#,
                #"[{"role": "assistant", "tool_calls": [{"function": {}}]}]"#,
                #"[{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "["}}]}]"#,
                #"[{"role": "assistant", "tool_calls": 5}]"#, #"[{"role": "user", "content": "x", "audio": {}}]"#,
            ] {
                let reply = try await server.post(Self.chat, #"{"messages": \#(messages)}"#)
                #expect(reply.status == 400, "\(messages): \(reply.text)")
                let json = try reply.json
                expect(json, is: .error)
                #expect(json["error"]?["param"]?.string == "messages")
            }
        }
    }

    @Test("Unknown paths, methods, models and types have their own status")
    func statuses() async throws {
        try await TestServer.run { server in
            func check(_ reply: Reply, _ status: Int, _ code: String?) throws {
                #expect(reply.status == status, "\(reply.text)")
                expect(try reply.json, is: .error)
                #expect(try reply.json["error"]?["code"]?.string == code)
            }
            try check(await server.get("/v2/nothing"), 404, "not_found")
            try check(await server.get(Self.completions), 405, "method_not_allowed")
            try check(await server.post("/health", "{}"), 405, "method_not_allowed")
            try check(
                await server.post(Self.completions, #"{"prompt": "x", "model": "gpt-5"}"#), 404, "model_not_found")
            try check(await server.get("/v1/models/gpt-5"), 404, "model_not_found")
            try check(
                await server.post(Self.completions, #"{"prompt": "x"}"#, headers: ["content-type": "text/plain"]), 415,
                "unsupported_media_type")
        }
    }

    @Test("Broken bytes never crash and never hang", .timeLimit(.minutes(FuzzRun.limitInMinutes)))
    func fuzz() async throws {
        let bodies = [
            #"{"prompt": ["a", "é"], "max_tokens": 2, "n": 2, "logit_bias": {"5": 1.5}, "stop": ["x"], "logprobs": 2, "echo": true}"#,
            #"{"prompt": [[1, 2], [3]], "max_tokens": 1, "seed": 18446744073709551615, "temperature": 1e-3, "stream_options": null}"#,
            #"{"messages": [{"role": "user", "content": [{"type": "text", "text": "\ud83d\ude42"}]}, {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]}], "max_tokens": 2, "chat_template_kwargs": {"a": [1]}}"#,
        ].map { Array($0.utf8) }
        let llm = try await LLM(config: TestServer.engine, logger: TestServer.quietLogger)
        let service = GenerationService(llm)
        let run = FuzzRun(seconds: 2, seed: 20_261_130)
        var random = SeededGenerator(seed: run.seed)
        var counts: [Int: Int] = [:]
        var round = 0
        while run.goesOn {
            let index = round % bodies.count
            round += 1
            let body = mutated(bodies[index], using: &random)
            guard let request = try? service.request(index == 2 ? .chat : .completions, body) else {
                counts[400, default: 0] += 1
                continue
            }
            // What is accepted runs; an endless answer would be a waste of the fuzzer's time.
            guard request.requests.allSatisfy({ ($0.params?.maxTokens ?? 1000) < 30 }), !request.isStreamed else {
                continue
            }
            let answer = await service.answer(index == 2 ? .chat : .completions, body, id: "f")
            counts[answer.status, default: 0] += 1
            let json = try JSONDocument(parsing: answer.body).root
            expect(json, is: answer.status != 200 ? .error : index == 2 ? .chatCompletion : .completion)
        }
        #expect((counts[400] ?? 0) > 50 && (counts[200] ?? 0) > 5, "\(counts), seed \(run.seed)")
        #expect(counts.keys.allSatisfy { [200, 400, 404].contains($0) }, "\(counts), seed \(run.seed)")
        await llm.shutdown()
    }
}
#endif

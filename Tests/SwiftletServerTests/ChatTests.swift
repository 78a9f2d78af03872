#if Server
// /v1/chat/completions: conversations, tools, reasoning, as a whole and as a stream.

import Swiftlet
import SwiftletJSON
import SwiftletServer
import SwiftletTemplate
import SwiftletTokenizer
import Testing

@Suite("Chat completions", .serialized)
struct ChatTests {
    static let path = "/v1/chat/completions"

    /// A stream's pieces put together.
    struct Assembled {
        var roles: [String] = []
        var content = ""
        var reasoning = ""
        var calls: [(id: String, name: String, arguments: String)] = []
        var finishReasons: [String] = []
        var logprobCount = 0

        init(_ chunks: [JSONValue], choice: Int = 0) {
            for chunk in chunks {
                expect(chunk, is: .chatChunk)
                guard let part = chunk["choices"]?[0], part["index"]?.int == choice else { continue }
                let delta = part["delta"]!
                if let role = delta["role"]?.string { roles.append(role) }
                content += delta["content"]?.string ?? ""
                reasoning += delta["reasoning_content"]?.string ?? ""
                for call in delta["tool_calls"]?.elements.map(\.self) ?? [] {
                    if let id = call["id"]?.string {
                        #expect(call["index"]?.int == calls.count)
                        calls.append((id, call["function"]!["name"]!.string!, ""))
                    }
                    calls[call["index"]!.int!].arguments += call["function"]!["arguments"]!.string!
                }
                if let reason = part["finish_reason"]?.string { finishReasons.append(reason) }
                logprobCount += part["logprobs"]?["content"]?.count ?? 0
            }
        }
    }

    @Test("An answer is the engine's, and so is a stream put together")
    func answers() async throws {
        try await TestServer.run { server in
            var params = server.llm.defaultChatSamplingParams
            params.temperature = 0
            params.maxTokens = 40
            let expected = try await server.llm.chat([.system("Be brief."), .user("What is a KV cache?")], params)
            let messages =
                #""messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "What is a KV cache?"}]}]"#
            let body = #"\#(messages), "temperature": 0, "max_completion_tokens": 40"#
            let answer = try await server.complete("{\(body)}", Self.path)
            expect(answer, is: .chatCompletion)
            #expect(answer["choices"]?[0]?["message"]?["content"]?.string == expected.text)
            #expect(answer["choices"]?[0]?["finish_reason"]?.string == expected.finishReason?.rawValue)
            #expect(answer["id"]?.string?.hasPrefix("chatcmpl-") ?? false)
            let stream = Assembled(try await server.stream("{\(body), \"stream\": true}", Self.path))
            #expect(stream.content == expected.text && stream.roles == ["assistant"])
            #expect(stream.finishReasons == [expected.finishReason!.rawValue])
        }
    }

    @Test("Choices and log-probabilities")
    func choices() async throws {
        try await TestServer.run { server in
            let body =
                #"{"messages": [{"role": "user", "content": "Hello"}], "n": 3, "seed": 1, "max_tokens": 9, "ignore_eos": true, "logprobs": true, "top_logprobs": 2"#
            let answer = try await server.complete(body + "}", Self.path)
            expect(answer, is: .chatCompletion)
            #expect(answer["choices"]?.elements.map { $0["index"]?.int } == [0, 1, 2])
            let content = try #require(answer["choices"]?[1]?["logprobs"]?["content"])
            #expect(content.count == 9 && content[3]?["top_logprobs"]?.count == 2)
            let bytes = content.elements.flatMap { $0["bytes"]!.elements.map { UInt8($0.int!) } }
            #expect(
                String(decoding: bytes, as: UTF8.self) == answer["choices"]?[1]?["message"]?["content"]?.string)
            let chunks = try await server.stream(body + #", "stream": true}"#, Self.path)
            for choice in 0..<3 {
                let stream = Assembled(chunks, choice: choice)
                #expect(stream.content == answer["choices"]?[choice]?["message"]?["content"]?.string)
                #expect(stream.logprobCount == 9 && stream.roles.count == 1 && stream.finishReasons == ["length"])
            }
        }
    }

    @Test("The last message is continued where it ends")
    func continuation() async throws {
        try await TestServer.run { server in
            let text =
                #"[{"role": "user", "content": "Tell me a story"}, {"role": "assistant", "content": "Once upon "}]"#
            let reply = try await server.post(
                "/tokenize", #"{"messages": \#(text), "continue_final_message": true, "add_generation_prompt": false}"#)
            let ids = try reply.json["tokens"]!.elements.map { Int32($0.int!) }
            #expect(
                server.llm.tokenizer!.decode(ids, skipSpecialTokens: false).hasSuffix(
                    "<|im_start|>assistant\nOnce upon "))
            let answer = try await server.complete(
                #"{"messages": \#(text), "continue_final_message": true, "max_tokens": 4, "temperature": 0}"#, Self.path
            )
            expect(answer, is: .chatCompletion)
            let both = #"{"messages": \#(text), "continue_final_message": true, "add_generation_prompt": true}"#
            #expect(try await server.post(Self.path, both).status == 400)
        }
    }

    static let toolTemplate =
        #"{% if tools %}<tools>{{ tools | tojson }}</tools> as <tool_call>{"name": <name>, "arguments": <object>}</tool_call>"#
        + #"{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls %}"#
        + #"<tool_call>{{ c.function.arguments.city }}</tool_call>{% endfor %}{% endfor %}{% if x %}{{ x }}{% endif %}<think></think>"#
    static let tools =
        #"[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]"#

    @Test("Tools and reasoning: an answer is taken apart, in a stream too")
    func toolsAndReasoning() async throws {
        let call = #"<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>"#
        let scripted = try await ScriptedAnswers(["<think>The user wants it.</think>Let me see. " + call + call])
        var configuration = OpenAIServerConfiguration()
        configuration.routes.chatTemplate = try ChatTemplate(Self.toolTemplate)
        try await TestServer.run(configuration, processors: [scripted]) { server in
            let body =
                #"{"messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Rome\"}"}}]}, {"role": "tool", "tool_call_id": "a", "content": "sun"}, {"role": "user", "content": "And there?"}], "tools": \#(Self.tools), "max_tokens": 200"#
            let answer = try await server.complete(body + "}", Self.path)
            expect(answer, is: .chatCompletion)
            let choice = try #require(answer["choices"]?[0])
            let message = try #require(choice["message"])
            #expect(choice["finish_reason"]?.string == "tool_calls")
            #expect(message["reasoning_content"]?.string == "The user wants it.")
            #expect(message["content"]?.string == "Let me see.")
            #expect(message["tool_calls"]?.count == 2)
            let function = try #require(message["tool_calls"]?[1]?["function"])
            #expect(function["name"]?.string == "weather" && function["arguments"]?.string == #"{"city": "Oslo"}"#)

            let stream = Assembled(try await server.stream(body + #", "stream": true}"#, Self.path))
            #expect(stream.reasoning == "The user wants it." && stream.content == "Let me see.")
            #expect(stream.calls.map(\.name) == ["weather", "weather"] && stream.finishReasons == ["tool_calls"])
            #expect(stream.calls.allSatisfy { $0.arguments == #"{"city": "Oslo"}"# })
            #expect(Set(stream.calls.map(\.id)).count == 2)

            let one = try await server.complete(
                body + #", "parallel_tool_calls": false, "include_reasoning": false}"#, Self.path)
            #expect(one["choices"]?[0]?["message"]?["tool_calls"]?.count == 1)
            #expect(one["choices"]?[0]?["message"]?["reasoning_content"] == nil)
            let none = try await server.complete(body + #", "tool_choice": "none"}"#, Self.path)
            #expect(none["choices"]?[0]?["message"]?["content"]?.string == "Let me see. " + call + call)
            #expect(none["choices"]?[0]?["finish_reason"]?.string == "stop")
            let forced = try await server.post(Self.path, body + #", "tool_choice": "required"}"#)
            #expect(forced.status == 400)
            #expect(try forced.json["error"]?["param"]?.string == "tool_choice")
        }
    }

    @Test("Tools of a model that can't call any are refused")
    func noTools() async throws {
        try await TestServer.run { server in
            let reply = try await server.post(
                Self.path, #"{"messages": [{"role": "user", "content": "x"}], "tools": \#(Self.tools)}"#)
            #expect(reply.status == 400)
            #expect(try reply.json["error"]?["param"]?.string == "tools")
        }
    }

    @Test("Template variables reach the template")
    func variables() async throws {
        var configuration = OpenAIServerConfiguration()
        configuration.routes.chatTemplate = try ChatTemplate(Self.toolTemplate)
        configuration.routes.templateVariables = ["x": "default"]
        try await TestServer.run(configuration) { server in
            func prompt(_ fields: String) async throws -> String {
                let reply = try await server.post(
                    "/tokenize", #"{"messages": [{"role": "user", "content": "hi"}]\#(fields)}"#)
                let ids = try reply.json["tokens"]!.elements.map { Int32($0.int!) }
                return server.llm.tokenizer!.decode(ids, skipSpecialTokens: false)
            }
            let plain = try await prompt("")
            let given = try await prompt(#", "chat_template_kwargs": {"x": "given"}"#)
            #expect(plain == "<user>hidefault<think></think>" && given == "<user>higiven<think></think>")
        }
    }
}
#endif

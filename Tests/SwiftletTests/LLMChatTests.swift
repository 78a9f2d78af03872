// Conversations through the public handle, on the demo model, which was trained to answer.

import Swiftlet
import SwiftletTemplate
import SwiftletTokenizer
import Testing

@Suite("LLM.chat", .serialized)
struct LLMChatTests {
    private func demo() async throws -> LLM { try await .quiet(nil, EngineConfig(kvCache: .blocks(64), threads: 2)) }

    private static let question: [ChatMessage] = [.system("Be brief."), .user("What is a paged KV cache?")]

    private func greedy(_ llm: LLM) -> SamplingParams {
        var params = llm.defaultChatSamplingParams
        params.temperature = 0
        return params
    }

    @Test("A conversation becomes the template's text, and special tokens in it are special")
    func prompt() async throws {
        let llm = try await demo()
        let output = try await llm.chat(Self.question, greedy(llm))
        let text = """
            <|im_start|>system
            Be brief.<|im_end|>
            <|im_start|>user
            What is a paged KV cache?<|im_end|>
            <|im_start|>assistant

            """
        #expect(output.prompt == text)
        let start = try #require(llm.tokenizer?.id(of: "<|im_start|>"))
        #expect(output.promptTokenIDs.filter { $0 == start }.count == 3)
        #expect(output.promptTokenIDs == llm.tokenizer?.encode(text, addSpecialTokens: false))
        // The answer ends by itself: it has the rest of the context, not 16 tokens.
        #expect(output.finishReason == .stop && output.tokenIDs.count > 16 && output.text.contains("block"))
        await llm.shutdown()
    }

    @Test("Streamed and in a batch the answers are the same")
    func streamAndBatch() async throws {
        let llm = try await demo()
        let params = greedy(llm)
        let other: [ChatMessage] = [.user("Hello!"), .assistant("Hello!"), .user("Who are you?")]
        let outputs = try await llm.chat([Self.question, other], params)
        #expect(outputs.count == 2)
        for (conversation, output) in zip([Self.question, other], outputs) {
            var text = ""
            for try await delta in llm.streamChat(conversation, params) { text += delta.text }
            #expect(text == output.text)
        }
        #expect(try await llm.chat([[ChatMessage]]()).isEmpty)
        await llm.shutdown()
    }

    @Test("Parameters left out are the model's, with the rest of the context to answer in")
    func defaults() async throws {
        let llm = try await demo()
        let request = try llm.chatRequest(Self.question)
        #expect(request.params?.temperature == 0.7 && request.params?.maxTokens == nil)
        #expect(llm.defaultSamplingParams.maxTokens == 16)
        await llm.shutdown()
    }

    @Test("Tools and variables reach the template, and another template can be given")
    func options() async throws {
        let llm = try await demo()
        let template = try ChatTemplate(
            "{{ tools[0].function.name }}|{{ enable_thinking }}|{{ eos_token }}|{{ strftime_now('%Y') }}|"
                + "{{ messages|tojson }}{{ add_generation_prompt }}")
        let call = ChatMessage.ToolCall(id: "1", name: "f", arguments: ["x": 1])
        let options = ChatOptions(
            tools: [["type": "function", "function": ["name": "f"]]], addGenerationPrompt: false,
            templateVariables: ["enable_thinking": false], template: template, now: LocalTime("2025-03-07"))
        let request = try llm.chatRequest(
            [.user("a"), .assistant(nil, reasoning: "r", toolCalls: [call]), .tool("2", callID: "1")], options: options)
        #expect(
            request.prompt
                == .text(
                    #"f|False|<|im_end|>|2025|[{"role": "user", "content": "a"}, {"thinking": "r", "role": "assistant", "#
                        + #""reasoning_content": "r", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "#
                        + #""arguments": {"x": 1}}}]}, {"role": "tool", "content": "2", "tool_call_id": "1"}]False"#))
        await llm.shutdown()
    }

    @Test("An answer's formats are the template's, or those of the options")
    func answerFormats() async throws {
        let llm = try await demo()
        let template = try ChatTemplate(
            "{# [TOOL_CALLS] [THINK] #}{{ messages[0].content }}{% if tools %}tools{% endif %}")
        let tools: [TemplateValue] = [["type": "function", "function": ["name": "f"]]]
        let text = #"hm[/THINK]a[TOOL_CALLS]f[ARGS]{}"#
        // Without tools a call is text. Marks that are special tokens must be in the text.
        for (options, content, reasoning, calls, skipsSpecialTokens) in [
            (ChatOptions(template: template), "a[TOOL_CALLS]f[ARGS]{}", "hm", 0, false),
            (ChatOptions(tools: tools, template: template), "hm[/THINK]a", "", 1, false),
            (ChatOptions(template: template, reasoningFormat: .qwen3), text, "", 0, true),
        ] {
            let request = try llm.chatRequest([.user("[THINK]")], options: options)
            #expect(request.params?.skipSpecialTokens == skipsSpecialTokens)
            let answer = ParsedAnswer(text, parser: try llm.answerParser(for: request, options: options))
            #expect(answer.content == content && answer.reasoning == reasoning && answer.toolCalls.count == calls)
        }
        let hermes = ChatOptions(tools: tools, template: template, toolCallFormat: .hermes, reasoningFormat: .qwen3)
        #expect(try llm.chatRequest(Self.question, options: hermes).params?.skipSpecialTokens == true)
        await llm.shutdown()
    }

    @Test("What a template refuses is the request's error, in the template's words")
    func refused() async throws {
        let llm = try await demo()
        let options = ChatOptions(template: try ChatTemplate("{{ raise_exception('Roles must alternate') }}"))
        let error = await #expect(throws: LLMError.self) { try await llm.chat(Self.question, options: options) }
        #expect(error?.code == .invalidRequest)
        #expect(error?.message == "the chat template refuses the conversation: Roles must alternate")
        await #expect(throws: LLMError.self) {
            for try await _ in llm.streamChat(Self.question, options: options) {}
        }
        await llm.shutdown()
    }

    @Test("A model without a template says so")
    func noTemplate() async throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let llm = try await LLM.quiet(folder.path, EngineConfig(kvCache: .blocks(16), threads: 1, loadFormat: .dummy))
        let error = await #expect(throws: LLMError.self) { try await llm.chat(Self.question) }
        #expect(error?.message.contains("has no chat template") == true)
        await llm.shutdown()
    }
}

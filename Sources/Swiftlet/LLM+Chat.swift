// Conversations: messages become a prompt by the model's chat template, and everything else is a request like others.
// Invariant: the template writes every special token of the prompt, so the tokenizer adds none.

public import SwiftletTemplate

/// How a conversation becomes a prompt.
public struct ChatOptions: Sendable {
    /// JSON schemas of functions that the model may call (`tools`).
    public var tools: [TemplateValue]?
    /// What the answer is to be based on, for templates that know documents.
    public var documents: [TemplateValue]?
    /// Whether the prompt ends with the beginning of an answer (`add_generation_prompt`).
    public var addGenerationPrompt: Bool
    /// The answer goes on with the last message: the prompt ends with its text (`continue_final_message`).
    public var continueFinalMessage = false
    /// What else the template reads, such as `enable_thinking` (`chat_template_kwargs`).
    public var templateVariables: [String: TemplateValue]
    /// A template to use instead of the model's own (`chat_template`).
    public var template: ChatTemplate?
    /// What the template takes for the time; nil is the system's clock.
    public var now: LocalTime?
    /// How the model writes tool calls; nil takes what the template shows (`--tool-call-parser`).
    public var toolCallFormat: ToolCallFormat?
    /// How the model marks its reasoning; nil takes what the template shows (`--reasoning-parser`).
    public var reasoningFormat: ReasoningFormat?

    public init(
        tools: [TemplateValue]? = nil, documents: [TemplateValue]? = nil, addGenerationPrompt: Bool = true,
        templateVariables: [String: TemplateValue] = [:], template: ChatTemplate? = nil, now: LocalTime? = nil,
        toolCallFormat: ToolCallFormat? = nil, reasoningFormat: ReasoningFormat? = nil
    ) {
        self.tools = tools
        self.documents = documents
        self.addGenerationPrompt = addGenerationPrompt
        self.templateVariables = templateVariables
        self.template = template
        self.now = now
        self.toolCallFormat = toolCallFormat
        self.reasoningFormat = reasoningFormat
    }
}

extension LLM {
    /// What chats without parameters get: ``defaultSamplingParams`` with the rest of the context to answer in, unless
    /// the model's generation_config.json has a limit of its own.
    public var defaultChatSamplingParams: SamplingParams {
        var params = defaultSamplingParams
        if params.maxTokens == SamplingParams().maxTokens { params.maxTokens = nil }
        return params
    }

    /// Answers a conversation.
    ///
    ///     let reply = try await llm.chat([.system("Be brief."), .user("Why is the sky blue?")])
    ///     print(reply.text)
    ///
    /// - Parameters:
    ///   - messages: The conversation; the last one is mostly the user's.
    ///   - params: nil takes ``defaultChatSamplingParams``. Parameters made anew have vLLM's limit of 16 tokens; set
    ///     `maxTokens` to nil for the rest of the context.
    ///   - options: How the conversation becomes a prompt.
    /// - Throws: ``LLMError`` when the model has no chat template, when the template refuses the conversation, or when
    ///   the request is refused or fails.
    public func chat(
        _ messages: [ChatMessage], _ params: SamplingParams? = nil, options: ChatOptions = ChatOptions()
    ) async throws -> RequestOutput {
        try await stream(try chatRequest(messages, params, options: options)).collect()
    }

    /// Answers several conversations in one batch; outputs in their order.
    ///
    /// - Throws: ``LLMError`` for the first one that is refused or fails; the others are aborted then.
    public func chat(
        _ conversations: [[ChatMessage]], _ params: SamplingParams? = nil, options: ChatOptions = ChatOptions()
    ) async throws -> [RequestOutput] {
        try await generate(conversations.map { try chatRequest($0, params, options: options) })
    }

    /// Answers a conversation and gives the text as it comes. Leaving the loop or cancelling the task aborts the
    /// request. What is refused throws from the first `next()`.
    public func streamChat(
        _ messages: [ChatMessage], _ params: SamplingParams? = nil, options: ChatOptions = ChatOptions()
    ) -> TokenStream {
        do {
            return stream(try chatRequest(messages, params, options: options))
        } catch {
            return .failed(error, prompt: .text(""))
        }
    }

    /// The request that a conversation makes: the text as the template writes it.
    ///
    /// - Throws: ``LLMError`` when there is no template or it refuses the conversation.
    public func chatRequest(
        _ messages: [ChatMessage], _ params: SamplingParams? = nil, options: ChatOptions = ChatOptions()
    ) throws(LLMError) -> Request {
        let template = try chatTemplate(options)
        var text: String
        do throws(TemplateError) {
            text = try template.render(
                messages: messages.map(\.templateValue), tools: options.tools, documents: options.documents,
                addGenerationPrompt: options.addGenerationPrompt && !options.continueFinalMessage,
                variables: chatTemplates.specialTokens.merging(options.templateVariables) { $1 }, now: options.now)
        } catch {
            throw LLMError(chatTemplateError: error)
        }
        if options.continueFinalMessage { text = try Self.cut(text, behind: messages.last?.content ?? "") }
        var request = Request(.text(text), params ?? defaultChatSamplingParams)
        // A mark that is a special token must be in the answer's text, or nothing shows what it stands around.
        let (toolCalls, reasoning) = answerFormats(template, options)
        if toolCalls?.usesSpecialTokens == true || reasoning?.usesSpecialTokens == true {
            request.params?.skipSpecialTokens = false
        }
        request.addsSpecialTokens = false
        request.shrinksMaxTokens = params == nil
        return request
    }

    /// A rendered conversation up to the end of the last message's text, as transformers cuts it: white space around
    /// the text is kept where the template keeps it. Lengths are bounded, because the search is the plain one.
    private static func cut(_ text: String, behind content: String) throws(LLMError) -> String {
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        let (text, leading) = (Array(text.utf8), Array(content.utf8.drop(while: isSpace)))
        let trimmed = leading[..<((leading.lastIndex { !isSpace($0) } ?? -1) + 1)]
        guard trimmed.count <= 1 << 16 else {
            throw LLMError(.invalidRequest, "the last message has over 65536 bytes, too many to be continued")
        }
        let starts = max(0, text.count - trimmed.count - 16_384)...max(0, text.count - trimmed.count)
        guard !trimmed.isEmpty, let start = starts.last(where: { text[$0...].starts(with: trimmed) }) else {
            throw LLMError(
                .invalidRequest,
                "the last message can't be continued: \(trimmed.isEmpty ? "it is empty" : "the chat template changes its text")"
            )
        }
        let kept = text[start...].starts(with: leading) ? leading.count : trimmed.count
        return String(decoding: text[..<(start + kept)], as: UTF8.self)
    }

    /// What takes the answer to a request apart, which ``chatRequest(_:_:options:)`` made with these options: into text,
    /// reasoning and, when there are tools, calls of them.
    ///
    ///     let request = try llm.chatRequest(messages, options: options)
    ///     let parser = try llm.answerParser(for: request, options: options)
    ///     let answer = ParsedAnswer(try await llm.stream(request).collect().text, parser: parser)
    ///
    /// - Throws: ``LLMError`` when there is no template.
    public func answerParser(
        for request: Request, options: ChatOptions = ChatOptions()
    ) throws(LLMError) -> AnswerParser {
        let (toolCalls, reasoning) = answerFormats(try chatTemplate(options), options)
        var startsInReasoning = false
        if case .text(let prompt) = request.prompt, let reasoning {
            startsInReasoning = reasoning.startsInReasoning(prompt: prompt)
        }
        return AnswerParser(
            toolCalls: toolCalls, reasoning: reasoning, startsInReasoning: startsInReasoning, tools: options.tools)
    }

    private func answerFormats(
        _ template: ChatTemplate, _ options: ChatOptions
    ) -> (ToolCallFormat?, ReasoningFormat?) {
        let toolCalls = options.toolCallFormat ?? template.toolCallFormat
        return (options.tools == nil ? nil : toolCalls, options.reasoningFormat ?? template.reasoningFormat)
    }

    private func chatTemplate(_ options: ChatOptions) throws(LLMError) -> ChatTemplate {
        if let template = options.template { return template }
        do throws(TemplateError) {
            return try chatTemplates.template(forTools: options.tools != nil)
        } catch {
            throw LLMError(chatTemplateError: error)
        }
    }
}

extension LLMError {
    /// What a template's error means for a request.
    package init(chatTemplateError error: TemplateError) {
        switch error.code {
        case .missingTemplate: self.init(.invalidRequest, error.message)
        case .invalidTemplate: self.init(.invalidModel, "the chat template is not valid: \(error)")
        case .raised: self.init(.invalidRequest, "the chat template refuses the conversation: \(error.message)")
        default: self.init(.invalidRequest, "the chat template failed: \(error)")
        }
    }
}

// ChatTemplate: a chat template as its users see it: parsed once, rendered for any number of conversations.
// Owned by whoever parses it; immutable and shared freely between threads.
// Invariant: no model family is named anywhere; a template sees what transformers would give it and nothing else.

/// A chat template in Jinja, ready to render.
///
///     let template = try ChatTemplate("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
///     let text = try template.render(messages: [["role": "user", "content": "Hello"]])
public struct ChatTemplate: Sendable {
    /// The longest template that is read, in bytes.
    public static let maximumByteCount = 1 << 20

    /// How much a rendering may take. A template comes from outside and could ask for anything.
    public struct Limits: Sendable, Hashable {
        /// Expressions and statements evaluated, and what long copies take besides.
        public var steps: Int
        /// Memory worked on, in bytes, counted over the whole rendering.
        public var bytes: Int
        /// Length of the output in bytes.
        public var outputBytes: Int
        /// How deep macros, loops and values may nest.
        public var depth: Int
        /// The length of the longest `range(…)`.
        public var range: Int

        /// - Parameters:
        ///   - steps: Expressions and statements evaluated; 20 million are a second or two.
        ///   - bytes: Memory worked on; 1 GiB.
        ///   - outputBytes: Length of the output; 64 MiB.
        ///   - depth: Nesting of macros, loops and values.
        ///   - range: The length of the longest `range(…)`; Jinja's sandbox has 100,000.
        public init(
            steps: Int = 20_000_000, bytes: Int = 1 << 30, outputBytes: Int = 64 << 20, depth: Int = 150,
            range: Int = 100_000
        ) {
            self.steps = steps
            self.bytes = bytes
            self.outputBytes = outputBytes
            self.depth = depth
            self.range = range
        }
    }

    /// A conversation as the model reads it.
    public struct Rendering: Sendable, Hashable {
        public var text: String
        /// What the assistant says, as the template's `generation` tags mark it: ranges of the text's UTF-8.
        public var assistantRanges: [Range<Int>]
    }

    private let program: Program
    /// How the template's model writes tool calls, as far as its text shows.
    public let toolCallFormat: ToolCallFormat?
    /// How the template's model marks its reasoning, as far as its text shows.
    public let reasoningFormat: ReasoningFormat?
    /// How much a rendering may take.
    public var limits: Limits

    /// Parses a template.
    ///
    /// - Parameters:
    ///   - source: The template's text, of at most 1 MiB.
    ///   - limits: How much a rendering may take.
    /// - Throws: ``TemplateError`` with the line, when the text is not Jinja or uses what is not supported.
    public init(_ source: String, limits: Limits = Limits()) throws(TemplateError) {
        guard source.utf8.count <= ChatTemplate.maximumByteCount else {
            throw TemplateError(
                .limit, "the template has \(source.utf8.count) bytes; the limit is \(ChatTemplate.maximumByteCount)")
        }
        program = try Resolver.resolve(try Parser.parse(Text(source)))
        toolCallFormat = ToolCallFormat.detect(in: source)
        reasoningFormat = ReasoningFormat.detect(in: source)
        self.limits = limits
    }

    /// Renders a conversation.
    ///
    /// - Parameters:
    ///   - messages: Objects with `role`, `content` and what else the template reads. Reasoning is passed on under each
    ///     of the names that templates know (`reasoning_content`, `thinking`), whichever it is given under.
    ///   - tools: JSON schemas of functions; nil is `None` in the template.
    ///   - documents: What the answer is to be based on; nil is `None`.
    ///   - addGenerationPrompt: Whether the text ends with the beginning of the assistant's answer.
    ///   - variables: What else the template reads, such as `bos_token` or `enable_thinking`.
    ///   - now: What `strftime_now` takes for the time; nil is the system's clock.
    /// - Throws: ``TemplateError``; with code ``TemplateError/Code/raised`` the template's own words.
    public func render(
        messages: [TemplateValue], tools: [TemplateValue]? = nil, documents: [TemplateValue]? = nil,
        addGenerationPrompt: Bool = false, variables: [String: TemplateValue] = [:], now: LocalTime? = nil
    ) throws(TemplateError) -> String {
        try rendering(
            messages: messages, tools: tools, documents: documents, addGenerationPrompt: addGenerationPrompt,
            variables: variables, now: now
        ).text
    }

    /// Renders a conversation and says what in it is the assistant's. The parameters are those of
    /// ``render(messages:tools:documents:addGenerationPrompt:variables:now:)``.
    public func rendering(
        messages: [TemplateValue], tools: [TemplateValue]? = nil, documents: [TemplateValue]? = nil,
        addGenerationPrompt: Bool = false, variables: [String: TemplateValue] = [:], now: LocalTime? = nil
    ) throws(TemplateError) -> Rendering {
        let context = OrderedMap()
        func set(_ name: String, _ value: TemplateValue) throws(TemplateError) {
            try context.set(.string(Text(name)), try Value(value, maximumDepth: 140))
        }
        for (name, value) in variables { try set(name, value) }
        for message in messages {
            guard case .object = message else {
                throw TemplateError(.invalidInput, "a message must be an object with role and content")
            }
        }
        try set("messages", .array(messages.map(ChatTemplate.withReasoning)))
        try set("tools", tools.map { .array($0) } ?? .null)
        for document in documents ?? [] {
            guard case .object = document else {
                throw TemplateError(.invalidInput, "a document must be an object with title and text")
            }
        }
        try set("documents", documents.map { .array($0) } ?? .null)
        try set("add_generation_prompt", .bool(addGenerationPrompt))
        let renderer = Renderer(program, variables: context, limits: limits, now: now)
        try renderer.render()
        return Rendering(
            text: String(decoding: renderer.output, as: UTF8.self), assistantRanges: renderer.assistantRanges)
    }

    /// The names under which a message's reasoning is given.
    private static let reasoningKeys = ["reasoning_content", "thinking", "reasoning"]

    /// A message with its reasoning under the names that templates read.
    private static func withReasoning(_ message: TemplateValue) -> TemplateValue {
        guard case .object(var members) = message else { return message }
        let found = reasoningKeys.lazy.compactMap { key in message[key] }.first { $0 != .null }
        guard let reasoning = found else { return message }
        if message["thinking"] == nil { members.insert(.init("thinking", reasoning), at: 0) }
        if let place = members.firstIndex(where: { $0.key == "reasoning_content" }) {
            members[place].value = reasoning
        } else {
            members.append(.init("reasoning_content", reasoning))
        }
        return .object(members)
    }
}

// What an answer consists of: AnswerPart for a stream, ParsedAnswer for the whole. Plain Sendable values.
// Invariant: the parts of one answer, put together, are its ParsedAnswer.

/// A piece of an answer, as ``AnswerParser`` finds it.
public enum AnswerPart: Sendable, Hashable {
    /// Text for the user.
    case content(String)
    /// What the model thought before it answered.
    case reasoning(String)
    /// A piece of a call of a function. The first piece of a call has its id and its name and no arguments; those of the
    /// others, put together, are the text of a JSON object. When the answer was cut off within a long call, that text
    /// ends early.
    case toolCall(index: Int, id: String?, name: String?, arguments: String)
}

/// A whole answer: what the user is told, what the model thought, what it wants to be called.
public struct ParsedAnswer: Sendable, Hashable {
    /// A call of a function.
    public struct ToolCall: Sendable, Hashable {
        public var id: String
        public var name: String
        /// The text of a JSON object, as the model wrote it; cut off where the answer was, when the call is very long.
        public var arguments: String

        public init(id: String, name: String, arguments: String) {
            self.id = id
            self.name = name
            self.arguments = arguments
        }
    }

    /// Text for the user.
    public var content = ""
    /// What the model thought before it answered.
    public var reasoning = ""
    public var toolCalls: [ToolCall] = []

    public init() {}

    /// Reads an answer that is there as a whole.
    public init(_ text: String, parser: AnswerParser) {
        var parser = parser
        for part in parser.append(text) + parser.finish() { add(part) }
    }

    /// Adds the next part.
    public mutating func add(_ part: AnswerPart) {
        switch part {
        case .content(let text): content += text
        case .reasoning(let text): reasoning += text
        case .toolCall(let index, let id, let name, let arguments):
            if index == toolCalls.count { toolCalls.append(ToolCall(id: id ?? "", name: name ?? "", arguments: "")) }
            if toolCalls.indices.contains(index) { toolCalls[index].arguments += arguments }
        }
    }
}

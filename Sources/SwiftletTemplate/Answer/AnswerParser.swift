// AnswerParser: the counterpart of a chat template: takes apart what a model answers, piece by piece as it comes, into
// text for the user, reasoning, and calls of functions. A state machine over the answer's bytes.
// Owned by whoever reads one answer; its extensions read calls.
// Invariant: how the text is cut into pieces changes nothing: the parts, put together, are those of the whole text. Text
// that turns out to be no mark and no call comes out as the text that it is.

/// Takes apart an answer of a model while it comes.
///
///     var parser = AnswerParser(toolCalls: .hermes, reasoning: .qwen3)
///     for try await delta in stream { for part in parser.append(delta.text) { show(part) } }
///     for part in parser.finish() { show(part) }
///
/// What may still become a mark or a call is held back: the beginning of a mark, whitespace (256 bytes of it), a call of
/// up to 1 KiB until it is complete. A longer call is given in pieces as it comes once its name is known; one of 64 KiB
/// that still shows no name is text. A call that is not what its format says is text too, with the marks around it.
/// Whitespace that touches a mark belongs to it and is dropped.
public struct AnswerParser: Sendable {
    /// A call is held back until it is complete, or this long.
    static let heldCallLimit = 1 << 10
    /// The longest beginning of a call that does not show what is called.
    static let callLimit = 1 << 16
    /// The longest name of a function, and the longest whitespace between the parts of a call.
    static let nameLimit = 256

    enum State: Sendable {
        /// At the beginning of the answer, or behind reasoning, where nothing but whitespace has come.
        case beginning
        case text
        /// Behind a call's opening mark. `read` counts from `position`, here and below.
        case opening(read: Int)
        /// In `name[ARGS]`.
        case name(start: Int)
        /// Where an object of a list must begin.
        case element(read: Int)
        /// In a call's object, which began at `start`.
        case object(JSONCall, start: Int)
        /// In a long call, which is given while it comes.
        case longCall(JSONCall, read: Int)
        /// In a call in the form of tags, which began at `start`.
        case function(FunctionCall, start: Int)
        /// Behind a call, where it may have a closing mark or a separator.
        case behindCall
    }

    let toolCalls: ToolCallFormat?
    private let reasoning: ReasoningFormat?
    private let callMark: [UInt8]?
    private let openingMark: [UInt8]
    private let closingMark: [UInt8]
    let tools: ToolSchemas
    /// What has come and is not dealt with; everything before `position` is.
    var bytes: [UInt8] = []
    var position = 0
    var state = State.beginning
    var isReasoning: Bool
    /// Whether an opening mark of reasoning may come.
    private var mayBeginReasoning: Bool
    /// In a list of calls.
    var isInList = false
    /// When what begins at `position` is no call: how many of its bytes are text without being looked at again.
    var markByteCount = 0
    var callCount = 0
    var output = AnswerOutput()
    /// Whether the answer has ended.
    var isFinal = false

    /// - Parameters:
    ///   - toolCalls: How the model writes tool calls; nil takes them for text.
    ///   - reasoning: How it marks reasoning; nil takes it for text.
    ///   - startsInReasoning: Whether the prompt ends within reasoning
    ///     (``ReasoningFormat/startsInReasoning(prompt:)``).
    ///   - tools: The tools as the template got them. Where the format has values without quotes (`qwen3_coder`), a
    ///     tool's schema says which of them are numbers, objects and so on; without a schema they are strings.
    public init(
        toolCalls: ToolCallFormat? = nil, reasoning: ReasoningFormat? = nil, startsInReasoning: Bool = false,
        tools: [TemplateValue]? = nil
    ) {
        self.toolCalls = toolCalls
        self.reasoning = reasoning
        callMark = toolCalls?.mark
        openingMark = reasoning?.opening ?? []
        closingMark = reasoning?.closing ?? []
        self.tools = ToolSchemas(toolCalls == .qwen3Coder ? tools ?? [] : [])
        isReasoning = reasoning != nil && startsInReasoning
        mayBeginReasoning = reasoning != nil
    }

    /// Whether it knows how the model writes tool calls.
    public var findsToolCalls: Bool { toolCalls != nil }

    /// Takes the next piece of the answer; returns what is certain now.
    public mutating func append(_ text: String) -> [AnswerPart] {
        guard toolCalls != nil || reasoning != nil else { return text.isEmpty ? [] : [.content(text)] }
        bytes += text.utf8
        return advance()
    }

    /// Ends the answer; returns what was held back.
    public mutating func finish() -> [AnswerPart] {
        isFinal = true
        defer { isFinal = false }
        return advance()
    }

    private mutating func advance() -> [AnswerPart] {
        while step() {}
        if isFinal { output.flush(isReasoning: isReasoning) }
        bytes.removeSubrange(..<position)
        position = 0
        return output.take()
    }

    /// Makes one step; false when more text is needed, or there is none.
    private mutating func step() -> Bool {
        switch state {
        case .beginning: begin()
        case .text: readText()
        case .opening(let read): open(read)
        case .name(let start): readName(start)
        case .element(let read): readElement(read)
        case .object(let call, let start): readObject(call, start)
        case .longCall(let call, let read): readLongCall(call, read)
        case .function(let call, let start): readFunction(call, start)
        case .behindCall: readBehindCall()
        }
    }

    // MARK: Text

    /// How the text at a place compares with a mark.
    enum Match { case whole, beginning, none }

    func match(_ mark: [UInt8], at index: Int) -> Match {
        let count = min(mark.count, bytes.count - index)
        guard bytes[index..<index + count].elementsEqual(mark[..<count]) else { return .none }
        if count == mark.count { return .whole }
        return isFinal ? .none : .beginning
    }

    /// The first byte from `index` on that is no whitespace; nil when it has not come. Too much of it ends the search.
    func firstByte(from index: Int) -> Int? {
        let end = min(bytes.count, index + AnswerOutput.whitespaceLimit)
        let found = bytes[index..<end].firstIndex { !$0.isJSONWhitespace }
        return found ?? (end < bytes.count ? end : nil)
    }

    /// Looks for what is a mark only before everything else.
    private mutating func begin() -> Bool {
        guard let first = firstByte(from: position) else {
            state = isFinal ? .text : .beginning
            return isFinal
        }
        if mayBeginReasoning {
            switch match(openingMark, at: first) {
            case .beginning: return false
            case .whole:
                output.mark()
                position = first + openingMark.count
                isReasoning = true
            case .none: break
            }
            mayBeginReasoning = false
        }
        state = .text
        if !isReasoning, toolCalls == .llama3JSON, position <= first, first < bytes.count,
            bytes[first] == UInt8(ascii: "{")
        {
            beginObject(at: first - position, .whole(needsArguments: true), markByteCount: first - position + 1)
        }
        return true
    }

    /// Text up to the next mark.
    private mutating func readText() -> Bool {
        var end = position
        while end < bytes.count {
            if bytes[end] == UInt8(ascii: "<") || bytes[end] == UInt8(ascii: "[") {
                let ofReasoning = isReasoning ? match(closingMark, at: end) : .none
                let ofCall = callMark.map { match($0, at: end) } ?? .none
                if ofReasoning == .whole || ofCall == .whole {
                    emitText(upTo: end)
                    if ofCall == .whole { beginCall() } else { endReasoning() }
                    return true
                }
                if ofReasoning == .beginning || ofCall == .beginning { break }
            }
            end += 1
        }
        emitText(upTo: end)
        return false
    }

    mutating func emitText(upTo end: Int) {
        output.add(bytes[position..<end], isReasoning: isReasoning, canEnd: isReasoning || toolCalls != nil)
        position = end
    }

    private mutating func endReasoning() {
        position += closingMark.count
        output.mark()
        isReasoning = false
        state = .beginning
    }

    private mutating func beginCall() {
        markByteCount = callMark?.count ?? 0
        isInList = false
        state = .opening(read: markByteCount)
    }
}

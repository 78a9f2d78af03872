// AnswerOutput: collects the parts of one append, and decides about whitespace: what touches a mark belongs to the mark.
// Owned by AnswerParser.
// Invariant: whitespace is let through in order and never behind the text that followed it.

struct AnswerOutput: Sendable {
    /// The longest run of whitespace that waits for what follows it.
    static let whitespaceLimit = 256

    private var parts: [AnswerPart] = []
    /// Whitespace that is dropped if a mark follows.
    private var whitespace: [UInt8] = []
    /// Behind a mark: whitespace is dropped.
    private var trims = false

    /// Adds text. `canEnd` says whether a mark may follow, so that whitespace at the end has to wait.
    mutating func add(_ text: ArraySlice<UInt8>, isReasoning: Bool, canEnd: Bool) {
        var text = text
        if trims { text = text.drop(while: \.isJSONWhitespace) }
        guard !text.isEmpty else { return }
        trims = false
        let end = canEnd ? (text.lastIndex { !$0.isJSONWhitespace } ?? text.startIndex - 1) + 1 : text.endIndex
        if end > text.startIndex {
            emit(whitespace + text[..<end], isReasoning)
            whitespace = []
        }
        whitespace += text[end...]
        // What is let through of a long run must not depend on how it came.
        let excess = whitespace.count / (Self.whitespaceLimit + 1) * (Self.whitespaceLimit + 1)
        emit(Array(whitespace[..<excess]), isReasoning)
        whitespace.removeFirst(excess)
    }

    /// Lets whitespace through that waits: no mark follows.
    mutating func flush(isReasoning: Bool) {
        emit(whitespace, isReasoning)
        whitespace = []
    }

    /// A mark: whitespace before and behind it is dropped.
    mutating func mark() {
        whitespace = []
        trims = true
    }

    mutating func beginCall(index: Int, id: String, name: String) {
        parts.append(.toolCall(index: index, id: id, name: name, arguments: ""))
    }

    mutating func continueCall(index: Int, arguments: some Collection<UInt8>) {
        guard !arguments.isEmpty else { return }
        let text = String(decoding: arguments, as: UTF8.self)
        parts.append(.toolCall(index: index, id: nil, name: nil, arguments: text))
    }

    /// The parts since the last time.
    mutating func take() -> [AnswerPart] {
        defer { parts = [] }
        return parts
    }

    private mutating func emit(_ text: [UInt8], _ isReasoning: Bool) {
        guard !text.isEmpty else { return }
        // Out of the list while it grows, so that it is not copied.
        var whole = ""
        switch parts.last {
        case .content(let before)? where !isReasoning: whole = before
        case .reasoning(let before)? where isReasoning: whole = before
        default: parts.append(.content(""))
        }
        parts.removeLast()
        whole += String(decoding: text, as: UTF8.self)
        parts.append(isReasoning ? .reasoning(whole) : .content(whole))
    }
}

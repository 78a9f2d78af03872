// The calls of AnswerParser: from the opening mark to what stands behind a call. As long as a call is not certain,
// `position` stays at its first byte, so that everything can still come out as text.
// Invariant: every step moves on, asks for more text, or gives a call up; with the answer's end none asks for more.

extension AnswerParser {
    /// What begins at `position` is no call: its mark is text, and what follows is looked at anew.
    mutating func giveUp() -> Bool {
        emitText(upTo: min(bytes.count, position + markByteCount))
        state = .text
        return true
    }

    /// More text is needed, which won't come behind the end.
    private mutating func wait() -> Bool { isFinal ? giveUp() : false }

    // MARK: Beginnings

    mutating func open(_ read: Int) -> Bool {
        guard let first = firstByte(from: position + read) else { return wait() }
        let offset = first - position
        switch (toolCalls, bytes[first]) {
        case (.llama3JSON, UInt8(ascii: "{")):
            beginObject(at: offset, .whole(needsArguments: true), markByteCount: markByteCount)
        case (_, UInt8(ascii: "{")):
            beginObject(at: offset, .whole(needsArguments: false), markByteCount: markByteCount)
        case (.mistral, UInt8(ascii: "[")):
            isInList = true
            state = .element(read: offset + 1)
        case (.mistral, _): state = .name(start: offset)
        case (.hermes, _), (.qwen3Coder, _):
            switch match(FunctionCall.opening, at: first) {
            case .none: return giveUp()
            case .beginning: return false
            case .whole: state = .function(FunctionCall(), start: offset + FunctionCall.opening.count)
            }
        default: return giveUp()
        }
        return true
    }

    mutating func beginObject(at offset: Int, _ shape: JSONCall.Shape, markByteCount: Int) {
        self.markByteCount = markByteCount
        state = .object(JSONCall(shape), start: offset)
    }

    /// The next object of a list, of which the bracket or the comma was read.
    mutating func readElement(_ read: Int) -> Bool {
        guard let first = firstByte(from: position + read) else { return wait() }
        guard bytes[first] == UInt8(ascii: "{") else { return giveUp() }
        beginObject(at: first - position, .whole(needsArguments: false), markByteCount: markByteCount)
        return true
    }

    /// `name[ARGS]`, `name[CALL_ID]id[ARGS]`, or the name alone before an object.
    mutating func readName(_ start: Int) -> Bool {
        let text = bytes[(position + start)...]
        let end = text.firstIndex { "[{".utf8.contains($0) } ?? text.endIndex
        guard end - text.startIndex <= Self.nameLimit else { return giveUp() }
        guard end < bytes.count else { return wait() }
        let name = String(decoding: text[..<end], as: UTF8.self).trimmingJSONWhitespace
        guard !name.isEmpty, name.utf8.allSatisfy({ $0 > 0x20 && !"\"'<>]}".utf8.contains($0) }) else {
            return giveUp()
        }
        return readNameEnd(name, at: end)
    }

    private mutating func readNameEnd(_ name: String, at end: Int) -> Bool {
        var (id, next) = (String?.none, end)
        let (idMark, argumentsMark) = (Array("[CALL_ID]".utf8), Array("[ARGS]".utf8))
        switch match(idMark, at: next) {
        case .beginning: return false
        case .none: break
        case .whole:
            let text = bytes[(next + idMark.count)...]
            guard let idEnd = text.firstIndex(of: UInt8(ascii: "[")), idEnd - text.startIndex <= Self.nameLimit else {
                return text.count > Self.nameLimit ? giveUp() : wait()
            }
            id = String(decoding: text[..<idEnd], as: UTF8.self).trimmingJSONWhitespace
            next = idEnd
        }
        switch match(argumentsMark, at: next) {
        case .beginning: return false
        case .whole: next += argumentsMark.count
        case .none: if bytes[next] != UInt8(ascii: "{") { return giveUp() }
        }
        guard let first = firstByte(from: next) else { return wait() }
        guard bytes[first] == UInt8(ascii: "{") else { return giveUp() }
        if id?.isEmpty == true { id = nil }
        beginObject(at: first - position, .arguments(name: name, id: id), markByteCount: markByteCount)
        return true
    }

    // MARK: Objects

    mutating func readObject(_ begun: JSONCall, _ start: Int) -> Bool {
        var call = begun
        state = .text
        let first = position + start
        while first + call.count < bytes.count {
            guard call.consume(bytes[first + call.count]) else { return giveUp() }
            if call.isDone { return finishObject(call, first) }
            guard call.count >= Self.heldCallLimit else { continue }
            if let name = call.nameOfBegunCall { return beginLongCall(call, first, name) }
            if call.count >= Self.callLimit { return giveUp() }
        }
        state = .object(call, start: start)
        return wait()
    }

    private mutating func finishObject(_ call: JSONCall, _ first: Int) -> Bool {
        let end = first + call.count
        guard let result = call.result(Array(bytes[first..<end])) else { return giveUp() }
        add(result)
        position = end
        state = .behindCall
        return true
    }

    /// A call that is certain.
    mutating func add(_ result: JSONCall.Result) {
        beginCall(result.name, result.id)
        output.continueCall(index: callCount - 1, arguments: result.arguments)
    }

    private mutating func beginCall(_ name: String, _ id: String?) {
        output.mark()
        isReasoning = false
        output.beginCall(index: callCount, id: id ?? toolCalls?.newID() ?? "", name: name)
        callCount += 1
    }

    /// Gives the beginning of a call that won't be held back any more.
    private mutating func beginLongCall(_ call: JSONCall, _ first: Int, _ name: String) -> Bool {
        var id: String?
        if case .arguments(_, let given) = call.shape { id = given }
        beginCall(name, id)
        let start = call.argumentsStart ?? 0
        position = first + start
        state = .longCall(call, read: call.count - start)
        return true
    }

    /// Gives the arguments up to the end of what has come, which is no place within a character.
    mutating func readLongCall(_ begun: JSONCall, _ read: Int) -> Bool {
        var call = begun
        state = .text
        var next = position + read
        // Only a call that has just begun was read further than it was given.
        var argumentsEnd = call.argumentsEnd.map { read > 0 ? position + $0 - (call.argumentsStart ?? 0) : position }
        var isWhole = true
        while next < bytes.count, !call.isDone {
            isWhole = call.consume(bytes[next])
            if !isWhole { break }
            next += 1
            if argumentsEnd == nil, call.argumentsEnd != nil { argumentsEnd = next }
        }
        output.continueCall(index: callCount - 1, arguments: bytes[position..<(argumentsEnd ?? next)])
        position = next
        // A call that breaks off stays as it is, and the text where it does is text.
        if !isWhole { return true }
        if call.isDone {
            state = .behindCall
            return true
        }
        state = isFinal ? .text : .longCall(call, read: 0)
        return isFinal
    }

    // MARK: Calls in tags

    mutating func readFunction(_ begun: FunctionCall, _ start: Int) -> Bool {
        var call = begun
        state = .text
        switch call.read(bytes[(position + start)...], tools: tools) {
        case .invalid: return giveUp()
        case .needsMore:
            if bytes.count - position > Self.callLimit { return giveUp() }
            state = .function(call, start: start)
            return wait()
        case .call(let result, let count):
            if start + count > Self.callLimit { return giveUp() }
            position += start + count
            add(result)
            state = .behindCall
            return true
        }
    }

    // MARK: Ends

    mutating func readBehindCall() -> Bool {
        guard let first = firstByte(from: position) else {
            state = isFinal ? .text : .behindCall
            return isFinal
        }
        state = .text
        switch toolCalls {
        case .hermes, .qwen3Coder: return readClosingMark(at: first)
        case .llama3JSON: return readSeparator(at: first)
        case .mistral where isInList:
            if bytes[first] == UInt8(ascii: "]") {
                position = first + 1
            } else if bytes[first] == UInt8(ascii: ",") {
                markByteCount = first + 1 - position
                state = .element(read: markByteCount)
            }
        default: break
        }
        return true
    }

    private mutating func readClosingMark(at first: Int) -> Bool {
        let mark = Array("</tool_call>".utf8)
        switch match(mark, at: first) {
        case .whole: position = first + mark.count
        case .beginning:
            state = .behindCall
            return false
        case .none:
            // The end of an answer that was cut off within the mark.
            if isFinal, mark.starts(with: bytes[first...]) { position = bytes.count }
        }
        return true
    }

    /// Llama's calls stand behind each other, with a semicolon between them or not.
    private mutating func readSeparator(at first: Int) -> Bool {
        var next = first
        if bytes[first] == UInt8(ascii: ";") {
            guard let found = firstByte(from: first + 1) else {
                state = isFinal ? .text : .behindCall
                return isFinal
            }
            next = found
        }
        if bytes[next] == UInt8(ascii: "{") {
            beginObject(
                at: next - position, .whole(needsArguments: true), markByteCount: next - position + 1)
        }
        return true
    }
}

extension String {
    /// Without whitespace at both ends.
    var trimmingJSONWhitespace: String {
        let start = utf8.firstIndex { !$0.isJSONWhitespace } ?? utf8.endIndex
        let end = utf8[start...].lastIndex { !$0.isJSONWhitespace }.map { utf8.index(after: $0) } ?? start
        return String(self[start..<end])
    }
}

// The one pass over a template's text that cuts it into tokens, with Jinja's rules for whitespace around tags as
// transformers sets them: trim_blocks, lstrip_blocks, one line end dropped at the end of the text.
// Owned by ChatTemplate's initializer for the length of one parse.
// Invariant: `position` never passes the end, and every loop that does not return advances it.

struct Lexer {
    let source: [UInt8]
    private(set) var position = 0
    private var line = 1
    private var tokens: [Token] = []
    /// Closing brackets that are owed, innermost last; tags end only outside of brackets.
    private var brackets: [UInt8] = []
    /// Whether what was read last ended with a line end.
    private var isAtLineStart = true

    private init(_ source: [UInt8]) { self.source = source }

    /// Cuts a whole template into tokens; the last one is `.end`.
    static func tokens(of text: Text) throws(TemplateError) -> [Token] {
        var source = normalizedLines(text.bytes)
        if source.last == UInt8(ascii: "\n") { source.removeLast() }
        var lexer = Lexer(source)
        while lexer.position < lexer.source.count { try lexer.readData() }
        lexer.append(.end, "")
        return lexer.tokens
    }

    /// Every line end as "\n".
    private static func normalizedLines(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.contains(UInt8(ascii: "\r")) else { return bytes }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        for (index, byte) in bytes.enumerated() {
            if byte == UInt8(ascii: "\r") {
                result.append(UInt8(ascii: "\n"))
            } else if byte != UInt8(ascii: "\n") || index == 0 || bytes[index - 1] != UInt8(ascii: "\r") {
                result.append(byte)
            }
        }
        return result
    }

    func failure(_ message: String) -> TemplateError { TemplateError(.invalidTemplate, message, line: line) }

    mutating func append(_ kind: Token.Kind, _ text: Text) {
        tokens.append(Token(kind: kind, text: text, line: line))
    }

    /// Moves on and counts lines.
    mutating func advance(to end: Int) {
        for byte in source[position..<end] where byte == UInt8(ascii: "\n") { line += 1 }
        if end > position { isAtLineStart = source[end - 1] == UInt8(ascii: "\n") }
        position = end
    }

    private func starts(_ text: StaticString, at offset: Int) -> Bool {
        guard offset + text.utf8CodeUnitCount <= source.count else { return false }
        for index in 0..<text.utf8CodeUnitCount where source[offset + index] != text.utf8Start[index] { return false }
        return true
    }

    // MARK: Text between tags

    private enum Tag { case comment, block, variable, raw(end: Int) }

    private mutating func readData() throws(TemplateError) {
        var end = position
        while end < source.count {
            if source[end] == UInt8(ascii: "{"), let tag = tag(at: end) { return try readTag(tag, at: end) }
            end += 1
        }
        append(.data, Text(source[position...]))
        advance(to: source.count)
    }

    private func tag(at offset: Int) -> Tag? {
        guard offset + 1 < source.count else { return nil }
        switch source[offset + 1] {
        case UInt8(ascii: "#"): return .comment
        case UInt8(ascii: "{"): return .variable
        case UInt8(ascii: "%"): return rawEnd(at: offset).map { .raw(end: $0) } ?? .block
        default: return nil
        }
    }

    /// The end of `{% raw %}` that starts here.
    private func rawEnd(at offset: Int) -> Int? {
        guard let word = wordEnd("raw", at: skipSign(offset + 2)) else { return nil }
        if starts("-%}", at: word) { return skipSpace(word + 3) }
        return starts("%}", at: word) ? word + 2 : nil
    }

    func skipSign(_ offset: Int) -> Int {
        offset < source.count && (source[offset] == UInt8(ascii: "-") || source[offset] == UInt8(ascii: "+"))
            ? offset + 1 : offset
    }

    /// Behind a word and the whitespace around it.
    private func wordEnd(_ word: StaticString, at offset: Int) -> Int? {
        let start = skipSpace(offset)
        return starts(word, at: start) ? skipSpace(start + word.utf8CodeUnitCount) : nil
    }

    /// Behind the whitespace at an offset.
    private func skipSpace(_ offset: Int) -> Int {
        var offset = offset
        while offset < source.count, let scalar = scalar(at: offset), scalar.isPythonSpace {
            offset += UTF8.width(scalar)
        }
        return offset
    }

    private func scalar(at offset: Int) -> Unicode.Scalar? {
        if source[offset] < 0x80 { return Unicode.Scalar(source[offset]) }
        let end = min(source.count, offset + Text.scalarLength(source[offset]))
        return String(decoding: source[offset..<end], as: UTF8.self).unicodeScalars.first
    }

    private mutating func readTag(_ tag: Tag, at offset: Int) throws(TemplateError) {
        appendData(upTo: offset, isVariable: { if case .variable = tag { true } else { false } }())
        let body = skipSign(offset + 2)
        switch tag {
        case .comment:
            advance(to: body)
            try readComment()
        case .raw(let end):
            advance(to: end)
            try readRaw()
        case .block:
            append(.blockBegin, "{%")
            advance(to: body)
            try readCode(isBlock: true)
        case .variable:
            append(.variableBegin, "{{")
            advance(to: body)
            try readCode(isBlock: false)
        }
    }

    /// The text before a tag, stripped as the tag's sign and lstrip_blocks ask for.
    private mutating func appendData(upTo offset: Int, isVariable: Bool) {
        let sign = offset + 2 < source.count ? source[offset + 2] : 0
        var text = Text(source[position..<offset])
        if sign == UInt8(ascii: "-") {
            text = text.stripped(.right)
        } else if sign != UInt8(ascii: "+"), !isVariable {
            let lineStart = source[position..<offset].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 }
            if let start = lineStart ?? (isAtLineStart ? position : nil), skipSpace(start) >= offset {
                text = Text(source[position..<start])
            }
        }
        if !text.isEmpty { append(.data, text) }
        advance(to: offset)
    }

    /// The end of a tag that closes here, with what it takes of the text behind it.
    private func tagEnd(_ close: StaticString, at offset: Int, trims: Bool) -> Int? {
        if starts(close, at: offset) {
            let end = offset + close.utf8CodeUnitCount
            return trims && end < source.count && source[end] == UInt8(ascii: "\n") ? end + 1 : end
        }
        guard offset < source.count, starts(close, at: offset + 1) else { return nil }
        let end = offset + 1 + close.utf8CodeUnitCount
        if source[offset] == UInt8(ascii: "-") { return skipSpace(end) }
        return trims && source[offset] == UInt8(ascii: "+") ? end : nil
    }

    private mutating func readComment() throws(TemplateError) {
        for offset in position..<source.count {
            if let end = tagEnd("#}", at: offset, trims: true) { return advance(to: end) }
        }
        throw failure("Missing end of comment tag")
    }

    private mutating func readRaw() throws(TemplateError) {
        for offset in position..<source.count where source[offset] == UInt8(ascii: "{") && starts("{%", at: offset) {
            if let word = wordEnd("endraw", at: skipSign(offset + 2)), let end = tagEnd("%}", at: word, trims: true) {
                appendData(upTo: offset, isVariable: false)
                return advance(to: end)
            }
        }
        throw failure("Missing end of raw directive")
    }

    // MARK: Inside tags

    private mutating func readCode(isBlock: Bool) throws(TemplateError) {
        brackets = []
        while position < source.count {
            if brackets.isEmpty {
                if let end = tagEnd(isBlock ? "%}" : "}}", at: position, trims: isBlock) {
                    append(isBlock ? .blockEnd : .variableEnd, isBlock ? "%}" : "}}")
                    return advance(to: end)
                }
            }
            let space = skipSpace(position)
            if space > position {
                advance(to: space)
            } else {
                try readToken()
            }
        }
    }

    private mutating func readToken() throws(TemplateError) {
        let byte = source[position]
        if byte &- UInt8(ascii: "0") < 10 { return try readNumber() }
        if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\""), let end = stringEnd() {
            append(.string, try unescaped(source[(position + 1)..<(end - 1)]))
            return advance(to: end)
        }
        if let end = nameEnd() {
            append(.name, Text(source[position..<end]))
            return advance(to: end)
        }
        for (text, kind) in Token.operators where source[position...].starts(with: text.utf8) {
            try balance(byte)
            append(kind, Text(text))
            return advance(to: position + text.utf8.count)
        }
        let scalar = scalar(at: position) ?? "\u{FFFD}"
        throw failure("unexpected char \(PythonText.quoted(Text(scalar))) at \(Text.scalarCount(source[..<position]))")
    }

    private func nameEnd() -> Int? {
        var end = position
        while end < source.count, let scalar = scalar(at: end) {
            let isStart = scalar == "_" || scalar.properties.isXIDStart
            guard isStart || (end > position && scalar.properties.isXIDContinue) else { break }
            end += UTF8.width(scalar)
        }
        return end > position ? end : nil
    }

    private mutating func balance(_ byte: UInt8) throws(TemplateError) {
        switch byte {
        case UInt8(ascii: "{"): brackets.append(UInt8(ascii: "}"))
        case UInt8(ascii: "("): brackets.append(UInt8(ascii: ")"))
        case UInt8(ascii: "["): brackets.append(UInt8(ascii: "]"))
        case UInt8(ascii: "}"), UInt8(ascii: ")"), UInt8(ascii: "]"):
            let found = Character(Unicode.Scalar(byte))
            guard let expected = brackets.popLast() else { throw failure("unexpected '\(found)'") }
            guard expected == byte else {
                throw failure("unexpected '\(found)', expected '\(Character(Unicode.Scalar(expected)))'")
            }
        default: break
        }
    }
}

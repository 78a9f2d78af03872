// The one pass over a JSON text that checks it and writes the tape. Iterative: nesting costs one
// entry of an explicit stack, so no text can exhaust the thread's stack.
// Owned by JSONDocument.init for the length of one parse.
// Invariant: `position` never passes text.count, and every loop that does not return advances it.

struct JSONParser {
    struct Limits {
        var depth: Int
        var nodes: Int
        var rejectsDuplicateKeys: Bool
    }

    private let text: UnsafeBufferPointer<UInt8>
    private let limits: Limits
    private var position = 0
    private var nodes: [JSONDocument.Node] = []
    /// Open containers, outermost first, as node indices.
    private var open: [Int] = []

    private init(_ text: UnsafeBufferPointer<UInt8>, limits: Limits) {
        self.text = text
        self.limits = limits
        nodes.reserveCapacity(min(limits.nodes, text.count / 12 + 8))
    }

    static func parse(
        _ text: UnsafeBufferPointer<UInt8>, limits: Limits
    ) -> Result<[JSONDocument.Node], JSONError> {
        guard text.count <= JSONDocument.maximumByteCount else {
            return .failure(JSONError("text is longer than \(JSONDocument.maximumByteCount) bytes", at: 0, in: text))
        }
        var parser = JSONParser(text, limits: limits)
        do throws(JSONError) {
            try parser.parseDocument()
            return .success(parser.nodes)
        } catch {
            return .failure(error)
        }
    }

    private func failure(_ message: String, at offset: Int? = nil) -> JSONError {
        JSONError(message, at: offset ?? position, in: text)
    }

    private mutating func parseDocument() throws(JSONError) {
        skipWhitespace()
        try parseValue()
        while let container = open.last {
            if nodes[container].kind == .object {
                try continueObject(container)
            } else {
                try continueArray(container)
            }
        }
        skipWhitespace()
        if position < text.count { throw failure("unexpected text after the value") }
    }

    // MARK: Containers

    private mutating func continueArray(_ container: Int) throws(JSONError) {
        skipWhitespace()
        let isEmpty = nodes[container].count == 0
        if peek() == UInt8(ascii: "]") { return try close(container) }
        if !isEmpty {
            guard peek() == UInt8(ascii: ",") else { throw failure("expected ',' or ']'") }
            position += 1
            skipWhitespace()
        }
        nodes[container].detail += 8
        try parseValue()
    }

    private mutating func continueObject(_ container: Int) throws(JSONError) {
        skipWhitespace()
        let isEmpty = nodes[container].count == 0
        if peek() == UInt8(ascii: "}") { return try close(container) }
        if !isEmpty {
            guard peek() == UInt8(ascii: ",") else { throw failure("expected ',' or '}'") }
            position += 1
            skipWhitespace()
        }
        guard peek() == UInt8(ascii: "\"") else { throw failure("expected a key in quotes") }
        try parseString()
        skipWhitespace()
        guard peek() == UInt8(ascii: ":") else { throw failure("expected ':'") }
        position += 1
        skipWhitespace()
        nodes[container].detail += 8
        try parseValue()
    }

    private mutating func close(_ container: Int) throws(JSONError) {
        position += 1
        nodes[container].end = UInt32(position)
        nodes[container].next = UInt32(nodes.count)
        open.removeLast()
        if limits.rejectsDuplicateKeys && nodes[container].kind == .object { try checkKeys(of: container) }
    }

    private func checkKeys(of container: Int) throws(JSONError) {
        var seen = Set<[UInt8]>()
        var index = container + 1
        while index < Int(nodes[container].next) {
            let node = nodes[index]
            if !seen.insert(JSONText.unescaped(node, in: text)).inserted {
                let key = String(decoding: JSONText.unescaped(node, in: text), as: UTF8.self)
                throw failure("key \"\(key)\" appears twice", at: Int(node.start))
            }
            index = Int(nodes[index + 1].next)
        }
    }

    // MARK: Values

    private mutating func parseValue() throws(JSONError) {
        guard let byte = peek() else { throw failure("unexpected end of text") }
        switch byte {
        case UInt8(ascii: "\""): try parseString()
        case UInt8(ascii: "{"): try openContainer(.object)
        case UInt8(ascii: "["): try openContainer(.array)
        case UInt8(ascii: "t"): try parseWord("true", .bool, detail: 1)
        case UInt8(ascii: "f"): try parseWord("false", .bool)
        case UInt8(ascii: "n"): try parseWord("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try parseNumber()
        default: throw failure("expected a value")
        }
    }

    private mutating func openContainer(_ kind: JSONValue.Kind) throws(JSONError) {
        guard open.count < limits.depth else {
            throw failure("nesting is deeper than the limit of \(limits.depth)")
        }
        open.append(nodes.count)
        try append(kind, from: position, to: position)
        position += 1
    }

    private mutating func parseWord(
        _ word: StaticString, _ kind: JSONValue.Kind, detail: UInt32 = 0
    ) throws(JSONError) {
        let end = position + word.utf8CodeUnitCount
        guard end <= text.count else { throw failure("expected a value") }
        for offset in 0..<word.utf8CodeUnitCount where text[position + offset] != word.utf8Start[offset] {
            throw failure("expected a value")
        }
        try append(kind, from: position, to: end, detail: detail)
        position = end
    }

    private mutating func parseNumber() throws(JSONError) {
        let start = position
        if peek() == UInt8(ascii: "-") { position += 1 }
        if peek() == UInt8(ascii: "0") {
            position += 1
            if let next = peek(), JSONText.isDigit(next) { throw failure("a number may not start with 0") }
        } else {
            try skipDigits()
        }
        if peek() == UInt8(ascii: ".") {
            position += 1
            try skipDigits()
        }
        if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
            position += 1
            if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { position += 1 }
            try skipDigits()
        }
        try append(.number, from: start, to: position)
    }

    private mutating func skipDigits() throws(JSONError) {
        guard let first = peek(), JSONText.isDigit(first) else { throw failure("expected a digit") }
        while let byte = peek(), JSONText.isDigit(byte) { position += 1 }
    }

    // MARK: Strings

    private mutating func parseString() throws(JSONError) {
        position += 1
        let start = position
        var hasEscapes: UInt32 = 0
        while position < text.count {
            let byte = text[position]
            if byte == UInt8(ascii: "\"") {
                try append(.string, from: start, to: position, detail: hasEscapes)
                position += 1
                return
            } else if byte == UInt8(ascii: "\\") {
                hasEscapes = 1
                try skipEscape()
            } else if byte < 0x20 {
                throw failure("control character in a string")
            } else if byte < 0x80 {
                position += 1
            } else {
                let length = JSONText.scalarLength(in: text, at: position)
                guard length > 0 else { throw failure("invalid UTF-8 in a string") }
                position += length
            }
        }
        throw failure("unterminated string", at: start - 1)
    }

    private mutating func skipEscape() throws(JSONError) {
        guard position + 1 < text.count else { throw failure("unterminated string") }
        switch text[position + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 2
        case UInt8(ascii: "u"):
            guard JSONText.hexadecimal(in: text, at: position + 2) != nil else {
                throw failure("\\u needs four hexadecimal digits")
            }
            position += 6
        default:
            throw failure("unknown escape in a string")
        }
    }

    // MARK: Small parts

    @inline(__always)
    private func peek() -> UInt8? { position < text.count ? text[position] : nil }

    @inline(__always)
    private mutating func skipWhitespace() {
        while position < text.count {
            let byte = text[position]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
            position += 1
        }
    }

    @inline(__always)
    private mutating func append(
        _ kind: JSONValue.Kind, from start: Int, to end: Int, detail: UInt32 = 0
    ) throws(JSONError) {
        guard nodes.count < limits.nodes else { throw failure("text holds more than \(limits.nodes) values") }
        nodes.append(
            JSONDocument.Node(
                start: UInt32(start), end: UInt32(end), next: UInt32(nodes.count + 1),
                detail: UInt32(kind.rawValue) | detail << 3))
    }
}

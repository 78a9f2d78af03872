// A place in a parsed JSON text. Cheap to pass around (a reference and an index); strings and
// numbers are made when asked for. Lookups are linear: big objects are iterated, not searched.
// Owned by the caller; keeps its document alive.
// Invariant: `index` is a node of `document`, and a wrong kind answers nil instead of trapping.

/// One value of a ``JSONDocument``.
package struct JSONValue: Sendable {
    /// What a value is.
    package enum Kind: UInt8, Sendable { case null, bool, number, string, array, object }

    package let document: JSONDocument
    /// The node of this value on the document's tape.
    package let index: Int

    package init(document: JSONDocument, index: Int) {
        self.document = document
        self.index = index
    }

    private var node: JSONDocument.Node { document.nodes[index] }

    package var kind: Kind { node.kind }
    package var isNull: Bool { node.kind == .null }

    /// Where the value is written in the document's bytes, quotes included.
    package var byteRange: Range<Int> {
        let node = self.node
        let quote = node.kind == .string ? 1 : 0
        return Int(node.start) - quote..<Int(node.end) + quote
    }

    /// The text of the value as it is written.
    package var bytes: ArraySlice<UInt8> { document.bytes[byteRange] }

    package var bool: Bool? { node.kind == .bool ? node.count == 1 : nil }

    /// The value of a string.
    package var string: String? {
        let node = self.node
        guard node.kind == .string else { return nil }
        return document.bytes.withUnsafeBufferPointer { text in
            if node.hasNoEscapes {
                return String(decoding: text[Int(node.start)..<Int(node.end)], as: UTF8.self)
            }
            return String(decoding: JSONText.unescaped(node, in: text), as: UTF8.self)
        }
    }

    /// The value of a string as UTF-8, without making a String.
    package var stringBytes: [UInt8]? {
        let node = self.node
        guard node.kind == .string else { return nil }
        return document.bytes.withUnsafeBufferPointer { JSONText.unescaped(node, in: $0) }
    }

    /// Lends the UTF-8 of a string: straight from the text when it has no escapes. Nil when it is no string.
    package func withStringBytes<R>(_ body: (UnsafeBufferPointer<UInt8>) throws -> R) rethrows -> R? {
        let node = self.node
        guard node.kind == .string else { return nil }
        return try document.bytes.withUnsafeBufferPointer { text in
            if node.hasNoEscapes {
                return try body(UnsafeBufferPointer(rebasing: text[Int(node.start)..<Int(node.end)]))
            }
            return try JSONText.unescaped(node, in: text).withUnsafeBufferPointer(body)
        }
    }

    /// A number that is an integer exactly, however it is written: `12`, `2.0`, `1e3`.
    package var int: Int? {
        let node = self.node
        guard node.kind == .number else { return nil }
        return document.bytes.withUnsafeBufferPointer { text in
            JSONText.exactInteger(UnsafeBufferPointer(rebasing: text[Int(node.start)..<Int(node.end)]))
        }
    }

    /// A number, rounded to the nearest double; nil when it is too large for one.
    package var double: Double? {
        guard node.kind == .number, let value = Double(String(decoding: bytes, as: UTF8.self)) else { return nil }
        return value.isFinite ? value : nil
    }

    /// How many elements or members a container has; 0 for everything else.
    package var count: Int {
        let node = self.node
        return node.kind == .array || node.kind == .object ? node.count : 0
    }

    /// The value of an object's member; the first of that name.
    package subscript(_ key: String) -> JSONValue? {
        guard node.kind == .object else { return nil }
        var key = key
        return key.withUTF8 { wanted in
            for (name, value) in rawMembers
            where name.withStringBytes({ $0.count == wanted.count && $0.elementsEqual(wanted) }) == true {
                return value
            }
            return nil
        }
    }

    /// An element of an array.
    package subscript(_ position: Int) -> JSONValue? {
        guard node.kind == .array, position >= 0, position < count else { return nil }
        var remaining = position
        for element in elements {
            if remaining == 0 { return element }
            remaining -= 1
        }
        return nil
    }

    /// The elements of an array, in order; empty for everything else.
    package var elements: Elements { Elements(self) }

    /// The members of an object, in order, as they are written (a key may come twice); empty for everything else.
    package var members: some Sequence<(key: String, value: JSONValue)> {
        rawMembers.lazy.map { (key: $0.key.string ?? "", value: $0.value) }
    }

    /// The members of an object with keys that are not yet strings.
    package var rawMembers: Members { Members(self) }

    /// Walks the children of an array.
    package struct Elements: Sequence, IteratorProtocol, Sendable {
        private let document: JSONDocument
        private var position: Int
        private let end: Int

        fileprivate init(_ value: JSONValue) {
            document = value.document
            position = value.index + 1
            end = value.kind == .array ? Int(document.nodes[value.index].next) : position
        }

        package mutating func next() -> JSONValue? {
            guard position < end else { return nil }
            defer { position = Int(document.nodes[position].next) }
            return JSONValue(document: document, index: position)
        }
    }

    /// Walks the members of an object.
    package struct Members: Sequence, IteratorProtocol, Sendable {
        private let document: JSONDocument
        private var position: Int
        private let end: Int

        fileprivate init(_ value: JSONValue) {
            document = value.document
            position = value.index + 1
            end = value.kind == .object ? Int(document.nodes[value.index].next) : position
        }

        package mutating func next() -> (key: JSONValue, value: JSONValue)? {
            guard position < end else { return nil }
            let key = position
            position = Int(document.nodes[key + 1].next)
            return (JSONValue(document: document, index: key), JSONValue(document: document, index: key + 1))
        }
    }
}

extension JSONValue {
    /// The value in a few words, for messages.
    package var description: String {
        switch kind {
        case .null: "null"
        case .bool: bool == true ? "true" : "false"
        case .number: String(decoding: bytes.prefix(32), as: UTF8.self)
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }
}

// A parsed JSON text: its bytes and a flat tape of nodes that point into them. Nothing is copied
// out of the text until somebody asks, which is what makes an 11 MB tokenizer.json cheap to open.
// Owned by whoever parsed it; JSONValue keeps it alive.
// Invariant: node ranges lie inside `bytes`, and nodes[i].next > i is the node after i's subtree.

/// A JSON text that has been checked in full (strict RFC 8259) and can be walked by ``JSONValue``.
package final class JSONDocument: Sendable {
    /// One value of the text. Containers are followed by their children; an object's are key, value, key, value….
    package struct Node: Sendable {
        /// First byte: of the value, or of a string's text behind its quote.
        package var start: UInt32
        /// One past the last byte: of the value, or of a string's text before its closing quote.
        package var end: UInt32
        /// The index of the node behind this value and everything in it.
        package var next: UInt32
        /// Elements of an array or members of an object; 1 for a string that has escapes or the value `true`.
        var detail: UInt32

        package var kind: JSONValue.Kind { JSONValue.Kind(rawValue: UInt8(truncatingIfNeeded: detail & 7)) ?? .null }
        /// Elements, members, or the flag of a string or a boolean.
        package var count: Int { Int(detail >> 3) }
        /// True when the text of a string is its value, byte for byte.
        package var hasNoEscapes: Bool { detail >> 3 == 0 }
    }

    package static let maximumByteCount = 1 << 30
    package static let defaultMaximumNodeCount = 1 << 24

    /// The text as it was given.
    package let bytes: [UInt8]
    /// The tape; the root is node 0.
    package let nodes: [Node]

    /// Parses and checks a whole text.
    ///
    /// - Parameters:
    ///   - bytes: UTF-8 without a byte order mark. A lone surrogate written as an escape reads as U+FFFD.
    ///   - maximumDepth: how deep arrays and objects may nest.
    ///   - maximumNodeCount: how many values (keys included) the text may hold.
    ///   - rejectDuplicateKeys: refuse an object that names a key twice; otherwise a lookup finds the first.
    package init(
        parsing bytes: [UInt8], maximumDepth: Int = 128,
        maximumNodeCount: Int = JSONDocument.defaultMaximumNodeCount, rejectDuplicateKeys: Bool = false
    ) throws(JSONError) {
        let limits = JSONParser.Limits(
            depth: maximumDepth, nodes: maximumNodeCount, rejectsDuplicateKeys: rejectDuplicateKeys)
        let outcome = bytes.withUnsafeBufferPointer { text in JSONParser.parse(text, limits: limits) }
        self.bytes = bytes
        self.nodes = try outcome.get()
    }

    /// The value the text consists of.
    package var root: JSONValue { JSONValue(document: self, index: 0) }
}

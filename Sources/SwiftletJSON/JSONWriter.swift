// Appends JSON to a byte array, for results that go out line by line. Commas are its business.
// Owned by the caller, who closes what was opened.
// Invariant: what is written between a begin and its end is separated by exactly one comma.

/// Writes JSON text into ``bytes``.
package struct JSONWriter: Sendable {
    /// What has been written so far.
    package var bytes: [UInt8] = []
    private var needsComma = false

    package init() {}

    /// Goes on where text ends that another writer made: behind a member of an object that is still open.
    package init(continuing text: [UInt8]) {
        bytes = text
        needsComma = true
    }

    package mutating func beginObject() { begin(UInt8(ascii: "{")) }
    package mutating func endObject() { end(UInt8(ascii: "}")) }
    package mutating func beginArray() { begin(UInt8(ascii: "[")) }
    package mutating func endArray() { end(UInt8(ascii: "]")) }

    /// Writes an object whose members `body` writes by ``key(_:)`` and a value each.
    package mutating func object<E: Error>(_ body: (inout JSONWriter) throws(E) -> Void) throws(E) {
        beginObject()
        try body(&self)
        endObject()
    }

    /// Writes an array with what `body` writes for each element.
    package mutating func array<S: Sequence, E: Error>(
        _ elements: S, _ body: (inout JSONWriter, S.Element) throws(E) -> Void
    ) throws(E) {
        beginArray()
        for element in elements { try body(&self, element) }
        endArray()
    }

    /// The name of the member whose value comes next.
    package mutating func key(_ name: String) {
        separate()
        appendQuoted(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    package mutating func string(_ value: String) {
        separate()
        appendQuoted(value)
    }

    package mutating func int(_ value: some BinaryInteger) { raw(String(value).utf8) }

    /// The shortest text that reads back as the same double; null for what JSON has no number for.
    package mutating func double(_ value: Double) { value.isFinite ? raw("\(value)".utf8) : null() }

    /// The shortest text that reads back as the same float.
    package mutating func float(_ value: Float) { value.isFinite ? raw("\(value)".utf8) : null() }

    package mutating func bool(_ value: Bool) { raw((value ? "true" : "false").utf8) }
    package mutating func null() { raw("null".utf8) }

    /// A value that is JSON text already, such as ``JSONValue/bytes``.
    package mutating func raw(_ text: some Sequence<UInt8>) {
        separate()
        bytes.append(contentsOf: text)
    }

    /// Ends a line of JSONL; the next value starts anew.
    package mutating func newline() {
        bytes.append(UInt8(ascii: "\n"))
        needsComma = false
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func begin(_ bracket: UInt8) {
        separate()
        bytes.append(bracket)
        needsComma = false
    }

    private mutating func end(_ bracket: UInt8) {
        bytes.append(bracket)
        needsComma = true
    }

    private mutating func appendQuoted(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0x20...: bytes.append(byte)
            case 0x08: bytes.append(contentsOf: "\\b".utf8)
            case 0x09: bytes.append(contentsOf: "\\t".utf8)
            case 0x0A: bytes.append(contentsOf: "\\n".utf8)
            case 0x0C: bytes.append(contentsOf: "\\f".utf8)
            case 0x0D: bytes.append(contentsOf: "\\r".utf8)
            default:
                let digits = Array("0123456789abcdef".utf8)
                bytes.append(contentsOf: "\\u00".utf8)
                bytes.append(digits[Int(byte >> 4)])
                bytes.append(digits[Int(byte & 15)])
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

extension JSONWriter {
    /// A member; null for nil.
    package mutating func member(_ name: String, _ value: String?) {
        key(name)
        if let value { string(value) } else { null() }
    }

    package mutating func member(_ name: String, _ value: Int?) {
        key(name)
        if let value { int(value) } else { null() }
    }

    package mutating func member(_ name: String, _ value: Double?) {
        key(name)
        if let value { double(value) } else { null() }
    }
}

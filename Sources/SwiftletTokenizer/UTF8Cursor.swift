// Steps through text that is known to be valid UTF-8.
// Stateless; used by the matcher, the pre-tokenizers and the normalizers on bytes that came from a String.
// Invariant: positions handed in and out are scalar boundaries inside the buffer.

typealias Bytes = UnsafeBufferPointer<UInt8>

enum UTF8Cursor {
    /// The scalar at `position` and its length.
    @inline(__always)
    static func scalar(in text: Bytes, at position: Int) -> (value: UInt32, length: Int) {
        let first = UInt32(text[position])
        if first < 0x80 { return (first, 1) }
        let second = UInt32(text[position + 1] & 0x3F)
        if first < 0xE0 { return ((first & 0x1F) << 6 | second, 2) }
        let third = UInt32(text[position + 2] & 0x3F)
        if first < 0xF0 { return ((first & 0x0F) << 12 | second << 6 | third, 3) }
        return ((first & 0x07) << 18 | second << 12 | third << 6 | UInt32(text[position + 3] & 0x3F), 4)
    }

    /// The scalar before `position` and its length.
    @inline(__always)
    static func scalarBefore(_ position: Int, in text: Bytes) -> (value: UInt32, length: Int) {
        var start = position - 1
        while text[start] & 0xC0 == 0x80 { start -= 1 }
        return scalar(in: text, at: start)
    }

    /// Whether a byte begins a scalar.
    static func isBoundary(_ byte: UInt8) -> Bool { byte & 0xC0 != 0x80 }

    /// Length of the scalar that begins with a byte.
    @inline(__always)
    static func length(ofFirst byte: UInt8) -> Int { byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4 }

    static func append(_ value: UInt32, to bytes: inout [UInt8]) {
        if value < 0x80 {
            bytes.append(UInt8(value))
        } else if let scalar = Unicode.Scalar(value), let encoded = Unicode.UTF8.encode(scalar) {
            bytes.append(contentsOf: encoded)
        }
    }
}

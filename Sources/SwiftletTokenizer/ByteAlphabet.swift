// The alphabet of byte-level tokenizers: every byte as one printable character.
// Stateless; used by the ByteLevel pre-tokenizer and decoder.
// Invariant: the mapping is one to one; all characters lie below U+0144.

enum ByteAlphabet {
    /// Bytes that are printable in Latin-1 stand for themselves, the others follow from U+0100 in order.
    private static let scalars: [UInt32] = {
        var next: UInt32 = 0x100
        return (UInt32(0)..<256).map { byte in
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return byte
            default:
                defer { next += 1 }
                return next
            }
        }
    }()

    /// UTF-8 of the character of each byte: one byte, or two with the second in the high half.
    static let encoded: [UInt16] = scalars.map { scalar in
        scalar < 0x80 ? UInt16(scalar) : UInt16(0xC0 | scalar >> 6) | UInt16(0x80 | scalar & 0x3F) << 8
    }

    /// The byte of each character, or -1.
    static let bytes: [Int16] = {
        var table = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { table[Int(scalar)] = Int16(byte) }
        return table
    }()

    /// Appends the characters of bytes.
    static func append(_ text: Bytes, to result: inout [UInt8]) {
        let table = encoded
        for byte in text {
            let code = table[Int(byte)]
            result.append(UInt8(truncatingIfNeeded: code))
            if code > 0xFF { result.append(UInt8(truncatingIfNeeded: code >> 8)) }
        }
    }

    /// Appends the bytes of a text of such characters; false, and nothing appended, when it has others.
    static func appendBytes(of text: Bytes, to result: inout [UInt8]) -> Bool {
        let table = bytes
        let start = result.count
        var position = 0
        while position < text.count {
            let (value, length) = UTF8Cursor.scalar(in: text, at: position)
            guard value < table.count, table[Int(value)] >= 0 else {
                result.removeSubrange(start...)
                return false
            }
            result.append(UInt8(table[Int(value)]))
            position += length
        }
        return true
    }
}

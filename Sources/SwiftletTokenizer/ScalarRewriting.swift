// Rewrites text scalar by scalar, without regard to what stands beside it.
// Stateless; used by the normalizers.
// Invariant: valid UTF-8 goes in and comes out.

enum ScalarRewriting {
    /// What a scalar becomes.
    enum Outcome {
        case itself, nothing, space
        /// Itself between two spaces.
        case spaced
    }

    /// Writes every scalar as `body` says.
    ///
    /// - Parameter keepsStart: becomes false when the first scalar is left out.
    static func rewrite(_ text: [UInt8], keepsStart: inout Bool, _ body: (UInt32) -> Outcome) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        text.withUnsafeBufferPointer { bytes in
            var position = 0
            while position < bytes.count {
                let (value, length) = UTF8Cursor.scalar(in: bytes, at: position)
                let outcome = body(value)
                if position == 0 && outcome == .nothing { keepsStart = false }
                if outcome == .space || outcome == .spaced { result.append(UInt8(ascii: " ")) }
                if outcome == .itself || outcome == .spaced {
                    result.append(contentsOf: bytes[position..<position + length])
                }
                if outcome == .spaced { result.append(UInt8(ascii: " ")) }
                position += length
            }
        }
        return result
    }

    /// What may have another lowercase form: capitals, Roman numerals, letters in circles, and what the categories
    /// are too old for.
    private static let mayHaveLowercase: UInt32 = 1 | 1 << 2 | 1 << 9 | 1 << 21 | 1 << 29

    static func lowercase(_ text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        text.withUnsafeBufferPointer { bytes in
            var position = 0
            while position < bytes.count {
                let (value, length) = UTF8Cursor.scalar(in: bytes, at: position)
                if value < 0x80 {
                    result.append(UInt8(value) | (0x41...0x5A ~= value ? 0x20 : 0))
                } else if UnicodeCategories.isMember(value, of: mayHaveLowercase), let scalar = Unicode.Scalar(value) {
                    result.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
                } else {
                    result.append(contentsOf: bytes[position..<position + length])
                }
                position += length
            }
        }
        return result
    }
}

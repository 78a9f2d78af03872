// Which bytes a match of a pattern can begin with, so that the matcher skips alternatives that cannot match.
// Owned by RegexProgram.init.
// Invariant: the answer may be too large, never too small.

extension RegexProgram {
    /// First bytes of a node's matches; `isNullable` when a match may be empty, which allows any byte.
    struct FirstBytes {
        var ascii: (UInt64, UInt64) = (0, 0)
        var hasOthers = false
        var isNullable = false

        func contains(_ byte: UInt8) -> Bool {
            if byte >= 0x80 { return hasOthers }
            return (byte < 64 ? ascii.0 >> UInt64(byte) : ascii.1 >> UInt64(byte - 64)) & 1 == 1
        }

        mutating func formUnion(_ other: FirstBytes) {
            ascii.0 |= other.ascii.0
            ascii.1 |= other.ascii.1
            hasOthers = hasOthers || other.hasOthers
        }
    }

    static func firstBytes(of node: RegexNode) -> FirstBytes {
        var result = FirstBytes()
        switch node {
        case .set(let set):
            result.ascii = set.asciiBits
            // Whether any of the million other scalars is a member is not worth finding out exactly.
            result.hasOthers =
                set.isNegated || set.categories != 0 || !set.isFlat || set.ranges.contains { $0.upperBound >= 0x80 }
        case .sequence(let parts):
            result.isNullable = true
            for part in parts where result.isNullable {
                let first = firstBytes(of: part)
                result.formUnion(first)
                result.isNullable = first.isNullable
            }
        case .alternatives(let list):
            for branch in list {
                let first = firstBytes(of: branch)
                result.formUnion(first)
                result.isNullable = result.isNullable || first.isNullable
            }
        case .repeated(let body, let minimum, _, _):
            result = firstBytes(of: body)
            result.isNullable = result.isNullable || minimum == 0
        case .atomic(let body): result = firstBytes(of: body)
        case .look, .lookBehind, .assertion: result.isNullable = true
        }
        return result
    }
}

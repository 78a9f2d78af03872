// Turns bytes that come in pieces into valid UTF-8, holding back only what may still become a character.
// Owned by the decoder stages that deal in bytes.
// Invariant: every maximal part of a broken sequence becomes one U+FFFD, as in the standard's recommendation.

enum UTF8Repair {
    static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]

    private enum Outcome { case complete, truncated, broken }

    /// Moves what is decided from `pending` to `result`; an unfinished character at the end stays in `pending`.
    static func moveComplete(from pending: inout [UInt8], to result: inout [UInt8]) {
        var position = 0
        while position < pending.count {
            let (length, outcome) = sequence(in: pending, at: position)
            switch outcome {
            case .complete: result.append(contentsOf: pending[position..<position + length])
            case .broken: result += replacement
            case .truncated:
                pending.removeSubrange(..<position)
                return
            }
            position += length
        }
        pending.removeAll(keepingCapacity: true)
    }

    static func isValid(_ bytes: [UInt8]) -> Bool {
        var position = 0
        while position < bytes.count {
            let (length, outcome) = sequence(in: bytes, at: position)
            guard outcome == .complete else { return false }
            position += length
        }
        return true
    }

    /// The sequence that begins at `position`: its length, or that of its part before the fault or the end.
    private static func sequence(in bytes: [UInt8], at position: Int) -> (length: Int, Outcome) {
        let first = bytes[position]
        if first < 0x80 { return (1, .complete) }
        let count: Int
        var allowed: ClosedRange<UInt8> = 0x80...0xBF
        switch first {
        case 0xC2...0xDF: count = 2
        case 0xE0...0xEF:
            count = 3
            if first == 0xE0 { allowed = 0xA0...0xBF }
            if first == 0xED { allowed = 0x80...0x9F }
        case 0xF0...0xF4:
            count = 4
            if first == 0xF0 { allowed = 0x90...0xBF }
            if first == 0xF4 { allowed = 0x80...0x8F }
        default: return (1, .broken)
        }
        var length = 1
        while length < count {
            guard position + length < bytes.count else { return (length, .truncated) }
            guard allowed.contains(bytes[position + length]) else { return (length, .broken) }
            allowed = 0x80...0xBF
            length += 1
        }
        return (count, .complete)
    }
}

// The decoder stages of tokenizers whose tokens say where words go on or end.
// Owned by StreamDecoder.
// Invariant: only the last token waits, and only while it ends a word.

extension StreamDecoder {
    mutating func pushWordPiece(
        _ prefix: [UInt8], _ cleansUp: Bool, _ unit: [UInt8], _ endsToken: Bool, _ index: Int
    ) {
        states[index].token += unit
        guard endsToken else { return }
        var text = states[index].token
        states[index].token = []
        if states[index].count > 0 {
            if text.starts(with: prefix) {
                text.removeFirst(prefix.count)
            } else {
                text.insert(UInt8(ascii: " "), at: 0)
            }
        }
        states[index].count += 1
        if cleansUp {
            for (written, wanted) in StreamDecoder.contractions {
                text = TextPattern.literal(written).replacing(in: text, with: wanted)
            }
        }
        push(text, endsToken: true, into: index + 1)
    }

    /// What cleaning up replaces, in this order.
    private static let contractions: [([UInt8], [UInt8])] = [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ].map { (Array($0.0.utf8), Array($0.1.utf8)) }

    mutating func pushWordSuffix(_ suffix: [UInt8], _ unit: [UInt8], _ endsToken: Bool, _ index: Int) {
        states[index].token += unit
        guard endsToken else { return }
        let text = states[index].token
        states[index].token = []
        if !states[index].held.isEmpty {
            let before = TextPattern.literal(suffix).replacing(in: states[index].held, with: [UInt8(ascii: " ")])
            states[index].held = []
            push(before, endsToken: true, into: index + 1)
        }
        // A token without the suffix is the same wherever it stands.
        let replaced = TextPattern.literal(suffix).replacing(in: text, with: [])
        if replaced.count == text.count {
            push(text, endsToken: true, into: index + 1)
        } else {
            states[index].held = text
        }
    }
}

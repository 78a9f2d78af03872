// TokenText: single tokens as text, for log-probabilities.

import Swiftlet
import SwiftletJSON
import SwiftletTokenizer

struct TokenText: Sendable {
    let tokenizer: Tokenizer?
    /// Write `token_id:17` instead of the text.
    let writesIDs: Bool

    func text(_ id: TokenID) -> String {
        guard !writesIDs, let tokenizer else { return "token_id:\(id)" }
        return String(decoding: tokenizer.bytes(of: id), as: UTF8.self)
    }

    /// The bytes of a token's text, which may be part of a character.
    func bytes(_ id: TokenID) -> [UInt8] { tokenizer?.bytes(of: id) ?? [] }
}

extension JSONWriter {
    /// What stands for a log-probability of minus infinity, which JSON has no number for (vLLM's choice).
    mutating func logprob(_ value: Float) { float(max(value, -9999)) }
}

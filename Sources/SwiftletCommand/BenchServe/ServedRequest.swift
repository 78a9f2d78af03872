#if Server
// ServedRequest: what a load generator learned about one request.
// Invariant: times are seconds since the load's start, in order.

package struct ServedRequest: Sendable {
    /// When it was sent.
    package var start = 0.0
    /// When each piece of text came. One piece may be several tokens.
    package var chunks: [Double] = []
    /// When the last piece came, or the word that there is no more.
    package var end = 0.0
    /// As the server counts them; nil when it does not say.
    package var inputTokens: Int?
    package var outputTokens: Int?
    /// The answer, where someone counts its tokens.
    package var text: [UInt8] = []
    /// Why it failed; nil for a whole answer.
    package var failure: String?

    package init() {}

    /// Seconds to the first token; to the end when there was no text at all.
    package var firstTokenSeconds: Double { (chunks.first ?? end) - start }
    package var seconds: Double { end - start }
    /// Seconds from each piece to the next one.
    package var gaps: [Double] { zip(chunks.dropFirst(), chunks).map { $0 - $1 } }
}
#endif

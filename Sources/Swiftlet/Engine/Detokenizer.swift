// Detokenizer: turns one choice's tokens into text as they come, and finds stop strings. A value in its Choice.
//
// Invariant: text that was handed out is final: never half a character, never the beginning of a stop string that a
// later token completes.

package import SwiftletTokenizer

package struct Detokenizer {
    private var decoder: StreamDecoder
    private let stops: [[UInt8]]
    private let keepsStop: Bool
    /// Text that may turn out to be the beginning of a stop string.
    private var held: [UInt8] = []

    /// The text continues that of `prompt`: some tokenizers write the very first word of a text differently.
    package init(tokenizer: Tokenizer, prompt: [TokenID], params: SamplingParams) {
        let skips = params.skipSpecialTokens
        decoder = tokenizer.makeStreamDecoder(
            skipSpecialTokens: skips, isContinuation: prompt.contains { !skips || !tokenizer.isSpecial($0) })
        stops = params.stop.map { Array($0.utf8) }
        keepsStop = params.includeStopStringInOutput
    }

    /// Adds a token. Returns the text that is final now, and the stop string that it completed, if any: then this is
    /// all the text there will be. Before `min_tokens`, stop strings are not looked for; one that begins there and
    /// ends later counts, as in vLLM.
    package mutating func append(_ token: TokenID, looksForStops: Bool) -> (text: String, stop: String?) {
        let text = decoder.append(token)
        guard !stops.isEmpty else { return (text, nil) }
        let oldCount = held.count
        held += text.utf8
        guard looksForStops else { return (release(held.count - heldBackCount()), nil) }
        // Text of byte tokens is final only when the next token has come; a stop string in it ends the request now.
        let known = held + decoder.pendingText.utf8
        if let (start, stop) = firstStop(in: known, endingBehind: oldCount) {
            held.removeAll()
            let end = keepsStop ? start + stops[stop].count : start
            return (String(decoding: known[..<end], as: UTF8.self), String(decoding: stops[stop], as: UTF8.self))
        }
        return (release(held.count - heldBackCount()), nil)
    }

    /// What was still held back, when the choice ends without a stop string: an unfinished character becomes U+FFFD.
    /// The rest can complete a stop string only together with text that never came.
    package mutating func finish() -> String {
        held += decoder.finish().utf8
        return release(held.count)
    }

    private mutating func release(_ count: Int) -> String {
        let text = String(decoding: held[..<count], as: UTF8.self)
        held.removeFirst(count)
        return text
    }

    /// The earliest stop string; of several at one place the one listed first.
    private func firstStop(in text: [UInt8], endingBehind oldCount: Int) -> (start: Int, stop: Int)? {
        for start in text.indices {
            for (index, stop) in stops.enumerated()
            where start + stop.count > oldCount && text[start...].starts(with: stop) { return (start, index) }
        }
        return nil
    }

    /// The length of the longest end of the held text that begins a stop string and is not all of it.
    private func heldBackCount() -> Int {
        for start in held.indices {
            let rest = held[start...]
            if stops.contains(where: { $0.count > rest.count && $0.starts(with: rest) }) { return rest.count }
        }
        return 0
    }
}

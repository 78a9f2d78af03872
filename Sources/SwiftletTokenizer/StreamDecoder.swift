// Text from tokens one at a time. `Tokenizer.decode` is the same machine run to the end, so that what was
// streamed, put together, is what decoding everything at once gives.
// Owned by whoever reads a sequence; one per sequence.
// Invariant: what append returns is final and valid UTF-8, and a token costs the same however many came before.

/// Decodes a sequence of tokens step by step and never gives out half a character.
///
///     var decoder = tokenizer.makeStreamDecoder(skipSpecialTokens: true)
///     for id in ids { print(decoder.append(id), terminator: "") }
///     print(decoder.finish())
public struct StreamDecoder: Sendable {
    /// What a stage remembers between tokens.
    struct State: Sendable {
        /// Bytes held back: a run of byte tokens, an unfinished character, a possible beginning of a match.
        var held: [UInt8] = []
        /// The part of a token that has come so far, where the whole token is needed.
        var token: [UInt8] = []
        /// Tokens or characters dealt with, as the stage counts them.
        var count = 0
        /// The token under way is passed on as it comes.
        var isPassing = false
    }

    private let tokenizer: Tokenizer
    private let skipsSpecialTokens: Bool
    private let stages: [DecoderStage]
    var states: [State]
    private var output: [UInt8] = []

    init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool, isContinuation: Bool) {
        self.tokenizer = tokenizer
        skipsSpecialTokens = skipSpecialTokens
        stages = tokenizer.decoderStages
        states = stages.map { _ in State() }
        guard isContinuation else { return }
        // What is done at the start of the text has been done for the prompt.
        var isFused = false
        for index in stages.indices {
            switch stages[index] {
            case .strip(_, let start, _) where isFused: states[index].count = start
            case .metaspace, .wordPiece, .join: states[index].count = isFused ? 0 : 1
            default: break
            }
            isFused = isFused || stages[index].isFusing
        }
    }

    /// Takes the next token; the text that became final with it, possibly none.
    public mutating func append(_ id: TokenID) -> String {
        feed(id)
        return takeOutput()
    }

    /// Ends the sequence; the text that was still held back, unfinished characters as U+FFFD.
    public mutating func finish() -> String {
        flush()
        return takeOutput()
    }

    /// What ``finish()`` would give now, without ending the sequence.
    public var pendingText: String {
        var copy = self
        return copy.finish()
    }

    mutating func takeOutput() -> String {
        defer { output.removeAll(keepingCapacity: true) }
        return String(decoding: output, as: UTF8.self)
    }

    mutating func feed(_ id: TokenID) {
        if skipsSpecialTokens && tokenizer.isSpecial(id) { return }
        guard let text = tokenizer.withText(of: id, { Array($0) }) else { return }
        push(text, endsToken: true, into: 0)
    }

    mutating func flush() {
        for index in stages.indices {
            switch stages[index] {
            case .byteLevel:
                push([UInt8](), endsToken: true, into: index)
                if !states[index].held.isEmpty { push(UTF8Repair.replacement, endsToken: false, into: index + 1) }
                states[index] = State()
                push([], endsToken: true, into: index + 1)
            case .byteFallback: flushRun(index)
            case .fuse: push([], endsToken: true, into: index + 1)
            case .wordSuffix(let suffix):
                let last = TextPattern.literal(suffix).replacing(in: states[index].held, with: [])
                states[index].held = []
                if !last.isEmpty { push(last, endsToken: true, into: index + 1) }
            default: break
            }
        }
    }

    // MARK: Stages

    /// Hands a token, or a part of one, to a stage; behind the last stage it is output.
    mutating func push(_ unit: [UInt8], endsToken: Bool, into index: Int) {
        guard index < stages.count else {
            output += unit
            return
        }
        switch stages[index] {
        case .fuse: push(unit, endsToken: false, into: index + 1)
        case .byteLevel: pushByteLevel(unit, endsToken, index)
        case .byteFallback: pushByteFallback(unit, endsToken, index)
        case .replace(.literal(let pattern), let content): pushLiteral(pattern, content, unit, endsToken, index)
        case .replace(let pattern, let content):
            // A regular expression has to see the whole token.
            states[index].token += unit
            guard endsToken else { return }
            let replaced = pattern.replacing(in: states[index].token, with: content)
            states[index].token = []
            push(replaced, endsToken: true, into: index + 1)
        case .strip(let content, let start, let stop): pushStrip(content, start, stop, unit, endsToken, index)
        case .metaspace(let replacement, let dropsFirst):
            let space: [UInt8] = dropsFirst && states[index].count == 0 ? [] : [UInt8(ascii: " ")]
            let text = TextPattern.literal(replacement).replacing(in: unit, with: space)
            if endsToken { states[index].count += 1 }
            push(text, endsToken: endsToken, into: index + 1)
        case .wordPiece(let prefix, let cleansUp): pushWordPiece(prefix, cleansUp, unit, endsToken, index)
        case .wordSuffix(let suffix): pushWordSuffix(suffix, unit, endsToken, index)
        case .join:
            let isStart = !states[index].isPassing
            let space: [UInt8] = isStart && states[index].count > 0 ? [UInt8(ascii: " ")] : []
            states[index].isPassing = !endsToken
            if endsToken { states[index].count += 1 }
            push(space + unit, endsToken: endsToken, into: index + 1)
        }
    }

    private mutating func pushByteLevel(_ unit: [UInt8], _ endsToken: Bool, _ index: Int) {
        states[index].token += unit
        guard endsToken else { return }
        let token = states[index].token
        states[index].token.removeAll(keepingCapacity: true)
        // A token with characters outside of the byte alphabet is meant as it is written.
        if !token.withUnsafeBufferPointer({ ByteAlphabet.appendBytes(of: $0, to: &states[index].held) }) {
            states[index].held += token
        }
        var text: [UInt8] = []
        UTF8Repair.moveComplete(from: &states[index].held, to: &text)
        if !text.isEmpty { push(text, endsToken: false, into: index + 1) }
    }

    private mutating func pushByteFallback(_ unit: [UInt8], _ endsToken: Bool, _ index: Int) {
        if states[index].isPassing {
            states[index].isPassing = !endsToken
            return push(unit, endsToken: endsToken, into: index + 1)
        }
        states[index].token += unit
        let token = states[index].token
        if endsToken, let byte = StreamDecoder.byte(of: token) {
            states[index].held.append(byte)
        } else if endsToken || token.count > 6 {
            flushRun(index)
            states[index].isPassing = !endsToken
            push(token, endsToken: endsToken, into: index + 1)
        } else {
            return
        }
        states[index].token.removeAll(keepingCapacity: true)
    }

    /// The value of a token of the form `<0x0A>`.
    private static func byte(of token: [UInt8]) -> UInt8? {
        guard token.count == 6, token[0] == UInt8(ascii: "<"), token[1] == UInt8(ascii: "0"),
            token[2] == UInt8(ascii: "x"), token[5] == UInt8(ascii: ">"), token[3] != UInt8(ascii: "-")
        else { return nil }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }

    private mutating func flushRun(_ index: Int) {
        let run = states[index].held
        if run.isEmpty { return }
        states[index].held = []
        if UTF8Repair.isValid(run) { return push(run, endsToken: true, into: index + 1) }
        for _ in run { push(UTF8Repair.replacement, endsToken: true, into: index + 1) }
    }

    private mutating func pushLiteral(
        _ pattern: [UInt8], _ content: [UInt8], _ unit: [UInt8], _ endsToken: Bool, _ index: Int
    ) {
        let text = states[index].held + unit
        var result: [UInt8] = []
        var done = 0
        text.withUnsafeBufferPointer { bytes in
            var search = TextSearch(.literal(pattern), byteCount: bytes.count)
            search.forEachMatch(in: bytes) { match in
                result += bytes[done..<match.lowerBound]
                result += content
                done = match.upperBound
            }
        }
        // A token that goes on may complete a match that has begun.
        var heldCount = endsToken ? 0 : min(pattern.count - 1, text.count - done)
        while heldCount > 0, !text[(text.count - heldCount)...].elementsEqual(pattern[..<heldCount]) { heldCount -= 1 }
        result += text[done..<text.count - heldCount]
        states[index].held = Array(text[(text.count - heldCount)...])
        push(result, endsToken: endsToken, into: index + 1)
    }

    private mutating func pushStrip(
        _ content: [UInt8], _ start: Int, _ stop: Int, _ unit: [UInt8], _ endsToken: Bool, _ index: Int
    ) {
        var text = unit[...]
        while states[index].count < start, text.starts(with: content) {
            text = text.dropFirst(content.count)
            states[index].count += 1
        }
        if !text.isEmpty { states[index].count = start }
        if stop > 0 {
            // What may turn out to be the end of the token is held back.
            text = (states[index].held + text)[...]
            var heldCount = 0
            while heldCount < stop * content.count, text.dropLast(heldCount).suffix(content.count) == content[...] {
                heldCount += content.count
            }
            states[index].held = Array(text.suffix(heldCount))
            text = text.dropLast(heldCount)
        }
        if endsToken { states[index] = State() }
        push(Array(text), endsToken: endsToken, into: index + 1)
    }
}

// Cuts normalized text into the pieces that the model encodes one by one.
// Owned by Tokenizer; read from `pre_tokenizer` of the file, immutable.
// Invariant: an unknown type is an error that names it; pieces are in order and not empty.

import SwiftletJSON

/// The text of one section and its cut so far.
struct PreTokenizedText {
    var bytes: [UInt8]
    var pieces: [Range<Int>]
    /// Whether the section begins where the user's text begins.
    var isAtStart: Bool

    init(_ bytes: [UInt8], isAtStart: Bool) {
        self.bytes = bytes
        self.isAtStart = isAtStart
        pieces = bytes.isEmpty ? [] : [0..<bytes.count]
    }
}

indirect enum PreTokenizer: Sendable {
    enum PrependScheme: String, Sendable { case always, first, never }

    case sequence([PreTokenizer])
    case byteLevel(addsPrefixSpace: Bool, pattern: TextPattern?)
    case split(TextPattern, SplitBehavior, isInverted: Bool)
    case metaspace(replacement: [UInt8], PrependScheme, isSplit: Bool)
    /// Cuts by a test of single scalars.
    case scalars(ScalarTest, SplitBehavior)

    /// Pieces of so many scalars.
    case fixedLength(Int)

    enum ScalarTest: Sendable {
        case digit, punctuation, whitespace
        /// This scalar and no other.
        case only(UInt32)
    }

    /// What ByteLevel cuts by when it is told to.
    private static let byteLevelPattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    init(_ json: JSONValue, depth: Int = 0) throws(TokenizerError) {
        guard depth < 4 else { throw TokenizerError("pre_tokenizer: nesting is too deep") }
        guard let type = json["type"]?.string else { throw TokenizerError("pre_tokenizer: type is missing") }
        switch type {
        case "Sequence":
            var list: [PreTokenizer] = []
            for element in json["pretokenizers"]?.elements ?? json.elements {
                list.append(try PreTokenizer(element, depth: depth + 1))
            }
            guard list.count <= 32 else { throw TokenizerError("pre_tokenizer: sequence is too long") }
            self = .sequence(list)
        case "ByteLevel":
            let usesPattern = json["use_regex"]?.bool ?? true
            self = .byteLevel(
                addsPrefixSpace: json["add_prefix_space"]?.bool ?? true,
                pattern: usesPattern ? .regex(try RegexProgram(PreTokenizer.byteLevelPattern)) : nil)
        case "Split":
            self = .split(
                try TextPattern(json["pattern"], of: "pre_tokenizer Split"),
                try SplitBehavior(json["behavior"], of: "pre_tokenizer Split"),
                isInverted: json["invert"]?.bool ?? false)
        case "Metaspace": self = try PreTokenizer.metaspace(json)
        case "Digits":
            self = .scalars(.digit, json["individual_digits"]?.bool ?? false ? .isolated : .contiguous)
        case "Punctuation":
            let behavior =
                json["behavior"] == nil
                ? .isolated : try SplitBehavior(json["behavior"], of: "pre_tokenizer Punctuation")
            self = .scalars(.punctuation, behavior)
        case "Whitespace":
            self = .split(.regex(try RegexProgram.words()), .removed, isInverted: true)
        case "WhitespaceSplit": self = .scalars(.whitespace, .removed)
        case "BertPreTokenizer":
            self = .sequence([.scalars(.whitespace, .removed), .scalars(.punctuation, .isolated)])
        case "CharDelimiterSplit":
            guard let scalars = json["delimiter"]?.string?.unicodeScalars, scalars.count == 1, let only = scalars.first
            else { throw TokenizerError("pre_tokenizer CharDelimiterSplit: delimiter is not one character") }
            self = .scalars(.only(only.value), .removed)
        case "FixedLength":
            guard let length = json["length"]?.int, length > 0 else {
                throw TokenizerError("pre_tokenizer FixedLength: length is not a positive integer")
            }
            self = .fixedLength(length)
        default: throw TokenizerError("pre_tokenizer type \(type) is not supported")
        }
    }

    private static func metaspace(_ json: JSONValue) throws(TokenizerError) -> PreTokenizer {
        guard let replacement = json["replacement"]?.stringBytes, let first = replacement.first,
            replacement.count == UTF8Cursor.length(ofFirst: first)
        else { throw TokenizerError("pre_tokenizer Metaspace: replacement is not one character") }
        return .metaspace(
            replacement: replacement, try prependScheme(json, of: "pre_tokenizer Metaspace"),
            isSplit: json["split"]?.bool ?? true)
    }

    /// `prepend_scheme`, or what older files write as `add_prefix_space`.
    static func prependScheme(_ json: JSONValue, of component: String) throws(TokenizerError) -> PrependScheme {
        if let name = json["prepend_scheme"]?.string {
            guard let scheme = PrependScheme(rawValue: name) else {
                throw TokenizerError("\(component): prepend_scheme \(name) is not known")
            }
            return scheme
        }
        return json["add_prefix_space"]?.bool ?? true ? .always : .never
    }

    /// How many bytes a byte of text can become at most; grows with every component that writes more than it reads.
    var growth: Int {
        switch self {
        case .sequence(let list): list.reduce(1) { min($0 * $1.growth, 1 << 30) }
        case .byteLevel(let addsPrefixSpace, _): addsPrefixSpace ? 4 : 2
        case .metaspace(let replacement, _, _): 2 * replacement.count
        case .split, .scalars, .fixedLength: 1
        }
    }

    /// Cuts the pieces of a text further.
    func apply(to text: inout PreTokenizedText) {
        switch self {
        case .sequence(let list): for element in list { element.apply(to: &text) }
        case .byteLevel(let addsPrefixSpace, let pattern):
            if addsPrefixSpace {
                PreTokenizer.rewrite(&text) { piece, _, result in
                    if piece.first != UInt8(ascii: " ") { result.append(UInt8(ascii: " ")) }
                    result.append(contentsOf: piece)
                }
            }
            if let pattern { PreTokenizer.split(&text, by: pattern, .isolated, isInverted: false) }
            PreTokenizer.rewrite(&text) { piece, _, result in ByteAlphabet.append(piece, to: &result) }
        case .split(let pattern, let behavior, let isInverted):
            PreTokenizer.split(&text, by: pattern, behavior, isInverted: isInverted)
        case .metaspace(let replacement, let scheme, let isSplit):
            let isAtStart = text.isAtStart && text.pieces.first?.lowerBound == 0
            PreTokenizer.rewrite(&text) { piece, isFirst, result in
                let prepends = scheme == .always || (scheme == .first && isFirst && isAtStart)
                if prepends && piece.first != UInt8(ascii: " ") && !piece.starts(with: replacement) {
                    result += replacement
                }
                for byte in piece {
                    if byte == UInt8(ascii: " ") { result += replacement } else { result.append(byte) }
                }
            }
            if isSplit { PreTokenizer.split(&text, by: .literal(replacement), .mergedWithNext, isInverted: false) }
        case .scalars(let test, let behavior): PreTokenizer.split(&text, by: test, behavior)
        case .fixedLength(let length): PreTokenizer.split(&text, length: length)
        }
    }

    /// Writes every piece anew.
    private static func rewrite(
        _ text: inout PreTokenizedText, _ body: (Bytes, _ isFirst: Bool, inout [UInt8]) -> Void
    ) {
        // Positions start anew: remember when what was at the start has been removed.
        text.isAtStart = text.isAtStart && text.pieces.first?.lowerBound == 0
        var result: [UInt8] = []
        result.reserveCapacity(text.bytes.count + text.bytes.count / 2)
        text.bytes.withUnsafeBufferPointer { bytes in
            for index in text.pieces.indices {
                let start = result.count
                body(Bytes(rebasing: bytes[text.pieces[index]]), index == 0, &result)
                text.pieces[index] = start..<result.count
            }
        }
        text.bytes = result
    }

    private static func split(
        _ text: inout PreTokenizedText, by pattern: TextPattern, _ behavior: SplitBehavior, isInverted: Bool
    ) {
        var pieces: [Range<Int>] = []
        pieces.reserveCapacity(max(text.pieces.count, text.bytes.count / 4))
        var search = TextSearch(pattern, byteCount: text.bytes.count)
        text.bytes.withUnsafeBufferPointer { bytes in
            for piece in text.pieces {
                var splitter = TextSplitter(behavior, isInverted: isInverted, offset: piece.lowerBound, pieces: pieces)
                search.forEachMatch(in: Bytes(rebasing: bytes[piece])) { splitter.match($0, &pieces) }
                splitter.finish(count: piece.count, &pieces)
            }
        }
        text.pieces = pieces
    }

    private static func split(_ text: inout PreTokenizedText, by test: ScalarTest, _ behavior: SplitBehavior) {
        var pieces: [Range<Int>] = []
        text.bytes.withUnsafeBufferPointer { bytes in
            for piece in text.pieces {
                let part = Bytes(rebasing: bytes[piece])
                var splitter = TextSplitter(behavior, isInverted: false, offset: piece.lowerBound, pieces: pieces)
                var position = 0
                while position < part.count {
                    let (value, length) = UTF8Cursor.scalar(in: part, at: position)
                    if isMember(value, of: test) { splitter.match(position..<position + length, &pieces) }
                    position += length
                }
                splitter.finish(count: part.count, &pieces)
            }
        }
        text.pieces = pieces
    }

    private static func split(_ text: inout PreTokenizedText, length: Int) {
        var pieces: [Range<Int>] = []
        text.bytes.withUnsafeBufferPointer { bytes in
            for piece in text.pieces {
                var start = piece.lowerBound
                while start < piece.upperBound {
                    var end = start
                    var count = 0
                    while end < piece.upperBound, count < length {
                        end += UTF8Cursor.length(ofFirst: bytes[end])
                        count += 1
                    }
                    pieces.append(start..<end)
                    start = end
                }
            }
        }
        text.pieces = pieces
    }

    private static func isMember(_ value: UInt32, of test: ScalarTest) -> Bool {
        switch test {
        case .digit: UnicodeCategories.isNumeric(value)
        case .whitespace: UnicodeCategories.isWhitespace(value)
        case .punctuation: UnicodeCategories.isPunctuation(value)
        case .only(let wanted): value == wanted
        }
    }
}

// What turns the texts of tokens back into text, as the file's `decoder` lists it.
// Owned by Tokenizer; immutable. StreamDecoder runs it.
// Invariant: an unknown type is an error that names it; sequences are flat.

import SwiftletJSON

/// One decoder of the chain.
enum DecoderStage: Sendable {
    /// All tokens become the bytes their characters stand for, repaired to UTF-8: one text.
    case byteLevel
    /// Tokens like `<0x0A>` become bytes; a run of them that is not UTF-8 becomes one U+FFFD a byte.
    case byteFallback
    /// All tokens become one text.
    case fuse
    case replace(TextPattern, content: [UInt8])
    /// Takes up to so many of a character off a token's start and end.
    case strip([UInt8], start: Int, stop: Int)
    /// The replacement character becomes a space, or nothing in the first token.
    case metaspace(replacement: [UInt8], dropsFirst: Bool)
    /// Tokens with the prefix continue a word, others have a space before them; `cleansUp` takes spaces before
    /// punctuation and contractions away.
    case wordPiece(prefix: [UInt8], cleansUp: Bool)
    /// The suffix that ends words becomes a space, or nothing in the last token.
    case wordSuffix([UInt8])
    /// Tokens are joined with spaces: what the reference does without a decoder.
    case join

    /// Whether everything behind this stage is one text rather than many tokens.
    var isFusing: Bool {
        switch self {
        case .byteLevel, .fuse: true
        default: false
        }
    }

    static func chain(_ json: JSONValue, depth: Int = 0) throws(TokenizerError) -> [DecoderStage] {
        guard depth < 4 else { throw TokenizerError("decoder: nesting is too deep") }
        guard let type = json["type"]?.string else { throw TokenizerError("decoder: type is missing") }
        switch type {
        case "Sequence":
            var stages: [DecoderStage] = []
            for element in json["decoders"]?.elements ?? json.elements {
                stages += try chain(element, depth: depth + 1)
                guard stages.count <= 16 else { throw TokenizerError("decoder: sequence is too long") }
            }
            return stages
        case "ByteLevel": return [.byteLevel]
        case "ByteFallback": return [.byteFallback]
        case "Fuse": return [.fuse]
        case "Replace":
            guard let content = json["content"]?.stringBytes else {
                throw TokenizerError("decoder Replace: content is missing")
            }
            guard content.count <= 1024 else { throw TokenizerError("decoder Replace: content is over 1024 bytes") }
            return [.replace(try TextPattern(json["pattern"], of: "decoder Replace"), content: content)]
        case "Strip":
            guard let content = json["content"]?.stringBytes, let first = content.first,
                content.count == UTF8Cursor.length(ofFirst: first)
            else { throw TokenizerError("decoder Strip: content is not one character") }
            let start = json["start"]?.int ?? 0
            let stop = json["stop"]?.int ?? 0
            guard (0...1024).contains(start), (0...1024).contains(stop) else {
                throw TokenizerError("decoder Strip: start or stop is outside of 0...1024")
            }
            return [.strip(content, start: start, stop: stop)]
        case "Metaspace":
            guard let replacement = json["replacement"]?.stringBytes, !replacement.isEmpty else {
                throw TokenizerError("decoder Metaspace: replacement is missing")
            }
            let scheme = try PreTokenizer.prependScheme(json, of: "decoder Metaspace")
            return [.metaspace(replacement: replacement, dropsFirst: scheme != .never)]
        case "WordPiece":
            guard let prefix = json["prefix"]?.stringBytes else {
                throw TokenizerError("decoder WordPiece: prefix is missing")
            }
            return [.wordPiece(prefix: prefix, cleansUp: json["cleanup"]?.bool ?? true)]
        case "BPEDecoder":
            guard let suffix = json["suffix"]?.stringBytes, !suffix.isEmpty else {
                throw TokenizerError("decoder BPEDecoder: suffix is missing")
            }
            return [.wordSuffix(suffix)]
        default: throw TokenizerError("decoder type \(type) is not supported")
        }
    }
}

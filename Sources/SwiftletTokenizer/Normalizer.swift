// Rewrites text before it is cut into pieces.
// Owned by Tokenizer; read from `normalizer` of the file, immutable.
// Invariant: an unknown type is an error that names it; valid UTF-8 goes in and comes out.

import SwiftletJSON

indirect enum Normalizer: Sendable {
    case sequence([Normalizer])
    case form(isComposing: Bool, isCompatible: Bool)
    case prepend([UInt8])
    case replace(TextPattern, content: [UInt8])
    case strip(left: Bool, right: Bool)
    case lowercase
    case stripAccents
    case nmt
    case bert(BertNormalizer)
    /// Bytes become the characters that stand for them.
    case byteLevel
    case precompiled(CharacterMap)

    init(_ json: JSONValue, depth: Int = 0) throws(TokenizerError) {
        guard depth < 4 else { throw TokenizerError("normalizer: nesting is too deep") }
        guard let type = json["type"]?.string else { throw TokenizerError("normalizer: type is missing") }
        switch type {
        case "Sequence":
            var list: [Normalizer] = []
            for element in json["normalizers"]?.elements ?? json.elements {
                list.append(try Normalizer(element, depth: depth + 1))
            }
            guard list.count <= 32 else { throw TokenizerError("normalizer: sequence is too long") }
            self = .sequence(list)
        case "NFC": self = .form(isComposing: true, isCompatible: false)
        case "NFD": self = .form(isComposing: false, isCompatible: false)
        case "NFKC": self = .form(isComposing: true, isCompatible: true)
        case "NFKD": self = .form(isComposing: false, isCompatible: true)
        case "Prepend":
            guard let text = json["prepend"]?.stringBytes else {
                throw TokenizerError("normalizer Prepend: prepend is missing")
            }
            guard text.count <= 1024 else { throw TokenizerError("normalizer Prepend: prepend is over 1024 bytes") }
            self = .prepend(text)
        case "Replace":
            guard let content = json["content"]?.stringBytes else {
                throw TokenizerError("normalizer Replace: content is missing")
            }
            self = .replace(try TextPattern(json["pattern"], of: "normalizer Replace"), content: content)
        case "Strip":
            self = .strip(left: json["strip_left"]?.bool ?? true, right: json["strip_right"]?.bool ?? true)
        case "Lowercase": self = .lowercase
        case "StripAccents": self = .stripAccents
        case "Nmt": self = .nmt
        case "BertNormalizer": self = .bert(BertNormalizer(json))
        case "ByteLevel": self = .byteLevel
        case "Precompiled":
            // Some files name the normalizer and leave it empty.
            guard let text = json["precompiled_charsmap"]?.stringBytes, !text.isEmpty else {
                self = .sequence([])
                return
            }
            self = .precompiled(try CharacterMap(base64: text))
        default: throw TokenizerError("normalizer type \(type) is not supported")
        }
    }

    /// How many bytes a byte of text can become at most; what is put in front is not counted.
    var growth: Int {
        switch self {
        case .sequence(let list): list.reduce(1) { min($0 * $1.growth, 1 << 30) }
        case .replace(.literal(let pattern), let content): max(1, content.count / pattern.count + 1)
        case .replace(.regex, let content): content.count + 1
        case .form(_, let isCompatible): isCompatible ? 12 : 3
        case .precompiled(let map): max(1, map.longestText)
        case .bert: 5
        case .lowercase, .byteLevel: 2
        case .prepend, .strip, .stripAccents, .nmt: 1
        }
    }

    /// The normalized form of a text.
    func apply(to text: [UInt8]) -> [UInt8] {
        var keepsStart = true
        return apply(to: text, keepsStart: &keepsStart)
    }

    /// The normalized form of a text.
    ///
    /// - Parameter keepsStart: becomes false when what the text began with is gone.
    func apply(to text: [UInt8], keepsStart: inout Bool) -> [UInt8] {
        if text.isEmpty { return text }
        switch self {
        case .sequence(let list):
            var text = text
            for element in list { text = element.apply(to: text, keepsStart: &keepsStart) }
            return text
        case .form(let isComposing, let isCompatible):
            if text.allSatisfy({ $0 < 0x80 }) { return text }
            return text.withUnsafeBufferPointer {
                CanonicalForm.shared.normalize($0, isComposing: isComposing, isCompatible: isCompatible)
            }
        case .prepend(let prefix): return prefix + text
        case .replace(let pattern, let content):
            return text.withUnsafeBufferPointer {
                pattern.replacing(in: $0, with: content) { match in
                    if match.lowerBound == 0, !match.isEmpty, content.isEmpty { keepsStart = false }
                }
            }
        case .strip(let left, let right):
            return Normalizer.strip(text, left: left, right: right, keepsStart: &keepsStart)
        case .lowercase: return ScalarRewriting.lowercase(text)
        case .stripAccents:
            return ScalarRewriting.rewrite(text, keepsStart: &keepsStart) {
                UnicodeCategories.isCombiningMark($0) ? .nothing : .itself
            }
        case .nmt: return ScalarRewriting.rewrite(text, keepsStart: &keepsStart, Normalizer.nmt)
        case .bert(let bert): return bert.apply(to: text, keepsStart: &keepsStart)
        case .byteLevel:
            var result: [UInt8] = []
            text.withUnsafeBufferPointer { ByteAlphabet.append($0, to: &result) }
            return result
        case .precompiled(let map): return text.withUnsafeBufferPointer { map.apply(to: $0) }
        }
    }

    /// Takes control characters out and makes every other one that only separates a space.
    private static func nmt(_ value: UInt32) -> ScalarRewriting.Outcome {
        switch value {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: .nothing
        case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: .space
        default: .itself
        }
    }

    private static func strip(_ text: [UInt8], left: Bool, right: Bool, keepsStart: inout Bool) -> [UInt8] {
        text.withUnsafeBufferPointer { bytes in
            var start = 0
            var end = bytes.count
            while left, start < end {
                let (value, length) = UTF8Cursor.scalar(in: bytes, at: start)
                guard UnicodeCategories.isWhitespace(value) else { break }
                start += length
            }
            while right, end > start {
                let (value, length) = UTF8Cursor.scalarBefore(end, in: bytes)
                guard UnicodeCategories.isWhitespace(value) else { break }
                end -= length
            }
            if start > 0 { keepsStart = false }
            return Array(bytes[start..<end])
        }
    }
}

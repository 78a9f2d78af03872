// Rewrites text before it is cut into pieces.
// Owned by Tokenizer; read from `normalizer` of the file, immutable.
// Invariant: an unknown type is an error that names it; valid UTF-8 goes in and comes out.

import SwiftletJSON

indirect enum Normalizer: Sendable {
    case sequence([Normalizer])
    case canonical(isComposing: Bool)
    case prepend([UInt8])
    case replace(TextPattern, content: [UInt8])
    case strip(left: Bool, right: Bool)
    case lowercase

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
        case "NFC": self = .canonical(isComposing: true)
        case "NFD": self = .canonical(isComposing: false)
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
        default: throw TokenizerError("normalizer type \(type) is not supported")
        }
    }

    /// How many bytes a byte of text can become at most; what is put in front is not counted.
    var growth: Int {
        switch self {
        case .sequence(let list): list.reduce(1) { min($0 * $1.growth, 1 << 30) }
        case .replace(.literal(let pattern), let content): max(1, content.count / pattern.count + 1)
        case .replace(.regex, let content): content.count + 1
        case .canonical, .prepend, .strip, .lowercase: 1
        }
    }

    /// The normalized form of a text.
    func apply(to text: [UInt8]) -> [UInt8] {
        if text.isEmpty { return text }
        switch self {
        case .sequence(let list): return list.reduce(text) { $1.apply(to: $0) }
        case .canonical(let isComposing):
            if text.allSatisfy({ $0 < 0x80 }) { return text }
            return text.withUnsafeBufferPointer { CanonicalForm.shared.normalize($0, isComposing: isComposing) }
        case .prepend(let prefix): return prefix + text
        case .replace(let pattern, let content):
            return text.withUnsafeBufferPointer { pattern.replacing(in: $0, with: content) }
        case .strip(let left, let right): return Normalizer.strip(text, left: left, right: right)
        case .lowercase: return Normalizer.lowercase(text)
        }
    }

    private static func strip(_ text: [UInt8], left: Bool, right: Bool) -> [UInt8] {
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
            return Array(bytes[start..<end])
        }
    }

    /// Lowercase scalar by scalar, without regard to what stands beside it.
    private static func lowercase(_ text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        text.withUnsafeBufferPointer { bytes in
            var position = 0
            while position < bytes.count {
                let (value, length) = UTF8Cursor.scalar(in: bytes, at: position)
                if value < 0x80 {
                    result.append(UInt8(value) | (0x41...0x5A ~= value ? 0x20 : 0))
                } else if let scalar = Unicode.Scalar(value) {
                    result.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
                }
                position += length
            }
        }
        return result
    }
}

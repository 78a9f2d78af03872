// What WordPiece tokenizers do to text first: clean it, put spaces around ideographs, take accents off, lowercase it.
// Owned by Normalizer; read from the file, immutable.
// Invariant: the steps come in this order, whichever are on.

import SwiftletJSON

struct BertNormalizer: Sendable {
    private let cleansText: Bool
    private let spacesIdeographs: Bool
    private let stripsAccents: Bool
    private let lowercases: Bool

    init(_ json: JSONValue) {
        cleansText = json["clean_text"]?.bool ?? true
        spacesIdeographs = json["handle_chinese_chars"]?.bool ?? true
        lowercases = json["lowercase"]?.bool ?? true
        // Not said either way, accents go where capitals go.
        stripsAccents = json["strip_accents"]?.bool ?? lowercases
    }

    func apply(to text: [UInt8], keepsStart: inout Bool) -> [UInt8] {
        var text = text
        if cleansText { text = ScalarRewriting.rewrite(text, keepsStart: &keepsStart, Self.cleaned) }
        if spacesIdeographs {
            text = ScalarRewriting.rewrite(text, keepsStart: &keepsStart) { Self.isIdeograph($0) ? .spaced : .itself }
        }
        if stripsAccents && !text.allSatisfy({ $0 < 0x80 }) {
            text = text.withUnsafeBufferPointer { CanonicalForm.shared.normalize($0, isComposing: false) }
            text = ScalarRewriting.rewrite(text, keepsStart: &keepsStart) {
                UnicodeCategories.isNonspacingMark($0) ? .nothing : .itself
            }
        }
        return lowercases ? ScalarRewriting.lowercase(text) : text
    }

    private static func cleaned(_ value: UInt32) -> ScalarRewriting.Outcome {
        switch value {
        case 0x20...0x7E: .itself
        case 0x09, 0x0A, 0x0D: .space
        case 0, 0xFFFD: .nothing
        default:
            UnicodeCategories.isControl(value)
                ? .nothing : UnicodeCategories.isWhitespace(value) ? .space : .itself
        }
    }

    private static func isIdeograph(_ value: UInt32) -> Bool {
        switch value {
        case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF, 0x2A700...0x2B81F,
            0x2B920...0x2CEAF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}

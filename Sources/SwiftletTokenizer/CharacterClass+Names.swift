// Sets of characters that patterns name: \p{…} and [:…:].
// Owned by RegexParser, which asks here for names that are not its own syntax.
// Invariant: an unknown name is nil, never an empty set.

extension CharacterClass {
    /// The set a property or a POSIX class name stands for.
    static func named(_ name: String) -> CharacterClass? {
        let key = name.lowercased().filter { $0 != "_" && $0 != " " && $0 != "-" }
        if let ranges = scripts[key] { return CharacterClass(ranges) }
        switch key {
        case "any": return .any
        case "ascii": return CharacterClass([0...0x7F])
        case "alpha", "alphabetic": return CharacterClass { $0.isAlphabetic }
        case "alnum": return CharacterClass { $0.isAlphabetic || $0.generalCategory == .decimalNumber }
        case "upper", "uppercase": return CharacterClass { $0.isUppercase }
        case "lower", "lowercase": return CharacterClass { $0.isLowercase }
        case "space", "whitespace": return .whitespace
        case "blank": return CharacterClass([0x09...0x09], categories: 1 << 22)
        case "word": return CharacterClass(enclosedLetters, categories: UnicodeCategories.wordCharacters)
        case "xdigit": return .hexadecimal
        default: return UnicodeCategories.named(key).map { CharacterClass([], categories: $0) }
        }
    }

    /// Scripts that published patterns name; from Scripts.txt of the Unicode character database.
    private static let scripts: [String: [ClosedRange<UInt32>]] = [
        "han": [
            0x2E80...0x2E99, 0x2E9B...0x2EF3, 0x2F00...0x2FD5, 0x3005...0x3005, 0x3007...0x3007, 0x3021...0x3029,
            0x3038...0x303B, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFA6D, 0xFA70...0xFAD9, 0x16FE2...0x16FE3,
            0x16FF0...0x16FF1, 0x20000...0x2A6DF, 0x2A700...0x2B739, 0x2B740...0x2B81D, 0x2B820...0x2CEA1,
            0x2CEB0...0x2EBE0, 0x2EBF0...0x2EE5D, 0x2F800...0x2FA1D, 0x30000...0x3134A, 0x31350...0x323AF,
        ],
        "hiragana": [
            0x3041...0x3096, 0x309D...0x309F, 0x1B001...0x1B11F, 0x1B132...0x1B132, 0x1B150...0x1B152,
            0x1F200...0x1F200,
        ],
        "katakana": [
            0x30A1...0x30FA, 0x30FD...0x30FF, 0x31F0...0x31FF, 0x32D0...0x32FE, 0x3300...0x3357, 0xFF66...0xFF6F,
            0xFF71...0xFF9D, 0x1AFF0...0x1AFF3, 0x1AFF5...0x1AFFB, 0x1AFFD...0x1AFFE, 0x1B000...0x1B000,
            0x1B120...0x1B122, 0x1B155...0x1B155, 0x1B164...0x1B167,
        ],
        "hangul": [
            0x1100...0x11FF, 0x302E...0x302F, 0x3131...0x318E, 0x3200...0x321E, 0x3260...0x327E, 0xA960...0xA97C,
            0xAC00...0xD7A3, 0xD7B0...0xD7C6, 0xD7CB...0xD7FB, 0xFFA0...0xFFBE, 0xFFC2...0xFFC7, 0xFFCA...0xFFCF,
            0xFFD2...0xFFD7, 0xFFDA...0xFFDC,
        ],
    ]
}

// General categories of Unicode scalars as bit masks, for character classes and word tests.
// Owned by SwiftletTokenizer; the table is computed once a process from the standard library's data, which may be
// newer than that of the reference's regular expressions (Unicode 16.0): what came later counts as unassigned.
// Invariant: a category is a bit number below 31, so a set of categories is a UInt32. U+0085 has a number of
// its own (30) beside the other controls: with it every White_Space scalar above ASCII is known by its category.

enum UnicodeCategories {
    /// Categories of the first 65,536 scalars; the others are asked for one by one.
    private static let table: [UInt8] = (0..<0x10000).map { value in
        Unicode.Scalar(UInt32(value)).map(computed) ?? bit(.surrogate)
    }

    /// The bit number of a scalar's general category.
    static func category(of value: UInt32) -> UInt8 {
        if value < 0x10000 { return table[Int(value)] }
        return Unicode.Scalar(value).map(computed) ?? bit(.unassigned)
    }

    /// Whether a scalar's category is in a set of them.
    static func isMember(_ value: UInt32, of categories: UInt32) -> Bool {
        categories >> UInt32(category(of: value)) & 1 == 1
    }

    private static func computed(_ scalar: Unicode.Scalar) -> UInt8 {
        switch scalar.value {
        case 0x85: return 30
        // Changed in Unicode 17.0.
        case 0x295: return bit(.lowercaseLetter)
        default:
            let category = bit(scalar.properties.generalCategory)
            if category == bit(.unassigned) { return category }
            return isOlder(scalar, than: 17) ? category : bit(.unassigned)
        }
    }

    private static func isOlder(_ scalar: Unicode.Scalar, than version: Int) -> Bool {
        scalar.properties.age.map { $0.major < version } ?? false
    }

    /// Whether a scalar that Unicode had before a version is in a set of categories: components of the reference have
    /// tables of several ages.
    static func isMember(_ value: UInt32, of categories: UInt32, before version: Int) -> Bool {
        isMember(value, of: categories) && (Unicode.Scalar(value).map { isOlder($0, than: version) } ?? false)
    }

    /// Digits and other numbers, those of Unicode 17.0 included.
    static func isNumeric(_ value: UInt32) -> Bool {
        switch value {
        case 0x11DE0...0x11DE9, 0x16FF4...0x16FF6: true
        default: isMember(value, of: numbers)
        }
    }

    /// What the reference takes for punctuation outside of regular expressions: ASCII symbols too, and Unicode 8.0's.
    static func isPunctuation(_ value: UInt32) -> Bool {
        switch value {
        case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E, 0x166D, 0x111C9: true
        default: value >= 0x80 && isMember(value, of: punctuation, before: 9)
        }
    }

    /// Combining marks of Unicode 9.0.
    static func isCombiningMark(_ value: UInt32) -> Bool {
        switch value {
        case 0x1CF2, 0x1CF3: true
        case 0x111C9: false
        default: value >= 0x300 && isMember(value, of: marks, before: 10)
        }
    }

    /// Nonspacing marks of Unicode 8.0.
    static func isNonspacingMark(_ value: UInt32) -> Bool {
        switch value {
        case 0x1734, 0x1171E: true
        case 0x1885, 0x1886, 0xA9BD, 0x111C9: false
        default: value >= 0x300 && isMember(value, of: 1 << 5, before: 9)
        }
    }

    /// Controls, formats and private use of Unicode 8.0.
    static func isControl(_ value: UInt32) -> Bool {
        isMember(value, of: controls | 1 << 26 | 1 << 28, before: 9)
    }

    private static func bit(_ category: Unicode.GeneralCategory) -> UInt8 {
        switch category {
        case .uppercaseLetter: 0
        case .lowercaseLetter: 1
        case .titlecaseLetter: 2
        case .modifierLetter: 3
        case .otherLetter: 4
        case .nonspacingMark: 5
        case .spacingMark: 6
        case .enclosingMark: 7
        case .decimalNumber: 8
        case .letterNumber: 9
        case .otherNumber: 10
        case .connectorPunctuation: 11
        case .dashPunctuation: 12
        case .openPunctuation: 13
        case .closePunctuation: 14
        case .initialPunctuation: 15
        case .finalPunctuation: 16
        case .otherPunctuation: 17
        case .mathSymbol: 18
        case .currencySymbol: 19
        case .modifierSymbol: 20
        case .otherSymbol: 21
        case .spaceSeparator: 22
        case .lineSeparator: 23
        case .paragraphSeparator: 24
        case .control: 25
        case .format: 26
        case .surrogate: 27
        case .privateUse: 28
        case .unassigned: 29
        @unknown default: 29
        }
    }

    /// The number of the category of what has none.
    static let unassigned: UInt8 = 29
    static let letters: UInt32 = 0x1F
    static let marks: UInt32 = 0x7 << 5
    static let numbers: UInt32 = 0x7 << 8
    static let decimalNumbers: UInt32 = 1 << 8
    static let punctuation: UInt32 = 0x7F << 11
    static let connectors: UInt32 = 1 << 11
    static let letterNumbers: UInt32 = 1 << 9
    static let wordCharacters = letters | marks | decimalNumbers | letterNumbers | connectors
    static let symbols: UInt32 = 0xF << 18
    static let separators: UInt32 = 0x7 << 22
    static let others: UInt32 = 0x3F << 25
    static let controls: UInt32 = 1 << 25 | 1 << 30
    static let whitespace: UInt32 = separators | 1 << 30
    static let cased: UInt32 = 0x7

    /// The set that `\p{name}` means, by the short and long names of general categories.
    static func named(_ name: String) -> UInt32? {
        let key = name.lowercased().filter { $0 != "_" && $0 != " " && $0 != "-" }
        return names[key]
    }

    private static let names: [String: UInt32] = [
        "l": letters, "letter": letters, "m": marks, "mark": marks, "n": numbers, "number": numbers,
        "p": punctuation, "punctuation": punctuation, "punct": punctuation, "s": symbols, "symbol": symbols,
        "z": separators, "separator": separators, "c": others, "other": others, "lc": cased, "casedletter": cased,
        "lu": 1, "uppercaseletter": 1, "ll": 1 << 1, "lowercaseletter": 1 << 1, "lt": 1 << 2,
        "titlecaseletter": 1 << 2, "lm": 1 << 3, "modifierletter": 1 << 3, "lo": 1 << 4, "otherletter": 1 << 4,
        "mn": 1 << 5, "nonspacingmark": 1 << 5, "mc": 1 << 6, "spacingmark": 1 << 6, "me": 1 << 7,
        "enclosingmark": 1 << 7, "nd": 1 << 8, "decimalnumber": 1 << 8, "digit": 1 << 8, "nl": 1 << 9,
        "letternumber": 1 << 9, "no": 1 << 10, "othernumber": 1 << 10, "pc": 1 << 11, "connectorpunctuation": 1 << 11,
        "pd": 1 << 12, "dashpunctuation": 1 << 12, "ps": 1 << 13, "openpunctuation": 1 << 13, "pe": 1 << 14,
        "closepunctuation": 1 << 14, "pi": 1 << 15, "initialpunctuation": 1 << 15, "pf": 1 << 16,
        "finalpunctuation": 1 << 16, "po": 1 << 17, "otherpunctuation": 1 << 17, "sm": 1 << 18, "mathsymbol": 1 << 18,
        "sc": 1 << 19, "currencysymbol": 1 << 19, "sk": 1 << 20, "modifiersymbol": 1 << 20, "so": 1 << 21,
        "othersymbol": 1 << 21, "zs": 1 << 22, "spaceseparator": 1 << 22, "zl": 1 << 23, "lineseparator": 1 << 23,
        "zp": 1 << 24, "paragraphseparator": 1 << 24, "cc": controls, "control": controls, "cntrl": controls,
        "cf": 1 << 26, "format": 1 << 26, "co": 1 << 28, "privateuse": 1 << 28, "cn": 1 << 29, "unassigned": 1 << 29,
    ]

    /// White_Space of Unicode: what `\s` means.
    static func isWhitespace(_ value: UInt32) -> Bool {
        switch value {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }
}

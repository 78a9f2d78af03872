// How many cells of a terminal a character takes, and what is shown for one that must not reach a terminal as it is.
// Widths follow Unicode's East_Asian_Width and emoji properties, by whole grapheme clusters, as current terminals do.
// Invariant: the visible form of a character holds no control character.

extension Unicode.Scalar {
    /// Scalars that are wide without being emoji: East_Asian_Width W and F, blocks that are wide throughout.
    private static let wideRanges: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2329...0x232A, 0x2E80...0x303E, 0x3041...0x3247, 0x3250...0x4DBF, 0x4E00...0xA4CF,
        0xA960...0xA97C, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6B, 0xFF01...0xFF60,
        0xFFE0...0xFFE6, 0x16FE0...0x18DFF, 0x1AFF0...0x1B2FF, 0x1F200...0x1F265, 0x20000...0x2FFFD,
        0x30000...0x3FFFD,
    ]

    /// Cells that the scalar takes on its own: 0, 1 or 2.
    fileprivate var cellCount: Int {
        if value < 0x7F { return value < 0x20 ? 0 : 1 }
        if value < 0x300 { return value < 0xA0 || value == 0xAD ? 0 : 1 }
        switch properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format, .control: return 0
        default: break
        }
        // Vowels and final consonants of Hangul join the syllable before them.
        if (0x1160...0x11FF).contains(value) || (0xD7B0...0xD7FB).contains(value) { return 0 }
        if properties.isEmojiPresentation { return 2 }
        if value < 0x1100 { return 1 }
        return Self.wideRanges.contains { $0.contains(value) } ? 2 : 1
    }
}

extension Character {
    /// Cells that the character takes in a line of a terminal: 0, 1 or 2.
    package var cellCount: Int {
        if let ascii = asciiValue { return ascii < 0x20 || ascii == 0x7F ? 0 : 1 }
        var width = 0
        for scalar in unicodeScalars {
            // VARIATION SELECTOR-16 asks for the emoji's wide form.
            if scalar.value == 0xFE0F && width > 0 { return 2 }
            width = max(width, scalar.cellCount)
        }
        return width
    }
}

extension String {
    /// Cells that the text takes, line ends and control characters not counted.
    package var cellCount: Int { reduce(0) { $0 + $1.cellCount } }

    /// The text with its control characters made visible, so that it can't command a terminal: `␛` for an escape.
    /// Line ends stay, a tab becomes four spaces, carriage returns are left out.
    package var harmless: String {
        func isPlain(_ scalar: Unicode.Scalar) -> Bool {
            scalar.value >= 0x20 && scalar.value < 0x7F || scalar.value > 0x9F || scalar == "\n"
        }
        if unicodeScalars.allSatisfy(isPlain) { return self }
        var result = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            switch scalar.value {
            case _ where isPlain(scalar): result.append(scalar)
            case 0x09: result.append(contentsOf: "    ".unicodeScalars)
            case 0x0D: break
            // "Control pictures": each C0 character has its own.
            case 0..<0x20: result.append(Unicode.Scalar(0x2400 + scalar.value) ?? "\u{FFFD}")
            case 0x7F: result.append("\u{2421}")
            default: result.append("\u{FFFD}")
            }
        }
        return String(result)
    }
}

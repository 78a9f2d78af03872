// Python's questions about strings: `isalpha`, `isupper` and their like.
// Stateless.
// Invariant: answers follow Unicode's properties, as Python's do.

enum StringPredicate {
    private static func all(_ text: Text, _ holds: (Unicode.Scalar) -> Bool) -> Bool {
        !text.isEmpty && text.scalars.allSatisfy(holds)
    }

    private static func isAlphabetic(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.numericType == .decimal || scalar.properties.numericType == .digit
    }

    static func isDigit(_ text: Text) -> Bool { all(text) { isDigit($0) } }

    static func isAlphanumeric(_ scalar: Unicode.Scalar) -> Bool {
        isAlphabetic(scalar) || scalar.properties.numericType != nil
    }

    /// Nil for what is no such method.
    static func answer(_ method: KnownAttribute, _ text: Text) -> Bool? {
        switch method {
        case .isalpha: all(text, isAlphabetic)
        case .isalnum: all(text, isAlphanumeric)
        case .isascii: text.isASCII
        case .isdecimal: all(text) { $0.properties.numericType == .decimal }
        case .isdigit: isDigit(text)
        case .isnumeric: all(text) { $0.properties.numericType != nil }
        case .isspace: all(text) { $0.isPythonSpace }
        case .isprintable: text.scalars.allSatisfy { $0.isPythonPrintable }
        case .islower: isLower(text)
        case .isupper: isUpper(text)
        case .istitle: isTitle(text)
        case .isidentifier: isIdentifier(text)
        default: nil
        }
    }

    static func isLower(_ text: Text) -> Bool {
        var isCased = false
        for scalar in text.scalars {
            if scalar.properties.isUppercase || scalar.properties.generalCategory == .titlecaseLetter { return false }
            isCased = isCased || scalar.properties.isLowercase
        }
        return isCased
    }

    static func isUpper(_ text: Text) -> Bool {
        var isCased = false
        for scalar in text.scalars {
            if scalar.properties.isLowercase || scalar.properties.generalCategory == .titlecaseLetter { return false }
            isCased = isCased || scalar.properties.isUppercase
        }
        return isCased
    }

    private static func isTitle(_ text: Text) -> Bool {
        var isCased = false
        var isAfterCased = false
        for scalar in text.scalars {
            if scalar.properties.isUppercase || scalar.properties.generalCategory == .titlecaseLetter {
                if isAfterCased { return false }
                isAfterCased = true
                isCased = true
            } else if scalar.properties.isLowercase {
                if !isAfterCased { return false }
                isCased = true
            } else {
                isAfterCased = false
            }
        }
        return isCased
    }

    private static func isIdentifier(_ text: Text) -> Bool {
        guard let first = text.scalars.first, first == "_" || first.properties.isXIDStart else { return false }
        return text.scalars.allSatisfy { $0.properties.isXIDContinue }
    }

    /// Runs of letters, digits and underscores.
    static func wordCount(_ text: Text) -> Int {
        var count = 0
        var isInWord = false
        for scalar in text.scalars {
            let isWord = scalar == "_" || isAlphanumeric(scalar)
            if isWord, !isInWord { count += 1 }
            isInWord = isWord
        }
        return count
    }
}

// The part of the pattern reader that deals with sets of characters: escapes, properties, brackets.
// Owned by RegexParser.
// Invariant: brackets nest no deeper than groups may (RegexParser.maximumDepth).

extension RegexParser {
    // MARK: Escapes

    mutating func parseEscape() throws(TokenizerError) -> RegexNode {
        switch peek() {
        case "A": return assertion(.textStart)
        case "z", "Z": return assertion(.textEnd)
        case "b": return assertion(.wordBoundary)
        case "B": return assertion(.noWordBoundary)
        case "R":
            position += 1
            return .atomic(.alternatives([.sequence([.set(literal(0x0D)), .set(literal(0x0A))]), .set(.lineEnds)]))
        default: return .set(try parseClassEscape())
        }
    }

    private mutating func assertion(_ kind: RegexAssertion) -> RegexNode {
        position += 1
        return .assertion(kind)
    }

    /// What may stand behind a backslash inside and outside of brackets; the backslash is taken.
    private mutating func parseClassEscape() throws(TokenizerError) -> CharacterClass {
        guard let letter = peek() else { throw failure("pattern ends in a backslash") }
        position += 1
        switch letter {
        case "s": return .whitespace
        case "S": return CharacterClass.whitespace.negated()
        case "d": return .digits
        case "D": return CharacterClass.digits.negated()
        case "w": return .word
        case "W": return CharacterClass.word.negated()
        case "h": return .hexadecimal
        case "H": return CharacterClass.hexadecimal.negated()
        case "p", "P": return try parseProperty(isNegated: letter == "P")
        default:
            position -= 1
            return literal(try parseEscapedScalar())
        }
    }

    private mutating func parseEscapedScalar() throws(TokenizerError) -> UInt32 {
        guard let letter = peek() else { throw failure("pattern ends in a backslash") }
        position += 1
        switch letter {
        case "n": return 0x0A
        case "r": return 0x0D
        case "t": return 0x09
        case "f": return 0x0C
        case "v": return 0x0B
        case "a": return 0x07
        case "e": return 0x1B
        case "0": return 0
        case "x":
            if take("{") {
                let value = try parseHexadecimal(digits: 1...8)
                guard take("}") else { throw failure("missing '}'") }
                return value
            }
            return try parseHexadecimal(digits: 1...2)
        case "u": return try parseHexadecimal(digits: 4...4)
        case "a"..."z", "A"..."Z", "1"..."9": throw failure("escape \"\\\(letter)\" is not supported")
        default: return letter.value
        }
    }

    private mutating func parseHexadecimal(digits: ClosedRange<Int>) throws(TokenizerError) -> UInt32 {
        var value: UInt32 = 0
        var count = 0
        while count < digits.upperBound, let next = peek(), next.isASCII, let digit = Character(next).hexDigitValue {
            value = value << 4 | UInt32(digit)
            count += 1
            position += 1
        }
        guard digits.contains(count), value <= 0x10FFFF else { throw failure("bad hexadecimal escape") }
        return value
    }

    private mutating func parseProperty(isNegated: Bool) throws(TokenizerError) -> CharacterClass {
        guard take("{") else { throw failure("expected '{' behind \\p") }
        let isInverted = take("^")
        var name = ""
        while let next = peek(), next != "}", name.utf8.count < 64 {
            name.unicodeScalars.append(next)
            position += 1
        }
        guard take("}") else { throw failure("missing '}'") }
        guard var result = CharacterClass.named(name) else { throw failure("property \"\(name)\" is not supported") }
        if ignoresCase { result.ignoreCase() }
        if isNegated != isInverted { result.negate() }
        return result
    }

    // MARK: Brackets

    /// A class; the opening bracket is taken.
    mutating func parseClass() throws(TokenizerError) -> CharacterClass {
        depth += 1
        defer { depth -= 1 }
        guard depth <= RegexParser.maximumDepth else { throw failure("nesting is too deep") }
        let isNegated = take("^")
        var result = CharacterClass()
        var isFirst = true
        while let next = peek() {
            if next == "]" && !isFirst {
                position += 1
                result.finish()
                if isNegated { result.negate() }
                return result
            }
            isFirst = false
            if take("&&") {
                result.intersect(with: try parseIntersection())
            } else if take("[:") {
                result.insert(try parsePosixClass())
            } else if take("[") {
                result.insert(try parseClass())
            } else {
                try parseClassItem(into: &result)
            }
        }
        throw failure("missing ']'")
    }

    /// The rest of a class behind `&&`, up to the closing bracket, which stays.
    private mutating func parseIntersection() throws(TokenizerError) -> CharacterClass {
        var result = CharacterClass()
        while let next = peek(), next != "]" {
            if take("&&") {
                result.intersect(with: try parseIntersection())
            } else if take("[:") {
                result.insert(try parsePosixClass())
            } else if take("[") {
                result.insert(try parseClass())
            } else {
                try parseClassItem(into: &result)
            }
        }
        result.finish()
        return result
    }

    private mutating func parsePosixClass() throws(TokenizerError) -> CharacterClass {
        let isNegated = take("^")
        var name = ""
        while let next = peek(), next != ":", name.utf8.count < 64 {
            name.unicodeScalars.append(next)
            position += 1
        }
        guard take(":]") else { throw failure("missing ':]'") }
        // In brackets symbols are punctuation, unlike in \p{Punct}.
        let symbols = CharacterClass([], categories: UnicodeCategories.punctuation | UnicodeCategories.symbols)
        guard let result = name == "punct" ? symbols : CharacterClass.named(name) else {
            throw failure("class \"\(name)\" is not supported")
        }
        return isNegated ? result.negated() : result
    }

    /// A character, an escape or a range.
    private mutating func parseClassItem(into result: inout CharacterClass) throws(TokenizerError) {
        guard let first = peek() else { throw failure("missing ']'") }
        var lower = first.value
        position += 1
        if first == "\\" {
            if let letter = peek(), "sSdDwWhHpP".unicodeScalars.contains(letter) {
                return result.insert(try parseClassEscape())
            }
            lower = take("b") ? 0x08 : try parseEscapedScalar()
        }
        var upper = lower
        if peek() == "-", let end = peek(1), end != "]", end != "[" {
            position += 1
            if take("\\") {
                upper = try parseEscapedScalar()
            } else {
                upper = end.value
                position += 1
            }
        }
        guard lower <= upper else { throw failure("range is in the wrong order") }
        var item = CharacterClass([lower...upper])
        if ignoresCase { item.ignoreCase() }
        result.insert(item)
    }
}

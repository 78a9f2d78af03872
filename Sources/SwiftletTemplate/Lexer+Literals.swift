// Numbers and strings in a template's code.
// Invariant: an end that is given lies behind the literal's first byte and within the text.

extension Lexer {
    // MARK: Literals

    /// Behind digits that may have an underscore between two of them.
    private func digitsEnd(_ offset: Int, where isDigit: (UInt8) -> Bool) -> Int {
        var end = offset
        while end < source.count {
            if isDigit(source[end]) {
                end += 1
            } else if end > offset, source[end] == UInt8(ascii: "_"), end + 1 < source.count, isDigit(source[end + 1]) {
                end += 2
            } else {
                break
            }
        }
        return end
    }

    private func decimalEnd(_ offset: Int) -> Int { digitsEnd(offset) { $0 &- UInt8(ascii: "0") < 10 } }

    mutating func readNumber() throws(TemplateError) {
        // After a dot digits are an index: `x.0.1`.
        let isIndex = position > 0 && source[position - 1] == UInt8(ascii: ".")
        if !isIndex, let end = floatEnd() {
            append(.float, Text(source[position..<end].filter { $0 != UInt8(ascii: "_") }[...]))
            return advance(to: end)
        }
        let end = integerEnd()
        append(.integer, Text(source[position..<end].filter { $0 != UInt8(ascii: "_") }[...]))
        advance(to: end)
    }

    private func floatEnd() -> Int? {
        var end = decimalEnd(position)
        var isFloat = false
        if end < source.count, source[end] == UInt8(ascii: ".") {
            let fraction = decimalEnd(end + 1)
            if fraction > end + 1 {
                end = fraction
                isFloat = true
            }
        }
        if end < source.count, source[end] | 0x20 == UInt8(ascii: "e") {
            let digits = decimalEnd(skipSign(end + 1))
            if digits > skipSign(end + 1) { return digits }
        }
        return isFloat ? end : nil
    }

    private func integerEnd() -> Int {
        if source[position] == UInt8(ascii: "0") {
            if position + 1 < source.count {
                let start = position + 2
                let end: Int
                switch source[position + 1] | 0x20 {
                case UInt8(ascii: "b"): end = digitsEnd(start) { $0 == UInt8(ascii: "0") || $0 == UInt8(ascii: "1") }
                case UInt8(ascii: "o"): end = digitsEnd(start) { $0 &- UInt8(ascii: "0") < 8 }
                case UInt8(ascii: "x"): end = digitsEnd(start) { Character(Unicode.Scalar($0)).isHexDigit }
                default: end = start
                }
                if end > start { return end }
            }
            return digitsEnd(position) { $0 == UInt8(ascii: "0") }
        }
        return decimalEnd(position)
    }

    /// Behind the closing quote; nil when there is none.
    func stringEnd() -> Int? {
        let quote = source[position]
        var end = position + 1
        while end < source.count {
            if source[end] == quote { return end + 1 }
            end += source[end] == UInt8(ascii: "\\") ? 2 : 1
        }
        return nil
    }

    func unescaped(_ slice: ArraySlice<UInt8>) throws(TemplateError) -> Text {
        guard slice.contains(UInt8(ascii: "\\")) else { return Text(slice) }
        do {
            return try StringLiteral.unescaped(slice)
        } catch {
            throw failure(error.message)
        }
    }
}

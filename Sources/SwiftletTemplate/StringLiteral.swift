// The escapes of Python's string literals.
// Stateless; used by the lexer.
// Invariant: an unknown escape stands for itself, backslash and all; a broken \x, \u or \U is an error.

enum StringLiteral {
    static func unescaped(_ slice: ArraySlice<UInt8>) throws(TemplateError) -> Text {
        var result: [UInt8] = []
        var position = slice.startIndex
        while position < slice.endIndex {
            let byte = slice[position]
            position += 1
            guard byte == UInt8(ascii: "\\"), position < slice.endIndex else {
                result.append(byte)
                continue
            }
            let letter = slice[position]
            position += 1
            if let simple = simple(letter) {
                result += simple
                continue
            }
            switch letter {
            case UInt8(ascii: "x"): try append(hexadecimal(slice, &position, count: 2), &result)
            case UInt8(ascii: "u"): try append(utf16(slice, &position), &result)
            case UInt8(ascii: "U"): try append(hexadecimal(slice, &position, count: 8), &result)
            case UInt8(ascii: "0")...UInt8(ascii: "7"):
                var value = UInt32(letter - UInt8(ascii: "0"))
                var digits = 1
                while digits < 3, position < slice.endIndex, slice[position] &- UInt8(ascii: "0") < 8 {
                    value = value * 8 + UInt32(slice[position] - UInt8(ascii: "0"))
                    position += 1
                    digits += 1
                }
                try append(value, &result)
            case UInt8(ascii: "N"):
                throw TemplateError(.invalidTemplate, "escapes by name (\\N{…}) are not supported; write \\uXXXX")
            default: result += [byte, letter]
            }
        }
        return Text(utf8: result)
    }

    private static func simple(_ letter: UInt8) -> [UInt8]? {
        switch letter {
        case UInt8(ascii: "\n"): []
        case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): [letter]
        case UInt8(ascii: "a"): [0x07]
        case UInt8(ascii: "b"): [0x08]
        case UInt8(ascii: "f"): [0x0C]
        case UInt8(ascii: "n"): [0x0A]
        case UInt8(ascii: "r"): [0x0D]
        case UInt8(ascii: "t"): [0x09]
        case UInt8(ascii: "v"): [0x0B]
        default: nil
        }
    }

    private static func hexadecimal(
        _ slice: ArraySlice<UInt8>, _ position: inout Int, count: Int
    ) throws(TemplateError) -> UInt32 {
        let end = position + count
        guard end <= slice.endIndex, slice[position..<end].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let value = UInt32(String(decoding: slice[position..<end], as: UTF8.self), radix: 16)
        else { throw TemplateError(.invalidTemplate, "truncated \\x, \\u or \\U escape") }
        position = end
        return value
    }

    /// A \u escape, joined with the low half of a pair that follows it.
    private static func utf16(_ slice: ArraySlice<UInt8>, _ position: inout Int) throws(TemplateError) -> UInt32 {
        let high = try hexadecimal(slice, &position, count: 4)
        guard (0xD800..<0xDC00).contains(high), slice[position...].starts(with: "\\u".utf8) else { return high }
        var next = position + 2
        let low = try hexadecimal(slice, &next, count: 4)
        guard (0xDC00..<0xE000).contains(low) else { return high }
        position = next
        return 0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)
    }

    /// A lone surrogate, which no text can hold, is U+FFFD; Python fails when it is printed.
    private static func append(_ value: UInt32, _ result: inout [UInt8]) throws(TemplateError) {
        guard value <= 0x10FFFF else { throw TemplateError(.invalidTemplate, "illegal Unicode character") }
        result += Array(String(Unicode.Scalar(value) ?? "\u{FFFD}").utf8)
    }
}

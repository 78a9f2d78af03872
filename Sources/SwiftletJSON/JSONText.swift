// Byte-level helpers on JSON text: UTF-8 checking, escapes, exact integers.
// Stateless; used by the parser while it checks and by JSONValue when somebody asks for a value.
// Invariant: no function reads outside the buffer it was given.

enum JSONText {
    static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    /// Byte count of the well-formed multi-byte scalar at `position`, or 0.
    static func scalarLength(in text: UnsafeBufferPointer<UInt8>, at position: Int) -> Int {
        func isContinuation(_ offset: Int) -> Bool {
            position + offset < text.count && text[position + offset] & 0xC0 == 0x80
        }
        let first = text[position]
        let second = position + 1 < text.count ? text[position + 1] : 0
        switch first {
        case 0xC2...0xDF:
            return isContinuation(1) ? 2 : 0
        case 0xE0...0xEF:
            guard isContinuation(1), isContinuation(2) else { return 0 }
            // Overlong forms and surrogates are not UTF-8.
            if first == 0xE0 && second < 0xA0 { return 0 }
            if first == 0xED && second > 0x9F { return 0 }
            return 3
        case 0xF0...0xF4:
            guard isContinuation(1), isContinuation(2), isContinuation(3) else { return 0 }
            if first == 0xF0 && second < 0x90 { return 0 }
            if first == 0xF4 && second > 0x8F { return 0 }
            return 4
        default:
            return 0
        }
    }

    /// The four hexadecimal digits at `position`, or nil.
    static func hexadecimal(in text: UnsafeBufferPointer<UInt8>, at position: Int) -> UInt32? {
        guard position + 4 <= text.count else { return nil }
        var value: UInt32 = 0
        for byte in text[position..<position + 4] {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    /// The value of a string node as UTF-8. The parser has checked the escapes.
    static func unescaped(_ node: JSONDocument.Node, in text: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        let range = Int(node.start)..<Int(node.end)
        if node.hasNoEscapes { return Array(text[range]) }
        var result: [UInt8] = []
        result.reserveCapacity(range.count)
        var position = range.lowerBound
        while position < range.upperBound {
            let byte = text[position]
            if byte != UInt8(ascii: "\\") {
                result.append(byte)
                position += 1
            } else if text[position + 1] == UInt8(ascii: "u") {
                let (scalar, length) = unicodeEscape(in: text, at: position, end: range.upperBound)
                result.append(contentsOf: Unicode.UTF8.encode(scalar) ?? Unicode.UTF8.encodedReplacementCharacter)
                position += length
            } else {
                result.append(simpleEscape(text[position + 1]))
                position += 2
            }
        }
        return result
    }

    private static func simpleEscape(_ letter: UInt8) -> UInt8 {
        switch letter {
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "t"): 0x09
        default: letter
        }
    }

    /// The scalar of a \u escape, joined with a following low surrogate; a lone surrogate is U+FFFD.
    private static func unicodeEscape(
        in text: UnsafeBufferPointer<UInt8>, at position: Int, end: Int
    ) -> (scalar: Unicode.Scalar, length: Int) {
        let high = hexadecimal(in: text, at: position + 2) ?? 0xFFFD
        if let scalar = Unicode.Scalar(high) { return (scalar, 6) }
        if high < 0xDC00, position + 12 <= end, text[position + 6] == UInt8(ascii: "\\"),
            text[position + 7] == UInt8(ascii: "u"), let low = hexadecimal(in: text, at: position + 8),
            (0xDC00...0xDFFF).contains(low),
            let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
        {
            return (scalar, 12)
        }
        return ("\u{FFFD}", 6)
    }

    /// The exact integer a number's text stands for ("12", "-3.0", "1e3"), or nil when it is none or does not fit.
    static func exactInteger(_ text: UnsafeBufferPointer<UInt8>) -> Int? {
        var position = 0
        let isNegative = text.first == UInt8(ascii: "-")
        if isNegative { position += 1 }
        // Digits up to the exponent without the point; zeros at the end only count towards the scale.
        var mantissa = 0
        var pendingZeros = 0
        var fractionDigits = 0
        var isFraction = false
        while position < text.count, text[position] | 0x20 != UInt8(ascii: "e") {
            let byte = text[position]
            position += 1
            if byte == UInt8(ascii: ".") {
                isFraction = true
                continue
            }
            if isFraction { fractionDigits += 1 }
            if byte == UInt8(ascii: "0") {
                if mantissa != 0 { pendingZeros += 1 }
                continue
            }
            guard let scaled = scale(mantissa, by: pendingZeros + 1) else { return nil }
            let digit = Int(byte - UInt8(ascii: "0"))
            let (sum, overflow) = scaled.addingReportingOverflow(isNegative ? -digit : digit)
            if overflow { return nil }
            mantissa = sum
            pendingZeros = 0
        }
        if mantissa == 0 { return 0 }
        var exponent = 0
        if position < text.count {
            var digits = text[(position + 1)...]
            if digits.first == UInt8(ascii: "+") { digits = digits.dropFirst() }
            guard let parsed = Int(String(decoding: digits, as: UTF8.self)) else { return nil }
            exponent = parsed
        }
        let (shift, overflow) = exponent.addingReportingOverflow(pendingZeros - fractionDigits)
        return overflow || shift < 0 ? nil : scale(mantissa, by: shift)
    }

    private static func scale(_ value: Int, by power: Int) -> Int? {
        if value == 0 { return 0 }
        guard power < 20 else { return nil }
        var result = value
        for _ in 0..<power {
            let (product, overflow) = result.multipliedReportingOverflow(by: 10)
            if overflow { return nil }
            result = product
        }
        return result
    }
}

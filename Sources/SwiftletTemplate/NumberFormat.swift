// Floats in decimal with a set number of digits, rounded from their exact value, and numbers read as Python reads them.
// Invariant: halves are judged on the exact binary value, as C and Python do.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

enum NumberFormat {
    /// The most digits that are written; a double has at most 1,074 behind the point.
    static let maximumDigits = 1_200

    /// C's `%.*f`, `%.*e` or `%.*g`.
    static func text(_ value: Double, digits: Int, kind: Character, keepsPoint: Bool = false) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        let format = "%\(keepsPoint ? "#" : "").*\(kind)"
        let digits = Int32(max(0, min(digits, maximumDigits)))
        let buffer = [CChar](unsafeUninitializedCapacity: 2_000) { buffer, count in
            let written = withVaList([digits, value]) { vsnprintf(buffer.baseAddress, buffer.count, format, $0) }
            count = max(0, min(Int(written), buffer.count - 1))
        }
        return String(decoding: buffer.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func fixed(_ value: Double, digits: Int) -> String { text(value, digits: digits, kind: "f") }

    /// Python's `round(value, digits)`.
    static func rounded(_ value: Double, digits: Int) -> Double {
        guard value.isFinite, digits <= 323 else { return value }
        if digits < -308 { return value < 0 ? -0.0 : 0 }
        if digits >= 0 { return Double(fixed(value, digits: digits)) ?? value }
        // Tens and more: the digits before the point, rounded by C as a mantissa.
        let magnitude = text(value.magnitude, digits: 0, kind: "f").count + digits
        if magnitude < 0 { return value < 0 ? -0.0 : 0 }
        if magnitude == 0 {
            let half = (Double("5e\(-digits - 1)") ?? .infinity)
            let unit = value.magnitude > half ? Double("1e\(-digits)") ?? 0 : 0
            return value < 0 ? -unit : unit
        }
        return Double(text(value, digits: magnitude - 1, kind: "e")) ?? value
    }
}

enum NumberText {
    /// What Python's `int(text, radix)` accepts.
    static func integer(_ text: Text, radix: Int) -> Value? {
        var body = text.stripped().string.lowercased()
        let isNegative = body.hasPrefix("-")
        if isNegative || body.hasPrefix("+") { body.removeFirst() }
        var radix = radix
        for (prefix, value) in [("0b", 2), ("0o", 8), ("0x", 16)] where body.hasPrefix(prefix) {
            guard radix == value || radix == 0 else { break }
            radix = value
            body = String(body.dropFirst(2))
            if body.hasPrefix("_") { body.removeFirst() }
        }
        if radix == 0 {
            radix = 10
            if body.hasPrefix("0"), body.contains(where: { $0 != "0" && $0 != "_" }) { return nil }
        }
        guard let digits = withoutUnderscores(decimalDigits(body)), !digits.isEmpty, digits.first != "+",
            digits.first != "-"
        else { return nil }
        if let value = Int((isNegative ? "-" : "") + digits, radix: radix) { return .int(value) }
        guard radix == 10, digits.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
        return .wide(Text((isNegative ? "-" : "") + digits.drop { $0 == "0" }))
    }

    /// What Python's `float(text)` accepts.
    static func float(_ text: Text) -> Double? {
        guard var body = withoutUnderscores(decimalDigits(text.stripped().string)) else { return nil }
        switch body.lowercased() {
        case "inf", "+inf", "infinity", "+infinity": return .infinity
        case "-inf", "-infinity": return -.infinity
        case "nan", "+nan", "-nan": return .nan
        default: break
        }
        guard body.utf8.allSatisfy({ "0123456789+-.eE".utf8.contains($0) }) else { return nil }
        if body.hasPrefix("+") { body.removeFirst() }
        if body.hasPrefix("+") || body.hasPrefix("-+") { return nil }
        return strict(body)
    }

    /// A decimal number with a digit at least, which may end with a point or start with one.
    private static func strict(_ body: String) -> Double? {
        let parts = body.split(separator: "e", maxSplits: 1, omittingEmptySubsequences: false)
        let upper =
            parts.count == 1 ? body.split(separator: "E", maxSplits: 1, omittingEmptySubsequences: false) : parts
        var mantissa = String(upper[0])
        guard mantissa.contains(where: \.isNumber) else { return nil }
        if mantissa.hasSuffix(".") { mantissa += "0" }
        if mantissa.hasPrefix(".") { mantissa = "0" + mantissa }
        if mantissa.hasPrefix("-.") { mantissa = "-0" + mantissa.dropFirst() }
        return Double(upper.count > 1 ? "\(mantissa)e\(upper[1])" : mantissa)
    }

    /// Digits of other scripts as ASCII ones.
    private static func decimalDigits(_ text: String) -> String {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if scalar.properties.numericType == .decimal, let value = scalar.properties.numericValue,
                let digit = Unicode.Scalar(0x30 + UInt32(value))
            {
                result.append(digit)
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }

    /// Without the underscores that stand between two digits; nil where one stands elsewhere.
    private static func withoutUnderscores(_ text: String) -> String? {
        guard text.contains("_") else { return text }
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        for (left, right) in zip(parts, parts.dropFirst()) {
            guard left.last?.isHexDigit == true || left.last?.isLetter == true,
                right.first?.isHexDigit == true || right.first?.isLetter == true
            else { return nil }
        }
        return parts.joined()
    }
}

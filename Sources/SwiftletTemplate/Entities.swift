// HTML's character references, for `striptags`.
// Invariant: what is no reference known here stays as it is.

enum Entities {
    /// The names that occur in practice; numbers stand for any character.
    private static let names: [String: Unicode.Scalar] = [
        "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": "\u{A0}", "copy": "\u{A9}",
        "reg": "\u{AE}", "laquo": "\u{AB}", "raquo": "\u{BB}", "deg": "\u{B0}", "middot": "\u{B7}",
        "times": "\u{D7}", "ndash": "\u{2013}", "mdash": "\u{2014}", "lsquo": "\u{2018}", "rsquo": "\u{2019}",
        "ldquo": "\u{201C}", "rdquo": "\u{201D}", "bull": "\u{2022}", "hellip": "\u{2026}", "euro": "\u{20AC}",
    ]

    static func unescaped(_ text: Text) -> Text {
        guard text.contains("&") else { return text.plain }
        var result: [UInt8] = []
        var position = 0
        while position < text.bytes.count {
            if text.bytes[position] == UInt8(ascii: "&"),
                let end = text.bytes[position...].prefix(12).firstIndex(of: UInt8(ascii: ";")),
                let scalar = scalar(String(decoding: text.bytes[(position + 1)..<end], as: UTF8.self))
            {
                result += Array(String(scalar).utf8)
                position = end + 1
            } else {
                result.append(text.bytes[position])
                position += 1
            }
        }
        return Text(utf8: result)
    }

    private static func scalar(_ name: String) -> Unicode.Scalar? {
        guard name.hasPrefix("#") else { return names[name] }
        let digits = name.dropFirst()
        let value = digits.lowercased().hasPrefix("x") ? UInt32(digits.dropFirst(), radix: 16) : UInt32(digits)
        return value.flatMap { $0 > 0 ? Unicode.Scalar($0) ?? "\u{FFFD}" : "\u{FFFD}" }
    }
}

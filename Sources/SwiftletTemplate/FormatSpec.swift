// Python's format specifications (`>10`, `.2f`, `,`) for strings and numbers.
// Invariant: widths are charged before they are filled.

struct FormatSpec {
    var fill: Unicode.Scalar = " "
    /// `<`, `>`, `^` or `=`; nil is the type's own.
    var alignment: Unicode.Scalar?
    var sign: Unicode.Scalar = "-"
    var isAlternate = false
    var width = 0
    var grouping: Unicode.Scalar?
    var precision: Int?
    var kind: Unicode.Scalar?
    /// Of an integer; what a precision is for `%d`.
    var minimumDigits = 0

    init() {}

    init(_ text: Text) throws(TemplateError) {
        let scalars = Array(text.scalars)
        var position = 0
        func at(_ set: String) -> Bool { position < scalars.count && set.unicodeScalars.contains(scalars[position]) }
        if scalars.count > 1, "<>=^".unicodeScalars.contains(scalars[1]) {
            fill = scalars[0]
            alignment = scalars[1]
            position = 2
        } else if at("<>=^") {
            alignment = scalars[0]
            position = 1
        }
        if at("+- ") {
            sign = scalars[position]
            position += 1
        }
        if at("z") { position += 1 }
        if at("#") {
            isAlternate = true
            position += 1
        }
        if at("0") {
            if alignment == nil {
                fill = "0"
                alignment = "="
            }
            position += 1
        }
        func number() throws(TemplateError) -> Int? {
            var value: Int?
            while at("0123456789") {
                value = (value ?? 0) * 10 + Int(scalars[position].value - 0x30)
                if value ?? 0 >= 1 << 31 { throw .type("Too many decimal digits in format string") }
                position += 1
            }
            return value
        }
        width = try number() ?? 0
        if at(",_") {
            grouping = scalars[position]
            position += 1
        }
        if at(".") {
            position += 1
            guard let value = try number() else { throw .type("Format specifier missing precision") }
            precision = value
        }
        if position < scalars.count {
            kind = scalars[position]
            position += 1
        }
        guard position == scalars.count else { throw .type("Invalid format specifier '\(text.string)'") }
    }
}

extension Renderer {
    /// A text in its field.
    func formatted(_ text: Text, _ spec: FormatSpec) throws(TemplateError) -> Text {
        guard spec.kind == nil || spec.kind == "s" else {
            throw .type("Unknown format code '\(spec.kind ?? "s")' for object of type 'str'")
        }
        if let grouping = spec.grouping { throw .type("Cannot specify '\(grouping)' with 's'.") }
        if spec.alignment == "=" && spec.fill != "0" {
            throw .type("'=' alignment not allowed in string format specifier")
        }
        var text = text
        if let precision = spec.precision { text = text.slice(0..<min(precision, text.count)) }
        return try aligned(text, spec, standard: "<")
    }

    private func aligned(_ text: Text, _ spec: FormatSpec, standard: Unicode.Scalar) throws(TemplateError) -> Text {
        let missing = spec.width - text.count
        guard missing > 0 else { return text }
        let fill = Text(spec.fill)
        let left: Int
        switch spec.alignment ?? standard {
        case "<", "=": left = 0
        case "^": left = missing / 2
        default: left = missing
        }
        return try repeated(fill, left) + text + repeated(fill, missing - left)
    }

    /// A value as a format specification asks for it.
    func formatted(_ value: Value, _ spec: FormatSpec) throws(TemplateError) -> Text {
        switch value {
        case .string(let text): return try formatted(text, spec)
        case .bool(let flag):
            let isText = spec.kind == nil || spec.kind == "s"
            return isText && spec.kind == "s"
                ? try formatted(Text(flag ? "True" : "False"), spec)
                : try formattedNumber(.int(flag ? 1 : 0), spec, boolean: isText ? flag : nil)
        case .int, .wide, .float: return try formattedNumber(value, spec)
        case .undefined(let undefined): throw undefined.error
        default: throw .type("unsupported format string passed to \(value.typeName).__format__")
        }
    }

    private func formattedNumber(
        _ value: Value, _ spec: FormatSpec, boolean: Bool? = nil
    ) throws(TemplateError) -> Text {
        var (isNegative, digits, prefix) = (false, "", "")
        let kind = spec.kind ?? (value.typeName == "float" ? " " : "d")
        switch kind {
        case "d", "b", "o", "x", "X", "c", "n":
            if value.typeName == "float" {
                throw .type("Unknown format code '\(kind)' for object of type 'float'")
            }
            if spec.precision != nil { throw .type("Precision not allowed in integer format specifier") }
            if kind == "c" {
                guard let code = value.integer, let scalar = UInt32(exactly: code).flatMap({ Unicode.Scalar($0) })
                else {
                    throw .type("%c arg not in range(0x110000)")
                }
                return try aligned(Text(scalar), spec, standard: "<")
            }
            (isNegative, digits, prefix) = try integerDigits(value, kind, spec)
        case "e", "E", "f", "F", "g", "G", "%", " ":
            (isNegative, digits) = floatDigits(value.number ?? 0, kind, spec)
        default: throw .type("Unknown format code '\(kind)' for object of type '\(value.typeName)'")
        }
        if let boolean, spec.kind == nil, spec.width == 0, spec.grouping == nil, spec.sign == "-" {
            return Text(boolean ? "True" : "False")
        }
        let sign = isNegative ? "-" : spec.sign == "-" ? "" : String(spec.sign)
        if let grouping = spec.grouping {
            let size = "boxX".unicodeScalars.contains(kind) ? 4 : 3
            let width = spec.alignment == "=" && spec.fill == "0" ? spec.width - sign.count - prefix.count : 0
            try charge(bytes: max(0, width))
            digits = grouped(digits, by: grouping, size: size, width: width)
        }
        let body = Text(prefix + digits)
        if spec.alignment == "=" {
            let missing = spec.width - sign.count - body.count
            let padding = missing > 0 ? try repeated(Text(spec.fill), missing) : .empty
            return Text(sign + prefix) + padding + Text(digits)
        }
        return try aligned(Text(sign) + body, spec, standard: ">")
    }

    private func integerDigits(
        _ value: Value, _ kind: Unicode.Scalar, _ spec: FormatSpec
    ) throws(TemplateError) -> (Bool, String, prefix: String) {
        if case .wide(let text) = value {
            guard kind == "d" || kind == "n" else { throw .limit("an integer is larger than the limit of 64 bits") }
            let isNegative = text.hasPrefix("-")
            return (isNegative, isNegative ? String(text.string.dropFirst()) : text.string, "")
        }
        let integer = value.integer ?? 0
        let radix: [Unicode.Scalar: Int] = ["b": 2, "o": 8, "x": 16, "X": 16]
        var digits = String(integer.magnitude, radix: radix[kind] ?? 10, uppercase: kind == "X")
        if digits.count < spec.minimumDigits {
            try charge(bytes: spec.minimumDigits)
            digits = String(repeating: "0", count: spec.minimumDigits - digits.count) + digits
        }
        let prefix = spec.isAlternate && radix[kind] != nil ? "0\(kind)" : ""
        return (integer < 0, digits, prefix)
    }

    private func floatDigits(_ value: Double, _ kind: Unicode.Scalar, _ spec: FormatSpec) -> (Bool, String) {
        let isNegative = value.sign == .minus && !value.isNaN
        let magnitude = value.isNaN ? value : value.magnitude
        let precision = spec.precision ?? 6
        let text: String
        switch kind {
        case " ":
            guard let precision = spec.precision else { return (isNegative, PythonText.float(magnitude)) }
            text = generalDigits(magnitude, precision)
        case "%": text = NumberFormat.fixed(magnitude * 100, digits: precision) + "%"
        default:
            text = NumberFormat.text(
                magnitude, digits: precision, kind: Character(String(kind).lowercased()), keepsPoint: spec.isAlternate)
        }
        return (isNegative, "EFG".unicodeScalars.contains(kind) ? text.uppercased() : text)
    }

    /// The format without a letter: like `g`, but never without a fraction.
    private func generalDigits(_ value: Double, _ precision: Int) -> String {
        let digits = max(precision, 1)
        let text = NumberFormat.text(value, digits: digits, kind: "g")
        guard !text.contains("e"), !text.contains("."), value.isFinite else { return text }
        if text.count < digits { return text + ".0" }
        // As many digits as asked for and none behind the point: the exponent form, as Python has it.
        return NumberFormat.text(value, digits: max(0, digits - 1), kind: "e")
    }

    private func grouped(_ digits: String, by separator: Unicode.Scalar, size: Int, width: Int) -> String {
        let whole = digits.prefix { $0.isHexDigit }
        if whole.isEmpty { return digits }
        let rest = digits.dropFirst(whole.count)
        var padded = String(whole)
        while padded.count + (padded.count - 1) / size + rest.count < width { padded = "0" + padded }
        var result = ""
        for (position, digit) in padded.enumerated() {
            if position > 0, (padded.count - position) % size == 0 { result.unicodeScalars.append(separator) }
            result.append(digit)
        }
        return result + rest
    }
}

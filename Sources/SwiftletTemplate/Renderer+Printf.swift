// Python's `text % values`, which `|format` uses too.
// Invariant: every value is used exactly once, unless values are named; widths and precisions are bounded.

extension Renderer {
    /// One conversion: `%(key)-08.3f`.
    private struct Conversion {
        var key: Text?
        var flags: Set<Unicode.Scalar> = []
        var width = 0
        var precision: Int?
        var kind: Unicode.Scalar = "s"
    }

    /// What the conversions take their values from.
    private struct Values {
        var list: [Value]
        var map: Value?
        var position = 0
        let isTuple: Bool

        mutating func next() throws(TemplateError) -> Value {
            guard position < list.count else { throw .type("not enough arguments for format string") }
            position += 1
            return list[position - 1]
        }
    }

    func printf(_ format: Text, _ value: Value) throws(TemplateError) -> Text {
        var values: Values
        switch value {
        case .tuple(let elements): values = Values(list: elements.values, isTuple: true)
        case .dict, .list, .range, .undefined: values = Values(list: [value], map: value, isTuple: false)
        default: values = Values(list: [value], isTuple: false)
        }
        let scalars = Array(format.scalars)
        var result = Text.empty
        var position = 0
        while position < scalars.count {
            let start = position
            while position < scalars.count, scalars[position] != "%" { position += 1 }
            result.append(Text(scalars: scalars[start..<position]))
            guard position < scalars.count else { break }
            let conversion = try conversion(in: scalars, &position, &values)
            let text = try converted(conversion, &values, isMarkup: format.isMarkup)
            try charge(bytes: text.bytes.count + 16)
            result.append(text)
        }
        if values.position < values.list.count, values.map == nil {
            throw .type("not all arguments converted during string formatting")
        }
        return result.marked(format.isMarkup)
    }

    private func conversion(
        in scalars: [Unicode.Scalar], _ position: inout Int, _ values: inout Values
    ) throws(TemplateError) -> Conversion {
        var conversion = Conversion()
        position += 1
        func current(_ position: Int) throws(TemplateError) -> Unicode.Scalar {
            guard position < scalars.count else { throw .type("incomplete format") }
            return scalars[position]
        }
        if try current(position) == "(" {
            var depth = 1
            let start = position + 1
            while depth > 0 {
                position += 1
                guard position < scalars.count else { throw .type("incomplete format key") }
                depth += scalars[position] == "(" ? 1 : scalars[position] == ")" ? -1 : 0
            }
            conversion.key = Text(scalars: scalars[start..<position])
            position += 1
        }
        while "#0- +".unicodeScalars.contains(try current(position)) {
            conversion.flags.insert(scalars[position])
            position += 1
        }
        conversion.width = try number(in: scalars, &position, &values) ?? 0
        if conversion.width < 0 {
            conversion.flags.insert("-")
            conversion.width = -conversion.width
        }
        if try current(position) == "." {
            position += 1
            conversion.precision = max(0, try number(in: scalars, &position, &values) ?? 0)
        }
        while "hlL".unicodeScalars.contains(try current(position)) { position += 1 }
        conversion.kind = try current(position)
        position += 1
        return conversion
    }

    private func number(
        in scalars: [Unicode.Scalar], _ position: inout Int, _ values: inout Values
    ) throws(TemplateError) -> Int? {
        if position < scalars.count, scalars[position] == "*" {
            position += 1
            guard let width = try values.next().integer else { throw .type("* wants int") }
            guard width.magnitude < 1 << 31 else { throw .type("width too big") }
            return width
        }
        var number: Int?
        while position < scalars.count, let digit = scalars[position].properties.numericValue,
            scalars[position].isASCII
        {
            number = (number ?? 0) * 10 + Int(digit)
            guard number ?? 0 < 1 << 31 else { throw .type("width too big") }
            position += 1
        }
        return number
    }

    private func converted(
        _ conversion: Conversion, _ values: inout Values, isMarkup: Bool
    ) throws(TemplateError) -> Text {
        if conversion.kind == "%" { return "%" }
        var value: Value
        if let key = conversion.key {
            guard case .dict(let map)? = values.map else {
                guard values.map != nil else { throw .type("format requires a mapping") }
                throw .type("list indices must be integers or slices, not str")
            }
            guard let found = map[key] else { throw .type("\(PythonText.quoted(key))") }
            value = found
        } else {
            value = try values.next()
        }
        if isMarkup, "srac".unicodeScalars.contains(conversion.kind), conversion.kind == "s" {
            value = .string(try softText(value).htmlEscaped.plain)
        }
        var spec = FormatSpec()
        spec.width = conversion.width
        spec.precision = conversion.precision
        spec.isAlternate = conversion.flags.contains("#")
        spec.sign = conversion.flags.contains("+") ? "+" : conversion.flags.contains(" ") ? " " : "-"
        spec.alignment = conversion.flags.contains("-") ? "<" : ">"
        if conversion.flags.contains("0"), !conversion.flags.contains("-") {
            spec.fill = "0"
            spec.alignment = "="
        }
        return try text(of: value, conversion.kind, &spec)
    }

    private func text(
        of value: Value, _ kind: Unicode.Scalar, _ spec: inout FormatSpec
    ) throws(TemplateError) -> Text {
        switch kind {
        case "s", "r", "a":
            if spec.alignment == "=" {
                spec.alignment = ">"
                spec.fill = " "
            }
            spec.kind = "s"
            return try formatted(kind == "s" ? try string(of: value) : try representation(of: value), spec)
        case "c":
            if case .string(let text) = value, text.count == 1 { return try formatted(text, spec) }
            guard let code = value.integer, let scalar = UInt32(exactly: code).flatMap({ Unicode.Scalar($0) }) else {
                throw .type("%c requires int or char")
            }
            return try formatted(Text(scalar), spec)
        case "d", "i", "u", "x", "X", "o":
            spec.kind = kind == "i" || kind == "u" ? "d" : kind
            var integer = value
            if case .undefined(let undefined) = value { throw undefined.error }
            if case .float(let number) = value, spec.kind == "d" {
                guard let whole = self.integer(truncating: number) else {
                    throw .type("cannot convert float infinity or NaN to integer")
                }
                integer = whole
            }
            guard integer.integer != nil || integer.typeName == "int" else {
                throw .type("%\(kind) format: a real number is required, not \(value.typeName)")
            }
            spec.minimumDigits = spec.precision ?? 0
            spec.precision = nil
            return try formatted(integer, spec)
        case "e", "E", "f", "F", "g", "G":
            guard case .float(let number)? = try float(value), value.typeName != "str" else {
                throw .type("must be real number, not \(value.typeName)")
            }
            spec.kind = kind
            return try formatted(.float(number), spec)
        default: throw .type("unsupported format character '\(kind)'")
        }
    }
}

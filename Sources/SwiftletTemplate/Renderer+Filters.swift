// Jinja's filters: which parameters each has, and the ones about numbers and single values. The extensions beside it
// have those about text and about sequences.
// Invariant: parameters have Jinja's names, order and defaults.

extension Renderer {
    func apply(_ filter: FilterName, to value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        switch filter {
        case .map: return try map(value, arguments)
        case .select, .reject, .selectattr, .rejectattr: return try select(filter, value, arguments)
        case .format:
            if !arguments.positional.isEmpty, !arguments.keywords.isEmpty {
                throw .type("can't handle positional and keyword arguments at the same time")
            }
            let text = try softText(value)
            if arguments.keywords.isEmpty {
                return .string(try printf(text, .tuple(Elements(arguments.positional))))
            }
            let map = OrderedMap()
            for (name, value) in arguments.keywords { try map.set(.string(name), value) }
            return .string(try printf(text, .dict(map)))
        default: break
        }
        let (parameters, required) = Renderer.parameters(of: filter)
        let bound = try arguments.bound(filter.rawValue, parameters, required: required)
        return try nested { () throws(TemplateError) in
            if let result = try applyToText(filter, value, bound) { return result }
            if let result = try applyToSequence(filter, value, bound) { return result }
            return try applyToValue(filter, value, bound)
        }
    }

    /// What a filter takes beside the value, and how many of them it needs.
    private static func parameters(of filter: FilterName) -> ([String], required: Int) {
        switch filter {
        case .attr: (["name"], 1)
        case .batch: (["linecount", "fill_with"], 1)
        case .center: (["width"], 0)
        case .d, .default: (["default_value", "boolean"], 0)
        case .dictsort: (["case_sensitive", "by", "reverse"], 0)
        case .filesizeformat: (["binary"], 0)
        case .float: (["default"], 0)
        case .groupby: (["attribute", "default", "case_sensitive"], 1)
        case .indent: (["width", "first", "blank"], 0)
        case .int: (["default", "base"], 0)
        case .join: (["d", "attribute"], 0)
        case .max, .min, .unique: (["case_sensitive", "attribute"], 0)
        case .replace: (["old", "new", "count"], 2)
        case .round: (["precision", "method"], 0)
        case .slice: (["slices", "fill_with"], 1)
        case .sort: (["reverse", "case_sensitive", "attribute"], 0)
        case .sum: (["attribute", "start"], 0)
        case .tojson: (["ensure_ascii", "indent", "separators", "sort_keys"], 0)
        case .trim: (["chars"], 0)
        case .truncate: (["length", "killwords", "end", "leeway"], 0)
        case .urlize: (["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"], 0)
        case .wordwrap: (["width", "break_long_words", "wrapstring", "break_on_hyphens"], 0)
        case .xmlattr: (["autospace"], 0)
        default: ([], 0)
        }
    }

    private func applyToValue(
        _ filter: FilterName, _ value: Value, _ arguments: [Value?]
    ) throws(TemplateError) -> Value {
        switch filter {
        case .d, .default:
            var replaces = value.isUndefined
            if !replaces, try isTrue(arguments[1] ?? .none) { replaces = !(try isTrue(value)) }
            return replaces ? arguments[0] ?? .string(.empty) : value
        case .attr: return try attribute(value, try (arguments[0] ?? .none).requiredText("attr"))
        case .abs: return try absolute(value)
        case .int: return try integer(value, default: arguments[0] ?? .int(0), base: arguments[1])
        case .float:
            if let number = try float(value) { return number }
            return arguments[0] ?? .float(0)
        case .round: return try rounded(value, arguments)
        case .filesizeformat: return .string(try fileSize(value, isBinary: try isTrue(arguments[0] ?? .none)))
        case .length, .count: return .int(try length(of: value))
        case .tojson: return .string(try json(value, arguments))
        case .pprint:
            var printer = PrettyPrinter(renderer: self)
            return .string(try printer.text(of: value))
        default: throw .type("the filter '\(filter.rawValue)' is not supported in chat templates")
        }
    }

    /// `|attr`: the type's own attribute, never an item.
    private func attribute(_ value: Value, _ name: Text) throws(TemplateError) -> Value {
        try attribute(named: name, of: value) ?? .undefined(Undefined(attribute: .string(name), of: value))
    }

    private func absolute(_ value: Value) throws(TemplateError) -> Value {
        if let integer = value.integer {
            return integer < 0 ? try sign(isNegative: true, .int(integer)) : .int(integer)
        }
        if case .float(let number) = value { return .float(number.magnitude) }
        if case .wide(let digits) = value {
            return .wide(digits.hasPrefix("-") ? digits.slice(1..<digits.count) : digits)
        }
        if case .undefined(let undefined) = value { throw undefined.error }
        throw .type("bad operand type for abs(): '\(value.typeName)'")
    }

    // MARK: Numbers from values

    /// Jinja's `int`: what Python's `int` takes, else what `float` takes, else the default.
    private func integer(_ value: Value, default standard: Value, base: Value?) throws(TemplateError) -> Value {
        switch value {
        case .int, .wide: return value
        case .bool(let flag): return .int(flag ? 1 : 0)
        case .float(let number): return integer(truncating: number) ?? standard
        case .undefined(let undefined): throw undefined.error
        case .string(let text):
            // A base that is none leaves what Python's float reads.
            let radix = base == nil ? 10 : base?.integer ?? 1
            if radix == 0 || (2...36).contains(radix), let integer = NumberText.integer(text, radix: radix) {
                return integer
            }
            if let number = NumberText.float(text), let integer = integer(truncating: number) { return integer }
            return standard
        default: return standard
        }
    }

    func integer(truncating number: Double) -> Value? {
        guard number.isFinite else { return nil }
        if let integer = Int(exactly: number.rounded(.towardZero)) { return .int(integer) }
        return .wide(Text(NumberFormat.fixed(number.rounded(.towardZero), digits: 0)))
    }

    func float(_ value: Value) throws(TemplateError) -> Value? {
        if case .undefined(let undefined) = value { throw undefined.error }
        if case .string(let text) = value { return NumberText.float(text).map { .float($0) } }
        return value.number.map { .float($0) }
    }

    private func rounded(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let precision = try arguments[0].integer("round", default: 0)
        let method = try arguments[1].map { value throws(TemplateError) in try value.requiredText("round") } ?? "common"
        guard ["common", "ceil", "floor"].contains(method) else {
            throw .type("method must be common, ceil or floor")
        }
        if case .undefined(let undefined) = value { throw undefined.error }
        if method == "common" {
            if let integer = value.integer { return .int(Renderer.rounded(integer, precision)) }
            guard case .float(let number) = value else {
                if case .wide = value, precision >= 0 { return value }
                throw .type("type \(value.typeName) doesn't define __round__ method")
            }
            return .float(NumberFormat.rounded(number, digits: precision))
        }
        let factor = try binary(.power, .int(10), .int(precision))
        let scaled = try binary(.multiply, value, factor)
        guard let number = scaled.number else { throw .type("must be real number, not \(value.typeName)") }
        guard let whole = integer(truncating: number.rounded(method == "ceil" ? .up : .down)) else {
            throw .type("cannot convert float infinity or NaN to integer")
        }
        return try binary(.divide, whole, factor)
    }

    /// An integer to tens, hundreds and so on, halves to the even one.
    private static func rounded(_ value: Int, _ precision: Int) -> Int {
        guard precision < 0 else { return value }
        guard precision > -19 else { return 0 }
        var unit = 1
        for _ in 0..<(-precision) { unit *= 10 }
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: unit)
        let twice = UInt(remainder.magnitude) * 2
        let isUp = twice > UInt(unit) || twice == UInt(unit) && quotient % 2 != 0
        let rounded = isUp ? quotient + value.signum() : quotient
        let (product, overflow) = rounded.multipliedReportingOverflow(by: unit)
        return overflow ? value : product
    }

    private func fileSize(_ value: Value, isBinary: Bool) throws(TemplateError) -> Text {
        guard case .float(let bytes)? = try float(value) else {
            throw .type("could not convert \(value.typeName) to float")
        }
        let base: Double = isBinary ? 1024 : 1000
        if bytes == 1 { return "1 Byte" }
        if bytes < base { return Text("\(NumberFormat.fixed(bytes.rounded(.towardZero), digits: 0)) Bytes") }
        var unit = base
        let letters = ["k", "M", "G", "T", "P", "E", "Z", "Y"]
        for (position, letter) in letters.enumerated() {
            unit *= base
            guard bytes < unit || position == letters.count - 1 else { continue }
            let prefix = isBinary ? letter.uppercased() + "iB" : letter + "B"
            return Text("\(NumberFormat.fixed(base * bytes / unit, digits: 1)) \(prefix)")
        }
        return .empty
    }
}

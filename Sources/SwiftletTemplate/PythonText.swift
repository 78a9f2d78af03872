// Python's str() and repr(): what a template prints for a value that is no string.
// Invariant: the same text as Python 3 gives, quotes, escapes and the shortest digits of floats included.

enum PythonText {
    /// A string as a literal: in single quotes unless only those occur in it.
    static func quoted(_ text: Text) -> String {
        var bytes: [UInt8] = []
        appendQuoted(text, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    static func appendQuoted(_ text: Text, to result: inout [UInt8], ascii: Bool = false) {
        let single = UInt8(ascii: "'")
        let usesDouble = text.bytes.contains(single) && !text.bytes.contains(UInt8(ascii: "\""))
        let quote = usesDouble ? UInt8(ascii: "\"") : single
        result.append(quote)
        for scalar in text.scalars {
            switch scalar {
            case "\\": result += "\\\\".utf8
            case "\n": result += "\\n".utf8
            case "\r": result += "\\r".utf8
            case "\t": result += "\\t".utf8
            case _ where scalar.value == UInt32(quote): result += [UInt8(ascii: "\\"), quote]
            case _ where scalar.isPythonPrintable && (scalar.value < 0x80 || !ascii):
                result.append(scalar)
            default:
                let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
                let digits = String(scalar.value, radix: 16)
                result += "\\\(letter)\(String(repeating: "0", count: width - digits.count))\(digits)".utf8
            }
        }
        result.append(quote)
    }

    /// A float with the shortest digits that read back as it.
    static func float(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        let (digits, exponent) = shortestDigits(value.magnitude)
        let sign = value.sign == .minus ? "-" : ""
        if exponent < -3 || exponent > 16 {
            let rest = digits.dropFirst()
            let shown = exponent - 1
            let padded = (shown.magnitude < 10 ? "0" : "") + String(shown.magnitude)
            return "\(sign)\(digits.prefix(1))\(rest.isEmpty ? "" : ".")\(rest)e\(shown < 0 ? "-" : "+")\(padded)"
        }
        if exponent <= 0 { return "\(sign)0.\(String(repeating: "0", count: -exponent))\(digits)" }
        if digits.count <= exponent {
            return "\(sign)\(digits)\(String(repeating: "0", count: exponent - digits.count)).0"
        }
        return "\(sign)\(digits.prefix(exponent)).\(digits.dropFirst(exponent))"
    }

    /// Digits and the place of the point: 0.digits × 10^exponent.
    private static func shortestDigits(_ value: Double) -> (digits: String, exponent: Int) {
        if value == 0 { return ("0", 1) }
        let parts = value.description.split(separator: "e")
        let number = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let fraction = number.count > 1 && number[1] != "0" ? String(number[1]) : ""
        var digits = String(number[0]) + fraction
        var exponent = number[0].count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        while digits.hasPrefix("0"), digits.count > 1 {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.hasSuffix("0"), digits.count > 1 { digits.removeLast() }
        return (digits, exponent)
    }

    /// The repr of a value that has no parts.
    static func scalar(_ value: Value) -> String? {
        switch value {
        case .missing, .undefined: "Undefined"
        case .none: "None"
        case .bool(let flag): flag ? "True" : "False"
        case .int(let integer): String(integer)
        case .wide(let digits): digits.string
        case .float(let number): float(number)
        case .string(let text): text.isMarkup ? "Markup(\(quoted(text)))" : quoted(text)
        default: nil
        }
    }
}

extension Renderer {
    /// Python's `str(value)`.
    func string(of value: Value) throws(TemplateError) -> Text {
        switch value {
        case .string(let text): return text.plain
        case .missing, .undefined: return .empty
        case .int(let integer): return Text(String(integer))
        default:
            var bytes: [UInt8] = []
            try appendRepresentation(of: value, to: &bytes)
            return Text(utf8: bytes)
        }
    }

    /// Python's `repr(value)`.
    func representation(of value: Value) throws(TemplateError) -> Text {
        var bytes: [UInt8] = []
        try appendRepresentation(of: value, to: &bytes)
        return Text(utf8: bytes)
    }

    private func appendRepresentation(of value: Value, to bytes: inout [UInt8]) throws(TemplateError) {
        try charge()
        if let scalar = PythonText.scalar(value) {
            try charge(bytes: scalar.utf8.count)
            bytes += scalar.utf8
        } else {
            try enterNested()
            defer { leaveNested() }
            try appendContainer(value, to: &bytes)
        }
    }

    private func appendContainer(_ value: Value, to bytes: inout [UInt8]) throws(TemplateError) {
        switch value {
        case .list(let elements): try append(elements.values, "[", "]", to: &bytes)
        case .tuple(let elements):
            try append(elements.values, "(", elements.values.count == 1 ? ",)" : ")", to: &bytes)
        case .dict(let map): try append(map, to: &bytes)
        case .range(let range):
            bytes += "range(\(range.start), \(range.stop)\(range.step == 1 ? "" : ", \(range.step)"))".utf8
        case .view(let view):
            bytes += "\(view.kind.typeName)(".utf8
            try append((0..<view.count).map { view.value(at: $0) }, "[", "])", to: &bytes)
        case .namespace(let namespace):
            bytes += "<Namespace ".utf8
            try append(namespace.attributes, to: &bytes)
            bytes.append(UInt8(ascii: ">"))
        case .loop(let loop): bytes += "<LoopContext \(loop.index0 + 1)/\(try loop.length())>".utf8
        case .macro(let macro):
            bytes += "<Macro \(name(of: macro).map { PythonText.quoted($0) } ?? "anonymous")>".utf8
        // Python prints addresses here, which nobody can rely on.
        case .iterator, .function, .cycler, .joiner: bytes += "<\(value.typeName) object>".utf8
        default: preconditionFailure("a value without parts")
        }
    }

    private func append(_ values: [Value], _ open: String, _ close: String, to bytes: inout [UInt8])
        throws(TemplateError)
    {
        bytes += open.utf8
        for (position, value) in values.enumerated() {
            if position > 0 { bytes += ", ".utf8 }
            try appendRepresentation(of: value, to: &bytes)
        }
        bytes += close.utf8
    }

    private func append(_ map: OrderedMap, to bytes: inout [UInt8]) throws(TemplateError) {
        bytes.append(UInt8(ascii: "{"))
        for position in 0..<map.count {
            if position > 0 { bytes += ", ".utf8 }
            try appendRepresentation(of: map.keys[position], to: &bytes)
            bytes += ": ".utf8
            try appendRepresentation(of: map.values[position], to: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
    }
}

// `tojson` as transformers has it: Python's json.dumps with ensure_ascii off unless asked for.
// Invariant: dictionaries, lists, tuples, strings, numbers, booleans and None; anything else is an error.

extension Renderer {
    private struct JSONStyle {
        var isASCII: Bool
        /// What one level is indented by; nil is all on one line.
        var indent: Text?
        var itemSeparator: Text
        var keySeparator: Text
        var sortsKeys: Bool
    }

    func json(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Text {
        var style = JSONStyle(
            isASCII: try isTrue(arguments[0] ?? .none), indent: nil, itemSeparator: ", ", keySeparator: ": ",
            sortsKeys: try isTrue(arguments[3] ?? .none))
        if let indent = arguments[1], !indent.isNone {
            style.itemSeparator = ","
            if case .string(let text) = indent {
                style.indent = text
            } else {
                style.indent = try repeated(" ", try indent.requiredInteger("tojson"))
            }
        }
        if let separators = arguments[2], !separators.isNone {
            let parts = try elements(of: separators)
            guard parts.count == 2 else { throw .type("separators must be a pair") }
            style.itemSeparator = try parts[0].requiredText("tojson")
            style.keySeparator = try parts[1].requiredText("tojson")
        }
        var bytes: [UInt8] = []
        try appendJSON(value, style, level: 0, to: &bytes)
        return Text(utf8: bytes)
    }

    private func appendJSON(
        _ value: Value, _ style: JSONStyle, level: Int, to bytes: inout [UInt8]
    ) throws(TemplateError) {
        try charge()
        let start = bytes.count
        switch value {
        case .none: bytes += "null".utf8
        case .bool(let flag): bytes += (flag ? "true" : "false").utf8
        case .int(let integer): bytes += String(integer).utf8
        case .wide(let digits): bytes += digits.bytes
        case .float(let number): bytes += Renderer.jsonNumber(number).utf8
        case .string(let text): Renderer.appendJSON(text, isASCII: style.isASCII, to: &bytes)
        case .list(let elements), .tuple(let elements):
            try enterNested()
            defer { leaveNested() }
            try appendJSON(elements.values, style, level: level, to: &bytes)
        case .dict(let map):
            try enterNested()
            defer { leaveNested() }
            try appendJSON(map, style, level: level, to: &bytes)
        default: throw .type("Object of type \(value.typeName) is not JSON serializable")
        }
        try charge(bytes: value.depth == 0 ? bytes.count - start : 1)
    }

    private static func jsonNumber(_ number: Double) -> String {
        number.isNaN ? "NaN" : number.isInfinite ? (number < 0 ? "-Infinity" : "Infinity") : PythonText.float(number)
    }

    /// A separator's line end and indentation.
    private func appendLine(_ style: JSONStyle, level: Int, to bytes: inout [UInt8]) throws(TemplateError) {
        guard let indent = style.indent else { return }
        bytes.append(UInt8(ascii: "\n"))
        try charge(bytes: indent.bytes.count * level + 1)
        for _ in 0..<level { bytes += indent.bytes }
    }

    private func appendJSON(
        _ values: [Value], _ style: JSONStyle, level: Int, to bytes: inout [UInt8]
    ) throws(TemplateError) {
        if values.isEmpty { return bytes += "[]".utf8 }
        bytes.append(UInt8(ascii: "["))
        for (position, value) in values.enumerated() {
            if position > 0 { bytes += style.itemSeparator.bytes }
            try appendLine(style, level: level + 1, to: &bytes)
            try appendJSON(value, style, level: level + 1, to: &bytes)
        }
        try appendLine(style, level: level, to: &bytes)
        bytes.append(UInt8(ascii: "]"))
    }

    private func appendJSON(
        _ map: OrderedMap, _ style: JSONStyle, level: Int, to bytes: inout [UInt8]
    ) throws(TemplateError) {
        if map.count == 0 { return bytes += "{}".utf8 }
        var order = Array(0..<map.count)
        if style.sortsKeys {
            order = try sorted(order.map { .int($0) }, by: map.keys, reversed: false).compactMap(\.integer)
        }
        bytes.append(UInt8(ascii: "{"))
        for (count, position) in order.enumerated() {
            if count > 0 { bytes += style.itemSeparator.bytes }
            try appendLine(style, level: level + 1, to: &bytes)
            Renderer.appendJSON(try jsonKey(map.keys[position]), isASCII: style.isASCII, to: &bytes)
            bytes += style.keySeparator.bytes
            try appendJSON(map.values[position], style, level: level + 1, to: &bytes)
        }
        try appendLine(style, level: level, to: &bytes)
        bytes.append(UInt8(ascii: "}"))
    }

    private func jsonKey(_ key: Value) throws(TemplateError) -> Text {
        switch key {
        case .string(let text): return text
        case .none: return "null"
        case .bool(let flag): return flag ? "true" : "false"
        case .int(let integer): return Text(String(integer))
        case .wide(let digits): return digits
        case .float(let number): return Text(Renderer.jsonNumber(number))
        default: throw .type("keys must be str, int, float, bool or None, not \(key.typeName)")
        }
    }

    private static func appendJSON(_ text: Text, isASCII: Bool, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        if isASCII, !text.isASCII {
            for scalar in text.scalars {
                if scalar.isASCII {
                    appendJSON(UInt8(scalar.value), to: &bytes)
                } else {
                    for unit in UTF16.encode(scalar).map({ Array($0) }) ?? [] { appendEscape(unit, to: &bytes) }
                }
            }
        } else {
            for byte in text.bytes { appendJSON(byte, to: &bytes) }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private static func appendEscape(_ unit: UInt16, to bytes: inout [UInt8]) {
        let digits = String(unit, radix: 16)
        bytes += "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".utf8
    }

    @inline(__always)
    private static func appendJSON(_ byte: UInt8, to bytes: inout [UInt8]) {
        if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { return bytes.append(byte) }
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
        case 0x0A: bytes += "\\n".utf8
        case 0x0D: bytes += "\\r".utf8
        case 0x09: bytes += "\\t".utf8
        case 0x08: bytes += "\\b".utf8
        case 0x0C: bytes += "\\f".utf8
        default: appendEscape(UInt16(byte), to: &bytes)
        }
    }
}

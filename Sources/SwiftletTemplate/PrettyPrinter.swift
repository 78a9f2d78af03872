// `pprint`: Python's pprint.pformat, 80 columns wide, dictionaries sorted by key.
// Owned by the filter for one value.
// Invariant: what fits its line is written as its repr.

struct PrettyPrinter {
    let renderer: Renderer
    private static let width = 80
    private var output = Text.empty

    init(renderer: Renderer) { self.renderer = renderer }

    mutating func text(of value: Value) throws(TemplateError) -> Text {
        try write(value, indent: 0, allowance: 0, level: 0)
        return output
    }

    private mutating func write(_ text: Text) throws(TemplateError) {
        try renderer.charge(bytes: text.bytes.count)
        output.append(text)
    }

    private mutating func writeLine(_ indent: Int, after text: Text = "") throws(TemplateError) {
        try write(text + "\n" + (try renderer.repeated(" ", indent)))
    }

    private mutating func write(_ value: Value, indent: Int, allowance: Int, level: Int) throws(TemplateError) {
        let short = try representation(of: value)
        guard short.count > PrettyPrinter.width - indent - allowance else { return try write(short) }
        switch value {
        case .dict(let map):
            try write("{")
            let items = try sorted(map)
            for (position, (key, value)) in items.enumerated() {
                let name = try representation(of: key)
                try write(name + ": ")
                let isLast = position == items.count - 1
                try write(
                    value, indent: indent + 1 + name.count + 2, allowance: isLast ? allowance + 1 : 1,
                    level: level + 1)
                if !isLast { try writeLine(indent + 1, after: ",") }
            }
            try write("}")
        case .list(let elements):
            try write(elements.values, "[", "]", indent: indent, allowance: allowance, level: level)
        case .tuple(let elements) where !elements.isGroup:
            let close: Text = elements.values.count == 1 ? ",)" : ")"
            try write(elements.values, "(", close, indent: indent, allowance: allowance, level: level)
        case .string(let text) where !text.isMarkup && !text.isEmpty:
            try write(text, indent: indent, allowance: allowance, level: level + 1)
        default: try write(short)
        }
    }

    private mutating func write(
        _ values: [Value], _ open: Text, _ close: Text, indent: Int, allowance: Int, level: Int
    ) throws(TemplateError) {
        try write(open)
        for (position, value) in values.enumerated() {
            if position > 0 { try writeLine(indent + 1, after: ",") }
            let isLast = position == values.count - 1
            try write(
                value, indent: indent + 1, allowance: isLast ? allowance + close.count : 1, level: level + 1)
        }
        try write(close)
    }

    /// A long string as several literals, one a line.
    private mutating func write(_ text: Text, indent: Int, allowance: Int, level: Int) throws(TemplateError) {
        let isOutermost = level == 1
        let indent = indent + (isOutermost ? 1 : 0)
        let allowance = allowance + (isOutermost ? 1 : 0)
        let width = PrettyPrinter.width - indent
        var chunks: [Text] = []
        let lines = text.lines(keepingEnds: true)
        for (position, line) in lines.enumerated() {
            let isLast = position == lines.count - 1
            let whole = Text(PythonText.quoted(line))
            if whole.count <= width - (isLast ? allowance : 0) {
                chunks.append(whole)
                continue
            }
            var current = Text.empty
            let parts = PrettyPrinter.parts(of: line)
            for (index, part) in parts.enumerated() {
                let candidate = current + part
                try renderer.charge(bytes: 2 * candidate.bytes.count)
                let room = width - (isLast && index == parts.count - 1 ? allowance : 0)
                if Text(PythonText.quoted(candidate)).count > room {
                    if !current.isEmpty { chunks.append(Text(PythonText.quoted(current))) }
                    current = part
                } else {
                    current = candidate
                }
            }
            if !current.isEmpty { chunks.append(Text(PythonText.quoted(current))) }
        }
        if chunks.count == 1 { return try write(Text(PythonText.quoted(lines[0]))) }
        if isOutermost { try write("(") }
        for (position, chunk) in chunks.enumerated() {
            if position > 0 { try writeLine(indent) }
            try write(chunk)
        }
        if isOutermost { try write(")") }
    }

    /// Words, each with the whitespace behind it.
    private static func parts(of line: Text) -> [Text] {
        var parts: [Text] = []
        var current = Text.empty
        var isInSpace = false
        for scalar in line.scalars {
            if isInSpace, !scalar.isPythonSpace {
                parts.append(current)
                current = .empty
            }
            isInSpace = scalar.isPythonSpace
            current.append(Text(scalar))
        }
        return current.isEmpty ? parts : parts + [current]
    }

    // MARK: One line

    private func sorted(_ map: OrderedMap) throws(TemplateError) -> [(Value, Value)] {
        let order = try renderer.sortedLeniently(map.keys)
        return order.map { (map.keys[$0], map.values[$0]) }
    }

    private func representation(of value: Value) throws(TemplateError) -> Text {
        try renderer.charge()
        switch value {
        case .dict(let map):
            try renderer.enterNested()
            defer { renderer.leaveNested() }
            var parts: [Text] = []
            for (key, value) in try sorted(map) {
                parts.append(try representation(of: key) + ": " + representation(of: value))
            }
            return try "{" + renderer.join(parts, with: ", ") + "}"
        case .list(let elements): return try "[" + representation(of: elements.values) + "]"
        case .tuple(let elements) where !elements.isGroup:
            return try "(" + representation(of: elements.values) + (elements.values.count == 1 ? ",)" : ")")
        default: return try renderer.representation(of: value)
        }
    }

    private func representation(of values: [Value]) throws(TemplateError) -> Text {
        try renderer.enterNested()
        defer { renderer.leaveNested() }
        var parts: [Text] = []
        for value in values { parts.append(try representation(of: value)) }
        return try renderer.join(parts, with: ", ")
    }
}

extension Renderer {
    /// The order of keys of which some can't be compared: those by the names of their types.
    fileprivate func sortedLeniently(_ keys: [Value]) throws(TemplateError) -> [Int] {
        let places: [Value] = keys.indices.map { .int($0) }
        do {
            return try sorted(places, by: keys, reversed: false).compactMap(\.integer)
        } catch  where error.code == .type {
            return try sorted(places, by: keys.map { .string($0.typeName) }, reversed: false).compactMap(\.integer)
        }
    }
}

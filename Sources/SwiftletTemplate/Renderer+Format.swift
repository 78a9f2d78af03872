// Python's `str.format`, with the sandbox's rules for attributes in field names.
// Invariant: a field reaches nothing that the same expression in a template could not.

extension Renderer {
    private enum Numbering { case unknown, automatic(Int), manual }

    func format(_ text: Text, _ arguments: CallArguments) throws(TemplateError) -> Text {
        var numbering = Numbering.unknown
        let result = try format(Array(text.scalars)[...], arguments, &numbering, level: 2, isMarkup: text.isMarkup)
        return result.marked(text.isMarkup)
    }

    private func format(
        _ scalars: ArraySlice<Unicode.Scalar>, _ arguments: CallArguments, _ numbering: inout Numbering, level: Int,
        isMarkup: Bool
    ) throws(TemplateError) -> Text {
        guard level > 0 else { throw .type("Max string recursion exceeded") }
        var result = Text.empty
        var position = scalars.startIndex
        while position < scalars.endIndex {
            let scalar = scalars[position]
            let isDoubled = position + 1 < scalars.endIndex && scalars[position + 1] == scalar
            if scalar != "{", scalar != "}" {
                let end = scalars[position...].firstIndex { $0 == "{" || $0 == "}" } ?? scalars.endIndex
                result.append(Text(scalars: scalars[position..<end]))
                position = end
            } else if isDoubled {
                result.append(Text(scalar))
                position += 2
            } else if scalar == "}" {
                throw .type("Single '}' encountered in format string")
            } else {
                let end = try fieldEnd(scalars, from: position)
                let field = scalars[(position + 1)..<end]
                let value = try self.field(field, arguments, &numbering, level: level, isMarkup: isMarkup)
                try charge(bytes: value.bytes.count + 16)
                result.append(value)
                position = end + 1
            }
        }
        return result
    }

    /// Where the brace closes that opens at `start`.
    private func fieldEnd(_ scalars: ArraySlice<Unicode.Scalar>, from start: Int) throws(TemplateError) -> Int {
        guard start + 1 < scalars.endIndex else { throw .type("Single '{' encountered in format string") }
        var depth = 0
        var isInBrackets = false
        for position in start..<scalars.endIndex {
            switch scalars[position] {
            case "[" where depth == 1: isInBrackets = true
            case "]": isInBrackets = false
            case "{" where !isInBrackets: depth += 1
            case "}" where !isInBrackets:
                depth -= 1
                if depth == 0 { return position }
            default: break
            }
        }
        throw .type("expected '}' before end of string")
    }

    /// `name!conversion:specification`
    private func field(
        _ field: ArraySlice<Unicode.Scalar>, _ arguments: CallArguments, _ numbering: inout Numbering, level: Int,
        isMarkup: Bool
    ) throws(TemplateError) -> Text {
        var end = field.startIndex
        var isInBrackets = false
        while end < field.endIndex {
            if field[end] == "[" { isInBrackets = true }
            if field[end] == "]" { isInBrackets = false }
            if !isInBrackets, field[end] == "!" || field[end] == ":" { break }
            end += 1
        }
        var value = try lookUp(field[field.startIndex..<end], arguments, &numbering)
        if end < field.endIndex, field[end] == "!" {
            guard end + 1 < field.endIndex, end + 2 == field.endIndex || field[end + 2] == ":" else {
                throw .type("expected ':' after conversion specifier")
            }
            switch field[end + 1] {
            case "s": value = .string(try string(of: value))
            case "r": value = .string(try representation(of: value))
            case "a":
                var bytes: [UInt8] = []
                if case .string(let text) = value {
                    PythonText.appendQuoted(text, to: &bytes, ascii: true)
                } else {
                    bytes = try representation(of: value).bytes
                }
                value = .string(Text(utf8: bytes))
            default: throw .type("Unknown conversion specifier \(field[end + 1])")
            }
            end += 2
        }
        let specification = end < field.endIndex ? field[(end + 1)...] : []
        let spec = try format(specification, arguments, &numbering, level: level - 1, isMarkup: false)
        if spec.isEmpty {
            let text = try string(of: value)
            if isMarkup, case .string(let own) = value { return own.htmlEscaped.plain }
            return isMarkup ? text.htmlEscaped.plain : text
        }
        let text = try formatted(value, try FormatSpec(spec))
        return isMarkup ? text.plain.htmlEscaped.plain : text
    }

    /// The value of `0.name[key]`.
    private func lookUp(
        _ name: ArraySlice<Unicode.Scalar>, _ arguments: CallArguments, _ numbering: inout Numbering
    ) throws(TemplateError) -> Value {
        let first = name.firstIndex { $0 == "." || $0 == "[" } ?? name.endIndex
        var value = try argument(Text(scalars: name[..<first]), arguments, &numbering)
        var position = first
        while position < name.endIndex {
            if name[position] == "." {
                let end = name[(position + 1)...].firstIndex { $0 == "." || $0 == "[" } ?? name.endIndex
                guard end > position + 1 else { throw .type("Empty attribute in format string") }
                value = try attribute(orItem: Text(scalars: name[(position + 1)..<end]), of: value)
                position = end
            } else if name[position] == "[" {
                guard let end = name[position...].firstIndex(of: "]") else {
                    throw .type("Missing ']' in format string")
                }
                let key = Text(scalars: name[(position + 1)..<end])
                guard !key.isEmpty else { throw .type("Empty attribute in format string") }
                let isIndex = key.bytes.allSatisfy { $0 &- 0x30 < 10 }
                value = try item(isIndex ? Int(key.string).map { .int($0) } ?? .string(key) : .string(key), of: value)
                position = end + 1
            } else {
                throw .type("Only '.' or '[' may follow ']' in format field specifier")
            }
        }
        return value
    }

    private func attribute(orItem name: Text, of value: Value) throws(TemplateError) -> Value {
        if let found = try attribute(named: name, of: value) { return found }
        if case .dict(let map) = value, let found = map[name] { return found }
        return .undefined(Undefined(attribute: .string(name), of: value))
    }

    private func argument(
        _ name: Text, _ arguments: CallArguments, _ numbering: inout Numbering
    ) throws(TemplateError) -> Value {
        var index: Int?
        if name.isEmpty {
            switch numbering {
            case .manual: throw .type("cannot switch from manual field specification to automatic field numbering")
            case .unknown: index = 0
            case .automatic(let next): index = next
            }
            numbering = .automatic((index ?? 0) + 1)
        } else if name.bytes.allSatisfy({ $0 &- 0x30 < 10 }) {
            if case .automatic = numbering {
                throw .type("cannot switch from manual field specification to automatic field numbering")
            }
            numbering = .manual
            index = Int(name.string)
        }
        if let index {
            guard index < arguments.positional.count else {
                throw .type("Replacement index \(index) out of range for positional args tuple")
            }
            return arguments.positional[index]
        }
        guard let found = arguments.keywords.first(where: { $0.name == name }) else {
            throw .type(PythonText.quoted(name))
        }
        return found.value
    }
}

// ToolSchemas: which types the parameters of the tools may have, for a format that writes values without quotes.
// Owned by AnswerParser.
// Invariant: a parameter of which nothing is known has no types.

struct ToolSchemas: Sendable {
    private var types: [String: [String: Set<String>]] = [:]

    /// - Parameter tools: JSON schemas of functions, bare or as `{"type": "function", "function": {…}}`.
    init(_ tools: [TemplateValue]) {
        for tool in tools {
            let function = tool["function"] ?? tool
            guard case .string(let name)? = function["name"],
                case .object(let properties)? = function["parameters"]?["properties"]
            else { continue }
            for property in properties {
                types[name, default: [:]][property.key] = Self.types(property.value, depth: 0)
            }
        }
    }

    func types(of parameter: String, in function: String) -> Set<String> { types[function]?[parameter] ?? [] }

    private static func types(_ schema: TemplateValue, depth: Int) -> Set<String> {
        var result: Set<String> = []
        switch schema["type"] {
        case .string(let type)?: result = [type]
        case .array(let list)?:
            for case .string(let type) in list { result.insert(type) }
        default: break
        }
        guard depth < 4 else { return result }
        for key in ["anyOf", "oneOf"] {
            guard case .array(let choices)? = schema[key] else { continue }
            for choice in choices { result.formUnion(types(choice, depth: depth + 1)) }
        }
        return result
    }
}

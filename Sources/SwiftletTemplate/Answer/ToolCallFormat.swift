// ToolCallFormat: the ways in which models write that they want a function to be called, and how a chat template shows
// which one its model knows.
// Invariant: a template whose way is none of these is not taken for one that looks similar.

/// How a model writes tool calls. The names are those of vLLM's `--tool-call-parser`.
public enum ToolCallFormat: String, Sendable, Hashable, CaseIterable {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes, Qwen 2.5 and 3, Granite 4.
    case hermes
    /// `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`: Qwen3-Coder, Qwen 3.5.
    case qwen3Coder = "qwen3_coder"
    /// `{"name": …, "parameters": {…}}` as the whole answer, several with `;` between them: Llama 3.
    case llama3JSON = "llama3_json"
    /// `[TOOL_CALLS][{"name": …, "arguments": {…}}]`, or `[TOOL_CALLS]name[ARGS]{…}`: Mistral.
    case mistral

    /// vLLM's other names for the same.
    private static let aliases: [String: ToolCallFormat] = [
        "qwen3_json": .hermes, "qwen3_xml": .qwen3Coder, "llama4_json": .llama3JSON,
    ]

    /// - Parameter name: A name of vLLM's `--tool-call-parser`; nil for one that is not known here.
    public init?(parserName name: String) {
        guard let format = ToolCallFormat(rawValue: name) ?? Self.aliases[name] else { return nil }
        self = format
    }

    /// What a chat template's text says about its model; nil when it says nothing that is known here.
    public static func detect(in template: String) -> ToolCallFormat? {
        let text = Array(template.utf8)
        func has(_ part: String) -> Bool { text.contains(part) }
        if has("[TOOL_CALLS]") { return .mistral }
        if has("<tool_call>"), has("<function="), has("<parameter=") { return .qwen3Coder }
        let showsObject = has(#"{"name""#) || has(#"{\"name\""#)
        if has("<tool_call>"), showsObject, !has("<arg_key>"), !has("<function=") { return .hermes }
        if has("ipython") || has("<|python_tag|>"), showsObject, has(#""parameters""#), !has("<function=") {
            return .llama3JSON
        }
        return nil
    }

    /// Whether the marks around a call are special tokens, which a request must not skip (`skip_special_tokens`).
    public var usesSpecialTokens: Bool { self == .mistral || self == .llama3JSON }

    /// What announces a call.
    var mark: [UInt8] {
        switch self {
        case .hermes, .qwen3Coder: Array("<tool_call>".utf8)
        case .llama3JSON: Array("<|python_tag|>".utf8)
        case .mistral: Array("[TOOL_CALLS]".utf8)
        }
    }

    /// An id for a new call: nine letters and digits for Mistral, whose templates want it so, else one like OpenAI's.
    func newID() -> String {
        let letters = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".utf8)
        let random = (0..<(self == .mistral ? 9 : 24)).map { _ in letters[Int.random(in: letters.indices)] }
        return (self == .mistral ? "" : "call_") + String(decoding: random, as: UTF8.self)
    }
}

extension [UInt8] {
    /// Whether a text is somewhere in this one.
    func contains(_ part: String) -> Bool {
        let part = Array(part.utf8)
        guard let first = part.first, count >= part.count else { return false }
        return (0...count - part.count).contains { self[$0] == first && self[$0...].starts(with: part) }
    }
}

// ReasoningFormat: the marks between which models think, and whether an answer begins behind the opening one.
// Invariant: where a prompt shows that thinking is over, an answer does not begin with it.

/// How a model marks its reasoning. The names are those of vLLM's `--reasoning-parser`.
public enum ReasoningFormat: String, Sendable, Hashable, CaseIterable {
    /// `<think>…</think>` when the model chooses to think: Qwen 3 and most others.
    case qwen3
    /// `<think>…</think>`, and an answer without the opening mark begins with reasoning all the same: DeepSeek R1.
    case deepseekR1 = "deepseek_r1"
    /// `[THINK]…[/THINK]`: Mistral.
    case mistral

    /// - Parameter name: A name of vLLM's `--reasoning-parser`; nil for one that is not known here.
    public init?(parserName name: String) {
        guard let format = ReasoningFormat(rawValue: name) else { return nil }
        self = format
    }

    /// What a chat template's text says about its model; nil when no mark is in it.
    public static func detect(in template: String) -> ReasoningFormat? {
        let text = Array(template.utf8)
        if text.contains("[THINK]") { return .mistral }
        return text.contains("</think>") ? .qwen3 : nil
    }

    /// Whether the answer to a prompt begins with reasoning, because the prompt ends with the opening mark.
    public func startsInReasoning(prompt: String) -> Bool {
        var end = prompt.utf8[...]
        while let last = end.last, last.isJSONWhitespace { end.removeLast() }
        if end.suffix(opening.count).elementsEqual(opening) { return true }
        return self == .deepseekR1 && !end.suffix(closing.count).elementsEqual(closing)
    }

    /// Whether the marks are special tokens, which a request must not skip (`skip_special_tokens`).
    public var usesSpecialTokens: Bool { self == .mistral }

    var opening: [UInt8] { Array((self == .mistral ? "[THINK]" : "<think>").utf8) }
    var closing: [UInt8] { Array((self == .mistral ? "[/THINK]" : "</think>").utf8) }
}

extension UInt8 {
    var isJSONWhitespace: Bool { self == 0x20 || self == 0x0A || self == 0x0D || self == 0x09 }
}

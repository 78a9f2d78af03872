// SamplingParams: how the tokens of one request are chosen, and when it ends. vLLM's names and meanings.
// A value; `validate()` is called once, at submission.

public import SwiftletTokenizer

/// Sampling parameters of one request, with vLLM's meanings (its names in each comment).
public struct SamplingParams: Sendable, Hashable {
    /// How many completions to make of the prompt, 1...64 (`n`).
    public var n: Int
    /// 0 is greedy; higher is more random (`temperature`).
    public var temperature: Float
    /// Sample among the k most probable tokens only; nil is all (`top_k`, where -1 or 0 is all).
    public var topK: Int?
    /// Sample among the most probable tokens whose probabilities reach this sum, in (0, 1] (`top_p`).
    public var topP: Float
    /// Drop tokens less probable than this share of the most probable one, in [0, 1] (`min_p`).
    public var minP: Float
    /// Subtracted once from the logit of each token that the output already has, in [-2, 2] (`presence_penalty`).
    public var presencePenalty: Float
    /// Subtracted per occurrence in the output, in [-2, 2] (`frequency_penalty`).
    public var frequencyPenalty: Float
    /// Divides (multiplies, when negative) the logits of tokens in prompt or output, above 0 (`repetition_penalty`).
    public var repetitionPenalty: Float
    /// The same seed gives the same tokens, whatever else runs; nil draws one (`seed`).
    public var seed: UInt64?
    /// At most this many tokens; nil is what the context has left (`max_tokens`).
    public var maxTokens: Int?
    /// No end-of-sequence or stop before this many tokens (`min_tokens`).
    public var minTokens: Int
    /// Strings that end the output, also across token boundaries (`stop`).
    public var stop: [String]
    /// Whether the text keeps the stop string or stop token that ended it (`include_stop_str_in_output`).
    public var includeStopStringInOutput: Bool
    /// Tokens that end the output, besides the model's own end-of-sequence tokens (`stop_token_ids`).
    public var stopTokenIDs: [TokenID]
    /// Go on past the model's end-of-sequence tokens (`ignore_eos`).
    public var ignoreEOS: Bool
    /// Added to the logits of these tokens, each in [-100, 100] (`logit_bias`).
    public var logitBias: [TokenID: Float]
    /// Only these tokens may be chosen; nil is all (`allowed_token_ids`).
    public var allowedTokenIDs: [TokenID]?
    /// Report the chosen token's log-probability and those of this many most probable tokens (`logprobs`).
    public var logprobs: Int?
    /// The same for each prompt token given the ones before it (`prompt_logprobs`).
    public var promptLogprobs: Int?
    /// Leave special tokens out of the text (`skip_special_tokens`).
    public var skipSpecialTokens: Bool

    public init(
        n: Int = 1, temperature: Float = 1, topK: Int? = nil, topP: Float = 1, minP: Float = 0,
        presencePenalty: Float = 0, frequencyPenalty: Float = 0, repetitionPenalty: Float = 1,
        seed: UInt64? = nil, maxTokens: Int? = 16, minTokens: Int = 0, stop: [String] = [],
        includeStopStringInOutput: Bool = false, stopTokenIDs: [TokenID] = [], ignoreEOS: Bool = false,
        logitBias: [TokenID: Float] = [:], allowedTokenIDs: [TokenID]? = nil, logprobs: Int? = nil,
        promptLogprobs: Int? = nil, skipSpecialTokens: Bool = true
    ) {
        self.n = n
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
        self.maxTokens = maxTokens
        self.minTokens = minTokens
        self.stop = stop
        self.includeStopStringInOutput = includeStopStringInOutput
        self.stopTokenIDs = stopTokenIDs
        self.ignoreEOS = ignoreEOS
        self.logitBias = logitBias
        self.allowedTokenIDs = allowedTokenIDs
        self.logprobs = logprobs
        self.promptLogprobs = promptLogprobs
        self.skipSpecialTokens = skipSpecialTokens
    }

    /// The most probable token at every step.
    public static let greedy = SamplingParams(temperature: 0)
}

extension SamplingParams {
    /// Checks every field's range.
    ///
    /// - Parameters:
    ///   - vocabularySize: Token ids must lie below it.
    ///   - maxLogprobs: The engine's limit for `logprobs` and `promptLogprobs`.
    /// - Throws: ``LLMError`` with code `invalidRequest` that names the field, its value and the range.
    public func validate(vocabularySize: Int, maxLogprobs: Int = 20) throws(LLMError) {
        func require(_ holds: Bool, _ field: String, _ value: some Any, _ range: String) throws(LLMError) {
            if !holds { throw LLMError(.invalidRequest, "\(field) is \(value); it must be \(range)") }
        }
        try require((1...64).contains(n), "n", n, "in 1...64")
        try require(temperature >= 0 && temperature <= 1e6, "temperature", temperature, "0 (greedy) or above")
        try require(topK.map { $0 >= 1 } ?? true, "top_k", topK ?? 0, "1 or more (absent: off)")
        try require(topP > 0 && topP <= 1, "top_p", topP, "in (0, 1]")
        try require(minP >= 0 && minP <= 1, "min_p", minP, "in [0, 1]")
        try require(abs(presencePenalty) <= 2, "presence_penalty", presencePenalty, "in [-2, 2]")
        try require(abs(frequencyPenalty) <= 2, "frequency_penalty", frequencyPenalty, "in [-2, 2]")
        try require(
            repetitionPenalty > 0 && repetitionPenalty <= 1e6, "repetition_penalty", repetitionPenalty, "above 0")
        try require(maxTokens.map { $0 >= 1 } ?? true, "max_tokens", maxTokens ?? 0, "1 or more")
        try require(minTokens >= 0, "min_tokens", minTokens, "0 or more")
        if let maxTokens {
            try require(minTokens <= maxTokens, "min_tokens", minTokens, "at most max_tokens (\(maxTokens))")
        }
        try require(stop.count <= 64, "the number of stop strings", stop.count, "at most 64")
        try require(stop.allSatisfy { !$0.isEmpty }, "stop", "\"\"", "a list of non-empty strings")
        try require(logitBias.count <= 1024, "the number of logit_bias entries", logitBias.count, "at most 1024")
        for (id, bias) in logitBias {
            try require(id >= 0 && id < vocabularySize, "logit_bias", id, "on tokens in 0..<\(vocabularySize)")
            try require(abs(bias) <= 100, "logit_bias", bias, "in [-100, 100]")
        }
        for id in stopTokenIDs {
            try require(id >= 0 && id < vocabularySize, "stop_token_ids", id, "in 0..<\(vocabularySize)")
        }
        if let allowedTokenIDs {
            try require(!allowedTokenIDs.isEmpty, "allowed_token_ids", "[]", "non-empty (absent: all are allowed)")
            for id in allowedTokenIDs {
                try require(id >= 0 && id < vocabularySize, "allowed_token_ids", id, "in 0..<\(vocabularySize)")
            }
        }
        let logprobRange = "in 0...\(maxLogprobs) (max-logprobs)"
        try require((0...maxLogprobs).contains(logprobs ?? 0), "logprobs", logprobs ?? 0, logprobRange)
        try require(
            (0...maxLogprobs).contains(promptLogprobs ?? 0), "prompt_logprobs", promptLogprobs ?? 0, logprobRange)
    }
}

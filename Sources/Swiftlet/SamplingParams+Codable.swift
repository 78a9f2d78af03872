// SamplingParams in JSON: vLLM's snake_case keys, shared by JSONL files and request bodies.
// Invariant: a key that is not understood is an error, never silently ignored.

import SwiftletTokenizer

extension CodingUserInfoKey {
    /// A ``SamplingParams`` for `Decoder.userInfo`: what fields that are not given take.
    public static let samplingDefaults = CodingUserInfoKey(rawValue: "swiftlet.samplingDefaults")!
}

extension SamplingParams: Codable {
    enum Key: String, CodingKey, CaseIterable {
        case n, temperature, seed, stop, logprobs
        case topK = "top_k"
        case topP = "top_p"
        case minP = "min_p"
        case presencePenalty = "presence_penalty"
        case frequencyPenalty = "frequency_penalty"
        case repetitionPenalty = "repetition_penalty"
        case maxTokens = "max_tokens"
        case minTokens = "min_tokens"
        case includeStopStringInOutput = "include_stop_str_in_output"
        case stopTokenIDs = "stop_token_ids"
        case ignoreEOS = "ignore_eos"
        case logitBias = "logit_bias"
        case allowedTokenIDs = "allowed_token_ids"
        case promptLogprobs = "prompt_logprobs"
        case skipSpecialTokens = "skip_special_tokens"
    }

    /// Any key, to find the ones that are not known.
    private struct AnyKey: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    public init(from decoder: any Decoder) throws {
        for key in try decoder.container(keyedBy: AnyKey.self).allKeys where Key(rawValue: key.stringValue) == nil {
            let known = Key.allCases.map(\.rawValue).sorted().joined(separator: ", ")
            throw LLMError(
                .invalidRequest, "sampling parameter \"\(key.stringValue)\" is not known; known are \(known)")
        }
        let fields = try decoder.container(keyedBy: Key.self)
        self = decoder.userInfo[.samplingDefaults] as? SamplingParams ?? SamplingParams()
        func read<T: Decodable>(_ key: Key, into field: inout T) throws {
            if let value = try fields.decodeIfPresent(T.self, forKey: key) { field = value }
        }
        /// An explicit null means "off", unlike an absent key.
        func readOptional<T: Decodable>(_ key: Key, into field: inout T?) throws {
            if fields.contains(key) { field = try fields.decodeIfPresent(T.self, forKey: key) }
        }
        try read(.n, into: &n)
        try read(.temperature, into: &temperature)
        try readOptional(.topK, into: &topK)
        if let k = topK, k == 0 || k == -1 { topK = nil }
        try read(.topP, into: &topP)
        try read(.minP, into: &minP)
        try read(.presencePenalty, into: &presencePenalty)
        try read(.frequencyPenalty, into: &frequencyPenalty)
        try read(.repetitionPenalty, into: &repetitionPenalty)
        try readSeed(fields)
        try readOptional(.maxTokens, into: &maxTokens)
        try read(.minTokens, into: &minTokens)
        try read(.includeStopStringInOutput, into: &includeStopStringInOutput)
        try read(.stopTokenIDs, into: &stopTokenIDs)
        try read(.ignoreEOS, into: &ignoreEOS)
        try readOptional(.allowedTokenIDs, into: &allowedTokenIDs)
        try readOptional(.logprobs, into: &logprobs)
        try readOptional(.promptLogprobs, into: &promptLogprobs)
        try read(.skipSpecialTokens, into: &skipSpecialTokens)
        if let one = try? fields.decodeIfPresent(String.self, forKey: .stop) {
            stop = [one]
        } else {
            try read(.stop, into: &stop)
        }
        if let biases = try fields.decodeIfPresent([String: Double].self, forKey: .logitBias) {
            logitBias = [:]
            for (key, bias) in biases {
                guard let id = TokenID(key) else {
                    throw LLMError(.invalidRequest, "logit_bias has the key \"\(key)\"; keys must be token ids")
                }
                logitBias[id] = Float(bias)
            }
        }
    }

    /// As in vLLM, any integer is a seed, and -1 means none.
    private mutating func readSeed(_ fields: KeyedDecodingContainer<Key>) throws {
        guard fields.contains(.seed) else { return }
        if let signed = try? fields.decodeIfPresent(Int64.self, forKey: .seed) {
            seed = signed == -1 ? nil : UInt64(bitPattern: signed)
        } else {
            seed = try fields.decodeIfPresent(UInt64.self, forKey: .seed)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: Key.self)
        try fields.encode(n, forKey: .n)
        try fields.encode(temperature, forKey: .temperature)
        try fields.encode(topK, forKey: .topK)
        try fields.encode(topP, forKey: .topP)
        try fields.encode(minP, forKey: .minP)
        try fields.encode(presencePenalty, forKey: .presencePenalty)
        try fields.encode(frequencyPenalty, forKey: .frequencyPenalty)
        try fields.encode(repetitionPenalty, forKey: .repetitionPenalty)
        try fields.encode(seed, forKey: .seed)
        try fields.encode(maxTokens, forKey: .maxTokens)
        try fields.encode(minTokens, forKey: .minTokens)
        try fields.encode(stop, forKey: .stop)
        try fields.encode(includeStopStringInOutput, forKey: .includeStopStringInOutput)
        try fields.encode(stopTokenIDs, forKey: .stopTokenIDs)
        try fields.encode(ignoreEOS, forKey: .ignoreEOS)
        let biases = [String: Float](uniqueKeysWithValues: logitBias.map { (String($0.key), $0.value) })
        try fields.encode(biases, forKey: .logitBias)
        try fields.encode(allowedTokenIDs, forKey: .allowedTokenIDs)
        try fields.encode(logprobs, forKey: .logprobs)
        try fields.encode(promptLogprobs, forKey: .promptLogprobs)
        try fields.encode(skipSpecialTokens, forKey: .skipSpecialTokens)
    }
}

// SamplingParams as a value: vLLM's keys in JSON, defaults, and every range with the message that names it.

import Foundation
import Swiftlet
import Testing

@Suite("SamplingParams")
struct SamplingParamsTests {
    static func decode(_ json: String, defaults: SamplingParams? = nil) throws -> SamplingParams {
        let decoder = JSONDecoder()
        if let defaults { decoder.userInfo[.samplingDefaults] = defaults }
        return try decoder.decode(SamplingParams.self, from: Data(json.utf8))
    }

    static let everything = SamplingParams(
        n: 3, temperature: 0.5, topK: 40, topP: 0.75, minP: 0.125, presencePenalty: 0.25, frequencyPenalty: -0.5,
        repetitionPenalty: 1.25, seed: .max, maxTokens: 99, minTokens: 7, stop: ["a", "\n\n", "é"],
        includeStopStringInOutput: true, stopTokenIDs: [3, 5], ignoreEOS: true, logitBias: [1: -100, 9: 2.5],
        allowedTokenIDs: [1, 2, 9], logprobs: 4, promptLogprobs: 0, skipSpecialTokens: false)

    @Test("There and back again, with vLLM's keys")
    func roundTrip() throws {
        for params in [Self.everything, SamplingParams(), .greedy] {
            let data = try JSONEncoder().encode(params)
            #expect(try JSONDecoder().decode(SamplingParams.self, from: data) == params)
            // A value that is off stays off whatever the defaults are.
            let decoder = JSONDecoder()
            decoder.userInfo[.samplingDefaults] = Self.everything
            #expect(try decoder.decode(SamplingParams.self, from: data) == params)
        }
        let data = try JSONEncoder().encode(Self.everything)
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(
            Set(object.keys) == [
                "n", "temperature", "top_k", "top_p", "min_p", "presence_penalty", "frequency_penalty",
                "repetition_penalty", "seed", "max_tokens", "min_tokens", "stop", "include_stop_str_in_output",
                "stop_token_ids", "ignore_eos", "logit_bias", "allowed_token_ids", "logprobs", "prompt_logprobs",
                "skip_special_tokens",
            ])
    }

    @Test("Absent keys take the defaults; null is off; -1 and 0 are vLLM's way to say off")
    func absentAndNull() throws {
        #expect(try Self.decode("{}") == SamplingParams())
        #expect(try Self.decode("{}", defaults: Self.everything) == Self.everything)
        #expect(try Self.decode(#"{"temperature": 0}"#) == .greedy)
        let off = try Self.decode(
            #"{"top_k": null, "seed": null, "max_tokens": null, "allowed_token_ids": null, "logprobs": null}"#,
            defaults: Self.everything)
        #expect(off.topK == nil && off.seed == nil && off.maxTokens == nil && off.logprobs == nil)
        #expect(off.allowedTokenIDs == nil && off.promptLogprobs == 0)
        for value in [-1, 0] { #expect(try Self.decode("{\"top_k\": \(value)}").topK == nil) }
    }

    @Test("stop is a string or a list of strings")
    func stopForms() throws {
        #expect(try Self.decode(#"{"stop": "one"}"#).stop == ["one"])
        #expect(try Self.decode(#"{"stop": ["one", "two"]}"#).stop == ["one", "two"])
        #expect(try Self.decode(#"{"stop": []}"#, defaults: Self.everything).stop.isEmpty)
        #expect(throws: DecodingError.self) { try Self.decode(#"{"stop": 5}"#) }
    }

    @Test("logit_bias has token ids for keys")
    func logitBiasKeys() throws {
        #expect(try Self.decode(#"{"logit_bias": {"17": -3.5, "0": 1}}"#).logitBias == [17: -3.5, 0: 1])
        let error = #expect(throws: LLMError.self) { try Self.decode(#"{"logit_bias": {"the": 1}}"#) }
        #expect(error?.message.contains("logit_bias") == true && error?.message.contains("the") == true)
    }

    @Test("A25: a key that is not known is an error that says which are", arguments: ["best_of", "top-k", "maxTokens"])
    func unknownKeys(key: String) throws {
        let error = #expect(throws: LLMError.self) { try Self.decode("{\"\(key)\": 1}") }
        #expect(error?.code == .invalidRequest)
        #expect(error?.message.contains("\"\(key)\"") == true && error?.message.contains("top_k") == true)
    }

    /// Each out of its range in one field, with what the error must name.
    static let outOfRange: [(change: @Sendable (inout SamplingParams) -> Void, names: [String])] = [
        ({ $0.n = 0 }, ["n is 0", "1...64"]), ({ $0.n = 65 }, ["n is 65", "1...64"]),
        ({ $0.temperature = -0.5 }, ["temperature", "-0.5", "0 "]),
        ({ $0.temperature = .nan }, ["temperature", "nan"]),
        ({ $0.temperature = .infinity }, ["temperature", "inf"]),
        ({ $0.topK = 0 }, ["top_k is 0", "1 or more"]), ({ $0.topK = -1 }, ["top_k is -1"]),
        ({ $0.topP = 0 }, ["top_p", "(0, 1]"]), ({ $0.topP = 1.5 }, ["top_p is 1.5"]),
        ({ $0.topP = .nan }, ["top_p", "nan"]), ({ $0.minP = -0.1 }, ["min_p", "[0, 1]"]),
        ({ $0.minP = 1.1 }, ["min_p"]), ({ $0.minP = .nan }, ["min_p"]),
        ({ $0.presencePenalty = 2.5 }, ["presence_penalty", "[-2, 2]"]),
        ({ $0.presencePenalty = .nan }, ["presence_penalty"]),
        ({ $0.frequencyPenalty = -3 }, ["frequency_penalty", "[-2, 2]"]),
        ({ $0.frequencyPenalty = .nan }, ["frequency_penalty"]),
        ({ $0.repetitionPenalty = 0 }, ["repetition_penalty", "above 0"]),
        ({ $0.repetitionPenalty = -1 }, ["repetition_penalty"]),
        ({ $0.repetitionPenalty = .nan }, ["repetition_penalty"]),
        ({ $0.maxTokens = 0 }, ["max_tokens is 0", "1 or more"]), ({ $0.maxTokens = -5 }, ["max_tokens is -5"]),
        ({ $0.minTokens = -1 }, ["min_tokens is -1", "0 or more"]),
        ({ $0.minTokens = 17 }, ["min_tokens is 17", "max_tokens (16)"]),
        ({ $0.stop = [""] }, ["stop", "non-empty"]),
        ({ $0.stop = (0..<65).map { "stop\($0)" } }, ["stop strings is 65", "64"]),
        ({ $0.stopTokenIDs = [100] }, ["stop_token_ids is 100", "0..<100"]),
        ({ $0.stopTokenIDs = [-1] }, ["stop_token_ids is -1"]),
        ({ $0.logitBias = [100: 1] }, ["logit_bias is 100", "0..<100"]),
        ({ $0.logitBias = [5: 101] }, ["logit_bias", "101", "[-100, 100]"]),
        ({ $0.logitBias = [5: .nan] }, ["logit_bias", "nan"]),
        ({ $0.allowedTokenIDs = [] }, ["allowed_token_ids", "non-empty"]),
        ({ $0.allowedTokenIDs = [1, 100] }, ["allowed_token_ids is 100", "0..<100"]),
        ({ $0.logprobs = 21 }, ["logprobs is 21", "0...20"]), ({ $0.logprobs = -1 }, ["logprobs is -1"]),
        ({ $0.promptLogprobs = 21 }, ["prompt_logprobs is 21", "max-logprobs"]),
    ]

    @Test("A25: every field out of its range is refused by name, value and range", arguments: 0..<outOfRange.count)
    func ranges(index: Int) {
        let (change, names) = Self.outOfRange[index]
        var params = SamplingParams()
        change(&params)
        let error = #expect(throws: LLMError.self) { try params.validate(vocabularySize: 100, maxLogprobs: 20) }
        #expect(error?.code == .invalidRequest)
        for name in names { #expect(error?.message.contains(name) == true, "\(error?.message ?? "") lacks \(name)") }
    }

    @Test("What lies at the ends of the ranges is accepted")
    func endsOfRanges() throws {
        let low = SamplingParams(
            temperature: 0, topK: 1, topP: .leastNormalMagnitude, minP: 0, presencePenalty: -2, frequencyPenalty: -2,
            repetitionPenalty: 0.01, seed: 0, maxTokens: 1, stopTokenIDs: [0], logitBias: [0: -100],
            allowedTokenIDs: [0], logprobs: 0, promptLogprobs: 0)
        try low.validate(vocabularySize: 100)
        let high = SamplingParams(
            n: 64, temperature: 100, topK: .max, topP: 1, minP: 1, presencePenalty: 2, frequencyPenalty: 2,
            repetitionPenalty: 100, seed: .max, maxTokens: 5, minTokens: 5, stop: ["x"], stopTokenIDs: [99],
            logitBias: [99: 100], allowedTokenIDs: [99], logprobs: 20, promptLogprobs: 20)
        try high.validate(vocabularySize: 100)
        try SamplingParams(maxTokens: nil, minTokens: 1000).validate(vocabularySize: 100)
    }
}

// Sampling through the whole engine: every parameter against the plain reference on the model's raw logits, and the
// log-probabilities that are reported with it.

import Foundation
import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Sampling", .serialized)
struct SamplingTests {
    static let vocabulary = 331
    static let eos: TokenID = 7
    static let prompt: [TokenID] = [5, 300, 17, 42, 42, 8, 129, 64, 11, 5]

    let folder = DummyModel.folder(DummyModel.qwen3)

    func engine(maxSequences: Int = 64) throws -> EngineHarness {
        try EngineHarness(
            folder.path,
            EngineConfig(
                dtype: .float32, maxSequences: maxSequences, blockSize: 16, kvCache: .blocks(256), threads: 1, seed: 1,
                loadFormat: .dummy, maxLogprobs: Self.vocabulary))
    }

    func model() throws -> ModelHarness { try ModelHarness(folder.path, dummySeed: 1) }

    /// Runs requests together; their outputs in order.
    func run(_ params: [SamplingParams], _ prompt: [TokenID] = prompt) async throws -> [RequestOutput] {
        let engine = try engine()
        let streams = params.map { engine.submit(prompt, $0).stream }
        #expect(try engine.finish())
        var outputs: [RequestOutput] = []
        for stream in streams { outputs.append(try await stream.collect()) }
        return outputs
    }

    static let base = SamplingParams(temperature: 0.9, seed: 11, maxTokens: 20, ignoreEOS: true)

    static func changed(_ change: (inout SamplingParams) -> Void) -> SamplingParams {
        var params = base
        change(&params)
        return params
    }

    /// All but the first change what is sampled.
    static let variants: [SamplingParams] = [
        base, changed { $0.temperature = 0 }, changed { $0.temperature = 0.2 }, changed { $0.temperature = 5 },
        changed { $0.topK = 1 }, changed { $0.topK = 5 }, changed { $0.topP = 0.3 }, changed { $0.topP = 0.05 },
        changed { $0.minP = 0.5 }, changed { $0.minP = 1 }, changed { $0.presencePenalty = 2 },
        changed { ($0.temperature, $0.presencePenalty) = (0, 2) },
        changed { ($0.temperature, $0.frequencyPenalty) = (0, 1.5) },
        changed { ($0.temperature, $0.frequencyPenalty) = (0, -1.5) },
        changed { ($0.temperature, $0.repetitionPenalty) = (0, 3) },
        changed { ($0.temperature, $0.repetitionPenalty) = (0, 0.3) }, changed { $0.repetitionPenalty = 4 },
        changed { $0.logitBias = [3: 5, 4: 4.5, 200: -100] }, changed { $0.allowedTokenIDs = [330, 1, 17, 100, 5] },
        changed { $0.seed = 12 }, changed { $0.seed = 11 | 1 << 50 },
        changed { ($0.topK, $0.topP, $0.minP, $0.temperature) = (40, 0.8, 0.05, 1.4) },
        changed {
            ($0.presencePenalty, $0.frequencyPenalty, $0.repetitionPenalty) = (0.7, 0.4, 1.3)
            ($0.topK, $0.topP, $0.logitBias, $0.minTokens) = (50, 0.9, [9: 3, 10: 3, 7: 6], 10)
        },
    ]

    @Test("Each parameter does what it says: token by token as the reference on the raw logits")
    func followsTheReference() async throws {
        let outputs = try await run(Self.variants)
        let model = try model()
        var logits: [[TokenID]: [Float]] = [:]
        var (compared, close) = (0, 0)
        for (index, params) in Self.variants.enumerated() {
            let reference = ReferenceSampler(params: params, seed: params.seed!, eosTokenIDs: [Self.eos])
            let tokens = outputs[index].tokenIDs
            #expect(tokens.count == 20 && outputs[index].finishReason == .length)
            for step in tokens.indices {
                let before = Array(tokens[..<step])
                let raw = logits[before] ?? model.lastLogits(Self.prompt + before)
                logits[before] = raw
                let expected = reference.next(raw, prompt: Self.prompt, output: before, choice: 0)
                compared += 1
                if expected.isClose { close += 1 }
                #expect(
                    tokens[step] == expected.token || expected.isClose,
                    "\(params) gave \(tokens[step]) at step \(step), not \(expected.token)")
            }
            if index > 0 { #expect(tokens != outputs[0].tokenIDs, "no effect: \(params)") }
        }
        #expect(close * 20 < compared, "\(close) of \(compared) comparisons say nothing")
    }

    @Test("Log-probabilities are the raw ones whatever the parameters; top is sorted, the rank is right")
    func rawLogprobs() async throws {
        let variants = Self.variants.map { params in
            var params = params
            (params.logprobs, params.maxTokens, params.minTokens) = (Self.vocabulary, 6, min(params.minTokens, 6))
            return params
        }
        let model = try model()
        for output in try await run(variants) {
            for (step, reported) in output.choices[0].logprobs!.enumerated() {
                let raw = model.lastLogits(Self.prompt + output.tokenIDs[..<step]).map(Double.init)
                let norm = log(raw.map { exp($0) }.reduce(0, +))
                let token = output.tokenIDs[step]
                #expect(reported.tokenID == token)
                #expect(abs(Double(reported.logprob) - (raw[Int(token)] - norm)) < 1e-4)
                #expect(reported.rank == raw.filter { $0 > raw[Int(token)] }.count + 1)
                #expect(reported.top.count == Self.vocabulary)
                #expect(Set(reported.top.map(\.tokenID)).count == Self.vocabulary)
                for (a, b) in zip(reported.top, reported.top.dropFirst()) { #expect(a.logprob >= b.logprob) }
                for candidate in reported.top {
                    #expect(abs(Double(candidate.logprob) - (raw[Int(candidate.tokenID)] - norm)) < 1e-4)
                }
            }
        }
    }

    @Test("logprobs takes as many as asked for, none when not asked")
    func logprobCounts() async throws {
        let outputs = try await run([nil, 0, 1, 5].map { count in Self.changed { $0.logprobs = count } })
        #expect(outputs[0].choices[0].logprobs == nil)
        for (output, count) in zip(outputs.dropFirst(), [0, 1, 5]) {
            #expect(output.tokenIDs == outputs[0].tokenIDs)
            #expect(output.choices[0].logprobs?.count == 20)
            #expect(output.choices[0].logprobs?.allSatisfy { $0.top.count == count } == true)
        }
        let five = outputs[3].choices[0].logprobs!
        for (index, entry) in outputs[2].choices[0].logprobs!.enumerated() {
            #expect(entry.top[0] == five[index].top[0] && entry.logprob == five[index].logprob)
        }
    }

    @Test("min_tokens masks end-of-sequence and stop tokens until it is reached")
    func minTokens() async throws {
        let eager = SamplingParams(temperature: 0, maxTokens: 12, logitBias: [Self.eos: 100])
        var patient = eager
        patient.minTokens = 5
        var stopping = SamplingParams(
            temperature: 0, maxTokens: 12, minTokens: 4, stopTokenIDs: [99], logitBias: [99: 100])
        let outputs = try await run([eager, patient, stopping])
        #expect(outputs[0].tokenIDs == [Self.eos] && outputs[0].finishReason == .stop)
        #expect(outputs[0].choices[0].stopReason == nil)
        #expect(outputs[1].tokenIDs.count == 6 && outputs[1].tokenIDs.firstIndex(of: Self.eos) == 5)
        #expect(outputs[2].tokenIDs.count == 5 && outputs[2].tokenIDs.firstIndex(of: 99) == 4)
        #expect(outputs[2].finishReason == .stop && outputs[2].choices[0].stopReason == .token(99))
        // As in vLLM, also the end of sequence that would be ignored later.
        (stopping.ignoreEOS, stopping.stopTokenIDs, stopping.logitBias) = (true, [], [Self.eos: 100])
        let ignoring = try await run([stopping])[0]
        #expect(ignoring.tokenIDs.firstIndex(of: Self.eos) == 4 && ignoring.finishReason == .length)
    }

    @Test("ignore_eos goes past the model's end of sequence, but not past stop_token_ids")
    func ignoreEOS() async throws {
        let params = SamplingParams(temperature: 0, maxTokens: 8, ignoreEOS: true, logitBias: [Self.eos: 100])
        var stopping = params
        stopping.stopTokenIDs = [Self.eos]
        let outputs = try await run([params, stopping])
        #expect(outputs[0].tokenIDs == Array(repeating: Self.eos, count: 8) && outputs[0].finishReason == .length)
        #expect(outputs[1].tokenIDs == [Self.eos] && outputs[1].choices[0].stopReason == .token(Self.eos))
    }

    @Test("n choices: the first equals the n = 1 run, all differ, and the prompt's blocks are shared")
    func severalChoices() async throws {
        let prompt = (0..<70).map { TokenID($0 * 3 % 331) }
        let one = Self.changed { ($0.logprobs, $0.maxTokens) = (2, 30) }
        var four = one
        four.n = 4
        let single = try await run([one], prompt)[0]
        let engine = try engine()
        let stream = engine.submit(prompt, four).stream
        var most = 0
        while try engine.engine.step() {
            most = max(most, engine.engine.scheduler.blocks.usedCount)
            #expect(engine.brokenInvariant == nil)
        }
        let output = try await stream.collect()
        #expect(output.choices.map(\.index) == [0, 1, 2, 3])
        #expect(output.choices[0] == single.choices[0])
        #expect(Set(output.choices.map(\.tokenIDs)).count == 4)
        #expect(output.usage.completionTokens == 120 && output.usage.promptTokens == 70)
        // 100 tokens are 7 blocks of 16: 4 of them are whole blocks of the prompt, 3 are each choice's own.
        #expect(most == 4 + 4 * 3)
        // Each choice follows the reference with its own index.
        let model = try model()
        let reference = ReferenceSampler(params: four, seed: four.seed!)
        for choice in output.choices {
            for step in 0..<6 {
                let before = Array(choice.tokenIDs[..<step])
                let expected = reference.next(
                    model.lastLogits(prompt + before), prompt: prompt, output: before, choice: choice.index)
                #expect(choice.tokenIDs[step] == expected.token || expected.isClose)
            }
        }
    }

    // MARK: - Distributions

    /// Parameters that give these tokens exactly these probabilities as the first token after the prompt.
    func params(_ wanted: [TokenID: Double], seed: UInt64, from logits: [Float]) -> SamplingParams {
        SamplingParams(
            seed: seed, maxTokens: 1, ignoreEOS: true,
            logitBias: Dictionary(
                uniqueKeysWithValues: wanted.map { ($0.key, Float(log($0.value) - Double(logits[Int($0.key)]))) }),
            allowedTokenIDs: wanted.keys.sorted())
    }

    /// How often each token came over the seeds 0..<count.
    func frequencies(
        _ wanted: [TokenID: Double], count: Int, _ change: (inout SamplingParams) -> Void = { _ in }
    ) async throws -> [TokenID: Int] {
        let logits = try model().lastLogits(Self.prompt)
        let outputs = try await run(
            (0..<count).map { seed in
                var params = params(wanted, seed: UInt64(seed), from: logits)
                change(&params)
                return params
            })
        return Dictionary(outputs.map { ($0.tokenIDs[0], 1) }, uniquingKeysWith: +)
    }

    @Test("Thousands of draws follow the distribution")
    func distribution() async throws {
        let wanted: [TokenID: Double] = [
            3: 0.3, 330: 0.25, 100: 0.2, 17: 0.1, 16: 0.08, 200: 0.04, 55: 0.02, 0: 0.01,
        ]
        let count = 4000
        let seen = try await frequencies(wanted, count: count)
        #expect(Set(seen.keys) == Set(wanted.keys))
        var chiSquare = 0.0
        for (token, probability) in wanted {
            let expected = probability * Double(count)
            let excess = Double(seen[token] ?? 0) - expected
            chiSquare += excess * excess / expected
        }
        // Seven degrees of freedom: above 30 once in ten thousand.
        #expect(chiSquare < 30)
    }

    @Test(
        "A21: top_p keeps the token that crosses it",
        arguments: [(0.6, 2), (0.69, 2), (0.72, 3), (0.39, 1), (0.95, 4)])
    func a21TopPKeepsTheCrossingToken(topP: Double, kept: Int) async throws {
        let wanted: [TokenID: Double] = [21: 0.1, 22: 0.2, 23: 0.3, 24: 0.4]
        let seen = try await frequencies(wanted, count: 400) { $0.topP = Float(topP) }
        #expect(Set(seen.keys) == Set([24, 23, 22, 21].prefix(kept)))
        let total = [0.4, 0.3, 0.2, 0.1].prefix(kept).reduce(0, +)
        for (token, count) in seen { #expect(abs(Double(count) / 400 - wanted[token]! / total) < 0.1) }
    }

    @Test("A20: temperature 0 is argmax, also next to requests that are sampled")
    func a20GreedyIsArgmax() async throws {
        let model = try model()
        let greedy = SamplingParams(temperature: 0, maxTokens: 16, ignoreEOS: true)
        let almost = Self.changed { ($0.temperature, $0.maxTokens) = (1e-7, 16) }
        let outputs = try await run([Self.base, greedy, Self.variants[3], greedy, almost])
        for output in [outputs[1], outputs[3], outputs[4]] {
            for step in 0..<16 {
                let logits = model.lastLogits(Self.prompt + output.tokenIDs[..<step])
                #expect(Int(output.tokenIDs[step]) == logits.firstIndex(of: logits.max()!))
            }
        }
        #expect(outputs[0].tokenIDs != outputs[1].tokenIDs && outputs[2].tokenIDs != outputs[1].tokenIDs)
    }
}

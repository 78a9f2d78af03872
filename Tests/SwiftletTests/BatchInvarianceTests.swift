// The promise of batch invariance: tokens and log-probabilities of a request are the same bit for bit, whatever else is
// in the batch, however its prompt was split, cached or computed again, and for any number of threads.

import CSwiftletKernels
import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Batch invariance", .serialized)
struct BatchInvarianceTests {
    /// A request and what it gave when it ran alone.
    struct Case {
        var prompt: [TokenID]
        var params: SamplingParams
        var expected: RequestOutput?
    }

    @Test(
        "Random mixtures equal each request alone",
        arguments: [DummyModel.qwen3, DummyModel.mistral], [EngineConfig.DataType.float32, .bfloat16])
    func randomMixtures(model: String, dtype: EngineConfig.DataType) async throws {
        let counters = try await Self.compare(model, dtype, level: nil, rounds: 30)
        // A test that never preempts and never hits would prove nothing.
        #expect(counters.preemptions > 50 && counters.prefixCacheHits > 2000)
    }

    @Test(
        "With windows, soft caps and a rope for each type of layer",
        arguments: [DummyModel.gemma2, DummyModel.gemma3], [EngineConfig.DataType.float32, .bfloat16])
    func windowsAndSoftCaps(model: String, dtype: EngineConfig.DataType) async throws {
        let counters = try await Self.compare(model, dtype, level: nil, rounds: 8)
        #expect(counters.preemptions > 0 && counters.prefixCacheHits > 300)
    }

    @Test("With norms over all heads and layers without rope", arguments: [DummyModel.olmo2, DummyModel.smollm3])
    func wideNormsAndLayersWithoutRope(model: String) async throws {
        let counters = try await Self.compare(model, .bfloat16, level: nil, rounds: 8)
        #expect(counters.preemptions > 10 && counters.prefixCacheHits > 300)
    }

    @Test("With quantised weights", arguments: [EngineConfig.DataType.float32, .bfloat16])
    func quantizedWeights(dtype: EngineConfig.DataType) async throws {
        let counters = try await Self.compare(DummyModel.qwen3, dtype, .int8, level: nil, rounds: 12)
        #expect(counters.preemptions > 20 && counters.prefixCacheHits > 500)
    }

    @Test("With an eight-bit KV cache", arguments: [EngineConfig.DataType.float32, .bfloat16])
    func eightBitCache(dtype: EngineConfig.DataType) async throws {
        let counters = try await Self.compare(DummyModel.mistral, dtype, kvCacheType: .int8, level: nil, rounds: 12)
        #expect(counters.preemptions > 20 && counters.prefixCacheHits > 500)
    }

    @Test(
        "With several ranks, of one or more threads", arguments: [DummyModel.qwen3, DummyModel.mistral],
        [EngineConfig.DataType.float32, .bfloat16])
    func ranks(model: String, dtype: EngineConfig.DataType) async throws {
        for ranks in [2, 3] {
            let counters = try await Self.compare(model, dtype, level: nil, rounds: 8, ranks: ranks)
            #expect(counters.preemptions > 0 && counters.prefixCacheHits > 100)
        }
        _ = try await Self.compare(model, dtype, .int8, level: nil, rounds: 1, ranks: 2)
        _ = try await Self.compare(DummyModel.qwen3MoE, dtype, level: nil, rounds: 1, ranks: 2)
        _ = try await Self.compare(DummyModel.olmo2, dtype, level: nil, rounds: 1, ranks: 2)
    }

    @Test(
        "With a mixture of experts", arguments: [EngineConfig.DataType.float32, .bfloat16],
        [nil, EngineConfig.Quantization.int8, .int4])
    func experts(dtype: EngineConfig.DataType, quantization: EngineConfig.Quantization?) async throws {
        let counters = try await Self.compare(DummyModel.qwen3MoE, dtype, quantization, level: nil, rounds: 8)
        #expect(counters.preemptions > 10 && counters.prefixCacheHits > 300)
    }

    @Test("On every level", arguments: CPUBackend.supportedLevels.map { String(cString: swiftlet_level_name($0)) })
    func everyLevel(level: String) async throws {
        for dtype in [EngineConfig.DataType.float32, .bfloat16] {
            _ = try await Self.compare(DummyModel.qwen3, dtype, level: level, rounds: 5)
            _ = try await Self.compare(DummyModel.qwen3, dtype, .int8, level: level, rounds: 2)
            _ = try await Self.compare(DummyModel.qwen3, dtype, kvCacheType: .int8, level: level, rounds: 2)
            _ = try await Self.compare(DummyModel.qwen3MoE, dtype, level: level, rounds: 2)
            _ = try await Self.compare(DummyModel.gemma2, dtype, level: level, rounds: 2)
            _ = try await Self.compare(DummyModel.gemma2, dtype, kvCacheType: .int8, level: level, rounds: 1)
        }
    }

    /// Runs four random mixtures on each of `rounds` engines of random configuration.
    static func compare(
        _ model: String, _ dtype: EngineConfig.DataType, _ quantization: EngineConfig.Quantization? = nil,
        kvCacheType: EngineConfig.KVCacheType = .automatic, level: String?, rounds: Int,
        ranks: Int = 1
    ) async throws -> EngineStatistics {
        let folder = DummyModel.folder(model)
        var generator = Generator(seed: 0x5EED)
        let vocabulary = 257
        var cases = Self.cases(&generator, vocabulary: vocabulary)
        try await runAlone(&cases, folder.path, dtype, quantization, kvCacheType, level, ranks)
        var total = EngineStatistics()
        for round in 0..<rounds {
            var config = randomConfig(&generator, dtype, level)
            config.quantization = quantization
            config.kvCacheType = kvCacheType
            config.tensorParallelSize = ranks
            let harness = try EngineHarness(folder.path, config)
            for mixture in 0..<4 {
                if let failure = try await runMixture(cases, harness, &generator, vocabulary) {
                    Issue.record("round \(round), mixture \(mixture): \(failure); \(config)")
                    return total
                }
            }
            let statistics = harness.engine.statistics
            #expect(statistics.usedBlocks == 0)
            total.preemptions += statistics.preemptions
            total.prefixCacheHits += statistics.prefixCacheHits
        }
        return total
    }

    // MARK: - Requests

    /// Prompts of all lengths around blocks and tiles, many with common beginnings, with parameters of every kind.
    static func cases(_ generator: inout Generator, vocabulary: Int) -> [Case] {
        let stems = (0..<3).map { _ in (0..<200).map { _ in TokenID(generator.int(0...(vocabulary - 1))) } }
        let lengths = [1, 2, 15, 16, 17, 31, 63, 64, 65, 80, 127, 128, 129, 150]
        return (0..<24).map { index in
            let length = generator.element(of: lengths)
            let stem = generator.element(of: stems)
            let shared = generator.chance(0.7) ? generator.int(0...length) : 0
            let own = (shared..<length).map { _ in TokenID(generator.int(0...(vocabulary - 1))) }
            var params = SamplingParams(
                temperature: 0, seed: UInt64(index), maxTokens: generator.int(1...24), logprobs: 3)
            if generator.chance(0.7) { params.temperature = 0.8 }
            if generator.chance(0.3) { params.topK = 20 }
            if generator.chance(0.3) { params.topP = 0.9 }
            if generator.chance(0.2) { params.minP = 0.05 }
            if generator.chance(0.3) { params.repetitionPenalty = 1.3 }
            if generator.chance(0.2) { params.presencePenalty = 0.5 }
            if generator.chance(0.2) { params.frequencyPenalty = 0.3 }
            if generator.chance(0.2) { params.promptLogprobs = 2 }
            if generator.chance(0.2) { params.n = 3 }
            if generator.chance(0.2) { params.ignoreEOS = true }
            if generator.chance(0.1) { params.allowedTokenIDs = (10..<60).map { TokenID($0) } }
            if generator.chance(0.1) { params.logitBias = [3: 2, 9: -100] }
            return Case(prompt: stem[..<shared] + own, params: params)
        }
    }

    static func runAlone(
        _ cases: inout [Case], _ model: String, _ dtype: EngineConfig.DataType,
        _ quantization: EngineConfig.Quantization?, _ kvCacheType: EngineConfig.KVCacheType, _ level: String?,
        _ ranks: Int
    ) async throws {
        let config = EngineConfig(
            dtype: dtype, quantization: quantization, kvCacheType: kvCacheType, kvCache: .blocks(32),
            enablePrefixCaching: false, threads: 1, tensorParallelSize: ranks, cpuLevel: level, seed: 1,
            loadFormat: .dummy)
        let harness = try EngineHarness(model, config)
        for index in cases.indices {
            let (_, stream) = harness.submit(cases[index].prompt, cases[index].params)
            #expect(try harness.finish())
            cases[index].expected = try await stream.collect()
        }
    }

    static func randomConfig(
        _ generator: inout Generator, _ dtype: EngineConfig.DataType, _ level: String?
    ) -> EngineConfig {
        let blockSize = generator.element(of: [16, 16, 32, 64, 128])
        // The largest request has 150 + 24 tokens.
        let smallest = (174 + blockSize - 1) / blockSize
        let isChunked = generator.chance(0.8)
        return EngineConfig(
            dtype: dtype, maxSequences: generator.element(of: [2, 5, 16, 64]),
            maxBatchedTokens: isChunked ? generator.element(of: [1, 3, 7, 16, 33, 64, 100, 512]) : nil,
            blockSize: blockSize, kvCache: .blocks(smallest * generator.element(of: [1, 2, 2, 3, 20])),
            enablePrefixCaching: generator.chance(0.75), enableChunkedPrefill: isChunked,
            enableMixedBatches: generator.chance(0.8),
            threads: generator.int(1...3), cpuLevel: level, seed: 1, loadFormat: .dummy)
    }

    // MARK: - A mixture

    /// Runs some of the requests together, arriving at random steps, with others that are cancelled at random steps.
    /// Returns what differs.
    static func runMixture(
        _ cases: [Case], _ harness: EngineHarness, _ generator: inout Generator, _ vocabulary: Int
    ) async throws -> String? {
        var open: [(index: Int, stream: TokenStream)] = []
        var victims: [(id: Int, stream: TokenStream)] = []
        var arriving = (0..<generator.int(2...12)).map { _ in generator.int(0...(cases.count - 1)) }
        var steps = 0
        while !arriving.isEmpty || harness.engine.hasWork {
            while !arriving.isEmpty && (!harness.engine.hasWork || generator.chance(0.4)) {
                let index = arriving.removeLast()
                open.append((index, harness.submit(cases[index].prompt, cases[index].params).stream))
                if generator.chance(0.3) {
                    // Begins like a real request, so that what it leaves in the cache is used.
                    var params = cases[index].params
                    params.maxTokens = 24
                    victims.append(harness.submit(cases[index].prompt, params))
                }
            }
            if !victims.isEmpty && generator.chance(0.1) {
                harness.engine.abort(victims.remove(at: generator.int(0...(victims.count - 1))).id)
            }
            try harness.engine.step()
            if let broken = harness.brokenInvariant { return broken }
            steps += 1
            if steps > 20_000 { return "no end after \(steps) steps" }
        }
        for (index, stream) in open {
            let output = try await stream.collect()
            if let difference = difference(output, cases[index].expected!) {
                return "request \(index) (\(cases[index].prompt.count) tokens): \(difference)"
            }
        }
        return nil
    }

    static func difference(_ actual: RequestOutput, _ expected: RequestOutput) -> String? {
        for (mine, theirs) in zip(actual.choices, expected.choices) where mine != theirs {
            let step = zip(mine.tokenIDs, theirs.tokenIDs).prefix { $0 == $1 }.count
            return "choice \(mine.index) differs, tokens from \(step) on: \(mine.tokenIDs) and \(theirs.tokenIDs)"
        }
        if actual.promptLogprobs != expected.promptLogprobs { return "prompt logprobs differ" }
        return actual.choices.count == expected.choices.count ? nil : "number of choices differs"
    }
}

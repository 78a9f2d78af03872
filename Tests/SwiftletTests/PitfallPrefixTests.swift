// The pitfalls of prefix caching, chunks and preemption, with real arithmetic: a wrong position, a stale block or a
// missing token changes a log-probability. Each test is named after its number.

import CSwiftletKernels
import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Pitfalls: prefixes, chunks, preemption", .serialized)
struct PitfallPrefixTests {
    static let blockSize = 16

    let folder = DummyModel.folder(DummyModel.qwen3)
    let greedy = SamplingParams(temperature: 0, maxTokens: 6, ignoreEOS: true, logprobs: 5)

    func engine(
        blocks: Int = 64, blockSize: Int = blockSize, chunk: Int? = nil, cache: Bool = true, maxLogprobs: Int = 20,
        dtype: EngineConfig.DataType = .float32
    ) throws -> EngineHarness {
        try EngineHarness(
            folder.path,
            EngineConfig(
                dtype: dtype, maxBatchedTokens: chunk, blockSize: blockSize, kvCache: .blocks(blocks),
                enablePrefixCaching: cache, threads: 1, seed: 1, loadFormat: .dummy, maxLogprobs: maxLogprobs))
    }

    func prompt(_ seed: UInt64, _ count: Int) -> [TokenID] {
        var generator = Generator(seed: seed)
        return (0..<count).map { _ in TokenID(generator.int(0...330)) }
    }

    func output(_ engine: EngineHarness, _ prompt: [TokenID], _ params: SamplingParams) async throws -> RequestOutput {
        let stream = engine.submit(prompt, params).stream
        #expect(try engine.finish())
        #expect(engine.brokenInvariant == nil)
        return try await stream.collect()
    }

    @Test("A1: the same prompt again gives the same, from the cache", arguments: [15, 16, 17, 32, 33, 64])
    func a1SamePromptTwice(length: Int) async throws {
        let prompt = prompt(1, length)
        let cold = try await output(engine(cache: false), prompt, greedy)
        let engine = try engine()
        for round in 0..<3 {
            let warm = try await output(engine, prompt, greedy)
            #expect(warm.choices == cold.choices)
            // At least one token is computed, so the last block is never taken from the cache.
            let hits = round == 0 ? 0 : (length - 1) / Self.blockSize * Self.blockSize
            #expect(warm.usage.cachedTokens == hits)
        }
        #expect(engine.engine.statistics.prefixCacheHits == 2 * ((length - 1) / Self.blockSize * Self.blockSize))
        #expect(engine.engine.statistics.prefixCacheQueries == 3 * length)
    }

    @Test("A2: a prompt whose blocks were overwritten is computed again")
    func a2OverwrittenBlocks() async throws {
        let engine = try engine(blocks: 4)
        let first = prompt(2, 40)
        let cold = try await output(engine, first, greedy)
        #expect(try await output(engine, first, greedy).usage.cachedTokens == 32)
        _ = try await output(engine, prompt(3, 58), greedy)
        let again = try await output(engine, first, greedy)
        #expect(again.usage.cachedTokens == 0 && again.choices == cold.choices)
    }

    @Test("A3, A7: prompts that share a beginning, with other tokens in between, never see each other's")
    func a3SharedBeginnings() async throws {
        let stem = prompt(4, 48)
        let prompts: [[TokenID]] = (1...6).map { index in
            Array(stem.prefix(8 * index)) + prompt(UInt64(index + 10), 30)
        }
        let plain = try engine(cache: false)
        var expected: [RequestOutput] = []
        for prompt in prompts { expected.append(try await output(plain, prompt, greedy)) }
        // All at once in chunks, so that prefixes are hit while their owners still write.
        let engine = try engine(blocks: 12, chunk: 9)
        for _ in 0..<3 {
            let streams = prompts.map { engine.submit($0, greedy).stream }
            #expect(try engine.finish())
            for (stream, expected) in zip(streams, expected) {
                #expect(try await stream.collect().choices == expected.choices)
            }
        }
        #expect(engine.engine.statistics.prefixCacheHits > 0)
    }

    @Test("A6: logits are the same bit for bit for any chunks", arguments: [EngineConfig.DataType.float32, .bfloat16])
    func a6Chunks(dtype: EngineConfig.DataType) async throws {
        let prompt = prompt(5, 75)
        let type = dtype == .float32 ? SWIFTLET_FLOAT32 : SWIFTLET_BFLOAT16
        let model = try ModelHarness(folder.path, dtype: type, blockSize: 16, dummySeed: 1)
        let whole = model.lastLogits(prompt)
        #expect(whole.allSatisfy(\.isFinite) && Set(whole).count > 300)
        var params = greedy
        (params.logprobs, params.promptLogprobs) = (331, 331)
        let unchunked = try await output(engine(maxLogprobs: 331, dtype: dtype), prompt, params)
        for chunk in [1, 7, 16, 17] {
            #expect(model.lastLogits(prompt, chunk: chunk).map(\.bitPattern) == whole.map(\.bitPattern))
            // All log-probabilities of all positions, through the engine.
            let chunked = try await output(engine(chunk: chunk, maxLogprobs: 331, dtype: dtype), prompt, params)
            #expect(chunked == unchunked)
        }
    }

    @Test("A10: preempted at any length around a block's end, the output is the same", arguments: 13...18)
    func a10Preemption(length: Int) async throws {
        let params = SamplingParams(temperature: 0.8, seed: 3, maxTokens: 30, ignoreEOS: true, logprobs: 5)
        let (older, newer) = (prompt(6, 17), prompt(7, length))
        let plain = try engine(cache: false)
        let expected = [try await output(plain, older, params), try await output(plain, newer, params)]
        for cache in [true, false] {
            let engine = try engine(blocks: 4, cache: cache)
            let streams = [engine.submit(older, params).stream, engine.submit(newer, params).stream]
            var preemptedAt: [Int] = []
            for _ in 0..<500 where engine.engine.hasWork {
                let before = engine.engine.scheduler.preemptionCount
                try engine.engine.step()
                #expect(engine.brokenInvariant == nil)
                if engine.engine.scheduler.preemptionCount > before {
                    preemptedAt.append(engine.engine.scheduler.waiting.first!.tokenCount)
                }
            }
            // Around two blocks, 32 tokens, which the lengths above go through one by one.
            #expect(preemptedAt.first.map { abs($0 - 32) <= 3 } == true, "preempted at \(preemptedAt)")
            for (stream, expected) in zip(streams, expected) {
                #expect(try await stream.collect().choices == expected.choices)
            }
        }
    }

    @Test("A16: block size belongs to an engine: engines of different sizes run side by side")
    func a16BlockSizes() async throws {
        let prompts = (0..<4).map { prompt(UInt64(20 + $0), 50 + $0) }
        let params = SamplingParams(temperature: 0.7, seed: 5, maxTokens: 20, ignoreEOS: true, logprobs: 3)
        let engines = try [16, 64, 128, 32].map { try engine(blockSize: $0) }
        let streams = engines.map { engine in prompts.map { engine.submit($0, params).stream } }
        // In turns, step by step.
        while engines.contains(where: \.engine.hasWork) {
            for engine in engines { try engine.engine.step() }
        }
        var outputs: [[CompletionOutput]] = []
        for streams in streams {
            var choices: [CompletionOutput] = []
            for stream in streams { choices += try await stream.collect().choices }
            outputs.append(choices)
        }
        #expect(Set(outputs).count == 1)
    }

    @Test("A22: the log-probability of every prompt token equals that after its prefix alone")
    func a22EveryPosition() async throws {
        let prompt = prompt(8, 70)
        var params = SamplingParams(temperature: 0, maxTokens: 1, promptLogprobs: 3)
        let scored = try await output(engine(chunk: 33), prompt, params).promptLogprobs!
        #expect(scored.count == 70 && scored[0] == nil)
        let engine = try engine(cache: false)
        params = SamplingParams(temperature: 0, maxTokens: 1, logprobs: 3)
        let streams = (1..<70).map { position in
            params.allowedTokenIDs = [prompt[position]]
            return engine.submit(Array(prompt[..<position]), params).stream
        }
        #expect(try engine.finish())
        for (position, stream) in zip(1..<70, streams) {
            #expect(try await stream.collect().choices[0].logprobs?[0] == scored[position])
        }
        // And the other way round: what was generated has the log-probabilities it gets as a prompt.
        let generated = try await output(
            engine, prompt, SamplingParams(seed: 9, maxTokens: 20, ignoreEOS: true, logprobs: 3))
        let rescored = try await output(
            engine, prompt + generated.tokenIDs, SamplingParams(temperature: 0, maxTokens: 1, promptLogprobs: 3))
        #expect(Array(rescored.promptLogprobs!.suffix(20)) == generated.choices[0].logprobs!.map(Optional.some))
    }
}

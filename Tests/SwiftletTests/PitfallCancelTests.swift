// The pitfalls of cancelling and of engines that come and go: whoever leaves at whatever moment leaves nothing behind.
// Each test is named after its number.

import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Pitfalls: cancelling", .serialized)
struct PitfallCancelTests {
    struct Stop: Error {}

    let folder = DummyModel.folder(DummyModel.qwen3)

    func config(maxSequences: Int = 8, chunk: Int? = nil) -> EngineConfig {
        EngineConfig(
            dtype: .float32, maxSequences: maxSequences, maxBatchedTokens: chunk, blockSize: 16, kvCache: .blocks(64),
            threads: 1, seed: 1, loadFormat: .dummy)
    }

    static func prompt(_ seed: UInt64, _ count: Int) -> [TokenID] {
        var generator = Generator(seed: seed)
        return (0..<count).map { _ in TokenID(generator.int(0...330)) }
    }

    static func greedy(_ maxTokens: Int) -> SamplingParams {
        SamplingParams(temperature: 0, maxTokens: maxTokens, ignoreEOS: true, logprobs: 2)
    }

    enum Moment: CaseIterable { case waiting, midChunk, midDecode, betweenChoices }

    @Test("A12: cancelled at any moment, a request leaves nothing and disturbs nobody", arguments: Moment.allCases)
    func a12AnyMoment(moment: Moment) async throws {
        let alone = try EngineHarness(folder.path, config())
        let other = alone.submit(Self.prompt(1, 20), Self.greedy(30)).stream
        #expect(try alone.finish())
        let expected = try await other.collect()

        for hasOthers in [true, false] {
            let engine = try EngineHarness(folder.path, config(maxSequences: 2, chunk: 16))
            let scheduler = engine.engine.scheduler
            var streams: [TokenStream] = []
            if hasOthers { streams = (0..<2).map { _ in engine.submit(Self.prompt(1, 20), Self.greedy(30)).stream } }
            if !hasOthers && moment == .waiting { continue }
            if moment == .waiting { for _ in 0..<4 { try engine.engine.step() } }
            var params = Self.greedy(40)
            if moment == .betweenChoices { params.n = 3 }
            if hasOthers && moment != .waiting { engine.engine.abort(2) }
            let victim = engine.submit(Self.prompt(2, 100), params)
            switch moment {
            case .waiting: #expect(scheduler.waiting.count == 1)
            case .midChunk: for _ in 0..<4 { try engine.engine.step() }
            case .midDecode:
                while !scheduler.running.contains(where: { $0.promptTokenCount == 100 && $0.outputTokenCount > 3 }) {
                    try engine.engine.step()
                }
            case .betweenChoices:
                while !scheduler.waiting.contains(where: { $0.choiceIndex == 2 }) { try engine.engine.step() }
            }
            engine.engine.abort(victim.id)
            engine.engine.abort(victim.id)
            #expect(engine.brokenInvariant == nil)
            if !hasOthers { #expect(!engine.engine.hasWork) }
            #expect(try engine.finish())
            #expect(scheduler.blocks.usedCount == 0 && engine.engine.statistics.usedBlocks == 0)
            #expect(engine.engine.statistics.aborted >= params.n)
            await #expect(throws: CancellationError.self) { try await victim.stream.collect() }
            if hasOthers { #expect(try await streams[0].collect().choices == expected.choices) }
            // The next one is served as if nothing had been.
            let next = engine.submit(Self.prompt(1, 20), Self.greedy(30)).stream
            #expect(try engine.finish())
            #expect(try await next.collect().choices == expected.choices)
        }
    }

    @Test("A12: a stream that is left, dropped or never read frees its blocks, also the last one")
    func a12Streams() async throws {
        let llm = try await LLM.endless()
        let prompt = Prompt.tokens(Self.prompt(3, 50))
        // Left in mid-decode.
        var count = 0
        for try await _ in llm.stream(prompt, .endless) {
            count += 1
            if count == 3 { break }
        }
        #expect(await llm.wait { $0.usedBlocks == 0 && $0.runningSequences == 0 && $0.aborted == 1 })
        // Never read.
        do { _ = llm.stream(prompt, .endless) }
        #expect(await llm.wait { $0.usedBlocks == 0 && $0.runningSequences == 0 && $0.aborted == 2 })
        // Many at once, of which one is read.
        let kept = llm.stream(prompt, Self.greedy(20))
        do { _ = (0..<20).map { _ in llm.stream(prompt, .endless) } }
        #expect(try await kept.collect().tokenIDs.count == 20)
        #expect(await llm.wait { $0.usedBlocks == 0 && $0.waitingSequences == 0 && $0.aborted == 22 })
        await llm.shutdown()
    }

    @Test("A26: after a cancelled or failed run the next one is clean")
    func a26NextRunIsClean() async throws {
        let llm = try await LLM.endless { $0.maxSequences = 8 }
        let prompts = (0..<12).map { Prompt.tokens(Self.prompt(UInt64(40 + $0), 20 + 3 * $0)) }
        let expected = try await llm.generate(prompts, Self.greedy(20)).map(\.choices)
        for round in 0..<4 {
            // Cancelled from outside at some moment of its run.
            let steps = llm.statistics.steps
            let run = Task { try await llm.generate(prompts, .endless) }
            #expect(await llm.wait { $0.steps > steps + 10 * round })
            run.cancel()
            await #expect(throws: CancellationError.self) { try await run.value }
            #expect(await llm.wait { $0.usedBlocks == 0 && $0.runningSequences == 0 && $0.waitingSequences == 0 })
            // An error thrown by whoever reads.
            await #expect(throws: Stop.self) {
                for try await delta in llm.stream(prompts[0], .endless) {
                    if delta.usage.completionTokens > round { throw Stop() }
                }
            }
            #expect(try await llm.generate(prompts, Self.greedy(20)).map(\.choices) == expected)
            #expect(await llm.wait { $0.usedBlocks == 0 && $0.runningSequences == 0 && $0.waitingSequences == 0 })
        }
        await llm.shutdown()
    }
}

// Ranks in one process when something goes wrong: one that fails ends all of them. And the bugs that other engines' ranks
// have had.

import CSwiftletKernels
import Swiftlet
import SwiftletTokenizer
import Synchronization
import Testing

@Suite("Ranks: failures and pitfalls", .serialized)
struct RankPitfallTests {
    @Test("A rank that throws ends every request with its error", arguments: [0, 1, 9, 40])
    func failingRank(sums: Int) async throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        for count in [2, 5] {
            let mailbox = Mailbox()
            let loader = ModelLoader(
                model: folder.path, tokenizerPath: nil,
                config: EngineConfig(
                    dtype: .float32, kvCache: .blocks(16), tensorParallelSize: count, seed: 1, loadFormat: .dummy),
                logger: LogRecorder().logger)
            _ = try await EngineThread.start(mailbox, maxQueuedRequests: nil) { () throws(LLMError) in
                try loader.load {
                    $0
                } others: {
                    FailingBackend($0, afterSums: $0.rank == 1 ? sums : .max)
                }
            }
            let streams = (0..<3).map { id in
                let (stream, sink) = TokenStream.make(prompt: nil, promptTokenIDs: [1], choiceCount: 1, abort: {})
                mailbox.post(
                    .submit(
                        Submission(
                            id: id, prompt: [1, 2, 3], params: SamplingParams(temperature: 0, ignoreEOS: true), seed: 0,
                            tokenLimit: 400, sink: sink)))
                return stream
            }
            for stream in streams {
                let error = await #expect(throws: LLMError.self) { try await stream.collect() }
                #expect(error?.message == FailingBackend.error.message)
            }
            // All threads have ended when the mailbox is closed.
            await withCheckedContinuation { done in mailbox.whenClosed { done.resume() } }
        }
    }

    @Test("Rank 0 failing in a step ends the others")
    func failingFirstRank() throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let loader = ModelLoader(
            model: folder.path, tokenizerPath: nil,
            config: EngineConfig(
                dtype: .float32, kvCache: .blocks(16), tensorParallelSize: 3, seed: 1, loadFormat: .dummy),
            logger: LogRecorder().logger)
        let (engine, _) = try loader.load {
            FailingBackend($0, afterSums: 7)
        } others: {
            $0
        }
        let (_, sink) = TokenStream.make(prompt: nil, promptTokenIDs: [1], choiceCount: 1, abort: {})
        engine.submit(Submission(id: 1, prompt: [1, 2], params: .greedy, seed: 0, tokenLimit: 100, sink: sink))
        let error = #expect(throws: LLMError.self) { while try engine.step() {} }
        #expect(error?.message == FailingBackend.error.message)
    }

    @Test("A rank that can't load is the error of all, and nothing waits for it")
    func failingLoad() throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let error = #expect(throws: LLMError.self) {
            try EngineHarness(folder.path, EngineConfig(tensorParallelSize: 8, loadFormat: .dummy))
        }
        #expect(error?.code == .invalidConfiguration)
        let group = try RankGroup(count: 4, threadCount: 4)
        let others = RankThreads(group) { rank throws(LLMError) in
            if rank.rank == 2 { throw FailingBackend.error }
            while true { try rank.meet() }
        }
        let first = ThreadRank(group, 0)
        let failure = #expect(throws: LLMError.self) { while true { try first.meet() } }
        #expect(failure?.message == FailingBackend.error.message)
        others.join()
    }

    // MARK: - Pitfalls

    @Test("A9: a preempted sequence that is computed again is all there on every rank; A16: whatever the block size")
    func a9a16Preemption() async throws {
        let folder = DummyModel.folder(DummyModel.mistral)
        for blockSize in [16, 32, 256] {
            func run(_ blocks: Int) async throws -> (outputs: [RequestOutput], preemptions: Int) {
                let harness = try EngineHarness(
                    folder.path,
                    EngineConfig(
                        dtype: .float32, maxBatchedTokens: 64, blockSize: blockSize, kvCache: .blocks(blocks),
                        threads: 2,
                        tensorParallelSize: 2, seed: 1, loadFormat: .dummy))
                let streams = (0..<5).map { index in
                    harness.submit(
                        (0..<30).map { TokenID(($0 * 7 + index) % 250) },
                        SamplingParams(temperature: 0, maxTokens: 300, ignoreEOS: true)
                    ).stream
                }
                #expect(try harness.finish())
                var outputs: [RequestOutput] = []
                for stream in streams { outputs.append(try await stream.collect()) }
                return (outputs, harness.engine.statistics.preemptions)
            }
            let few = try await run(2 * (330 + blockSize - 1) / blockSize)
            let many = try await run(5 * (330 + blockSize - 1) / blockSize + 5)
            #expect(few.preemptions > 0 && many.preemptions == 0)
            for (mine, theirs) in zip(few.outputs, many.outputs) { #expect(mine.tokenIDs == theirs.tokenIDs) }
        }
    }

    @Test("A17: all ranks have as many blocks as the one with least memory")
    func a17Minimum() throws {
        let group = try RankGroup(count: 3, threadCount: 3)
        let found = Mutex<[Int]>([])
        @Sendable func agree(_ rank: ThreadRank) throws(LLMError) {
            let least = try RankLink.threads(rank).minimum([50, 7, 90][rank.rank])
            found.withLock { $0.append(least) }
        }
        let others = RankThreads(group) { rank throws(LLMError) in try agree(rank) }
        let first = ThreadRank(group, 0)
        try agree(first)
        first.leave()
        others.join()
        #expect(found.withLock { $0 } == [7, 7, 7])
    }

    @Test("A23: biases of every projection, cut or there once, are what one rank has")
    func a23Biases() throws {
        #expect(try RankTests.distance("tiny-llama-linear-biases", ranks: [2, 3, 4]) { _ in } < 1e-5)
    }

    @Test("As many ranks, or engines, as memory nodes get one each")
    func placement() throws {
        let cores = (0..<8).map { Platform.Core(processor: 2 * $0, node: $0 / 4) }
        func processors(_ share: ProcessShare, _ own: Range<Int>, of threads: Int) -> [Int32]? {
            let places = CPUBackend.places(cores, share, own, of: threads)
            if let places { #expect(places.allSatisfy { $0.node == 0 }) }
            return places?.map(\.core)
        }
        #expect(processors(ProcessShare(), 0..<4, of: 8) == [0, 2, 4, 6])
        #expect(processors(ProcessShare(), 4..<8, of: 8) == [8, 10, 12, 14])
        #expect(processors(ProcessShare(index: 1, count: 2), 0..<4, of: 4) == [8, 10, 12, 14])
        #expect(processors(ProcessShare(index: 1, count: 2), 2..<4, of: 4) == [12, 14])
        #expect(processors(ProcessShare(), 0..<3, of: 6) == nil)
        #expect(CPUBackend.places(cores, ProcessShare(), 2..<6, of: 8)!.map(\.node) == [0, 0, 1, 1])
    }

    @Test("With more threads than cores, ranks that wait park at once")
    func parking() throws {
        #expect(ThreadRank(try RankGroup(count: 2, threadCount: 1), 0).spins)
        #expect(!ThreadRank(try RankGroup(count: 2, threadCount: 4096), 0).spins)
    }

    @Test("A27: two engines with ranks in one process; A28: they leave no thread behind")
    func a27TwoEngines() async throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let path = folder.path
        let before = PitfallLifetimeTests.Footprint.now
        for _ in 0..<20 {
            let config = EngineConfig(
                dtype: .float32, kvCache: .blocks(16), threads: 2, tensorParallelSize: 4, seed: 1, loadFormat: .dummy)
            async let first = LLM.quiet(path, config)
            async let second = LLM.quiet(path, config)
            let engines = try await [first, second]
            let params = SamplingParams(temperature: 0, maxTokens: 8, ignoreEOS: true)
            async let mine = engines[0].generate([.tokens([1, 2, 3])], params)
            async let theirs = engines[1].generate([.tokens([1, 2, 3])], params)
            #expect(try await mine[0].tokenIDs == theirs[0].tokenIDs)
            for engine in engines { await engine.shutdown() }
        }
        var after = PitfallLifetimeTests.Footprint.now
        for _ in 0..<500 where after.threads > before.threads + 40 {
            try await Task.sleep(for: .milliseconds(10))
            after = .now
        }
        #expect(after.threads <= before.threads + 40, "20 x 8 ranks")
    }
}

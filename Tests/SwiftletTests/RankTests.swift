// Several ranks in one process: what they compute together is what one computes, whatever the shapes, and a rank that
// fails ends all of them.

import CSwiftletKernels
import Logging
import Swiftlet
import SwiftletJSON
import SwiftletTokenizer
import Synchronization
import Testing

/// Keeps the logits that the sampler was given, by the length of what they follow.
final class LogitsRecorder: LogitsProcessor {
    private let rows = Mutex<[Int: [Float]]>([:])

    func process(_ logits: inout MutableSpan<Float>, _ context: LogitsContext) {
        var row = [Float](repeating: 0, count: logits.count)
        for index in row.indices { row[index] = logits[index] }
        rows.withLock { $0[context.tokens.count] = row }
    }

    func logits(after count: Int) -> [Float]? { rows.withLock { $0[count] } }
}

@Suite("Ranks", .serialized)
struct RankTests {
    /// Logits after the last token of each prompt.
    static func logits(_ model: String, _ config: EngineConfig, _ prompts: [[TokenID]]) throws -> [[Float]] {
        let recorder = LogitsRecorder()
        let harness = try EngineHarness(model, config, processors: [recorder])
        return try prompts.map { prompt in
            _ = harness.submit(prompt, SamplingParams(temperature: 0, maxTokens: 1))
            #expect(try harness.finish())
            return try #require(recorder.logits(after: prompt.count))
        }
    }

    static func config(_ ranks: Int, threads: Int = 2) -> EngineConfig {
        EngineConfig(
            dtype: .float32, kvCache: .blocks(64), enablePrefixCaching: false, threads: threads,
            tensorParallelSize: ranks)
    }

    @Test("Logits of transformers within 1e-4, whatever the number of ranks", arguments: ConformanceTests.names)
    func fixtures(name: String) throws {
        let folder = ConformanceTests.folder(name)
        let model = try ModelFiles(directory: folder).config()
        let cases = try ConformanceTests.cases(name)
        let prompts = cases.map { $0["prompt_ids"]!.ids }
        for ranks in 1...model.queryHeadCount {
            var config = Self.config(ranks, threads: ranks == 2 ? 4 : 2)
            config.maxBatchedTokens = ranks == 3 ? 13 : nil
            for (logits, testCase) in zip(try Self.logits(folder, config, prompts), cases) {
                let distance = relativeDistance(logits, testCase["last_logits"]!.floats)
                #expect(distance < 1e-4, "\(ranks) ranks")
            }
        }
    }

    @Test(
        "Golden models with 1, 2, 3 and 4 ranks", .enabled(if: Shared.isHere, Comment(rawValue: Shared.missing)),
        arguments: GoldenModelTests.families)
    func golden(family: String) throws {
        let cases = try GoldenModelTests.cases(family)
        let prompts = cases.map { $0["prompt_ids"]!.ids }
        for ranks in 1...4 {
            for (logits, testCase) in zip(try Self.logits(Shared.model(family), Self.config(ranks), prompts), cases) {
                #expect(relativeDistance(logits, testCase["last_logits"]!.floats) < 1e-4, "\(ranks) ranks")
            }
        }
    }

    /// The distance of N ranks' logits from one rank's, at most.
    static func distance(
        _ model: String, ranks: [Int], _ change: (inout EngineConfig) -> Void
    ) throws -> Double {
        let prompts = try ConformanceTests.cases(model).map { $0["prompt_ids"]!.ids }
        let folder = ConformanceTests.folder(model)
        var one = config(1)
        change(&one)
        let expected = try logits(folder, one, prompts)
        return try ranks.reduce(0) { worst, count in
            var many = one
            many.tensorParallelSize = count
            let distances = try zip(logits(folder, many, prompts), expected).map(relativeDistance)
            return max(worst, distances.max()!)
        }
    }

    @Test(
        "Quantised weights and KV caches",
        arguments: ["tiny-qwen3-7to1-d24", "tiny-qwen2-f16", "tiny-llama-linear-biases"])
    func quantized(name: String) throws {
        // Eight bits: the same integers, activations of row-parallel products with a scale for each shard.
        #expect(try Self.distance(name, ranks: [2, 3]) { $0.quantization = .int8 } < 3e-2)
        // Four bits: groups begin with the shard.
        #expect(try Self.distance(name, ranks: [2, 3]) { $0.quantization = .int4 } < 0.35)
        #expect(try Self.distance(name, ranks: [2, 3]) { $0.kvCacheType = .int8 } < 1e-2)
        #expect(try Self.distance(name, ranks: [2, 3]) { $0.dtype = .bfloat16 } < 3e-2)
    }

    @Test("Random requests are those of one rank, but for choices that hang on a rounding error")
    func sameAsOneRank() async throws {
        let folder = ConformanceTests.folder("tiny-qwen3-7to1-d24")
        var generator = Generator(seed: 7)
        let vocabulary = try ModelFiles(directory: folder).config().vocabularySize
        let cases = BatchInvarianceTests.cases(&generator, vocabulary: min(vocabulary, 257))
        var outputs: [[RequestOutput]] = []
        for ranks in [1, 2, 5] {
            var config = Self.config(ranks)
            config.enablePrefixCaching = true
            config.kvCache = .blocks(24)
            config.blockSize = 16
            let harness = try EngineHarness(folder, config)
            let streams = cases.map { harness.submit($0.prompt, $0.params).stream }
            #expect(try harness.finish())
            var run: [RequestOutput] = []
            for stream in streams { run.append(try await stream.collect()) }
            #expect(harness.engine.statistics.preemptions > 0)
            outputs.append(run)
        }
        var (compared, total) = (0, 0)
        for run in outputs.dropFirst() {
            for (mine, theirs) in zip(run, outputs[0]) {
                for (choice, expected) in zip(mine.choices, theirs.choices) {
                    total += expected.tokenIDs.count
                    for step in expected.tokenIDs.indices {
                        guard step < choice.tokenIDs.count, choice.tokenIDs[step] == expected.tokenIDs[step] else {
                            break
                        }
                        #expect(abs(choice.logprobs![step].logprob - expected.logprobs![step].logprob) < 1e-3)
                        compared += 1
                    }
                }
            }
        }
        #expect(Double(compared) > 0.97 * Double(total), "\(compared) of \(total) tokens")
    }

    @Test(
        "Folders of quantised weights, cut at their groups or with an order of columns",
        arguments: QuantizedFolderTests.variants)
    func quantizedFolders(variant: QuantizedFolderTests.Variant) throws {
        let folder = QuantizedFolder(
            variant.layout, groupSize: variant.groupSize, hasZeros: variant.hasZeros, hasOrder: variant.hasOrder,
            scaleType: variant.scaleType)
        let prompt = (0..<50).map { TokenID($0 * 5 % 67) }
        try LoaderFixtures.withDirectory { path in
            try folder.write(path + "/stored")
            try folder.writeExpanded(path + "/expanded")
            let expected = try Self.logits(path + "/expanded", Self.config(1), [prompt])[0]
            for ranks in 2...4 {
                let logits = Result { try Self.logits(path + "/stored", Self.config(ranks), [prompt])[0] }
                // The output projection has 128 columns, of four heads, and a group is some rank's alone; of columns in
                // an order of their own, a rank takes its part.
                let isOrdered = variant.hasOrder && (1..<128).contains(variant.groupSize)
                if isOrdered || ranks * max(variant.groupSize, 32) <= 128 {
                    #expect(relativeDistance(try logits.get(), expected) < 1e-5, "\(ranks) ranks")
                } else {
                    let error = #expect(throws: LLMError.self) { try logits.get() }
                    #expect(error?.message.contains("cut a group of \(variant.groupSize)") == true)
                }
            }
        }
    }

    @Test("Stored experts are shared out, but for those with an order of columns")
    func storedExperts() throws {
        let prompt = (0..<50).map { TokenID($0 * 5 % 67) }
        for hasOrder in [false, true] {
            let folder = QuantizedFolder(.gptq, groupSize: 32, hasZeros: true, hasOrder: hasOrder, hasExperts: true)
            try LoaderFixtures.withDirectory { path in
                try folder.write(path + "/stored")
                try folder.writeExpanded(path + "/expanded")
                let expected = try Self.logits(path + "/expanded", Self.config(1), [prompt])[0]
                let logits = Result { try Self.logits(path + "/stored", Self.config(2), [prompt])[0] }
                if hasOrder {
                    let error = #expect(throws: LLMError.self) { try logits.get() }
                    #expect(error?.message.contains("ranks can't share out") == true, "\(error?.message ?? "-")")
                } else {
                    #expect(relativeDistance(try logits.get(), expected) < 1e-5)
                }
            }
        }
    }

    @Test(
        "Fixtures of quantised weights with two ranks", arguments: QuantizedFolderTests.fixtures)
    func quantizedFixtures(name: String) throws {
        let golden = try #require(Shared.json(QuantizedFolderTests.fixture(name) + "/golden.json")["cases"])
        let prompts = golden.elements.map { $0["prompt_ids"]!.ids }
        let found = try Self.logits(QuantizedFolderTests.fixture(name), Self.config(2), prompts)
        for (logits, testCase) in zip(found, golden.elements) {
            let distance = relativeDistance(logits, testCase["last_logits"]!.floats)
            #expect(distance < (name == "w8a8" ? 5e-2 : 1e-4))
        }
    }

    @Test("More logits than fit a slice: rank 0 reads one while the others write the next")
    func manyLogits() async throws {
        let folder = ConformanceTests.folder("tiny-qwen3-7to1-d24")
        let prompt = (0..<450).map { TokenID($0 * 31 % 131) }
        var outputs: [RequestOutput] = []
        for ranks in [1, 2, 4] {
            let harness = try EngineHarness(folder, Self.config(ranks))
            let stream = harness.submit(prompt, SamplingParams(temperature: 0, maxTokens: 1, promptLogprobs: 20)).stream
            #expect(try harness.finish())
            outputs.append(try await stream.collect())
        }
        for output in outputs.dropFirst() {
            for (mine, theirs) in zip(output.promptLogprobs!, outputs[0].promptLogprobs!).dropFirst() {
                #expect(abs(mine!.logprob - theirs!.logprob) < 1e-4)
                #expect(abs(mine!.top[19].logprob - theirs!.top[19].logprob) < 1e-4)
            }
        }
    }

    // MARK: - Failures

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
        #expect(try Self.distance("tiny-llama-linear-biases", ranks: [2, 3, 4]) { _ in } < 1e-5)
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

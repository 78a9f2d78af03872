// Several ranks in one process: what they compute together is what one computes, whatever the shapes.

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

    @Test("Stored experts are shared out, also those with an order of columns")
    func storedExperts() throws {
        let prompt = (0..<50).map { TokenID($0 * 5 % 67) }
        for hasOrder in [false, true] {
            let folder = QuantizedFolder(.gptq, groupSize: 32, hasZeros: true, hasOrder: hasOrder, hasExperts: true)
            try LoaderFixtures.withDirectory { path in
                try folder.write(path + "/stored")
                try folder.writeExpanded(path + "/expanded")
                func logits(_ folder: String, _ dtype: EngineConfig.DataType, ranks: Int = 1) throws -> [Float] {
                    var config = Self.config(ranks)
                    config.dtype = dtype
                    return try Self.logits(path + folder, config, [prompt])[0]
                }
                let expected = try logits("/expanded", .float32)
                let rounding = relativeDistance(try logits("/expanded", .bfloat16), expected)
                for ranks in 2...3 {
                    let found = try logits("/stored", .float32, ranks: ranks)
                    #expect(relativeDistance(found, expected) < 1e-5, "\(ranks) ranks, order \(hasOrder)")
                    let rounded = try logits("/stored", .bfloat16, ranks: ranks)
                    #expect(
                        relativeDistance(rounded, expected) < 1.5 * rounding, "\(ranks) ranks, order \(hasOrder)")
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
}

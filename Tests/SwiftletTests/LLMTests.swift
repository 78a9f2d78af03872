// The public handle: orders, streams, refusals, many callers at once, and requests that end by their text. On the demo
// model, which writes real text.

import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("LLM", .serialized)
struct LLMTests {
    static let prompts: [Prompt] = ["Once upon a time", "The old man", "Anna and Tom went to the", "A"]

    func demo(_ config: EngineConfig = EngineConfig()) async throws -> LLM {
        var config = config
        if config.kvCache == .automatic { config.kvCache = .blocks(64) }
        config.threads = 2
        return try await .quiet(nil, config)
    }

    static func greedy(_ maxTokens: Int, _ change: (inout SamplingParams) -> Void = { _ in }) -> SamplingParams {
        var params = SamplingParams(temperature: 0, maxTokens: maxTokens, ignoreEOS: true)
        change(&params)
        return params
    }

    @Test("Outputs come in the order of the prompts, each with its own parameters")
    func order() async throws {
        let llm = try await demo()
        let lengths = [30, 3, 17, 8]
        let outputs = try await llm.generate(zip(Self.prompts, lengths).map { Request($0, Self.greedy($1)) })
        for (index, output) in outputs.enumerated() {
            guard case .text(let text) = Self.prompts[index] else { return }
            #expect(output.prompt == text && output.promptTokenIDs == llm.tokenizer?.encode(text))
            #expect(output.tokenIDs.count == lengths[index] && output.finishReason == .length)
            #expect(output.text == llm.tokenizer?.decode(output.tokenIDs))
            #expect(output.usage.completionTokens == lengths[index])
            #expect(output.usage.promptTokens == output.promptTokenIDs.count)
            // Alone, as tokens, and streamed: the same.
            let alone = try await llm.generate([.tokens(output.promptTokenIDs)], Self.greedy(lengths[index]))[0]
            #expect(alone.choices == output.choices && alone.prompt == nil)
        }
        #expect(try await llm.generate([Prompt]()).isEmpty)
        await llm.shutdown()
    }

    @Test("A stream's deltas add up to what generate gives, for every choice")
    func streaming() async throws {
        let llm = try await demo()
        let params = SamplingParams(
            n: 3, temperature: 0.8, seed: 4, maxTokens: 40, stop: ["."], logprobs: 1, promptLogprobs: 0)
        let output = try await llm.generate([Self.prompts[0]], params)[0]
        var choices = (0..<3).map { CompletionOutput(index: $0) }
        var ended: Set<Int> = []
        var tokens = 0
        for try await delta in llm.stream(Self.prompts[0], params) {
            #expect(!ended.contains(delta.index) && delta.tokenIDs.count == 1 && delta.logprobs?.count == 1)
            tokens += 1
            #expect(delta.usage.completionTokens == tokens)
            #expect((delta.promptLogprobs != nil) == (tokens == 1))
            choices[delta.index].text += delta.text
            choices[delta.index].tokenIDs += delta.tokenIDs
            choices[delta.index].logprobs = (choices[delta.index].logprobs ?? []) + delta.logprobs!
            guard let reason = delta.finishReason else { continue }
            ended.insert(delta.index)
            choices[delta.index].finishReason = reason
            choices[delta.index].stopReason = delta.stopReason
        }
        #expect(choices == output.choices && ended == [0, 1, 2])
        #expect(output.promptLogprobs?.count == output.promptTokenIDs.count)
        await llm.shutdown()
    }

    @Test("A stop string ends the request in that very step, wherever it lies in the text")
    func stopStrings() async throws {
        let llm = try await demo()
        let tokenizer = try #require(llm.tokenizer)
        let free = try await llm.generate([Self.prompts[0]], Self.greedy(60))[0]
        let text = free.text
        #expect(text.unicodeScalars.count > 60)
        for (start, length) in [(0, 1), (1, 3), (20, 2), (23, 15), (40, 9)] {
            let stop = String(text.dropFirst(start).prefix(length))
            let first = text.ranges(of: stop)[0]
            let output = try await llm.generate([Self.prompts[0]], Self.greedy(60) { $0.stop = ["@@@", stop] })[0]
            #expect(output.finishReason == .stop && output.choices[0].stopReason == .string(stop))
            #expect(output.text == String(text[..<first.lowerBound]))
            let kept = try await llm.generate(
                [Self.prompts[0]],
                Self.greedy(60) { ($0.stop, $0.includeStopStringInOutput) = ([stop], true) })[0]
            #expect(kept.text == String(text[..<first.upperBound]))
            // Not one token more than the stop string needs.
            #expect(output.tokenIDs == Array(free.tokenIDs.prefix(output.tokenIDs.count)))
            #expect(tokenizer.decode(output.tokenIDs).contains(stop))
            #expect(!tokenizer.decode(output.tokenIDs.dropLast()).contains(stop))
            #expect(output.usage.completionTokens == output.tokenIDs.count)
        }
        // At the very end, where the length ends it too; and a beginning that is never completed.
        let last = try await llm.generate([Self.prompts[0]], Self.greedy(60) { $0.stop = [String(text.suffix(6))] })[0]
        #expect(last.choices[0].stopReason == .string(String(text.suffix(6))) && last.finishReason == .stop)
        let begun = try await llm.generate(
            [Self.prompts[0]], Self.greedy(60) { $0.stop = [String(text.suffix(6)) + "@@@"] })[0]
        #expect(begun.text == text && begun.finishReason == .length)
        #expect(await llm.wait { $0.usedBlocks == 0 })
        await llm.shutdown()
    }

    @Test("Special tokens are left out of the text, or kept")
    func specialTokens() async throws {
        let llm = try await demo()
        let tokenizer = try #require(llm.tokenizer)
        let special = try #require(tokenizer.id(of: "<|im_start|>"))
        let params = Self.greedy(3) { $0.logitBias = [special: 100] }
        let skipped = try await llm.generate([Self.prompts[0]], params)[0]
        #expect(skipped.tokenIDs == [special, special, special] && skipped.text.isEmpty)
        var keeping = params
        keeping.skipSpecialTokens = false
        #expect(try await llm.generate([Self.prompts[0]], keeping)[0].text == "<|im_start|><|im_start|><|im_start|>")
        // The stop token's text is part of the output only when asked for.
        (keeping.stopTokenIDs, keeping.ignoreEOS) = ([special], false)
        let stopped = try await llm.generate([Self.prompts[0]], keeping)[0]
        #expect(stopped.text.isEmpty && stopped.choices[0].stopReason == .token(special))
        keeping.includeStopStringInOutput = true
        #expect(try await llm.generate([Self.prompts[0]], keeping)[0].text == "<|im_start|>")
        await llm.shutdown()
    }

    @Test("More than maxQueuedRequests that wait are refused; the others are served")
    func queueFull() async throws {
        let llm = try await LLM.endless { ($0.maxSequences, $0.maxQueuedRequests) = (2, 3) }
        let prompt = Prompt.tokens([1, 2, 3])
        do {
            // Two run, three wait, none ends.
            let streams = (0..<12).map { _ in llm.stream(prompt, .endless) }
            for stream in streams[5...] {
                let error = await #expect(throws: LLMError.self) { try await stream.collect() }
                #expect(error?.code == .queueFull && error?.message.contains("max-queued-requests") == true)
            }
            for stream in streams[..<2] {
                var iterator = stream.makeAsyncIterator()
                #expect(try await iterator.next() != nil)
            }
        }
        #expect(await llm.wait { $0.aborted == 5 && $0.usedBlocks == 0 })
        #expect(try await llm.generate([prompt], Self.greedy(2))[0].tokenIDs.count == 2)
        await llm.shutdown()
    }

    @Test("Many tasks at once each get their own output")
    func concurrentUse() async throws {
        let llm = try await demo(EngineConfig(maxSequences: 8))
        let expected = try await llm.generate(Self.prompts, Self.greedy(12)).map(\.tokenIDs)
        let right = try await withThrowingTaskGroup(of: Bool.self) { group in
            for index in 0..<40 {
                group.addTask {
                    let output = try await llm.generate([Self.prompts[index % 4]], Self.greedy(12))[0]
                    return output.tokenIDs == expected[index % 4]
                }
            }
            return try await group.reduce(true) { $0 && $1 }
        }
        #expect(right)
        await llm.shutdown()
    }

    @Test("Requests without a seed draw one each, which the engine's seed decides")
    func drawnSeeds() async throws {
        let params = SamplingParams(maxTokens: 12, ignoreEOS: true)
        var runs: [[[TokenID]]] = []
        for seed in [5, 5, 6] as [UInt64] {
            let llm = try await demo(EngineConfig(seed: seed))
            var outputs: [[TokenID]] = []
            for _ in 0..<3 { outputs.append(try await llm.generate([Self.prompts[0]], params)[0].tokenIDs) }
            #expect(Set(outputs).count == 3)
            runs.append(outputs)
            await llm.shutdown()
        }
        #expect(runs[0] == runs[1] && runs[0] != runs[2])
    }

    @Test("Counters add up")
    func counters() async throws {
        let llm = try await LLM.endless()
        let prompt = Prompt.tokens([1, 2, 3])
        let stopping = Self.greedy(50) { ($0.logitBias, $0.stopTokenIDs) = ([9: 100], [9]) }
        _ = try await llm.generate((0..<4).map { _ in Request(prompt, stopping) })
        let many = try await llm.generate([Request(prompt, Self.greedy(10) { $0.n = 5 })])[0]
        var three = SamplingParams.endless
        three.n = 3
        for try await _ in llm.stream(prompt, three) { break }
        #expect(await llm.wait { $0.aborted == 3 && $0.runningSequences == 0 && $0.waitingSequences == 0 })
        let statistics = llm.statistics
        #expect(statistics.finishedByStop == 4 && statistics.finishedByLength == 5)
        #expect(many.usage.completionTokens == 50 && statistics.generatedTokens >= 55)
        #expect(statistics.blockCount == 1024 && statistics.usedBlocks == 0 && statistics.steps > 0)
        await llm.shutdown()
    }

    @Test("What needs a tokenizer or a model that is not there says so")
    func missingFiles() async throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        for tokenizer in [folder.path + "/none", folder.path + "/config.json", folder.path] {
            let error = await #expect(throws: LLMError.self) {
                try await LLM(
                    folder.path, tokenizer: tokenizer, config: EngineConfig(kvCache: .blocks(4), loadFormat: .dummy),
                    logger: LogRecorder().logger)
            }
            #expect(error?.message.contains(folder.path) == true)
        }
        let error = await #expect(throws: LLMError.self) { try await LLM.quiet(folder.path + "/none", EngineConfig()) }
        #expect(error?.code == .inputOutput && error?.message.contains("does not exist") == true)
    }

    @Test("The smallest engine of all gives what any other gives")
    func smallest() async throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        var config = EngineConfig(dtype: .float32, kvCache: .blocks(32), threads: 2, seed: 1, loadFormat: .dummy)
        let large = try await LLM.quiet(folder.path, config)
        (config.maxSequences, config.maxBatchedTokens, config.blockSize, config.kvCache) = (1, 1, 16, .blocks(1))
        let small = try await LLM.quiet(folder.path, config)
        let params = SamplingParams(n: 3, seed: 8, maxTokens: 10, ignoreEOS: true, logprobs: 2, promptLogprobs: 2)
        let prompts = [Prompt.tokens([3]), .tokens([1, 2, 3, 4, 5, 6, 7]), .tokens([9, 9])]
        let expected = try await large.generate(prompts, params)
        let actual = try await small.generate(prompts, params)
        #expect(actual.map(\.choices) == expected.map(\.choices))
        #expect(actual.map(\.promptLogprobs) == expected.map(\.promptLogprobs))
        #expect(actual[0].promptLogprobs == [nil])
        await large.shutdown()
        await small.shutdown()
    }

    @Test("Without parameters a request takes the model's generation_config, or vLLM's defaults")
    func defaults() async throws {
        let llm = try await demo()
        #expect(llm.defaultSamplingParams.temperature == 0.7 && llm.defaultSamplingParams.maxTokens == 16)
        #expect(try await llm.generate([Self.prompts[0]])[0].tokenIDs.count <= 16)
        // A max_tokens that nobody named ends where the context ends, one that was named is refused.
        let long = Prompt.tokens(Array(repeating: 9, count: llm.maxModelLength - 3))
        let short = try await llm.generate([long])[0]
        #expect(short.tokenIDs.count <= 3)
        await #expect(throws: LLMError.self) { try await llm.generate([long], SamplingParams()) }
        await llm.shutdown()
        let plain = try await demo(EngineConfig(useGenerationConfig: false))
        #expect(plain.defaultSamplingParams == SamplingParams())
        await plain.shutdown()
    }
}

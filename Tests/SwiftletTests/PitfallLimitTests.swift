// The pitfalls of limits: what can't fit is refused at once, by name and number, and what is asked for wrongly too.
// Each test is named after its number.

import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Pitfalls: limits and stops", .serialized)
struct PitfallLimitTests {
    let folder = DummyModel.folder(DummyModel.qwen3)

    func llm(blocks: Int = 32, length: Int? = nil, maxLogprobs: Int = 20) async throws -> LLM {
        try await .quiet(
            folder.path,
            EngineConfig(
                dtype: .float32, maxModelLength: length, blockSize: 16, kvCache: .blocks(blocks), threads: 1, seed: 1,
                loadFormat: .dummy, maxLogprobs: maxLogprobs))
    }

    func prompt(_ count: Int) -> Prompt { .tokens((0..<count).map { TokenID($0 % 331) }) }

    func refusal(_ llm: LLM, _ prompt: Prompt, _ params: SamplingParams) async -> LLMError? {
        await #expect(throws: LLMError.self) { try await llm.generate([prompt], params) }
    }

    static func greedy(_ maxTokens: Int?) -> SamplingParams {
        SamplingParams(temperature: 0, maxTokens: maxTokens, ignoreEOS: true)
    }

    @Test("A11: what is larger than the pool is refused, the others go on")
    func a11LargerThanThePool() async throws {
        let llm = try await llm(blocks: 2)
        #expect(llm.kvTokenCapacity == 32)
        let running = llm.stream(prompt(4), Self.greedy(28))
        let long = await refusal(llm, prompt(40), Self.greedy(1))
        #expect(long?.code == .contextLengthExceeded)
        for part in ["40", "32", "kv-cache-memory-bytes"] { #expect(long?.message.contains(part) == true) }
        let growing = await refusal(llm, prompt(10), Self.greedy(100))
        for part in ["10", "100", "32", "max_tokens"] { #expect(growing?.message.contains(part) == true) }
        #expect(try await running.collect().tokenIDs.count == 28)
        // What fits exactly is served: the last token's KV is never written.
        #expect(try await llm.generate([prompt(10)], Self.greedy(23))[0].tokenIDs.count == 23)
        #expect(await refusal(llm, prompt(10), Self.greedy(24)) != nil)
        #expect(try await llm.generate([prompt(10)], Self.greedy(nil))[0].tokenIDs.count == 23)
        // Several at once, each as large as the pool.
        let outputs = try await llm.generate((1...5).map { prompt(5 + $0) }, Self.greedy(20))
        #expect(outputs.allSatisfy { $0.tokenIDs.count == 20 && $0.finishReason == .length })
        await llm.shutdown()
    }

    @Test("A15: prompt and output end at the context's end, and a longer prompt never reaches the queue")
    func a15MaxModelLength() async throws {
        let llm = try await llm(length: 32)
        #expect(llm.maxModelLength == 32)
        for count in [32, 33, 1000] {
            let error = await refusal(llm, prompt(count), Self.greedy(1))
            #expect(error?.code == .contextLengthExceeded)
            for part in ["\(count)", "max-model-len 32", "31"] { #expect(error?.message.contains(part) == true) }
        }
        let tooMuch = await refusal(llm, prompt(10), Self.greedy(23))
        for part in ["10", "23", "max-model-len 32", "22"] { #expect(tooMuch?.message.contains(part) == true) }
        #expect(llm.statistics.steps == 0)

        let last = try await llm.generate([prompt(31)], Self.greedy(1))[0]
        #expect(last.tokenIDs.count == 1 && last.finishReason == .length)
        let toTheEnd = try await llm.generate([prompt(10), prompt(31)], Self.greedy(nil))
        #expect(toTheEnd.map(\.tokenIDs.count) == [22, 1])
        #expect(toTheEnd.allSatisfy { $0.finishReason == .length && $0.choices[0].stopReason == nil })
        let error = await refusal(llm, prompt(10), SamplingParams(maxTokens: nil, minTokens: 23))
        #expect(error?.message.contains("min_tokens is 23") == true)
        await llm.shutdown()
    }

    @Test("A25: requests that make no sense get typed errors before anything starts")
    func a25Nonsense() async throws {
        let llm = try await llm()
        let good = prompt(5)
        let cases: [(prompt: Prompt, params: SamplingParams, names: [String])] = [
            (.tokens([]), .greedy, ["prompt is empty"]), (.tokens([1, 331]), .greedy, ["331", "0..<331"]),
            (.tokens([-1]), .greedy, ["-1"]), (good, Self.greedy(0), ["max_tokens is 0"]),
            (good, SamplingParams(temperature: .nan), ["temperature", "nan"]),
            (good, SamplingParams(stopTokenIDs: [331]), ["stop_token_ids", "331"]),
            (good, SamplingParams(logprobs: 21), ["logprobs is 21", "0...20", "max-logprobs"]),
            (good, Self.greedy(.max), ["max-model-len"]), ("text", .greedy, ["tokenizer"]),
            (good, SamplingParams(stop: ["end"]), ["stop strings need a tokenizer"]),
        ]
        for (prompt, params, names) in cases {
            let error = await refusal(llm, prompt, params)
            #expect(error?.code == (names == ["max-model-len"] ? .contextLengthExceeded : .invalidRequest))
            let message = error?.message ?? ""
            for name in names { #expect(message.contains(name), "\(message) lacks \(name)") }
            // The same from the first next() of a stream.
            let streamed = await #expect(throws: LLMError.self) { for try await _ in llm.stream(prompt, params) {} }
            #expect(streamed?.message == error?.message)
        }
        // One bad request of several: none is started.
        await #expect(throws: LLMError.self) {
            try await llm.generate([Request(good, .greedy), Request(good, Self.greedy(0)), Request(good, .greedy)])
        }
        #expect(llm.statistics.steps == 0 && llm.statistics.prefillTokens == 0)
        await llm.shutdown()
    }

    @Test("A25: an engine's options are checked by name and range")
    func a25Configuration() async throws {
        let cases: [(config: EngineConfig, names: [String])] = [
            (EngineConfig(maxModelLength: 0), ["max-model-len is 0"]),
            (EngineConfig(maxModelLength: 513), ["max-model-len is 513", "512"]),
            (EngineConfig(maxSequences: 0), ["max-num-seqs is 0"]),
            (EngineConfig(maxBatchedTokens: 0), ["max-num-batched-tokens is 0"]),
            (
                EngineConfig(maxBatchedTokens: 100, enableChunkedPrefill: false),
                ["max-num-batched-tokens is 100", "512"]
            ),
            (EngineConfig(blockSize: 8), ["block-size is 8", "power of two"]),
            (EngineConfig(blockSize: 48), ["block-size is 48"]), (EngineConfig(threads: 0), ["threads is 0"]),
            (EngineConfig(kvCache: .fraction(.nan)), ["nan", "(0, 1]"]),
            (EngineConfig(kvCache: .fraction(1.5)), ["1.5", "(0, 1]"]),
            (EngineConfig(kvCache: .bytes(0)), ["kv-cache-memory-bytes is 0"]),
            (EngineConfig(kvCache: .blocks(0)), ["num-gpu-blocks-override is 0"]),
            (EngineConfig(cpuLevel: "mmx"), ["cpu-level mmx", "portable"]),
            (EngineConfig(maxQueuedRequests: 0), ["max-queued-requests is 0"]),
            (EngineConfig(maxLogprobs: -1), ["max-logprobs is -1"]),
        ]
        for (config, names) in cases {
            var config = config
            config.loadFormat = .dummy
            let error = await #expect(throws: LLMError.self) { try await LLM.quiet(folder.path, config) }
            #expect(error?.code == .invalidConfiguration)
            let message = error?.message ?? ""
            for name in names { #expect(message.contains(name), "\(message) lacks \(name)") }
        }
    }

    @Test("A19: the ends of sequence of config, generation_config and tokenizer all count, as int or list")
    func a19EndsOfSequence() async throws {
        let folder = DummyModel.folder(
            DummyModel.qwen3.replacing("\"vocab_size\": 331", with: "\"vocab_size\": 3072")
                .replacing("\"eos_token_id\": 7", with: "\"eos_token_id\": [700, 701]"))
        folder.write("generation_config.json", #"{"eos_token_id": 900}"#)
        let files = ModelLoader.demoModel
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            folder.write(name, String(decoding: try files.data(name, limit: 1 << 24)!, as: UTF8.self))
        }
        let llm = try await LLM.quiet(
            folder.path, EngineConfig(kvCache: .blocks(4), threads: 1, seed: 1, loadFormat: .dummy))
        let end = try #require(llm.tokenizer?.id(of: "<|im_end|>"))
        for eos in [700, 701, 900, end] {
            var params = SamplingParams(temperature: 0, maxTokens: 5, logitBias: [eos: 100])
            let stopped = try await llm.generate(["Once"], params)[0]
            #expect(stopped.tokenIDs == [eos] && stopped.finishReason == .stop && stopped.choices[0].stopReason == nil)
            params.ignoreEOS = true
            let ignored = try await llm.generate(["Once"], params)[0]
            #expect(ignored.tokenIDs == Array(repeating: eos, count: 5) && ignored.finishReason == .length)
            // min_tokens masks each of them.
            (params.ignoreEOS, params.minTokens) = (false, 3)
            let delayed = try await llm.generate(["Once"], params)[0]
            #expect(delayed.tokenIDs.firstIndex(of: eos) == 3)
        }
        await llm.shutdown()
    }
}

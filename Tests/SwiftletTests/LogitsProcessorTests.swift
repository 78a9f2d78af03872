// A rule of one's own decides what may be chosen, sees its own sequence only, and changes no report.

import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Logits processors", .serialized)
struct LogitsProcessorTests {
    /// Allows one token: the one after the newest, by number.
    struct CountUp: LogitsProcessor {
        func process(_ logits: inout MutableSpan<Float>, _ context: LogitsContext) {
            let next = Int(context.tokens[context.tokens.count - 1]) + 1
            for id in logits.indices where id != next { logits[id] = -.infinity }
        }
    }

    let folder = DummyModel.folder(DummyModel.qwen3)
    let config = EngineConfig(
        dtype: .float32, maxBatchedTokens: 7, blockSize: 16, kvCache: .blocks(32), threads: 1, seed: 1,
        loadFormat: .dummy)

    @Test("The rule decides, greedy or sampled, for each sequence of a batch")
    func decides() async throws {
        let llm = try await LLM(folder.path, config: config, logitsProcessors: [CountUp()])
        let prompts: [Prompt] = [.tokens([10]), .tokens([1, 2, 50]), .tokens(Array(repeating: 100, count: 20))]
        for temperature: Float in [0, 1] {
            let params = SamplingParams(temperature: temperature, maxTokens: 5, ignoreEOS: true)
            let outputs = try await llm.generate(prompts, params)
            #expect(outputs.map(\.tokenIDs) == [Array(11...15), Array(51...55), Array(101...105)])
        }
        await llm.shutdown()
    }

    @Test("Log-probabilities stay the raw ones")
    func logprobsAreRaw() async throws {
        let plain = try await LLM.quiet(folder.path, config)
        let ruled = try await LLM(folder.path, config: config, logitsProcessors: [CountUp()])
        let prompt: [Prompt] = [.tokens([10, 11, 12])]
        let params = SamplingParams(temperature: 0, maxTokens: 1, logprobs: 20)
        let (free, forced) = (try await plain.generate(prompt, params)[0], try await ruled.generate(prompt, params)[0])
        #expect(forced.tokenIDs == [13] && forced.choices[0].logprobs![0].rank > 1)
        #expect(free.choices[0].logprobs![0].top == forced.choices[0].logprobs![0].top)
        await plain.shutdown()
        await ruled.shutdown()
    }
}

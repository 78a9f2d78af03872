// What is refused at the door, and what only looked as if it had to be. Each test is named after what went wrong.

import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Request limits", .serialized)
struct RequestLimitTests {
    let folder = DummyModel.folder(DummyModel.qwen3)

    @Test("Choices that follow the first one do not count as waiting requests")
    func choicesAreNoRequests() async throws {
        let config = EngineConfig(
            maxSequences: 2, blockSize: 16, kvCache: .blocks(64), threads: 1, loadFormat: .dummy, maxQueuedRequests: 4)
        let llm = try await LLM.quiet(folder.path, config)
        let params = SamplingParams(n: 8, temperature: 1, maxTokens: 8, ignoreEOS: true)
        // As many at a time as the limit allows: the seven siblings of each would fill the queue.
        for _ in 0..<3 {
            let outputs = try await llm.generate((0..<4).map { .tokens([TokenID($0), 5, 6]) }, params)
            #expect(outputs.allSatisfy { $0.choices.count == 8 })
        }
        await llm.shutdown()
    }

    @Test("With min_tokens, allowed tokens that all end the output would leave nothing to choose")
    func onlyStopTokensAllowed() async throws {
        let config = EngineConfig(blockSize: 16, kvCache: .blocks(64), threads: 1, loadFormat: .dummy)
        let llm = try await LLM.quiet(folder.path, config)
        // 7 is this model's end of sequence.
        var params = SamplingParams(maxTokens: 8, minTokens: 4, stopTokenIDs: [9], allowedTokenIDs: [7, 9])
        await #expect(throws: LLMError.self) { try await llm.generate([.tokens([1, 2])], params) }
        params.allowedTokenIDs = [7, 9, 11]
        let output = try await llm.generate([.tokens([1, 2])], params)[0]
        #expect(output.tokenIDs.prefix(4) == [11, 11, 11, 11])
        await llm.shutdown()
    }

    @Test(
        "Sizes at the limits of Int end in an error, not in a trap",
        arguments: [
            EngineConfig.KVCacheSize.blocks(.max), .bytes(.max), .blocks(1 << 40),
        ])
    func absurdCacheSizes(size: EngineConfig.KVCacheSize) async {
        let config = EngineConfig(kvCache: size, loadFormat: .dummy)
        await #expect(throws: LLMError.self) { try await LLM.quiet(folder.path, config) }
    }
}

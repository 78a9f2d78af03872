// Ablation: what prefix caching and chunked prefill are good for. One workload, 48 prompts that begin with the same
// 350 tokens, runs four times with a KV cache that is too small to hold them without sharing; the statistics tell what
// it cost. Chunks bound a step at 128 tokens; without them a step must have room for the longest prompt.
// The tokens are the same each time: these options change when work is done, never what comes out.

import Foundation
import Swiftlet

/// A long common beginning, as of a system prompt with examples, and an end of each request's own.
func workload(_ llm: LLM) -> [Prompt] {
    guard let tokenizer = llm.tokenizer else { return [] }
    let story = "Once upon a time, a small girl named Rosa lived in a small village by a river. Rosa was very quiet. "
    let shared = tokenizer.encode(String(repeating: story, count: 20)).prefix(350)
    return (1...48).map { .tokens(shared + tokenizer.encode("One day, \($0) ducks came to her. ")) }
}

func config(prefixCaching: Bool, chunkedPrefill: Bool) -> EngineConfig {
    EngineConfig(
        maxModelLength: 512, maxBatchedTokens: chunkedPrefill ? 128 : 512, blockSize: 16, kvCache: .blocks(300),
        enablePrefixCaching: prefixCaching, enableChunkedPrefill: chunkedPrefill)
}

func cell(_ value: some Any) -> String {
    let text = "\(value)"
    return String(repeating: " ", count: max(0, 11 - text.count)) + text
}

print(["caching", "chunked", "hit tokens", "prefilled", "preempted", "steps", "seconds"].map { cell($0) }.joined())
var reference: [RequestOutput] = []
for (prefixCaching, chunkedPrefill) in [(true, true), (true, false), (false, true), (false, false)] {
    let llm = try await LLM(config: config(prefixCaching: prefixCaching, chunkedPrefill: chunkedPrefill))
    let params = SamplingParams(temperature: 0.8, seed: 11, maxTokens: 48, ignoreEOS: true)
    let outputs = try await llm.generate(workload(llm), params)
    await llm.shutdown()
    let statistics = llm.statistics
    print(
        cell(prefixCaching ? "on" : "off") + cell(chunkedPrefill ? "on" : "off") + cell(statistics.prefixCacheHits)
            + cell(statistics.prefillTokens) + cell(statistics.preemptions) + cell(statistics.steps)
            + cell(String(format: "%.2f", statistics.stepSeconds)))
    if reference.isEmpty { reference = outputs }
    guard outputs.map(\.tokenIDs) == reference.map(\.tokenIDs) else { fatalError("the tokens differ") }
}

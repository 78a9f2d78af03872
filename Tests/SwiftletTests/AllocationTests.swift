// A warm decode step allocates nothing from schedule to bookkeeping; handing out text is bounded per token.

import CSwiftletTestSupport
import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Allocations", .serialized, .enabled(if: swiftlet_can_count_allocations(), "counting needs glibc's malloc"))
struct AllocationTests {
    static let params: [SamplingParams] = [
        SamplingParams(temperature: 0, maxTokens: 200, ignoreEOS: true),
        SamplingParams(temperature: 0.8, seed: 1, maxTokens: 200, ignoreEOS: true),
        SamplingParams(
            temperature: 0.8, topK: 40, topP: 0.95, minP: 0.01, seed: 2, maxTokens: 200, ignoreEOS: true),
        SamplingParams(
            temperature: 0.7, presencePenalty: 0.2, frequencyPenalty: 0.2, repetitionPenalty: 1.2, seed: 3,
            maxTokens: 200, minTokens: 190, stop: ["never ever"], stopTokenIDs: [5], logitBias: [9: 1]),
    ]

    @Test("Counting counts")
    func countingCounts() {
        swiftlet_begin_counting_allocations()
        let array = [Int](repeating: 0, count: Int.random(in: 1000...2000))
        #expect(swiftlet_end_counting_allocations() > 0)
        #expect(array.count >= 1000)
    }

    @Test("A warm decode step allocates nothing, with an MLP and with experts", arguments: [false, true])
    func warmDecodeStep(hasExperts: Bool) throws {
        let folder = DummyModel.folder(DummyModel.qwen3MoE)
        let config = EngineConfig(kvCache: .blocks(64), threads: 2, loadFormat: hasExperts ? .dummy : .automatic)
        let harness = try EngineHarness(hasExperts ? folder.path : nil, config)
        let prompt = harness.loaded.tokenizer?.encode("Once upon a time there was") ?? [5, 9, 100, 3, 200, 17]
        let streams = Self.params.map { params in
            var params = params
            if hasExperts { params.stop = [] }  // there is no tokenizer
            return harness.submit(prompt, params).stream
        }
        for _ in 0..<20 { try harness.engine.step() }

        var (inCompute, inDelivery) = (0, 0)
        // Over block boundaries too: a new block is taken and a full one published.
        let steps = 150
        for _ in 0..<steps {
            swiftlet_begin_counting_allocations()
            let isRunning = try harness.engine.compute()
            inCompute += swiftlet_end_counting_allocations()
            #expect(isRunning)
            swiftlet_begin_counting_allocations()
            harness.engine.deliver()
            inDelivery += swiftlet_end_counting_allocations()
        }
        #expect(inCompute == 0)
        let perToken = Double(inDelivery) / Double(steps * streams.count)
        #expect(perToken <= 16, "\(perToken) allocations per delivered token")
        #expect(try harness.finish())
    }
}

// ModelRun: what a model makes of a few prompts: the logits that each greedy token was chosen by. A value of the
// self-test.
// Invariant: requests and schedule are the same on every device.

import SwiftletTokenizer
import Synchronization

struct ModelRun: Sendable {
    /// Relative error of logits of one type on two implementations.
    static var limit: Double { 3e-2 }

    /// Of each request, in the order of its tokens.
    private let tokens: [[TokenID]]
    private let logits: [[[Float]]]

    static var config: EngineConfig {
        EngineConfig(
            maxModelLength: 128, maxSequences: 8, maxBatchedTokens: 64, blockSize: 16, kvCache: .blocks(64),
            enablePrefixCaching: false)
    }

    /// Keeps the logits of each sequence.
    final class Recorder: LogitsProcessor {
        let rows = Mutex<[Int: [[Float]]]>([:])

        /// Requests are told apart by the lengths of their prompts.
        func process(_ logits: inout MutableSpan<Float>, _ context: LogitsContext) {
            let row = logits.withUnsafeBufferPointer { Array($0) }
            rows.withLock { $0[context.promptTokenCount, default: []].append(row) }
        }
    }

    /// Prompts of several lengths: shorter than a block, of several blocks, longer than a step.
    private static var lengths: [Int] { [1, 9, 40, 100] }
    private static var outputLength: Int { 8 }

    init<B: Backend>(_ engine: Engine<B>, _ recorder: Recorder, vocabularySize: Int) throws(LLMError) {
        let outputs = Self.lengths.map { _ in Output() }
        for (index, length) in Self.lengths.enumerated() {
            var params = SamplingParams(temperature: 0, maxTokens: Self.outputLength)
            params.ignoreEOS = true
            let prompt = (0..<length).map {
                TokenID(3 + ($0 * 37 + length * 11) % max(1, min(vocabularySize, 1000) - 3))
            }
            let output = outputs[index]
            engine.submit(
                Submission(
                    id: index, prompt: prompt, params: params, seed: 0, tokenLimit: length + Self.outputLength,
                    sink: TokenSink { event in
                        if case .delta(let delta) = event { output.tokens.withLock { $0 += delta.tokenIDs } }
                    }))
        }
        while try engine.step() {}
        tokens = outputs.map { output in output.tokens.withLock { $0 } }
        let rows = recorder.rows.withLock { $0 }
        logits = Self.lengths.map { rows[$0] ?? [] }
    }

    private final class Output: Sendable {
        let tokens = Mutex<[TokenID]>([])
    }

    func isEqual(to other: ModelRun) -> Bool {
        tokens == other.tokens && logits == other.logits && logits.allSatisfy { !$0.isEmpty }
    }

    /// The worst logits. Where two runs take different tokens their logits can't be compared any more; taking them where
    /// the best one was clear is an error.
    func error(against other: ModelRun) -> Double {
        var worst = 0.0
        for index in tokens.indices {
            for step in 0..<Self.outputLength {
                guard step < logits[index].count, step < other.logits[index].count else { return .infinity }
                worst = max(worst, Reference.distance(logits[index][step], other.logits[index][step]))
                if tokens[index][step] != other.tokens[index][step] { break }
            }
        }
        return worst
    }
}

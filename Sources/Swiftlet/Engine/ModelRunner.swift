// ModelRunner: takes a batch through the model and hands its logits, a slice at a time, to the sampler.
// Owned by the Engine. Knows neither requests nor blocks: a batch is numbers. Where several ranks share the model, each
// has a runner, and all of them run the batches of rank 0's, which alone has a sampler.
//
// Invariant: at most the model's maxLogitRows rows of logits exist at once, however many a batch asks for. (A prompt of
// thousands of tokens with log-probabilities would need gigabytes otherwise.)

package import SwiftletTokenizer

package final class ModelRunner<B: Backend> {
    package let model: DecoderModel<B>
    private let sampler: Sampler<B>?

    package init(model: DecoderModel<B>, sampler: Sampler<B>?) {
        self.model = model
        self.sampler = sampler
    }

    /// Computes the batch of these sequences. The next token of each sequence whose newest row is in the batch is
    /// written to `sampled` at the sequence's index. On other ranks than 0 the batch becomes rank 0's first; false there
    /// when there is none any more.
    ///
    /// - Throws: ``LLMError`` when another rank has failed.
    @discardableResult
    package func run(
        _ batch: Batch, _ sequences: [SequenceState] = [], into sampled: UnsafeMutablePointer<TokenID>? = nil
    ) throws(LLMError) -> Bool {
        do throws(LLMError) {
            guard try model.backend.broadcast(batch) else { return false }
            try compute(batch, sequences, into: sampled)
            return true
        } catch {
            // While this rank's memory is still there, which the others may be reading.
            model.backend.fail(error)
            throw error
        }
    }

    private func compute(
        _ batch: Batch, _ sequences: [SequenceState], into sampled: UnsafeMutablePointer<TokenID>?
    ) throws(LLMError) {
        try model.forward(batch)
        var first = 0
        while first < batch.logitRowCount {
            let rows = first..<min(first + model.maxLogitRows, batch.logitRowCount)
            let logits = try model.logits(of: batch, rows)
            if let sampler, let sampled {
                try sampler.process(logits, of: batch, rows: rows, sequences, into: sampled)
            }
            first = rows.upperBound
        }
    }
}

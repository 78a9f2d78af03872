// RooflineBench: whole forward passes with sampling: a prefill of 512 tokens, and decodes of several batches.
// Invariant: what runs is the ModelRunner of the engine; only scheduling and detokenising are left out.

import SwiftletTokenizer

extension RooflineBench {
    /// A step that is measured.
    private struct Step {
        var name: String
        var sequences: [ModelWork.Sequence]
        var rows: Int { sequences.reduce(0) { $0 + $1.rows } }
        var blocks: Int { sequences.reduce(0) { $0 + RooflineBench.blocks(for: $1.context) } }
    }

    static func blocks(for context: Int) -> Int { (context + blockSize - 1) / blockSize }

    func measureForward(_ report: (String) -> Void) throws(LLMError) {
        let (prompt, context) = (min(Self.maxRows, maxContext), min(128, maxContext))
        var steps = [Step(name: "prefill \(prompt)", sequences: [.init(rows: prompt, context: prompt)])]
        for count in [1, 16, 64] {
            steps.append(
                Step(
                    name: "decode \(count)",
                    sequences: Array(repeating: .init(rows: 1, context: context), count: count)))
        }
        let blockBytes = work.bytesPerCachedToken * Self.blockSize * config.layerCount
        if let available = Platform.availableMemory() {
            for step in steps where step.blocks * blockBytes > available {
                report("\(step.name) is left out: its KV cache takes \(step.blocks * blockBytes >> 20) MiB")
            }
            steps.removeAll { $0.blocks * blockBytes > available }
        }
        let caches = try makeCaches(blockCount: steps.map(\.blocks).max() ?? 1)
        let runner = try makeRunner(caches)
        for step in steps { try measure(step, runner, blockCount: steps.map(\.blocks).max() ?? 1) }
    }

    /// A cache for each layer, all slots of it written.
    private func makeCaches(blockCount: Int) throws(LLMError) -> [CPUCache] {
        var caches: [CPUCache] = []
        var pool: AttentionPool?
        for _ in 0..<config.layerCount {
            let next = try AttentionPool(bench: self, blockCount: blockCount, buffersOf: pool)
            next.fill()
            caches.append(next.cache)
            pool = next
        }
        return caches
    }

    private func makeRunner(_ caches: [CPUCache]) throws(LLMError) -> ModelRunner<CPUBackend> {
        let maxLogitRows = ModelLoader.maxLogitRows
        return ModelRunner(
            model: try DecoderModel(
                shard: Shard(whole: config), backend: backend, weights: weights, caches: caches,
                maxTokens: Self.maxRows,
                maxLogitRows: maxLogitRows),
            sampler: try Sampler(
                backend: backend, vocabularySize: config.vocabularySize, eosTokenIDs: [], maxRows: maxLogitRows,
                maxLogprobs: 0))
    }

    private func measure(_ step: Step, _ runner: ModelRunner<CPUBackend>, blockCount: Int) throws(LLMError) {
        let order = AttentionPool.shuffled(blockCount)
        var used = 0
        let (batch, states) = Self.batch(of: step.sequences, vocabularySize: config.vocabularySize) { count in
            defer { used += count }
            return Array(order[used..<used + count])
        }
        let sampled = UnsafeMutablePointer<TokenID>.allocate(capacity: states.count)
        defer { sampled.deallocate() }
        let work = work.step(step.sequences, logitRows: states.count)
        // The first to write activations and logits pays for their pages.
        try runner.run(batch, states, into: sampled)
        try measure(.forward, step.name, rows: step.rows, work: work, calls: 1) { () throws(LLMError) in
            try runner.run(batch, states, into: sampled)
        }
    }

    /// The contexts that fit the model; its own limit when none does.
    func contexts(_ wanted: [Int]) -> [Int] {
        let fitting = wanted.filter { $0 <= maxContext }
        return fitting.isEmpty ? [maxContext] : fitting
    }

    /// A batch of sequences that stand where they should; `blocks` gives each its block table. Tokens are mixed, so
    /// that they go to different experts.
    static func batch(
        of sequences: [ModelWork.Sequence], vocabularySize: Int = 1, blocks: (Int) -> [Int32]
    ) -> (batch: Batch, states: [SequenceState]) {
        var states: [SequenceState] = []
        for (id, sequence) in sequences.enumerated() {
            let tokens = (0..<sequence.context).map { position in
                TokenID(UInt32(truncatingIfNeeded: (id << 16 + position + 1) &* 2_654_435_761) % UInt32(vocabularySize))
            }
            let state = SequenceState(
                id: id, prompt: tokens, params: SamplingParams(temperature: 1), tokenLimit: sequence.context + 1)
            state.cachedTokenCount = sequence.context - sequence.rows
            state.scheduledTokenCount = sequence.rows
            state.blockTable = blocks(Self.blocks(for: sequence.context))
            states.append(state)
        }
        let batch = Batch(
            maxTokens: sequences.reduce(0) { $0 + $1.rows }, maxSequences: sequences.count,
            maxBlocksPerSequence: sequences.map { Self.blocks(for: $0.context) }.max() ?? 1)
        batch.fill(states)
        return (batch, states)
    }
}

// ModelHarness: a model without an engine around it: token ids in, logits of any rows out. It is one rank, and a step
// fails only when another rank does.

import CSwiftletKernels
import Swiftlet

final class ModelHarness {
    let config: ModelConfig
    let model: DecoderModel<CPUBackend>
    let backend: CPUBackend
    private let blocks: BlockManager
    private let batch: Batch

    /// With a seed the weights are random, as those of an engine with this seed and `load-format dummy`. Without a
    /// directory it is the demo model.
    init(
        _ directory: String?, dtype: swiftlet_dtype = SWIFTLET_FLOAT32, quantization: EngineConfig.Quantization? = nil,
        quantizeHead: Bool = true, kvCacheType: EngineConfig.KVCacheType = .automatic, level: String? = nil,
        threads: Int = 1, blockSize: Int = 64, maxTokens: Int = 512, dummySeed: UInt64? = nil
    ) throws {
        let files = if let directory { try ModelFiles(directory: directory) } else { ModelLoader.demoModel }
        config = try files.config()
        backend = try CPUBackend(
            level: level, threads: threads, isPinned: false, dtype: dtype, kvCacheType: kvCacheType)
        let positions = min(config.maximumLength, 2048)
        let source: WeightLoader<CPUBackend>.Source =
            if let dummySeed { .random(seed: dummySeed) } else { .checkpoint(try Checkpoint(files)) }
        let weights = try WeightLoader(
            shard: Shard(whole: config), backend: backend, source: source,
            quantization: WeightQuantization(EngineConfig(quantization: quantization, quantizeHead: quantizeHead))
        ).load(positions: positions)
        let blockCount = positions / blockSize + 1
        let caches = try (0..<config.layerCount).map { [backend, config] _ in
            try backend.makeCache(of: Shard(whole: config), blockCount: blockCount, blockSize: blockSize)
        }
        model = try DecoderModel(
            shard: Shard(whole: config), backend: backend, weights: weights, caches: caches, maxTokens: maxTokens,
            maxLogitRows: 64)
        blocks = BlockManager(blockCount: blockCount, blockSize: blockSize, isPrefixCacheEnabled: false)
        batch = Batch(maxTokens: maxTokens, maxSequences: 1, maxBlocksPerSequence: blockCount)
    }

    /// Logits after each token of a prompt that is run at once.
    func allLogits(_ prompt: [Int32]) -> [[Float]] {
        let all = SamplingParams(temperature: 0, promptLogprobs: 0)
        let sequence = SequenceState(id: 0, prompt: prompt, params: all, tokenLimit: prompt.count + 1)
        precondition(blocks.admit(sequence))
        defer { blocks.release(sequence) }
        sequence.scheduledTokenCount = prompt.count
        batch.fill([sequence])
        try! model.forward(batch)
        return prompt.indices.map { index in
            let logits = try! model.logits(of: batch, index..<index + 1)
            return Array(UnsafeBufferPointer(start: backend.hostRow(logits, 0), count: config.vocabularySize))
        }
    }

    /// Logits after the last token of the prompt, the prompt being run in chunks of this size.
    func lastLogits(_ prompt: [Int32], chunk: Int = 512) -> [Float] {
        let sequence = SequenceState(
            id: 0, prompt: prompt, params: .greedy, tokenLimit: prompt.count + 1)
        precondition(blocks.admit(sequence))
        defer { blocks.release(sequence) }
        while true {
            sequence.scheduledTokenCount = min(chunk, sequence.pendingTokenCount)
            batch.fill([sequence])
            try! model.forward(batch)
            sequence.cachedTokenCount += sequence.scheduledTokenCount
            guard sequence.pendingTokenCount == 0 else { continue }
            let logits = try! model.logits(of: batch, 0..<1)
            return Array(UnsafeBufferPointer(start: backend.hostRow(logits, 0), count: config.vocabularySize))
        }
    }
}

/// |a - b| / |b| in the Euclidean norm.
func relativeDistance(_ a: [Float], _ b: [Float]) -> Double {
    precondition(a.count == b.count)
    var (difference, norm) = (0.0, 0.0)
    for (x, y) in zip(a, b) {
        difference += Double(x - y) * Double(x - y)
        norm += Double(y) * Double(y)
    }
    return (difference / norm).squareRoot()
}

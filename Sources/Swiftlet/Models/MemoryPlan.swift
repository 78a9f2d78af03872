// MemoryPlan: how much memory a model takes, and how many KV blocks there is room for.
// Made by the ModelLoader: once before the weights are read, to refuse in time, once after.
//
// Invariant: an engine that starts has room for one sequence of maxModelLength, unless its user counted the blocks.

package import CSwiftletKernels

package struct MemoryPlan: Sendable {
    let config: ModelConfig
    /// Of the ranks in this process, which share its memory.
    let shards: [Shard]
    let engine: EngineConfig
    let dtype: swiftlet_dtype
    let maxModelLength: Int
    let maxBatchedTokens: Int
    /// Of weights that are stored quantised, from their tensors.
    private let storedBytes: Int?

    /// - Parameter shards: nil: one rank that has all of the model.
    package init(
        config: ModelConfig, shards: [Shard]? = nil, engine: EngineConfig, dtype: swiftlet_dtype, maxModelLength: Int,
        maxBatchedTokens: Int, checkpoint: Checkpoint? = nil
    ) {
        storedBytes =
            config.storedQuantization == nil
            ? nil
            : checkpoint?.packedByteCount(dtype, engine.quantization, keepsBytes: engine.device == .cuda)
        self.config = config
        self.shards = shards ?? [Shard(whole: config)]
        self.engine = engine
        self.dtype = dtype
        self.maxModelLength = maxModelLength
        self.maxBatchedTokens = maxBatchedTokens
    }

    /// Bytes of one block in all layers, on all ranks.
    package var blockBytes: Int { shards.reduce(0) { $0 + blockBytes(of: $1.config) } }

    private func blockBytes(of config: ModelConfig) -> Int {
        config.layerCount
            * (engine.device == .cuda
                ? CUDACache.blockBytes(
                    blockSize: engine.blockSize, keyValueHeads: config.keyValueHeadCount,
                    headDim: config.headDimension, dtype: dtype, isFP8: engine.kvCacheType == .fp8)
                : CPUCache.blockBytes(
                    blockSize: engine.blockSize, keyValueHeads: config.keyValueHeadCount,
                    headDim: config.headDimension, dtype: dtype, format: engine.kvCacheType.format))
    }

    package var blocksPerContext: Int { (maxModelLength + engine.blockSize - 1) / engine.blockSize }

    package var parameterCount: Int {
        let (hidden, intermediate) = (config.hiddenSize, config.intermediateSize)
        let attention = hidden * (2 * config.queryWidth + 2 * config.keyValueWidth)
        let mixtures = config.experts.map { $0.layerCount * $0.parameterCount(hiddenSize: hidden) } ?? 0
        return config.layerCount * attention + config.denseLayerCount * 3 * hidden * intermediate + mixtures + config
            .vocabularySize * hidden * (config.hasTiedHead ? 1 : 2)
    }

    package var weightBytes: Int { shards.reduce(0) { $0 + weightBytes(of: $1.config) } }

    /// Of one shard.
    func weightBytes(of shard: ModelConfig) -> Int {
        guard let storedBytes else { return packedBytes(of: shard) }
        let share = Double(packedBytes(of: shard)) / Double(packedBytes(of: config))
        return Int(Double(storedBytes) * share)
    }

    /// By the shapes alone, in the type that a folder's quantisation has.
    private func packedBytes(of config: ModelConfig) -> Int {
        let (hidden, intermediate, queries) = (config.hiddenSize, config.intermediateSize, config.queryWidth)
        let quantization = WeightQuantization(engine, stored: config.storedQuantization)
        func layer(_ rows: Int, _ columns: Int) -> Int {
            WeightQuantization.bytes(rows: rows, columns: columns, quantization.layers, dtype)
        }
        func mlp(_ width: Int) -> Int { layer(2 * width, hidden) + layer(hidden, width) }
        let attention = layer(queries + 2 * config.keyValueWidth, hidden) + layer(hidden, queries)
        var layers = config.layerCount * attention + config.denseLayerCount * mlp(intermediate)
        if let experts = config.experts {
            let router = WeightQuantization.bytes(rows: experts.count, columns: hidden, nil, dtype)
            layers += experts.layerCount * (router + experts.count * mlp(experts.intermediateSize))
        }
        let head = WeightQuantization.bytes(
            rows: config.vocabularySize, columns: hidden, quantization.head, dtype)
        return layers + head * (config.hasTiedHead ? 1 : 2)
    }

    /// Activations of a step, logits, rotary tables and block tables, roughly: four bytes for all.
    package var workspaceBytes: Int { shards.reduce(0) { $0 + workspaceBytes(of: $1) } }

    private func workspaceBytes(of shard: Shard) -> Int {
        let config = shard.config
        // Rank 0 has everybody's logits. What several ranks add up takes two buffers.
        let vocabulary = shard.rank == 0 ? shard.vocabulary.whole : 0
        let hidden = (shard.rankCount > 1 ? 5 : 3) * config.hiddenSize
        let widths = hidden + 3 * config.queryWidth + 2 * config.keyValueWidth + config.intermediateSize
        var experts = 0
        if let shape = config.experts {
            let rows = min(maxBatchedTokens * shape.perToken, SWIFTLET_EXPERT_ROWS)
            experts = maxBatchedTokens * shape.count + rows * 2 * (config.hiddenSize + shape.intermediateSize)
        }
        let ropes = (config.windowRope == nil ? 1 : 2) * config.rotaryDimension
        let tables = min(engine.maxSequences, maxBatchedTokens) * blocksPerContext
        return 4
            * (maxBatchedTokens * widths + 3 * 64 * vocabulary + maxModelLength * ropes
                + tables + experts)
    }

    /// Refuses a model that is too big before gigabytes are read.
    package func checkFits(available: Int?) throws(LLMError) {
        guard let available else { return }
        let smallestCache =
            switch engine.kvCache {
            case .blocks(let count): bytes(ofBlocks: count)
            default: bytes(ofBlocks: blocksPerContext)
            }
        let (needed, overflow) = smallestCache.addingReportingOverflow(weightBytes + workspaceBytes)
        guard !overflow && needed <= available else {
            throw LLMError(
                .outOfMemory,
                """
                the model needs \(mebibytes(overflow ? Int.max : needed)) (weights \(mebibytes(weightBytes)), workspace \
                \(mebibytes(workspaceBytes)), KV cache of one context \(mebibytes(smallestCache))); \
                \(mebibytes(available)) are free. Lower --max-model-len, --max-num-batched-tokens or use \
                --dtype bfloat16\(smallerCache)
                """)
        }
    }

    /// How many blocks the pool gets, with the weights loaded and this much memory free.
    ///
    /// - Parameter hasWorkspace: Whether the rest is there too.
    package func blockCount(available: Int?, hasWorkspace: Bool = false) throws(LLMError) -> Int {
        let available = available ?? Int.max
        let room = max(0, hasWorkspace ? available : available - workspaceBytes) / blockBytes
        let count: Int
        switch engine.kvCache {
        case .blocks(let blocks):
            guard blocks <= min(room, Self.mostBlocks) else { throw shortage(bytes(ofBlocks: blocks), available) }
            return blocks
        case .bytes(let bytes):
            count = bytes / blockBytes
            guard count <= room else { throw shortage(bytes, available) }
        case .fraction(let share):
            count = Int(Double(room) * share)
        case .automatic:
            let (wanted, overflow) = engine.maxSequences.multipliedReportingOverflow(by: blocksPerContext)
            // A GPU has nobody else to leave memory to, but for its own libraries and graphs.
            count = min(overflow ? Int.max : wanted, engine.device == .cuda ? room / 10 * 9 : room / 2)
        }
        guard count >= blocksPerContext else {
            throw LLMError(
                .outOfMemory,
                """
                the KV cache has room for \(count * engine.blockSize) tokens, one context of max-model-len \
                \(maxModelLength) needs \(blocksPerContext * engine.blockSize) (\(mebibytes(blocksPerContext * blockBytes))); \
                \(mebibytes(available)) are free. Raise --kv-cache-memory-bytes or lower --max-model-len\(smallerCache)
                """)
        }
        return min(count, Self.mostBlocks)
    }

    /// Block numbers are Int32.
    private static var mostBlocks: Int { Int(Int32.max) / 2 }

    /// Whatever count a user asked for: too large to be counted is too large.
    private func bytes(ofBlocks count: Int) -> Int {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: blockBytes)
        return overflow ? Int.max : bytes
    }

    private func shortage(_ wanted: Int, _ available: Int) -> LLMError {
        LLMError(
            .outOfMemory,
            "the KV cache was asked to take \(mebibytes(wanted)); \(mebibytes(available)) are free after loading. Lower --kv-cache-memory-bytes or --num-gpu-blocks-override"
        )
    }

    /// A way out that is not taken yet.
    private var smallerCache: String {
        engine.kvCacheType == .automatic
            ? "; --kv-cache-dtype \(engine.device == .cuda ? "fp8" : "int8") fits more tokens into the KV cache" : ""
    }

    /// Rounded up.
    private func mebibytes(_ bytes: Int) -> String { "\((bytes >> 20) + (bytes & 0xF_FFFF == 0 ? 0 : 1)) MiB" }
}

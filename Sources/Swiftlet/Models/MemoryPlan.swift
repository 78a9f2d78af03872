// MemoryPlan: how much memory a model takes on the CPU, and how many KV blocks there is room for.
// Made by the ModelLoader: once before the weights are read, to refuse in time, once after.
//
// Invariant: an engine that starts has room for one sequence of maxModelLength, unless its user counted the blocks.

import CSwiftletKernels

package struct MemoryPlan {
    let config: ModelConfig
    let engine: EngineConfig
    let dtype: swiftlet_dtype
    let maxModelLength: Int
    let maxBatchedTokens: Int

    /// Bytes of one block in all layers.
    package var blockBytes: Int {
        config.layerCount
            * swiftlet_kv_block_bytes(
                Int32(engine.blockSize), Int32(config.keyValueHeadCount), Int32(config.headDimension), dtype)
    }

    package var blocksPerContext: Int { (maxModelLength + engine.blockSize - 1) / engine.blockSize }

    package var parameterCount: Int {
        let (hidden, intermediate) = (config.hiddenSize, config.intermediateSize)
        let attention = hidden * (2 * config.queryWidth + 2 * config.keyValueWidth)
        let perLayer = attention + 3 * hidden * intermediate
        return config.layerCount * perLayer + config.vocabularySize * hidden * (config.hasTiedHead ? 1 : 2)
    }

    package var weightBytes: Int { parameterCount * (dtype == SWIFTLET_BFLOAT16 ? 2 : 4) }

    /// Activations of a step, logits and rotary tables, roughly: float32 for all.
    package var workspaceBytes: Int {
        let widths = 2 * config.hiddenSize + 3 * config.queryWidth + 2 * config.keyValueWidth + config.intermediateSize
        return 4 * (maxBatchedTokens * widths + 3 * 64 * config.vocabularySize + maxModelLength * config.headDimension)
    }

    /// Refuses a model that is too big before gigabytes are read.
    package func checkFits(available: Int?) throws(LLMError) {
        guard let available else { return }
        let smallestCache =
            switch engine.kvCache {
            case .blocks(let count): count * blockBytes
            default: blocksPerContext * blockBytes
            }
        let needed = weightBytes + workspaceBytes + smallestCache
        guard needed <= available else {
            throw LLMError(
                .outOfMemory,
                """
                the model needs \(mebibytes(needed)) (weights \(mebibytes(weightBytes)), workspace \
                \(mebibytes(workspaceBytes)), KV cache of one context \(mebibytes(smallestCache))); \
                \(mebibytes(available)) are free. Lower --max-model-len, --max-num-batched-tokens or use \
                --dtype bfloat16
                """)
        }
    }

    /// How many blocks the pool gets, with the weights loaded and this much memory free.
    package func blockCount(available: Int?) throws(LLMError) -> Int {
        let available = available ?? Int.max
        let room = max(0, available - workspaceBytes) / blockBytes
        let count: Int
        switch engine.kvCache {
        case .blocks(let blocks):
            guard blocks <= room else { throw shortage(blocks * blockBytes, available) }
            return blocks
        case .bytes(let bytes):
            count = bytes / blockBytes
            guard count <= room else { throw shortage(bytes, available) }
        case .fraction(let share):
            count = Int(Double(room) * share)
        case .automatic:
            let (wanted, overflow) = engine.maxSequences.multipliedReportingOverflow(by: blocksPerContext)
            count = min(overflow ? Int.max : wanted, room / 2)
        }
        guard count >= blocksPerContext else {
            throw LLMError(
                .outOfMemory,
                """
                the KV cache has room for \(count * engine.blockSize) tokens, one context of max-model-len \
                \(maxModelLength) needs \(blocksPerContext * engine.blockSize) (\(mebibytes(blocksPerContext * blockBytes))); \
                \(mebibytes(available)) are free. Raise --kv-cache-memory-bytes or lower --max-model-len
                """)
        }
        return min(count, Int(Int32.max) / 2)
    }

    private func shortage(_ wanted: Int, _ available: Int) -> LLMError {
        LLMError(
            .outOfMemory,
            "the KV cache was asked to take \(mebibytes(wanted)); \(mebibytes(available)) are free after loading. Lower --kv-cache-memory-bytes or --num-gpu-blocks-override"
        )
    }

    private func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }
}

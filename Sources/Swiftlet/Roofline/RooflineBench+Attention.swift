// RooflineBench: attention over a pool of blocks in memory, in a decode (one row of many sequences) and in a prefill
// (many rows of one).
// Invariant: a call reads blocks that no call has read for at least half the pool, in shuffled order.

extension RooflineBench {
    func measureAttention() throws(LLMError) {
        let blockBytes = Double(work.bytesPerCachedToken * Self.blockSize)
        let blockCount = max(maxContext / Self.blockSize, min(2048, Int(Self.passBytes / blockBytes)))
        let pool = try AttentionPool(bench: self, blockCount: blockCount)
        pool.fill()
        for context in contexts([128, 1024, 4096, 32768]) {
            for rows in Self.rowCounts where rows * context <= blockCount * Self.blockSize {
                let sequences = Array(repeating: ModelWork.Sequence(rows: 1, context: context), count: rows)
                measure(.attentionDecode, "context \(context)", rows: rows, sequences, pool)
            }
        }
        for context in contexts([512, 2048, 4096]) {
            for rows in Self.rowCounts where rows <= context {
                measure(
                    .attentionPrefill, "context \(context)", rows: rows, [.init(rows: rows, context: context)], pool)
            }
        }
    }

    private func measure(
        _ group: Roofline.Group, _ name: String, rows: Int, _ sequences: [ModelWork.Sequence], _ pool: AttentionPool
    ) {
        var work = OperationWork()
        for sequence in sequences { work += self.work.attention(sequence) }
        let batch = pool.batch(of: sequences)
        // Once through the pool at most.
        let calls = min(calls(for: work), max(1, pool.blockCount / pool.blocks(of: batch)))
        measure(group, name, rows: rows, work: work, calls: calls) {
            for _ in 0..<calls {
                pool.takeBlocks(for: batch)
                pool.attend(batch)
            }
        }
    }
}

/// Keys and values of one layer in many blocks, and buffers to use them with.
final class AttentionPool {
    let blockCount: Int
    let cache: CPUCache
    private let bench: RooflineBench
    private let qkv: CPUBuffer  // [maxRows, (q + 2 kv) headDim]
    private let queries: CPUBuffer  // [maxRows, q headDim]
    private let out: CPUBuffer  // the same
    private let order: [Int32]  // [blockCount], shuffled
    private var place = 0

    /// With the other pool's buffers, or with its own.
    init(bench: RooflineBench, blockCount: Int, buffersOf other: AttentionPool? = nil) throws(LLMError) {
        self.bench = bench
        self.blockCount = blockCount
        let config = bench.config
        cache = try bench.backend.makeCache(
            of: Shard(whole: config), blockCount: blockCount, blockSize: RooflineBench.blockSize)
        let width = config.queryWidth + 2 * config.keyValueWidth
        qkv = if let other { other.qkv } else { try bench.makeActivations(columns: width, type: .float) }
        queries =
            if let other { other.queries } else {
                try bench.makeActivations(columns: config.queryWidth, type: .compute)
            }
        out = if let other { other.out } else { try bench.makeActivations(columns: config.queryWidth, type: .compute) }
        order = Self.shuffled(blockCount)
    }

    /// A fixed order without order.
    static func shuffled(_ count: Int) -> [Int32] {
        var order = (0..<Int32(count)).map { $0 }
        var state: UInt64 = 1
        for index in stride(from: count - 1, to: 0, by: -1) {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            order.swapAt(index, Int((state >> 33) % UInt64(index + 1)))
        }
        return order
    }

    /// A batch of these rows; its block tables are filled by takeBlocks.
    func batch(of sequences: [ModelWork.Sequence]) -> Batch {
        RooflineBench.batch(of: sequences) { Array(repeating: 0, count: $0) }.batch
    }

    /// Blocks that all its sequences have together.
    func blocks(of batch: Batch) -> Int {
        (0..<batch.sequenceCount).reduce(0) { $0 + RooflineBench.blocks(for: Int(batch.contextLengths[$1])) }
    }

    /// Gives each sequence the next blocks of the shuffled pool.
    func takeBlocks(for batch: Batch) {
        for sequence in 0..<batch.sequenceCount {
            let table = batch.blockTables + sequence * batch.tableStride
            for index in 0..<RooflineBench.blocks(for: Int(batch.contextLengths[sequence])) {
                table[index] = order[place]
                place = place + 1 == blockCount ? 0 : place + 1
            }
        }
    }

    /// Writes this batch's rows.
    func store(_ batch: Batch) {
        let layer = bench.weights.layers[0]
        bench.backend.ropeAndStore(
            qkv, batch, queryHeads: bench.config.queryHeadCount, queryNorm: layer.queryNorm, keyNorm: layer.keyNorm,
            epsilon: bench.config.rmsNormEpsilon, rope: layer.rope, rotaryDim: bench.config.rotaryDimension,
            into: queries, cache: cache)
    }

    func attend(_ batch: Batch) {
        bench.backend.attention(
            queries, batch, cache: cache, queryHeads: bench.config.queryHeadCount, scale: bench.config.attentionScale,
            softCap: bench.config.attentionSoftCap, window: nil, into: out)
    }

    /// Writes all slots of all blocks.
    func fill() {
        let length = min(RooflineBench.maxRows, bench.maxContext)
        let batch = batch(of: [.init(rows: length, context: length)])
        place = 0
        for _ in 0..<(blockCount + blocks(of: batch) - 1) / blocks(of: batch) {
            takeBlocks(for: batch)
            store(batch)
        }
        place = 0
    }
}

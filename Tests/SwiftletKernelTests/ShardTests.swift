// ShardTests.swift: what the kernels offer to ranks that share a model: slices of a tensor's columns, heads whose group
// is another rank's in part, rows of the embedding that are elsewhere, sums. Owner: SwiftletKernelTests.
// Invariant: what a rank computes of its heads, rows and columns is, bit for bit, that part of the whole.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct ShardTests {
        /// Columns of a tensor become the same weights as in the whole matrix: eight-bit ones too, whose scale is that
        /// of the whole row.
        @Test(arguments: [SWIFTLET_WEIGHTS_NATIVE, SWIFTLET_WEIGHTS_INT8, SWIFTLET_WEIGHTS_INT4])
        func slicesOfColumns(format: swiftlet_weights) {
            let groups = swiftlet_groups(columns: Int32(SWIFTLET_INT4_GROUP), has_zeros: false, scales_are_f16: false)
            for seed in 500..<512 as Range<UInt64> {
                var random = SeededRandom(seed)
                let (rows, columns) = (random.int(1...150), random.int(2...400))
                let dtype = seed % 2 == 0 ? SWIFTLET_FLOAT32 : SWIFTLET_BFLOAT16
                let weights = (0..<rows * columns).map { _ in random.float() }
                let pool = Pool(supportedLevels[0], threads: 2)
                let whole = PackedMatrix(
                    pool, weights, rows: rows, columns: columns, dtype: dtype, gated: false, format: format,
                    groups: groups)
                var first = random.int(0...columns - 1)
                // Groups of four-bit weights begin with the slice.
                if format == SWIFTLET_WEIGHTS_INT4 { first = first / 64 * 64 }
                let count = random.int(1...columns - first)
                let width = format == SWIFTLET_WEIGHTS_INT4 ? min(columns - first, (count + 63) / 64 * 64) : count
                let slice = PackedMatrix(
                    rows: rows, columns: width, dtype: dtype, format: format, groups: groups)
                weights.withUnsafeBufferPointer { source in
                    var pack = swiftlet_pack(
                        matrix: slice.matrix, source: source.baseAddress, source_stride: columns,
                        source_columns: Int32(columns), first_column: Int32(first), type: SWIFTLET_SOURCE_F32,
                        part: SWIFTLET_PART_WHOLE, first_row: 0, rows: Int32(rows), first_item: 0, mapped: false)
                    swiftlet_pack_all(pool.cpu, &pack, 1)
                }
                let equal = (0..<rows * width).allSatisfy {
                    slice.value($0 / width, $0 % width) == whole.value($0 / width, first + $0 % width)
                }
                #expect(equal, "\(rows)x\(columns), columns \(first)..<\(first + width)")
            }
        }

        /// Ids below the first row and beyond the last one are zeros.
        @Test func rowsThatAreElsewhere() {
            let (rows, columns) = (70, 33)
            var random = SeededRandom(1)
            let weights = (0..<rows * columns).map { _ in random.float() }
            let pool = Pool(supportedLevels[0])
            var matrix = PackedMatrix(
                pool, weights, rows: rows, columns: columns, dtype: SWIFTLET_FLOAT32, gated: false)
            withExtendedLifetime(matrix) {
                var table = matrix.matrix
                let ids: [Int32] = [99, 100, 169, 170, 0, 130]
                var x = [Float](repeating: 7, count: ids.count * columns)
                swiftlet_embed(pool.cpu, &table, 100, ids, Int32(ids.count), 1, &x, columns)
                for (token, id) in ids.enumerated() {
                    let row = Int(id) - 100
                    let wanted =
                        row >= 0 && row < rows
                        ? Array(weights[row * columns..<(row + 1) * columns]) : Array(repeating: 0, count: columns)
                    #expect(Array(x[token * columns..<(token + 1) * columns]) == wanted, "id \(id)")
                }
            }
            matrix = PackedMatrix(rows: 1, columns: 1, dtype: SWIFTLET_FLOAT32)
        }

        /// In the order of the parts, and then onto x.
        @Test func sums() {
            for seed in 1..<12 as Range<UInt64> {
                var random = SeededRandom(seed)
                let (count, rows, columns) = (random.int(1...7), random.int(1...9), random.int(1...3000))
                let (stride, xStride) = (columns + random.int(0...3), columns + random.int(0...3))
                let parts = (0..<count).map { _ in (0..<rows * stride).map { _ in random.float() } }
                let before = (0..<rows * xStride).map { _ in random.float() }
                for adds in [true, false] {
                    var x = before
                    let pool = Pool(supportedLevels[0], threads: 3)
                    let memory = parts.map { part in
                        let copy = UnsafeMutablePointer<Float>.allocate(capacity: part.count)
                        copy.initialize(from: part, count: part.count)
                        return copy
                    }
                    defer { memory.forEach { $0.deallocate() } }
                    var pointers = memory.map { UnsafePointer<Float>?($0) }
                    swiftlet_sum(
                        pool.cpu, &pointers, Int32(count), stride, Int32(rows), Int32(columns), adds, &x, xStride)
                    var wanted = before
                    for row in 0..<rows {
                        for column in 0..<columns {
                            let sum = parts.dropFirst().reduce(parts[0][row * stride + column]) {
                                $0 + $1[row * stride + column]
                            }
                            let at = row * xStride + column
                            wanted[at] = adds ? before[at] + sum : sum
                        }
                    }
                    #expect(x == wanted, "\(count) parts of \(rows)x\(columns)")
                }
            }
        }

        /// A rank's heads: all of a group's, the last ones, the first ones or some in the middle.
        @Test(arguments: supportedLevels, [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16])
        func headsOfARank(level: swiftlet_level, dtype: swiftlet_dtype) {
            for seed in 700..<724 as Range<UInt64> {
                var shape = AttentionCase.random(seed: seed, level: level, dtype: dtype, longest: 150)
                shape.kvHeads = 1 + Int(seed % 3)
                let whole = RankRun(shape, heads: 0..<shape.queryHeads)
                var random = SeededRandom(seed)
                for _ in 0..<4 {
                    let first = random.int(0...shape.queryHeads - 1)
                    let heads = first..<random.int(first + 1...shape.queryHeads)
                    let part = RankRun(shape, heads: heads)
                    #expect(part.output == whole.columns(of: heads), "heads \(heads), \(shape)")
                }
            }
        }
    }
}

/// Some of a case's query heads with the key/value heads that they use: all requests in one prefill.
private struct RankRun {
    let shape: AttentionCase
    let heads: Range<Int>
    private(set) var output: [[UInt8]] = []  // [tokens] of the heads' elements

    init(_ shape: AttentionCase, heads: Range<Int>) {
        self.shape = shape
        self.heads = heads
        let keys = heads.lowerBound / shape.group..<(heads.upperBound - 1) / shape.group + 1
        let pool = Pool(shape.level, threads: 2)
        var layer = swiftlet_kv_layer(
            base: nil, block_size: Int32(shape.blockSize), kv_heads: Int32(keys.count), head_dim: Int32(shape.headDim),
            dtype: shape.dtype, format: shape.format, group: Int32(shape.group),
            skipped: Int32(heads.lowerBound - keys.lowerBound * shape.group))
        let blocks = shape.lengths.map { ($0 + shape.blockSize - 1) / shape.blockSize }
        let bytes = blocks.reduce(0, +) * swiftlet_kv_block_bytes(&layer)
        layer.base = swiftlet_allocate(bytes)!.assumingMemoryBound(to: UInt32.self)
        defer { swiftlet_release(layer.base, bytes) }

        let (stride, tokens) = (blocks.max()!, shape.lengths.reduce(0, +))
        var (offsets, tables, next): ([Int32], [Int32], Int32) = ([0], [], 0)
        for (length, count) in zip(shape.lengths, blocks) {
            offsets.append(offsets.last! + Int32(length))
            tables += (0..<stride).map { $0 < count ? next + Int32($0) : -1 }
            next += Int32(count)
        }
        let qkv = projections(keys)
        let (norms, rope) = ([shape.norm(0), shape.norm(1)], shape.rope())
        let (columns, width) = ((heads.count + 2 * keys.count) * shape.headDim, heads.count * shape.headDim)
        var q = [UInt8](repeating: 0, count: tokens * width * shape.elementBytes)
        var out = q
        let contexts = shape.lengths.map { Int32($0) }
        offsets.withUnsafeBufferPointer { offsets in
            contexts.withUnsafeBufferPointer { contexts in
                tables.withUnsafeBufferPointer { tables in
                    var batch = swiftlet_paged_batch(
                        tokens: Int32(tokens), sequences: Int32(contexts.count), query_offsets: offsets.baseAddress,
                        context_lengths: contexts.baseAddress, block_tables: tables.baseAddress,
                        block_table_stride: Int32(stride))
                    swiftlet_rope_and_store(
                        pool.cpu, &layer, &batch, qkv, columns, Int32(heads.count), shape.normed ? norms[0] : nil,
                        shape.normed ? norms[1] : nil, 1e-6, rope, Int32(shape.rotaryDim), &q, width)
                    swiftlet_attention(
                        pool.cpu, &layer, &batch, q, width, Int32(heads.count), shape.scale, shape.cap,
                        Int32(shape.window), &out, width)
                }
            }
        }
        let row = width * shape.elementBytes
        output = (0..<tokens).map { Array(out[$0 * row..<($0 + 1) * row]) }
    }

    /// [tokens][own query heads, own key heads, own value heads]
    private func projections(_ keys: Range<Int>) -> [Float] {
        let (dim, queries) = (shape.headDim, shape.queryHeads)
        return shape.lengths.indices.flatMap { request in
            let all = shape.projections(of: request)
            return (0..<shape.lengths[request]).flatMap { token in
                let row = Array(all[token * shape.columns..<(token + 1) * shape.columns])
                func part(_ heads: Range<Int>, after skipped: Int) -> ArraySlice<Float> {
                    row[(skipped + heads.lowerBound) * dim..<(skipped + heads.upperBound) * dim]
                }
                return part(heads, after: 0) + part(keys, after: queries) + part(keys, after: queries + shape.kvHeads)
            }
        }
    }

    /// What these heads have here.
    func columns(of some: Range<Int>) -> [[UInt8]] {
        let width = shape.headDim * shape.elementBytes
        return output.map { row in
            Array(row[(some.lowerBound - heads.lowerBound) * width..<(some.upperBound - heads.lowerBound) * width])
        }
    }
}

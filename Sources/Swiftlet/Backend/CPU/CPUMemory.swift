// What the CPU backend owns: packed matrices, vectors, activation buffers, the KV pool. Each frees its pages in deinit.
//
// Invariant: memory starts zeroed (0 x NaN of a slot that was never written would be NaN) and rows start on 64 bytes.

package import CSwiftletKernels

/// Zeroed pages.
package final class CPUPages {
    static let hugePage = 2 << 20
    static let page = 4 << 10

    package let memory: UnsafeMutableRawPointer
    package let byteCount: Int

    package init(byteCount: Int, for purpose: String) throws(LLMError) {
        let rounded = max(byteCount, 64)
        guard let memory = swiftlet_allocate(rounded) else {
            throw LLMError(.outOfMemory, "\(rounded >> 20) MiB for \(purpose) can't be allocated")
        }
        self.memory = memory
        self.byteCount = rounded
    }

    deinit { swiftlet_release(memory, byteCount) }
}

package final class CPUMatrix {
    package let value: swiftlet_matrix
    /// [columns]: which column of x each column belongs to, or -1; nil: its own.
    let columnOrder: UnsafePointer<Int32>?
    /// [groups]: which of a checkpoint's groups each is; nil: as they are.
    let groupOrder: UnsafePointer<Int32>?
    private let pages: CPUPages

    init(
        rows: Int, columns: Int, dtype: swiftlet_dtype, format: swiftlet_weights, isGated: Bool,
        groups: swiftlet_groups = CPUMatrix.ownGroups, order: StoredMatrix.Order? = nil
    ) throws(LLMError) {
        var matrix = try Self.layout(
            rows: rows, columns: columns, dtype: dtype, format: format, isGated: isGated, groups: groups)
        pages = try CPUPages(byteCount: swiftlet_matrix_bytes(&matrix), for: "a weight matrix of \(rows) x \(columns)")
        matrix.words = pages.memory.assumingMemoryBound(to: UInt32.self)
        value = matrix
        columnOrder = Self.copy(order?.columns)
        groupOrder = Self.copy(order?.groups)
    }

    private static func copy(_ numbers: [Int32]?) -> UnsafePointer<Int32>? {
        guard let numbers else { return nil }
        let copy = UnsafeMutablePointer<Int32>.allocate(capacity: numbers.count)
        copy.initialize(from: numbers, count: numbers.count)
        return UnsafePointer(copy)
    }

    private init(_ value: swiftlet_matrix, in pages: CPUPages) {
        self.value = value
        self.pages = pages
        columnOrder = nil
        groupOrder = nil
    }

    /// Matrices side by side in one piece of memory: each alone would not fill its huge pages.
    static func many(
        _ count: Int, rows: Int, columns: Int, dtype: swiftlet_dtype, format: swiftlet_weights, isGated: Bool
    ) throws(LLMError) -> [CPUMatrix] {
        var matrix = try layout(rows: rows, columns: columns, dtype: dtype, format: format, isGated: isGated)
        let bytes = swiftlet_matrix_bytes(&matrix)
        let (total, overflow) = bytes.multipliedReportingOverflow(by: count)
        let pages = try CPUPages(
            byteCount: overflow ? Int.max : total, for: "\(count) weight matrices of \(rows) x \(columns)")
        return (0..<count).map { index in
            matrix.words = (pages.memory + index * bytes).assumingMemoryBound(to: UInt32.self)
            return CPUMatrix(matrix, in: pages)
        }
    }

    /// A matrix without memory.
    private static func layout(
        rows: Int, columns: Int, dtype: swiftlet_dtype, format: swiftlet_weights, isGated: Bool,
        groups: swiftlet_groups = CPUMatrix.ownGroups
    ) throws(LLMError) -> swiftlet_matrix {
        guard columns <= SWIFTLET_MAX_COLUMNS else {
            throw LLMError(
                .invalidModel,
                "a weight matrix has \(columns) columns; the kernels take at most \(SWIFTLET_MAX_COLUMNS)")
        }
        return swiftlet_matrix(
            words: nil, rows: Int32(rows), columns: Int32(columns), dtype: dtype, format: format, groups: groups,
            gated: isGated)
    }

    deinit {
        columnOrder?.deallocate()
        groupOrder?.deallocate()
    }

    /// Of four-bit weights that are quantised here.
    static var ownGroups: swiftlet_groups {
        swiftlet_groups(columns: Int32(SWIFTLET_INT4_GROUP), has_zeros: false, scales_are_f16: false)
    }
}

package final class CPUVector {
    package let values: UnsafeMutablePointer<Float>

    init(_ source: [Float]) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(source.count, 1) * 4, alignment: 64)
        values = memory.bindMemory(to: Float.self, capacity: source.count)
        values.initialize(from: source, count: source.count)
    }

    deinit { values.deallocate() }
}

/// Activations, row-major. The stride is odd in units of 64 bytes: at a power of two rows would share cache sets.
package final class CPUBuffer {
    package fileprivate(set) var memory: UnsafeMutableRawPointer
    package let rows: Int
    package let columns: Int
    package let stride: Int
    package let dtype: swiftlet_dtype
    private let pages: CPUPages?
    /// Of a partial: where all ranks' are.
    private(set) var partials: CPUPartials?
    /// Bytes from here to the other of two buffers that are used by turns: while another rank may still read what was
    /// written last, this one writes elsewhere.
    private var toOther = 0
    /// Of rank 0's logits, where they come from other processes.
    var gathered: CPUGathered?

    init(rows: Int, columns: Int, dtype: swiftlet_dtype) throws(LLMError) {
        let size = dtype == SWIFTLET_FLOAT32 ? 4 : 2
        self.rows = rows
        self.columns = columns
        self.dtype = dtype
        stride = Self.stride(columns, size)
        let pages = try CPUPages(byteCount: rows * stride * size, for: "activations of \(rows) x \(columns)")
        self.pages = pages
        memory = pages.memory
    }

    /// Elements from row to row.
    static func stride(_ columns: Int, _ size: Int) -> Int { ((columns * size + 63) / 64 | 1) * 64 / size }

    /// Some columns of another buffer of float32, which begin there, or of two by turns, `toOther` floats apart. They have
    /// to live longer than this one is used.
    init(columns: Int, at memory: UnsafeMutablePointer<Float>, rows: Int, stride: Int, toOther: Int = 0) {
        self.memory = UnsafeMutableRawPointer(memory)
        self.rows = rows
        self.columns = columns
        self.stride = stride
        self.toOther = toOther * MemoryLayout<Float>.size
        dtype = SWIFTLET_FLOAT32
        pages = nil
    }

    /// Two buffers of float32 by turns.
    convenience init(alternatingRows rows: Int, columns: Int) throws(LLMError) {
        try self.init(partialRows: rows, columns: columns) { _ in [] }
    }

    /// A partial of float32: two buffers by turns.
    init(
        partialRows rows: Int, columns: Int,
        exchange: (UnsafeMutableRawPointer) throws(LLMError) -> [UnsafeMutableRawPointer?]
    ) throws(LLMError) {
        let single = try CPUBuffer(rows: 2 * rows, columns: columns, dtype: SWIFTLET_FLOAT32)
        self.rows = rows
        self.columns = columns
        stride = single.stride
        dtype = SWIFTLET_FLOAT32
        pages = single.pages
        memory = single.memory
        toOther = rows * stride * MemoryLayout<Float>.size
        partials = CPUPartials(try exchange(memory), offset: rows * stride)
    }

    /// Goes to the other of two buffers.
    func turn() {
        memory += toOther
        toOther = -toOther
        partials?.turn()
    }

    package var floats: UnsafeMutablePointer<Float> {
        precondition(dtype == SWIFTLET_FLOAT32)
        return memory.assumingMemoryBound(to: Float.self)
    }
}

/// Where the partials of all ranks lie.
final class CPUPartials {
    private var isSecond = false
    private let bases: UnsafeMutablePointer<UnsafePointer<Float>?>  // [2][ranks]
    private let count: Int

    init(_ first: [UnsafeMutableRawPointer?], offset: Int) {
        count = first.count
        bases = .allocate(capacity: 2 * count)
        for (rank, base) in first.enumerated() {
            let floats = base!.assumingMemoryBound(to: Float.self)
            (bases + rank).initialize(to: UnsafePointer(floats))
            (bases + count + rank).initialize(to: UnsafePointer(floats + offset))
        }
    }

    deinit { bases.deallocate() }

    fileprivate func turn() { isSecond.toggle() }

    /// What the ranks wrote since the last turn.
    var current: UnsafeMutablePointer<UnsafePointer<Float>?> { isSecond ? bases + count : bases }
}

/// Columns of a buffer that other processes compute, on their way into it.
final class CPUGathered {
    private let ends: [Int]  // [ranks], of each rank's columns
    private let strides: [Int]  // [ranks], of their buffers
    private let pages: CPUPages
    private(set) var counts: [Int32]  // [ranks], floats that each sends; rank 0's own lie where they should
    private(set) var starts: [Int32]  // [ranks]

    init(ends: [Int], rows: Int) throws(LLMError) {
        self.ends = ends
        strides = ends.indices.map { rank in
            rank == 0 ? 0 : CPUBuffer.stride(ends[rank] - ends[rank - 1], MemoryLayout<Float>.size)
        }
        counts = Array(repeating: 0, count: ends.count)
        starts = counts
        pages = try CPUPages(byteCount: rows * strides.reduce(0, +) * 4, for: "logits of other ranks")
    }

    var incoming: UnsafeMutablePointer<Float> { pages.memory.assumingMemoryBound(to: Float.self) }

    /// What comes for so many rows, and where it goes.
    func lay(out rows: Int) {
        for rank in 1..<ends.count {
            counts[rank] = Int32(rows * strides[rank])
            starts[rank] = starts[rank - 1] + counts[rank - 1]
        }
    }

    func copy(_ rows: Int, to all: CPUBuffer) {
        for rank in 1..<ends.count {
            let (first, count) = (ends[rank - 1], ends[rank] - ends[rank - 1])
            for row in 0..<rows {
                (all.floats + row * all.stride + first).update(
                    from: incoming + Int(starts[rank]) + row * strides[rank], count: count)
            }
        }
    }
}

package final class CPUCache {
    package let value: swiftlet_kv_layer
    package let blockBytes: Int
    /// Blocks below it have memory behind them.
    var providedBlocks = 0
    private let pages: CPUPages

    init(
        blockCount: Int, blockSize: Int, keyValueHeads: Int, headDim: Int, dtype: swiftlet_dtype,
        format: swiftlet_kv_format, queryGroup: Int, skippedQueryHeads: Int
    ) throws(LLMError) {
        var layer = Self.layer(
            blockSize: blockSize, keyValueHeads: keyValueHeads, headDim: headDim, dtype: dtype, format: format)
        layer.group = Int32(queryGroup)
        layer.skipped = Int32(skippedQueryHeads)
        blockBytes = swiftlet_kv_block_bytes(&layer)
        pages = try CPUPages(byteCount: blockCount * blockBytes, for: "the KV cache of one layer")
        // A short conversation is a few blocks of each layer, which would have a huge page each.
        swiftlet_use_small_pages(pages.memory, min(pages.byteCount, CPUPages.hugePage))
        layer.base = pages.memory.assumingMemoryBound(to: UInt32.self)
        value = layer
    }

    /// Bytes of one block.
    package static func blockBytes(
        blockSize: Int, keyValueHeads: Int, headDim: Int, dtype: swiftlet_dtype, format: swiftlet_kv_format
    ) -> Int {
        var layer = layer(
            blockSize: blockSize, keyValueHeads: keyValueHeads, headDim: headDim, dtype: dtype, format: format)
        return swiftlet_kv_block_bytes(&layer)
    }

    /// A cache's shape, without memory.
    private static func layer(
        blockSize: Int, keyValueHeads: Int, headDim: Int, dtype: swiftlet_dtype, format: swiftlet_kv_format
    ) -> swiftlet_kv_layer {
        swiftlet_kv_layer(
            base: nil, block_size: Int32(blockSize), kv_heads: Int32(keyValueHeads), head_dim: Int32(headDim),
            dtype: dtype, format: format, group: 1, skipped: 0)
    }
    package var memory: UnsafeMutableRawPointer { pages.memory }

    /// Where the pages end that so many blocks need: small pages up to the first huge one.
    func endOfPages(of blockCount: Int) -> Int {
        let bytes = blockCount * blockBytes
        let page = bytes <= CPUPages.hugePage ? CPUPages.page : CPUPages.hugePage
        return min((bytes + page - 1) & -page, pages.byteCount)
    }
}

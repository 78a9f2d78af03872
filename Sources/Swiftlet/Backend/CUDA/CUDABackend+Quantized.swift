// CUDABackend: weights of four and eight bits, which stay so on the GPU. Few rows are multiplied by kernels that widen
// weights in registers; for many rows, some of the matrix at a time is expanded to the compute type and multiplied by
// cublasLt.
//
// Invariant: only weights are rounded; which kernel runs depends on the bucket's rows and the matrix alone.

import CSwiftletKernels

extension CUDABackend {
    /// Rows up to which widening weights anew for each 32 of them costs less than expanding them once.
    private static var mostProductRows: Int { 128 }
    /// Of expanded weights at once: about what stays in a GPU's second-level cache.
    private static var expandedBytes: Int { 32 << 20 }

    func makeQuantizedMatrix(
        rows: Int, columns: Int, isGated: Bool, _ quantization: CUDAQuantization, stored: StoredMatrix? = nil
    ) throws(LLMError) -> CUDAMatrix {
        let loads = try quantizedLoads()
        let matrix = try CUDAMatrix(
            device, rows: rows, columns: columns, isGated: isGated, quantization, order: stored?.order)
        noteQuantized(matrix)
        if let stored { loads.add(stored, to: matrix) }
        return matrix
    }

    /// Matrices of one shape in one piece of memory.
    func makeQuantizedMatrices(
        count: Int, rows: Int, columns: Int, isGated: Bool, _ quantization: CUDAQuantization
    ) throws(LLMError) -> [CUDAMatrix] {
        _ = try quantizedLoads()
        let bytes = (quantization.byteCount(rows: rows, columns: columns) + 255) / 256 * 256
        let block = try DeviceBlock(device, byteCount: count * bytes, for: "\(count) experts of \(rows) x \(columns)")
        return (0..<count).map {
            CUDAMatrix(
                in: block, at: $0 * bytes, byteCount: bytes, rows: rows, columns: columns, isGated: isGated,
                quantization: quantization)
        }
    }

    private func quantizedLoads() throws(LLMError) -> CUDAQuantizedLoads {
        if let pendingQuantized { return pendingQuantized }
        let kernels: CUDAQuantizedKernels
        if let quantizedKernels {
            kernels = quantizedKernels
        } else {
            kernels = try CUDAQuantizedKernels(try CUDAModule(device, libraries, .quantized, shapes, cache: cubins))
            quantizedKernels = kernels
        }
        let loads = try CUDAQuantizedLoads(device, kernels, dtype: shapes.dtype)
        pendingQuantized = loads
        return loads
    }

    /// Has room made for what its products need.
    private func noteQuantized(_ matrix: CUDAMatrix) {
        mostExpanded = max(mostExpanded, expandedRows(matrix) * matrix.columns)
        if matrix.order != nil { mostOrderedColumns = max(mostOrderedColumns, matrix.columns) }
    }

    /// Rows of the matrix that are expanded at once.
    private func expandedRows(_ matrix: CUDAMatrix) -> Int {
        let most = max(1, Self.expandedBytes / (matrix.columns * shapes.elementSize))
        return min(matrix.rows, most > 64 ? most / 64 * 64 : most)
    }

    func makeQuantizedSpace() throws(LLMError) {
        if mostExpanded > 0 { expanded = try makeBuffer(rows: 1, columns: mostExpanded, type: .compute) }
        guard mostOrderedColumns > 0 else { return }
        ordered = try makeBuffer(rows: limits.tokens, columns: mostOrderedColumns, type: .compute)
    }

    // MARK: - Forward

    func embedQuantized(
        _ table: CUDAMatrix, _ quantization: CUDAQuantization, firstID: Int, scale: Float, into x: CUDABuffer
    ) {
        guard let quantizedKernels else { preconditionFailure("no matrix is quantised") }
        device.launch(
            quantizedKernels.embed, grid: (step.rows, 1, 1), block: 256, input.words, input.sequences,
            table.memory.address, quantization.format.rawValue, quantization.layout, Int32(firstID), Int32(table.rows),
            Int32(table.columns), scale, x.memory.address)
    }

    /// Where x's rows lie in the order of the matrix's columns.
    func orderedInput(_ x: CUDABuffer, rows: Int, _ matrix: CUDAMatrix) -> UInt64 {
        guard let order = matrix.order else { return x.memory.address }
        guard let quantizedKernels, let ordered else { preconditionFailure("there is no room for ordered rows") }
        device.launch(
            quantizedKernels.orderColumns, grid: grid(rows * matrix.columns), block: 256, x.memory.address, Int32(rows),
            Int32(x.columns), order.memory.address, Int32(matrix.columns), ordered.memory.address)
        return ordered.memory.address
    }

    /// Launches a product of few rows with the epilogue in it. False when there are too many for it.
    func multiplyFew(
        _ x: UInt64, rows: Int, _ matrix: CUDAMatrix, _ quantization: CUDAQuantization, bias: UInt64,
        _ work: CUDAEpilogue, into out: CUDABuffer
    ) -> Bool {
        guard let quantizedKernels, rows <= Self.mostProductRows,
            shapes.dtype == SWIFTLET_FLOAT32 || matrix.columns.isMultiple(of: 8)
        else { return false }
        let (kernel, rowsAtOnce) = quantizedKernels.linear(quantization.format, rows: rows)
        let width = work.isGated ? 8 : 16
        let tiles = (out.columns + width - 1) / width
        let tilesAtOnce = tilesOfBlock(tiles, rows: rows)
        device.launch(
            kernel, grid: ((tiles + tilesAtOnce - 1) / tilesAtOnce, (rows + rowsAtOnce - 1) / rowsAtOnce, 1),
            block: 256,
            x, Int32(rows), Int32(matrix.columns), matrix.memory.address, quantization.layout, Int32(tilesAtOnce),
            Int32(out.columns), bias, work.number, work.cap, out.memory.address)
        return true
    }

    /// The more tiles a block has, the fewer blocks read the same rows of x; but all multiprocessors should have some.
    private func tilesOfBlock(_ tiles: Int, rows: Int) -> Int {
        let processors = description.multiprocessorCount
        let wanted = rows <= 8 ? 2 * processors : max(1, processors / 2)
        return [8, 4, 2].first { tiles / $0 >= wanted } ?? 1
    }

    /// out [rows, outputs] float32 becomes x times the transpose of the matrix, or that is added to it: by cublasLt.
    func multiply(
        _ x: UInt64, rows: Int, _ matrix: CUDAMatrix, adds: Bool, into out: UInt64, trial: (address: UInt64, bytes: Int)
    ) throws(LLMError) {
        guard let quantization = matrix.quantization else {
            let whole = CUDAProducts.Weights(
                address: matrix.memory.address, rows: matrix.rows, columns: matrix.columns, allRows: matrix.rows)
            return try products.multiply(x, rows: rows, whole, adds: adds, into: out, trial: trial)
        }
        guard let quantizedKernels, let expanded else { preconditionFailure("there is no room for expanded weights") }
        let rowsAtOnce = expandedRows(matrix)
        var first = 0
        while first < matrix.rows {
            let count = min(rowsAtOnce, matrix.rows - first)
            device.launch(
                quantizedKernels.expandWeights, grid: grid(count * (matrix.columns + 7) / 8), block: 256,
                matrix.memory.address, quantization.format.rawValue, Int32(matrix.rows), Int32(matrix.columns),
                quantization.layout, Int32(first), Int32(count), expanded.memory.address)
            let part = CUDAProducts.Weights(
                address: expanded.memory.address, rows: count, columns: matrix.columns, allRows: matrix.rows)
            try products.multiply(
                x, rows: rows, part, adds: adds, into: out + UInt64(4 * first), trial: trial)
            first += count
        }
    }
}

// CUDABackend: the operations of the forward pass: which kernel, on which grid.
//
// Invariant: grids depend on the rows and sequences of the step's bucket, never on what the batch says: that is read on
// the device.

import CSwiftletKernels

extension CUDABackend {
    package func embed(_ batch: Batch, _ table: CUDAMatrix, firstID: Int, scale: Float?, into x: CUDABuffer) {
        let rounded = scale.map { shapes.dtype == SWIFTLET_FLOAT32 ? $0 : Float(bitPattern: UInt32($0.bfloat16) << 16) }
        if let quantization = table.quantization {
            return embedQuantized(table, quantization, firstID: firstID, scale: rounded ?? 1, into: x)
        }
        device.launch(
            kernels.embed, grid: (step.rows, 1, 1), block: 256, input.words, input.sequences, table.memory.address,
            Int32(firstID), Int32(table.rows), Int32(table.columns), rounded ?? 1, x.memory.address)
    }

    package func rmsNorm(_ x: CUDABuffer, rows: Int, weight: CUDAVector?, epsilon: Float, into out: CUDABuffer) {
        precondition(out.type == .compute && out.columns == x.columns)
        device.launch(
            kernels.norm, grid: (rows, 1, 1), block: 256, x.memory.address, Int32(x.columns), weight.address, epsilon,
            out.memory.address)
    }

    package func rmsNorm(
        _ x: CUDABuffer, logitRowsOf batch: Batch, from first: Int, count: Int, weight: CUDAVector, epsilon: Float,
        into out: CUDABuffer
    ) {
        precondition(count <= out.rows)
        device.launch(
            kernels.normOfLogitRows, grid: (count, 1, 1), block: 256, input.words, Int32(first), x.memory.address,
            Int32(x.columns), weight.memory.address, epsilon, out.memory.address)
    }

    package func rmsNorm(_ x: CUDABuffer, rows: Int, columns: Range<Int>, weight: CUDAVector, epsilon: Float) {
        precondition(columns.upperBound <= x.columns)
        device.launch(
            kernels.normOfColumns, grid: (rows, 1, 1), block: 256, x.memory.address, Int32(x.columns),
            Int32(columns.lowerBound), Int32(columns.count), weight.memory.address, epsilon)
    }

    package func squareSums(_ x: CUDABuffer, rows: Int, columns: Range<Int>, into sums: CUDABuffer, column: Int) {
        precondition(columns.upperBound <= x.columns && column < sums.columns)
        device.launch(
            kernels.squareSums, grid: (rows, 1, 1), block: 256, x.memory.address, Int32(x.columns),
            Int32(columns.lowerBound), Int32(columns.count), sums.memory.address, Int32(sums.columns), Int32(column))
    }

    package func rmsNorm(
        _ x: CUDABuffer, rows: Int, columns: Range<Int>, squares: CUDABuffer, column: Int, width: Int,
        weight: CUDAVector, epsilon: Float
    ) {
        precondition(columns.upperBound <= x.columns && column < squares.columns)
        device.launch(
            kernels.normBySquares, grid: (rows, 1, 1), block: 256, x.memory.address, Int32(x.columns),
            Int32(columns.lowerBound), Int32(columns.count), squares.memory.address, Int32(squares.columns),
            Int32(column), Int32(width), weight.memory.address, epsilon)
    }

    package func addNormed(_ x: CUDABuffer, rows: Int, weight: CUDAVector, epsilon: Float, to out: CUDABuffer) {
        device.launch(
            kernels.addNormed, grid: (rows, 1, 1), block: 256, x.memory.address, Int32(x.columns),
            weight.memory.address, epsilon, out.memory.address)
    }

    // MARK: - Products

    package func linear(
        _ x: CUDABuffer, rows: Int, _ matrix: CUDAMatrix, bias: CUDAVector?, epilogue: LinearEpilogue,
        into out: CUDABuffer
    ) {
        precondition(x.type == .compute && x.columns == matrix.inputColumns && rows <= x.rows && rows <= out.rows)
        let work = CUDAEpilogue(epilogue, out.type)
        precondition(out.columns == (work.isGated ? matrix.rows / 2 : matrix.rows))
        let input = orderedInput(x, rows: rows, matrix)
        // Few rows are bound by reading the weights, which one kernel with the epilogue in it does at once.
        if let quantization = matrix.quantization {
            if multiplyFew(input, rows: rows, matrix, quantization, bias: bias.address, work, into: out) { return }
        } else if let kernel = kernels.linearSmall(forRows: rows) {
            device.launch(
                kernel, grid: ((out.columns + 7) / 8, 1, 1), block: 256, input, Int32(rows),
                Int32(x.columns), matrix.memory.address, Int32(out.columns), bias.address, work.number, work.cap,
                out.memory.address)
            return
        }
        do throws(LLMError) {
            try product(input, rows: rows, matrix, bias: bias, work, into: out)
        } catch {
            device.fail(error)
        }
    }

    private func product(
        _ x: UInt64, rows: Int, _ matrix: CUDAMatrix, bias: CUDAVector?, _ work: CUDAEpilogue, into out: CUDABuffer
    ) throws(LLMError) {
        guard device.failure == nil, let sums else { return try device.throwFailure() }
        let trial = (address: sums.memory.address, bytes: sums.memory.byteCount)
        let isDirect = work.isStore && out.type == .float
        if isDirect || work == .add && bias == nil {
            try multiply(x, rows: rows, matrix, adds: !isDirect, into: out.memory.address, trial: trial)
            guard bias != nil || work.number == CUDAEpilogue.capped else { return }
            return finish(out.memory.address, rows, bias, work, out, first: 0)
        }
        // Sums first, their epilogue after, as many rows at once as there is room for.
        let rowsAtOnce = max(1, sums.columns / matrix.rows)
        var first = 0
        while first < rows {
            let count = min(rowsAtOnce, rows - first)
            let begin = x + UInt64(first * matrix.columns * shapes.elementSize)
            try multiply(begin, rows: count, matrix, adds: false, into: sums.memory.address, trial: (0, 0))
            finish(sums.memory.address, count, bias, work, out, first: first)
            first += count
        }
    }

    func finish(
        _ sums: UInt64, _ rows: Int, _ bias: CUDAVector?, _ work: CUDAEpilogue, _ out: CUDABuffer, first: Int
    ) {
        let size = out.type == .float ? 4 : shapes.elementSize
        device.launch(
            kernels.linearFinish, grid: grid(rows * out.columns), block: 256, sums, Int32(rows), Int32(out.columns),
            bias.address, work.number, work.cap, out.memory.address + UInt64(first * out.columns * size))
    }

    // MARK: - Attention

    package func ropeAndStore(
        _ qkv: CUDABuffer, _ batch: Batch, queryHeads: Int, queryNorm: CUDAVector?, keyNorm: CUDAVector?,
        epsilon: Float, rope: CUDAVector?, rotaryDim: Int, into queries: CUDABuffer, cache: CUDACache
    ) {
        precondition(queryHeads == shapes.queryHeads)
        device.launch(
            kernels.ropeAndStore, grid: (step.rows, shapes.queryHeads + 2 * shapes.keyValueHeads, 1), block: 32,
            qkv.memory.address, input.sequences, input.positions, input.slots, Int32(qkv.columns), queryNorm.address,
            keyNorm.address, epsilon, rope.address, Int32(rope == nil ? 0 : rotaryDim), queries.memory.address,
            cache.keys.address, cache.values.address)
    }

    package func attention(
        _ queries: CUDABuffer, _ batch: Batch, cache: CUDACache, queryHeads: Int, scale: Float, softCap: Float?,
        window: Int?, into out: CUDABuffer
    ) {
        let (cap, window) = (softCap ?? 0, Int32(window ?? 0))
        // By the bucket, for which there is memory and to which a decode of as many would be padded.
        let bucket = Buckets.rows(for: step.sequences, upTo: limits.sequences)
        let splits = Splits(shapes, device.description).count(sequences: bucket)
        device.launch(
            kernels.attentionDecode, grid: (splits, shapes.keyValueHeads * shapes.decodeParts, step.sequences),
            block: shapes.decodeThreads, queries.memory.address, input.words, cache.keys.address, cache.values.address,
            scale, cap, window, partials.address, out.memory.address)
        if splits > 1 {
            device.launch(
                kernels.attentionCombine, grid: (step.sequences, shapes.queryHeads, 1), block: 128, partials.address,
                input.words, Int32(splits), window, out.memory.address)
        }
        guard !step.isDecode else { return }
        device.launch(
            kernels.attentionPrefill,
            grid: (step.rows * shapes.queryGroup / 64 + step.sequences, shapes.keyValueHeads, 1), block: 128,
            queries.memory.address, input.words, cache.keys.address, cache.values.address, scale, cap, window,
            out.memory.address)
    }
}

/// A product's epilogue as the kernels know it.
struct CUDAEpilogue: Equatable {
    static var capped: Int32 { 3 }
    static var gatedSiLU: Int32 { 4 }
    static var gatedGELU: Int32 { 5 }
    static var add: CUDAEpilogue { CUDAEpilogue(.add, .float) }

    let number: Int32
    var cap: Float = 0

    init(_ epilogue: LinearEpilogue, _ type: ElementType) {
        switch epilogue {
        case .store: number = type == .float ? 0 : 1
        case .add: number = 2
        case .storeCapped(let limit):
            number = Self.capped
            cap = limit
        case .gatedSiLU: number = Self.gatedSiLU
        case .gatedGELU: number = Self.gatedGELU
        }
    }

    var isGated: Bool { number >= Self.gatedSiLU }
    var isStore: Bool { [0, 1, Self.capped].contains(number) }
}

extension CUDAVector? {
    /// 0 for none.
    fileprivate var address: UInt64 { self?.memory.address ?? 0 }
}

extension CUDAKernels {
    /// The one for so many rows; nil when there are too many for it.
    fileprivate func linearSmall(forRows rows: Int) -> Kernel? {
        rows > 8 ? nil : linearSmall[rows > 4 ? 3 : rows > 2 ? 2 : rows - 1]
    }
}

/// Into how many parts a decode cuts each context: as many as fill the GPU some times over.
struct Splits {
    private let blocksPerSequence: Int
    private let wantedBlocks: Int
    private static var most: Int { 32 }

    init(_ shapes: CUDAShapes, _ description: CUDADescription) {
        blocksPerSequence = shapes.keyValueHeads * shapes.decodeParts
        wantedBlocks = 4 * description.multiprocessorCount
    }

    func count(sequences: Int) -> Int {
        let blocks = max(1, sequences * blocksPerSequence)
        return min(max(1, (wantedBlocks + blocks - 1) / blocks), Self.most)
    }
}

// CUDABackend: Backend on one GPU, with kernels that are compiled at start for this GPU and this model. Owned by the
// engine thread, whose context it is.
//
// A part of a step whose shape comes back (decodes, logits) is recorded once as a graph for each bucket of rows and
// played back: CUDABackend+Steps. What the host decides and the device reads lies in one block that is copied once a
// step. Logits stay on the device unless somebody asks for them: CUDABackend+Logits.
//
// Invariant: eager steps and graphs have the same rows, kernels, split counts and algorithms, so the same tokens.

import CSwiftletKernels

package final class CUDABackend: HostLogits {
    package typealias Matrix = CUDAMatrix
    package typealias Vector = CUDAVector
    package typealias Buffer = CUDABuffer
    package typealias Cache = CUDACache
    package typealias Experts = CUDAExperts

    let device: CUDADevice
    package let shapes: CUDAShapes
    let kernels: CUDAKernels
    let products: CUDAProducts
    let limits: Limits
    /// Reductions over rows of logits that the host asked for.
    package let hostKernels: OpaquePointer
    let input: CUDAStepInput
    /// What the host tells the sampling kernel, and what it answers.
    let choices: CUDAChoices
    let partials: DeviceMemory  // [sequences, query heads, splits, headDim + 2], float32
    private let usesGraphs: Bool
    var graphs: [GraphKey: CUDAGraph] = [:]
    /// What is being launched.
    var step = Step()
    /// What model.logits() gives.
    var logits: CUDABuffer?
    /// Of rank 0 of several: the logits that come from the others.
    var gathered: CUDAGathered?
    private var pendingLoads: [(slice: Checkpoint.Slice, matrix: CUDAMatrix, firstRow: Int)] = []
    /// [rows of x, widest matrix], float32: sums before their epilogue.
    var sums: CUDABuffer?
    private var mostGatedRows = 0
    private var mostRows = 0
    // What weights of four and eight bits need: CUDABackend+Quantized.
    let libraries: CUDALibraries
    let cubins: CubinCache?
    var quantizedKernels: CUDAQuantizedKernels?
    var pendingQuantized: CUDAQuantizedLoads?
    var expanded: CUDABuffer?  // [rows at once, columns], compute type
    var ordered: CUDABuffer?  // [rows of x, columns], compute type
    var mostExpanded = 0
    var mostOrderedColumns = 0

    /// What a step has at most.
    package struct Limits: Sendable {
        package var tokens: Int
        package var sequences: Int
        package var logitRows: Int
        /// Of its input.
        package var words: Int

        package init(tokens: Int, sequences: Int, logitRows: Int, words: Int) {
            self.tokens = tokens
            self.sequences = sequences
            self.logitRows = logitRows
            self.words = words
        }
    }

    /// - Parameters:
    ///   - device: Of this thread.
    ///   - usesGraphs: Off: every step is launched kernel by kernel (`enforce_eager`).
    ///   - isSynchronous: Waits for each kernel, so that its time can be taken; there are no graphs then.
    /// - Throws: `invalidConfiguration` where there is no GPU, or none that this engine has kernels for.
    package init(
        _ device: CUDADevice, _ libraries: CUDALibraries, shapes: CUDAShapes, limits: Limits, cache: CubinCache?,
        usesGraphs: Bool = true, isSynchronous: Bool = false
    ) throws(LLMError) {
        guard shapes.headDim.isMultiple(of: 8), (8...256).contains(shapes.headDim) else {
            throw LLMError(
                .unsupportedModel,
                "heads have \(shapes.headDim) dimensions; on GPUs they need a multiple of 8 up to 256: use --device cpu"
            )
        }
        guard !shapes.hasFP8Cache || (shapes.dtype == SWIFTLET_BFLOAT16 && shapes.headDim.isMultiple(of: 16)) else {
            throw LLMError(
                .unsupportedModel,
                "kv-cache-dtype fp8 needs dtype bfloat16 and heads of a multiple of 16 dimensions, not "
                    + "\(shapes.headDim): take kv-cache-dtype auto")
        }
        self.device = device
        guard device.description.architecture >= CUDADescription.leastArchitecture else {
            throw LLMError(
                .invalidConfiguration,
                "\(device.description.name) has compute capability \(device.description.architecture / 10)."
                    + "\(device.description.architecture % 10); 8.0 or more is needed: use --device cpu")
        }
        device.isSynchronous = isSynchronous
        self.shapes = shapes
        self.limits = limits
        self.usesGraphs = usesGraphs && !isSynchronous
        self.libraries = libraries
        cubins = cache
        kernels = try CUDAKernels(device, libraries, shapes, cache: cache)
        products = try CUDAProducts(device, libraries, isFloat32: shapes.dtype == SWIFTLET_FLOAT32, cache: cache)
        input = try CUDAStepInput(device, words: limits.words, rows: limits.tokens)
        choices = try CUDAChoices(device, rows: limits.logitRows)
        let splits = Splits(shapes, device.description)
        let mostParts = Buckets.all(upTo: limits.sequences).map { $0 * splits.count(sequences: $0) }.max() ?? 1
        partials = try DeviceMemory(
            device, byteCount: 4 * mostParts * shapes.queryHeads * (shapes.headDim + 2), for: "parts of attention")
        guard let host = swiftlet_cpu_create(CPUBackend.supportedLevels[0], 1, nil) else {
            throw LLMError(.outOfMemory, "no memory is left on the host")
        }
        hostKernels = host
        device.ranks?.dropGraphs = { [weak self] in self?.giveUpGraphs() }
    }

    deinit {
        // Before its kernels are unloaded.
        device.settle()
        graphs = [:]
        device.ranks?.end()
        swiftlet_cpu_destroy(hostKernels)
    }

    package var description: CUDADescription { device.description }

    /// Whether a part of a step is recorded.
    func records(_ part: StepPart, isDecode: Bool) -> Bool {
        switch part {
        case .layers: usesGraphs && isDecode
        case .logits: usesGraphs
        }
    }

    // MARK: - Load

    package func makeMatrix(
        rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> CUDAMatrix {
        noteShape(rows: rows, isGated: isGated)
        guard let quantization else {
            return try CUDAMatrix(device, rows: rows, columns: columns, size: shapes.elementSize, isGated: isGated)
        }
        return try makeQuantizedMatrix(
            rows: rows, columns: columns, isGated: isGated, CUDAQuantization(quantization))
    }

    private func noteShape(rows: Int, isGated: Bool) {
        if isGated { mostGatedRows = max(mostGatedRows, rows) }
        mostRows = max(mostRows, rows)
    }

    package func makeMatrix(
        rows: Int, columns: Int, isGated: Bool, stored: StoredMatrix
    ) throws(LLMError) -> CUDAMatrix {
        noteShape(rows: rows, isGated: isGated)
        return try makeQuantizedMatrix(
            rows: rows, columns: columns, isGated: isGated, try CUDAQuantization(stored, columns: columns),
            stored: stored)
    }

    package func load(
        _ slice: Checkpoint.Slice, into matrix: CUDAMatrix, part: MatrixPart, firstRow: Int
    ) throws(LLMError) {
        precondition(slice.columns.count == matrix.columns && firstRow + slice.rows.count <= matrix.rows)
        _ = try slice.tensor.kernelSource()
        if matrix.quantization != nil {
            pendingQuantized?.add(slice, to: matrix, part: part, firstRow: firstRow)
            return
        }
        pendingLoads.append((slice, matrix, part == .up ? firstRow + matrix.rows / 2 : firstRow))
    }

    package func finishLoading() throws(LLMError) {
        defer { pendingLoads = [] }
        let uploader = WeightUploader(device, dtype: shapes.dtype)
        for load in pendingLoads { try uploader.upload(load.slice, to: load.matrix, firstRow: load.firstRow) }
        try pendingQuantized?.finish()
        pendingQuantized = nil
        try device.synchronize()
    }

    package func fillRandom(_ matrix: CUDAMatrix, seed: UInt64, scale: Float) {
        if matrix.quantization != nil {
            do throws(LLMError) {
                try pendingQuantized?.fillRandom(matrix, seed: seed, scale: scale)
            } catch {
                device.fail(error)
            }
            return
        }
        device.launch(
            kernels.fillRandom, grid: grid(matrix.rows * matrix.columns), block: 256, matrix.memory.address,
            Int32(matrix.rows), Int32(matrix.columns), seed, scale)
    }

    /// Blocks of 256 threads for so many elements, in kernels that take any grid.
    func grid(_ count: Int) -> (Int, Int, Int) { (min((count + 255) / 256, 65_535), 1, 1) }

    package func makeVector(_ values: [Float]) throws(LLMError) -> CUDAVector { try CUDAVector(device, values) }

    package func makeVector(from slices: [Checkpoint.Slice], adding offset: Float) throws(LLMError) -> CUDAVector {
        try CUDAVector(device, try CPUBackend.values(of: slices, adding: offset))
    }

    package func makeBuffer(rows: Int, columns: Int, type: ElementType) throws(LLMError) -> CUDABuffer {
        try CUDABuffer(device, rows: rows, columns: columns, type: type, size: shapes.elementSize)
    }

    package func makeCache(
        blockCount: Int, blockSize: Int, keyValueHeads: Int, headDim: Int, queryGroup: Int, skippedQueryHeads: Int
    ) throws(LLMError) -> CUDACache {
        precondition(blockSize == shapes.blockSize && keyValueHeads == shapes.keyValueHeads)
        let bytes = CUDACache.blockBytes(
            blockSize: blockSize, keyValueHeads: keyValueHeads, headDim: headDim, dtype: shapes.dtype,
            isFP8: shapes.hasFP8Cache)
        return try CUDACache(device, byteCount: blockCount * bytes / 2)
    }

    /// Makes what products need besides, once all matrices are known: before the first step.
    package func makeSums() throws(LLMError) {
        // Whatever is wider is done some rows at a time.
        sums = try makeBuffer(rows: 1, columns: max(mostRows, limits.tokens * mostGatedRows), type: .float)
        try makeQuantizedSpace()
    }
}

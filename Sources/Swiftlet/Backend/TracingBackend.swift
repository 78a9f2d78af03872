// TracingBackend: another backend, with the time of each operation recorded. The engine is generic over its backend,
// so an engine that is not traced has nothing of this in it.
//
// Invariant: results are the wrapped backend's own.

package final class TracingBackend<Base: Backend>: Backend {
    package typealias Matrix = Base.Matrix
    package typealias Vector = Base.Vector
    package typealias Buffer = Base.Buffer
    package typealias Experts = Base.Experts
    package typealias Cache = Base.Cache

    private let base: Base
    private let recorder: TraceRecorder

    package init(_ base: Base, _ recorder: TraceRecorder) {
        self.base = base
        self.recorder = recorder
    }

    // MARK: - Load

    package func makeMatrix(
        rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> Matrix {
        try base.makeMatrix(rows: rows, columns: columns, isGated: isGated, quantization: quantization)
    }

    package func makeMatrix(
        rows: Int, columns: Int, isGated: Bool, stored: StoredMatrix
    ) throws(LLMError) -> Matrix {
        try base.makeMatrix(rows: rows, columns: columns, isGated: isGated, stored: stored)
    }

    package func load(
        _ slice: Checkpoint.Slice, into matrix: Matrix, part: MatrixPart, firstRow: Int
    ) throws(LLMError) {
        try base.load(slice, into: matrix, part: part, firstRow: firstRow)
    }

    package func finishLoading() throws(LLMError) { try base.finishLoading() }

    package func fillRandom(_ matrix: Matrix, seed: UInt64, scale: Float) {
        base.fillRandom(matrix, seed: seed, scale: scale)
    }

    package func makeMatrices(
        count: Int, rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> [Matrix] {
        try base.makeMatrices(count: count, rows: rows, columns: columns, isGated: isGated, quantization: quantization)
    }

    package func makeExperts(
        gateUp: [Matrix], down: [Matrix], _ shape: MixtureOfExperts, activation: ModelConfig.Activation
    ) throws(LLMError) -> Experts {
        try base.makeExperts(gateUp: gateUp, down: down, shape, activation: activation)
    }

    package func makeWorkspace(of experts: Experts?, maxTokens: Int) throws(LLMError) -> Buffer {
        try base.makeWorkspace(of: experts, maxTokens: maxTokens)
    }

    package func makeVector(_ values: [Float]) throws(LLMError) -> Vector { try base.makeVector(values) }

    package func makeVector(from slices: [Checkpoint.Slice], adding offset: Float) throws(LLMError) -> Vector {
        try base.makeVector(from: slices, adding: offset)
    }

    package func makeBuffer(rows: Int, columns: Int, type: ElementType) throws(LLMError) -> Buffer {
        try base.makeBuffer(rows: rows, columns: columns, type: type)
    }

    package func makeCache(
        blockCount: Int, blockSize: Int, keyValueHeads: Int, headDim: Int, queryGroup: Int, skippedQueryHeads: Int
    ) throws(LLMError) -> Cache {
        try base.makeCache(
            blockCount: blockCount, blockSize: blockSize, keyValueHeads: keyValueHeads, headDim: headDim,
            queryGroup: queryGroup, skippedQueryHeads: skippedQueryHeads)
    }

    package func provide(_ caches: [Cache], blockCount: Int) { base.provide(caches, blockCount: blockCount) }

    // MARK: - Ranks

    package var rankCount: Int { base.rankCount }

    package func fail(_ error: LLMError) { base.fail(error) }

    package func broadcast(_ batch: Batch) throws(LLMError) -> Bool { try base.broadcast(batch) }

    package func makePartial(rows: Int, columns: Int) throws(LLMError) -> Buffer {
        try base.makePartial(rows: rows, columns: columns)
    }

    package func allReduce(_ partial: Buffer, rows: Int, adds: Bool, into out: Buffer) throws(LLMError) {
        try base.allReduce(partial, rows: rows, adds: adds, into: out)
        if rankCount > 1 { recorder.record(.allReduce, rows: rows) }
    }

    package func makeGathered(rows: Int, columns: Int, own: Range<Int>) throws(LLMError) -> (own: Buffer, all: Buffer) {
        try base.makeGathered(rows: rows, columns: columns, own: own)
    }

    package func gather(_ own: Buffer, rows: Int, into all: Buffer) throws(LLMError) {
        try base.gather(own, rows: rows, into: all)
        if rankCount > 1 { recorder.record(.gather, rows: rows) }
    }

    // MARK: - Forward

    package func run(
        _ part: StepPart, of batch: Batch, _ body: (_ rows: Int) throws(LLMError) -> Void
    ) throws(LLMError) { try base.run(part, of: batch, body) }

    package func embed(_ batch: Batch, _ table: Matrix, firstID: Int, scale: Float?, into x: Buffer) {
        base.embed(batch, table, firstID: firstID, scale: scale, into: x)
        recorder.record(.embed, rows: batch.tokenCount)
    }

    package func rmsNorm(_ x: Buffer, rows: Int, weight: Vector?, epsilon: Float, into out: Buffer) {
        base.rmsNorm(x, rows: rows, weight: weight, epsilon: epsilon, into: out)
        recorder.record(.rmsNorm, rows: rows)
    }

    package func rmsNorm(_ x: Buffer, rows: Int, columns: Range<Int>, weight: Vector, epsilon: Float) {
        base.rmsNorm(x, rows: rows, columns: columns, weight: weight, epsilon: epsilon)
        recorder.record(.rmsNorm, rows: rows)
    }

    package func squareSums(_ x: Buffer, rows: Int, columns: Range<Int>, into sums: Buffer, column: Int) {
        base.squareSums(x, rows: rows, columns: columns, into: sums, column: column)
        recorder.record(.rmsNorm, rows: rows)
    }

    package func rmsNorm(
        _ x: Buffer, rows: Int, columns: Range<Int>, squares: Buffer, column: Int, width: Int, weight: Vector,
        epsilon: Float
    ) {
        base.rmsNorm(
            x, rows: rows, columns: columns, squares: squares, column: column, width: width, weight: weight,
            epsilon: epsilon)
        recorder.record(.rmsNorm, rows: rows)
    }

    package func addNormed(_ x: Buffer, rows: Int, weight: Vector, epsilon: Float, to out: Buffer) {
        base.addNormed(x, rows: rows, weight: weight, epsilon: epsilon, to: out)
        recorder.record(.addNormed, rows: rows)
    }

    package func rmsNorm(
        _ x: Buffer, logitRowsOf batch: Batch, from first: Int, count: Int, weight: Vector, epsilon: Float,
        into out: Buffer
    ) {
        base.rmsNorm(x, logitRowsOf: batch, from: first, count: count, weight: weight, epsilon: epsilon, into: out)
        recorder.record(.rmsNorm, rows: count)
    }

    package func linear(
        _ x: Buffer, rows: Int, _ matrix: Matrix, bias: Vector?, epilogue: LinearEpilogue, into out: Buffer
    ) {
        base.linear(x, rows: rows, matrix, bias: bias, epilogue: epilogue, into: out)
        switch epilogue {
        case .store, .storeCapped: recorder.record(.linear, rows: rows)
        case .add: recorder.record(.linearAdd, rows: rows)
        case .gatedSiLU: recorder.record(.linearSiLU, rows: rows)
        case .gatedGELU: recorder.record(.linearGELU, rows: rows)
        }
    }

    package func mixtureOfExperts(
        _ x: Buffer, rows: Int, logits: Buffer, _ experts: Experts, workspace: Buffer, adds: Bool, into out: Buffer
    ) {
        base.mixtureOfExperts(x, rows: rows, logits: logits, experts, workspace: workspace, adds: adds, into: out)
        recorder.record(.mixtureOfExperts, rows: rows)
    }

    package func ropeAndStore(
        _ qkv: Buffer, _ batch: Batch, queryHeads: Int, queryNorm: Vector?, keyNorm: Vector?, epsilon: Float,
        rope: Vector?, rotaryDim: Int, into queries: Buffer, cache: Cache
    ) {
        base.ropeAndStore(
            qkv, batch, queryHeads: queryHeads, queryNorm: queryNorm, keyNorm: keyNorm, epsilon: epsilon, rope: rope,
            rotaryDim: rotaryDim, into: queries, cache: cache)
        recorder.record(.ropeAndStore, rows: batch.tokenCount)
    }

    package func attention(
        _ queries: Buffer, _ batch: Batch, cache: Cache, queryHeads: Int, scale: Float, softCap: Float?, window: Int?,
        into out: Buffer
    ) {
        base.attention(
            queries, batch, cache: cache, queryHeads: queryHeads, scale: scale, softCap: softCap, window: window,
            into: out)
        recorder.record(.attention, rows: batch.tokenCount)
    }

    // MARK: - Logits

    package func hostRow(_ logits: Buffer, _ row: Int) -> UnsafeMutablePointer<Float> { base.hostRow(logits, row) }

    package func logSumExp(_ row: UnsafePointer<Float>, count: Int) -> Float {
        base.logSumExp(row, count: count)
    }

    package func rank(of value: Float, in row: UnsafePointer<Float>, count: Int) -> Int {
        base.rank(of: value, in: row, count: count)
    }

    package func top(
        _ k: Int, of row: UnsafePointer<Float>, count: Int, ids: UnsafeMutablePointer<Int32>,
        values: UnsafeMutablePointer<Float>
    ) {
        base.top(k, of: row, count: count, ids: ids, values: values)
    }

    package func sample(
        _ rows: UnsafeMutableBufferPointer<SampleRow>, of logits: Buffer, count: Int, scratch: Buffer
    ) throws(LLMError) {
        try base.sample(rows, of: logits, count: count, scratch: scratch)
        recorder.record(.sample, rows: rows.count)
    }
}

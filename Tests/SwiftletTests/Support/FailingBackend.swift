// FailingBackend: another backend that throws from the n-th sum on: a rank that fails in the middle of a step.

import Swiftlet

final class FailingBackend: Backend {
    typealias Matrix = CPUMatrix
    typealias Vector = CPUVector
    typealias Experts = CPUExperts
    typealias Buffer = CPUBuffer
    typealias Cache = CPUCache

    static let error = LLMError(.engineFailed, "this rank was made to fail")

    private let base: CPUBackend
    private var sumsLeft: Int

    init(_ base: CPUBackend, afterSums count: Int) {
        self.base = base
        sumsLeft = count
    }

    func allReduce(_ partial: Buffer, rows: Int, adds: Bool, into out: Buffer) throws(LLMError) {
        guard sumsLeft > 0 else { throw Self.error }
        sumsLeft -= 1
        try base.allReduce(partial, rows: rows, adds: adds, into: out)
    }

    // MARK: - As it is

    var rankCount: Int { base.rankCount }
    func fail(_ error: LLMError) { base.fail(error) }
    func broadcast(_ batch: Batch) throws(LLMError) -> Bool { try base.broadcast(batch) }
    func makePartial(rows: Int, columns: Int) throws(LLMError) -> Buffer {
        try base.makePartial(rows: rows, columns: columns)
    }
    func makeGathered(rows: Int, columns: Int, own: Range<Int>) throws(LLMError) -> (own: Buffer, all: Buffer) {
        try base.makeGathered(rows: rows, columns: columns, own: own)
    }
    func gather(_ own: Buffer, rows: Int, into all: Buffer) throws(LLMError) {
        try base.gather(own, rows: rows, into: all)
    }
    func makeMatrix(
        rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> Matrix {
        try base.makeMatrix(rows: rows, columns: columns, isGated: isGated, quantization: quantization)
    }
    func makeMatrix(rows: Int, columns: Int, isGated: Bool, stored: StoredMatrix) throws(LLMError) -> Matrix {
        try base.makeMatrix(rows: rows, columns: columns, isGated: isGated, stored: stored)
    }
    func makeMatrices(
        count: Int, rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> [Matrix] {
        try base.makeMatrices(count: count, rows: rows, columns: columns, isGated: isGated, quantization: quantization)
    }
    func load(_ slice: Checkpoint.Slice, into matrix: Matrix, part: MatrixPart, firstRow: Int) throws(LLMError) {
        try base.load(slice, into: matrix, part: part, firstRow: firstRow)
    }
    func finishLoading() throws(LLMError) { try base.finishLoading() }
    func fillRandom(_ matrix: Matrix, seed: UInt64, scale: Float) {
        base.fillRandom(matrix, seed: seed, scale: scale)
    }
    func makeVector(_ values: [Float]) throws(LLMError) -> Vector { base.makeVector(values) }
    func makeVector(from slices: [Checkpoint.Slice], adding offset: Float) throws(LLMError) -> Vector {
        try base.makeVector(from: slices, adding: offset)
    }
    func makeExperts(
        gateUp: [Matrix], down: [Matrix], _ shape: MixtureOfExperts, activation: ModelConfig.Activation
    ) throws(LLMError) -> Experts { try base.makeExperts(gateUp: gateUp, down: down, shape, activation: activation) }
    func makeWorkspace(of experts: Experts?, maxTokens: Int) throws(LLMError) -> Buffer {
        try base.makeWorkspace(of: experts, maxTokens: maxTokens)
    }
    func mixtureOfExperts(
        _ x: Buffer, rows: Int, logits: Buffer, _ experts: Experts, workspace: Buffer, adds: Bool, into out: Buffer
    ) { base.mixtureOfExperts(x, rows: rows, logits: logits, experts, workspace: workspace, adds: adds, into: out) }
    func rmsNorm(_ x: Buffer, rows: Int, columns: Range<Int>, weight: Vector, epsilon: Float) {
        base.rmsNorm(x, rows: rows, columns: columns, weight: weight, epsilon: epsilon)
    }
    func squareSums(_ x: Buffer, rows: Int, columns: Range<Int>, into sums: Buffer, column: Int) {
        base.squareSums(x, rows: rows, columns: columns, into: sums, column: column)
    }
    func rmsNorm(
        _ x: Buffer, rows: Int, columns: Range<Int>, squares: Buffer, column: Int, width: Int, weight: Vector,
        epsilon: Float
    ) {
        base.rmsNorm(
            x, rows: rows, columns: columns, squares: squares, column: column, width: width, weight: weight,
            epsilon: epsilon)
    }
    func addNormed(_ x: Buffer, rows: Int, weight: Vector, epsilon: Float, to out: Buffer) {
        base.addNormed(x, rows: rows, weight: weight, epsilon: epsilon, to: out)
    }
    func makeBuffer(rows: Int, columns: Int, type: ElementType) throws(LLMError) -> Buffer {
        try base.makeBuffer(rows: rows, columns: columns, type: type)
    }
    func makeCache(
        blockCount: Int, blockSize: Int, keyValueHeads: Int, headDim: Int, queryGroup: Int, skippedQueryHeads: Int
    ) throws(LLMError) -> Cache {
        try base.makeCache(
            blockCount: blockCount, blockSize: blockSize, keyValueHeads: keyValueHeads, headDim: headDim,
            queryGroup: queryGroup, skippedQueryHeads: skippedQueryHeads)
    }
    func provide(_ caches: [Cache], blockCount: Int) { base.provide(caches, blockCount: blockCount) }
    func embed(_ batch: Batch, _ table: Matrix, firstID: Int, scale: Float?, into x: Buffer) {
        base.embed(batch, table, firstID: firstID, scale: scale, into: x)
    }
    func rmsNorm(_ x: Buffer, rows: Int, weight: Vector?, epsilon: Float, into out: Buffer) {
        base.rmsNorm(x, rows: rows, weight: weight, epsilon: epsilon, into: out)
    }
    func rmsNorm(
        _ x: Buffer, logitRowsOf batch: Batch, from first: Int, count: Int, weight: Vector, epsilon: Float,
        into out: Buffer
    ) { base.rmsNorm(x, logitRowsOf: batch, from: first, count: count, weight: weight, epsilon: epsilon, into: out) }
    func linear(
        _ x: Buffer, rows: Int, _ matrix: Matrix, bias: Vector?, epilogue: LinearEpilogue, into out: Buffer
    ) { base.linear(x, rows: rows, matrix, bias: bias, epilogue: epilogue, into: out) }
    func ropeAndStore(
        _ qkv: Buffer, _ batch: Batch, queryHeads: Int, queryNorm: Vector?, keyNorm: Vector?, epsilon: Float,
        rope: Vector?, rotaryDim: Int, into queries: Buffer, cache: Cache
    ) {
        base.ropeAndStore(
            qkv, batch, queryHeads: queryHeads, queryNorm: queryNorm, keyNorm: keyNorm, epsilon: epsilon, rope: rope,
            rotaryDim: rotaryDim, into: queries, cache: cache)
    }
    func attention(
        _ queries: Buffer, _ batch: Batch, cache: Cache, queryHeads: Int, scale: Float, softCap: Float?, window: Int?,
        into out: Buffer
    ) {
        base.attention(
            queries, batch, cache: cache, queryHeads: queryHeads, scale: scale, softCap: softCap, window: window,
            into: out)
    }
    func hostRow(_ logits: Buffer, _ row: Int) -> UnsafeMutablePointer<Float> { base.hostRow(logits, row) }
    func logSumExp(_ row: UnsafePointer<Float>, count: Int) -> Float { base.logSumExp(row, count: count) }
    func rank(of value: Float, in row: UnsafePointer<Float>, count: Int) -> Int {
        base.rank(of: value, in: row, count: count)
    }
    func top(
        _ k: Int, of row: UnsafePointer<Float>, count: Int, ids: UnsafeMutablePointer<Int32>,
        values: UnsafeMutablePointer<Float>
    ) { base.top(k, of: row, count: count, ids: ids, values: values) }
    func sample(
        _ rows: UnsafeMutableBufferPointer<SampleRow>, of logits: Buffer, count: Int, scratch: Buffer
    ) { base.sample(rows, of: logits, count: count, scratch: scratch) }
}

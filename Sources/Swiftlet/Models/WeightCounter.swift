// WeightCounter: a backend that keeps nothing and counts. WeightLoader over it makes every check of a real load
// (names, shapes, types, nothing left over) and says how many parameters there are, without reading a weight.
// Used by ModelInfo only.
// Invariant: it is never given to a model that runs; the operations of a step are out of its reach.

package final class WeightCounter: Backend {
    /// Elements of what would have been loaded.
    package private(set) var parameterCount = 0

    package init() {}

    package func makeMatrix(
        rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) -> Int {
        parameterCount += rows * columns
        return rows * columns
    }

    package func makeMatrix(rows: Int, columns: Int, isGated: Bool, stored: StoredMatrix) -> Int {
        parameterCount += rows * columns
        return rows * columns
    }

    package func load(_ slice: Checkpoint.Slice, into matrix: Int, part: MatrixPart, firstRow: Int) {}
    package func fillRandom(_ matrix: Int, seed: UInt64, scale: Float) {}

    /// Norms and biases of random weights.
    package func makeVector(_ values: [Float]) -> Int {
        parameterCount += values.count
        return values.count
    }

    package func makeVector(from slices: [Checkpoint.Slice], adding offset: Float) -> Int {
        let count = slices.reduce(0) { $0 + $1.elementCount }
        parameterCount += count
        return count
    }

    package func makeBuffer(rows: Int, columns: Int, type: ElementType) -> Int { rows * columns }
    package func makeExperts(
        gateUp: [Int], down: [Int], _ shape: MixtureOfExperts, activation: ModelConfig.Activation
    ) -> Int { shape.count }
    package func makeWorkspace(of experts: Int?, maxTokens: Int) -> Int { maxTokens }
    package func makeCache(
        blockCount: Int, blockSize: Int, keyValueHeads: Int, headDim: Int, queryGroup: Int, skippedQueryHeads: Int
    ) -> Int { blockCount }

    // MARK: - Never reached

    private func unreachable() -> Never { preconditionFailure("a WeightCounter has no weights to compute with") }

    package func embed(_ batch: Batch, _ table: Int, firstID: Int, scale: Float?, into x: Int) { unreachable() }
    package func rmsNorm(_ x: Int, rows: Int, weight: Int?, epsilon: Float, into out: Int) { unreachable() }
    package func rmsNorm(_ x: Int, rows: Int, columns: Range<Int>, weight: Int, epsilon: Float) { unreachable() }
    package func addNormed(_ x: Int, rows: Int, weight: Int, epsilon: Float, to out: Int) { unreachable() }
    package func rmsNorm(
        _ x: Int, logitRowsOf batch: Batch, from first: Int, count: Int, weight: Int, epsilon: Float, into out: Int
    ) { unreachable() }
    package func squareSums(_ x: Int, rows: Int, columns: Range<Int>, into sums: Int, column: Int) { unreachable() }
    package func rmsNorm(
        _ x: Int, rows: Int, columns: Range<Int>, squares: Int, column: Int, width: Int, weight: Int, epsilon: Float
    ) { unreachable() }
    package func linear(_ x: Int, rows: Int, _ matrix: Int, bias: Int?, epilogue: LinearEpilogue, into out: Int) {
        unreachable()
    }
    package func mixtureOfExperts(
        _ x: Int, rows: Int, logits: Int, _ experts: Int, workspace: Int, adds: Bool, into out: Int
    ) { unreachable() }
    package func ropeAndStore(
        _ qkv: Int, _ batch: Batch, queryHeads: Int, queryNorm: Int?, keyNorm: Int?, epsilon: Float, rope: Int?,
        rotaryDim: Int, into queries: Int, cache: Int
    ) { unreachable() }
    package func attention(
        _ queries: Int, _ batch: Batch, cache: Int, queryHeads: Int, scale: Float, softCap: Float?, window: Int?,
        into out: Int
    ) { unreachable() }
    package func hostRow(_ logits: Int, _ row: Int) -> UnsafeMutablePointer<Float> { unreachable() }
    package func logSumExp(_ row: UnsafePointer<Float>, count: Int) -> Float { unreachable() }
    package func rank(of value: Float, in row: UnsafePointer<Float>, count: Int) -> Int { unreachable() }
    package func top(
        _ k: Int, of row: UnsafePointer<Float>, count: Int, ids: UnsafeMutablePointer<Int32>,
        values: UnsafeMutablePointer<Float>
    ) { unreachable() }
    package func sample(
        _ rows: UnsafeMutableBufferPointer<SampleRow>, of logits: Int, count: Int, scratch: Int
    ) { unreachable() }
}

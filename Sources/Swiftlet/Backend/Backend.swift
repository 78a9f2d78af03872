// Backend: the operations a device offers. Nothing above it knows the device; DecoderModel and ModelRunner are
// generic over it, so there are no existentials in a step.
//
// Invariant: every operation is a function of one row. What a row's result is never depends on the other rows of the
// batch (bit for bit on the CPU). An operation of a step does not throw: what fails on a device is thrown by the part
// of the step that it belongs to (`run`), or by `sample`.

/// Where an operation's result goes.
package enum LinearEpilogue {
    /// Into a buffer, in its type.
    case store
    /// Onto a float32 buffer: the residual stream.
    case add
    /// Into a float32 buffer, as cap * tanh(y / cap).
    case storeCapped(Float)
    /// silu(gate) * up of a gated matrix, half as wide.
    case gatedSiLU
    /// The same with gelu in its tanh form.
    case gatedGELU
}

/// What a buffer's elements are: the compute type (what matrix products read) or float32.
package enum ElementType { case compute, float }

/// Which rows of a matrix a checkpoint tensor fills.
package enum MatrixPart { case whole, gate, up }

/// A part of a step.
package enum StepPart {
    /// From ids to hidden states: a row for each token of the batch.
    case layers
    /// The logits of some of the rows that the batch lists for it.
    case logits(Range<Int>)
}

/// How to choose a token by a row of logits, after penalties and masks.
package struct SampleRow {
    /// Its number.
    var row: Int
    /// Whether it was changed where `hostRow` shows it.
    var isChanged = false
    /// 0 is greedy.
    var temperature: Float
    /// 0 is off.
    var topK: Int
    var topP: Float
    var minP: Float
    /// In [0, 1): decides which token it is.
    var uniform: Float
    /// The result.
    var token: Int32 = 0
}

package protocol Backend: AnyObject, SendableMetatype {
    /// A packed weight matrix [rows, columns].
    associatedtype Matrix
    /// float32 values: norm weights, biases, rotary tables.
    associatedtype Vector
    /// The experts of a layer.
    associatedtype Experts
    /// Activations [rows, columns].
    associatedtype Buffer
    /// The paged KV cache of one layer.
    associatedtype Cache

    // Load.
    /// A matrix whose weights are kept in `quantization`, or in the compute type when that is nil.
    func makeMatrix(
        rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> Matrix
    /// A matrix of weights that a checkpoint holds quantised; they may be read only in `finishLoading()`.
    func makeMatrix(rows: Int, columns: Int, isGated: Bool, stored: StoredMatrix) throws(LLMError) -> Matrix
    /// Notes that this part of a tensor fills these rows; it may be read only in `finishLoading()`. What a row is
    /// quantised to may depend on the columns beside the slice.
    func load(_ slice: Checkpoint.Slice, into matrix: Matrix, part: MatrixPart, firstRow: Int) throws(LLMError)
    /// Called after the last `load`: all matrices are filled when it returns.
    func finishLoading() throws(LLMError)
    func fillRandom(_ matrix: Matrix, seed: UInt64, scale: Float)
    /// Matrices of one shape, to be filled one by one.
    func makeMatrices(
        count: Int, rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> [Matrix]
    /// Experts of gated matrices [2 intermediate, hidden] and matrices [hidden, intermediate], one of each a piece.
    func makeExperts(
        gateUp: [Matrix], down: [Matrix], _ shape: MixtureOfExperts, activation: ModelConfig.Activation
    ) throws(LLMError) -> Experts
    /// What `mixtureOfExperts` works in, for all layers alike; empty without experts.
    func makeWorkspace(of experts: Experts?, maxTokens: Int) throws(LLMError) -> Buffer
    func makeVector(_ values: [Float]) throws(LLMError) -> Vector
    /// One vector of parts of several tensors, one after the other, with `offset` added to each value.
    func makeVector(from slices: [Checkpoint.Slice], adding offset: Float) throws(LLMError) -> Vector
    func makeBuffer(rows: Int, columns: Int, type: ElementType) throws(LLMError) -> Buffer
    /// - Parameters:
    ///   - queryGroup: Query heads that use a key/value head.
    ///   - skippedQueryHeads: How many of the first one's are another rank's.
    func makeCache(
        blockCount: Int, blockSize: Int, keyValueHeads: Int, headDim: Int, queryGroup: Int, skippedQueryHeads: Int
    ) throws(LLMError) -> Cache
    /// Backs the first `blockCount` blocks of all these caches with memory, before they are written.
    func provide(_ caches: [Cache], blockCount: Int)

    // Ranks: several of them run the same steps, each with its shard of the model. With one rank, all of this is
    // nothing. Where it throws, another rank has failed or can't be reached.
    var rankCount: Int { get }
    /// Tells the other ranks that this one has failed, and returns when none of them uses its memory.
    func fail(_ error: LLMError)
    /// Makes rank 0's batch everybody's. False on the other ranks when there will be no more.
    func broadcast(_ batch: Batch) throws(LLMError) -> Bool
    /// A buffer of float32 for what `allReduce` adds up. Every rank has to make it, in the same order.
    func makePartial(rows: Int, columns: Int) throws(LLMError) -> Buffer
    /// The sum of all ranks' partials, in the order of the ranks, becomes `out` on each of them, or is added to it.
    /// The partial is free to be written again.
    func allReduce(_ partial: Buffer, rows: Int, adds: Bool, into out: Buffer) throws(LLMError)
    /// A buffer of float32 of which this rank computes these columns, and rank 0's buffer of all columns. Every rank has
    /// to make it, in the same order.
    func makeGathered(
        rows: Int, columns: Int, own: Range<Int>
    ) throws(LLMError) -> (own: Buffer, all: Buffer)
    /// All ranks' columns are in rank 0's buffer when it returns there.
    func gather(_ own: Buffer, rows: Int, into all: Buffer) throws(LLMError)

    // Forward. `rows` counts the rows in use.
    /// Runs `body`, which issues the operations of a part of the batch's step for so many rows: the part's own and, on
    /// some devices, rows behind them that nobody reads. A device may also play back what `body` issued for another
    /// batch, so that nothing but `rows` may depend on the batch.
    func run(
        _ part: StepPart, of batch: Batch, _ body: (_ rows: Int) throws(LLMError) -> Void
    ) throws(LLMError)
    /// With a scale, which is rounded to the compute type first. Rows of ids below `firstID` or beyond the table are
    /// zero: another rank has them.
    func embed(_ batch: Batch, _ table: Matrix, firstID: Int, scale: Float?, into x: Buffer)
    /// Without a weight there is no norm: x is only rounded to the type of `out`.
    func rmsNorm(_ x: Buffer, rows: Int, weight: Vector?, epsilon: Float, into out: Buffer)
    /// Some columns of a float32 buffer, in place.
    func rmsNorm(_ x: Buffer, rows: Int, columns: Range<Int>, weight: Vector, epsilon: Float)
    /// The sums of the squares of some columns of a float32 buffer become a column of `sums`.
    func squareSums(_ x: Buffer, rows: Int, columns: Range<Int>, into sums: Buffer, column: Int)
    /// Some columns of a float32 buffer, in place, as part of `width` columns on all ranks, with these sums of squares.
    func rmsNorm(
        _ x: Buffer, rows: Int, columns: Range<Int>, squares: Buffer, column: Int, width: Int, weight: Vector,
        epsilon: Float)
    /// The normed rows of a float32 buffer onto another one: the residual stream.
    func addNormed(_ x: Buffer, rows: Int, weight: Vector, epsilon: Float, to out: Buffer)
    /// The normed rows whose logits are wanted, `count` of those that the batch lists.
    func rmsNorm(
        _ x: Buffer, logitRowsOf batch: Batch, from first: Int, count: Int, weight: Vector, epsilon: Float,
        into out: Buffer)
    func linear(
        _ x: Buffer, rows: Int, _ matrix: Matrix, bias: Vector?, epilogue: LinearEpilogue, into out: Buffer)
    /// Stores what each row's experts give, by the softmax of its router logits, in `out` (float32), or adds it.
    func mixtureOfExperts(
        _ x: Buffer, rows: Int, logits: Buffer, _ experts: Experts, workspace: Buffer, adds: Bool, into out: Buffer)
    /// Without a rope nothing is turned.
    func ropeAndStore(
        _ qkv: Buffer, _ batch: Batch, queryHeads: Int, queryNorm: Vector?, keyNorm: Vector?, epsilon: Float,
        rope: Vector?, rotaryDim: Int, into queries: Buffer, cache: Cache)
    func attention(
        _ queries: Buffer, _ batch: Batch, cache: Cache, queryHeads: Int, scale: Float, softCap: Float?, window: Int?,
        into out: Buffer)

    // Logits [rows, vocabulary], float32.
    /// A row in host memory, good until the next logits are made.
    func hostRow(_ logits: Buffer, _ row: Int) -> UnsafeMutablePointer<Float>
    func logSumExp(_ row: UnsafePointer<Float>, count: Int) -> Float
    func rank(of value: Float, in row: UnsafePointer<Float>, count: Int) -> Int
    func top(
        _ k: Int, of row: UnsafePointer<Float>, count: Int, ids: UnsafeMutablePointer<Int32>,
        values: UnsafeMutablePointer<Float>)
    /// Chooses a token for each of these rows of `count` logits. `scratch` has the shape of `logits`.
    func sample(
        _ rows: UnsafeMutableBufferPointer<SampleRow>, of logits: Buffer, count: Int, scratch: Buffer
    ) throws(LLMError)
}

extension Backend {
    package func finishLoading() {}
    package func provide(_ caches: [Cache], blockCount: Int) {}

    package func run(
        _ part: StepPart, of batch: Batch, _ body: (_ rows: Int) throws(LLMError) -> Void
    ) throws(LLMError) {
        switch part {
        case .layers: try body(batch.tokenCount)
        case .logits(let listed): try body(listed.count)
        }
    }

    package func makeMatrices(
        count: Int, rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> [Matrix] {
        var matrices: [Matrix] = []
        for _ in 0..<count {
            matrices.append(
                try makeMatrix(rows: rows, columns: columns, isGated: isGated, quantization: quantization))
        }
        return matrices
    }

    // One rank.
    package var rankCount: Int { 1 }
    package func fail(_ error: LLMError) {}
    package func broadcast(_ batch: Batch) -> Bool { true }
    package func makePartial(rows: Int, columns: Int) throws(LLMError) -> Buffer {
        try makeBuffer(rows: rows, columns: columns, type: .float)
    }
    package func allReduce(_ partial: Buffer, rows: Int, adds: Bool, into out: Buffer) {}
    package func makeGathered(rows: Int, columns: Int, own: Range<Int>) throws(LLMError) -> (own: Buffer, all: Buffer) {
        let buffer = try makeBuffer(rows: rows, columns: columns, type: .float)
        return (buffer, buffer)
    }
    package func gather(_ own: Buffer, rows: Int, into all: Buffer) {}
}

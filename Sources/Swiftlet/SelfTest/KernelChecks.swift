// KernelChecks: every operation of a backend on one shape, against Reference.
// Invariant: inputs are the same on every backend, and rows that are not part of a step are never looked at.

struct KernelChecks<B: CheckedBackend> {
    let backend: B
    let shape: KernelShape
    private let subject: String
    private let report: (SelfTestResult) -> Void
    let epsilon: Float = 1e-6

    init(_ backend: B, _ shape: KernelShape, _ subject: String, _ report: @escaping (SelfTestResult) -> Void) {
        self.backend = backend
        self.shape = shape
        self.subject = subject
        self.report = report
    }

    /// Where the compute type rounds results, and where sums alone differ.
    var roundedLimit: Double { shape.isFloat32 ? 1e-5 : 4e-3 }
    var exactLimit: Double { 1e-5 }

    func run() {
        check("embed", exactLimit) { () throws(LLMError) in try embed() }
        check("norms", roundedLimit) { () throws(LLMError) in try norms() }
        check("linear", roundedLimit) { () throws(LLMError) in try products() }
        // Weights of the softmax are rounded too.
        check("attention", shape.isFloat32 ? 1e-5 : 1e-2) { () throws(LLMError) in try attention() }
        check("logits", exactLimit) { () throws(LLMError) in try logits() }
        check("sampling", 0) { () throws(LLMError) in try sampling() }
    }

    private func check(_ name: String, _ limit: Double, _ body: () throws(LLMError) -> Double) {
        var result = SelfTestResult(name: name, subject: subject, error: .infinity, limit: limit)
        do throws(LLMError) {
            result.error = try body()
        } catch {
            result.problem = error.message
        }
        report(result)
    }

    // MARK: - Inputs

    /// Random weights and the same as numbers.
    func matrix(
        rows: Int, columns: Int, seed: UInt64, isGated: Bool = false
    ) throws(LLMError) -> (matrix: B.Matrix, values: [Float]) {
        let matrix = try backend.makeMatrix(rows: rows, columns: columns, isGated: isGated, quantization: nil)
        backend.fillRandom(matrix, seed: seed, scale: 0.25)
        return (matrix, shape.rounded(Reference.weights(rows: rows, columns: columns, seed: seed, scale: 0.25)))
    }

    /// Activations and the same as numbers.
    func buffer(
        rows: Int, columns: Int, _ type: ElementType, seed: UInt64
    ) throws(LLMError) -> (buffer: B.Buffer, values: [Float]) {
        let buffer = try backend.makeBuffer(rows: rows, columns: columns, type: type)
        let values = Reference.values(rows * columns, seed: seed)
        let stored = type == .float ? values : shape.rounded(values)
        try backend.write(stored, to: buffer)
        return (buffer, stored)
    }

    /// A batch of sequences: tokens that are cached already, tokens of this step, and the first of their own blocks.
    func batch(_ sequences: [(cached: Int, rows: Int, firstBlock: Int)], scores: Bool = false) -> Batch {
        let states = sequences.enumerated().map { index, sequence in
            let count = sequence.cached + sequence.rows
            var params = SamplingParams.greedy
            if scores { params.promptLogprobs = 0 }
            let state = SequenceState(
                id: index, prompt: (0..<count).map { Int32(($0 * 7 + index) % KernelSizes.vocabulary) }, params: params,
                tokenLimit: count + 1)
            state.cachedTokenCount = sequence.cached
            state.scheduledTokenCount = sequence.rows
            let blocks = (count + shape.blockSize - 1) / shape.blockSize
            // Not in order, as in a pool that was used.
            state.blockTable = (0..<blocks).map { Int32(sequence.firstBlock + $0 ^ 1) }
            return state
        }
        let batch = Batch(maxTokens: KernelSizes.tokens, maxSequences: 16, maxBlocksPerSequence: 16)
        batch.fill(states)
        return batch
    }

    // MARK: - Checks

    private func embed() throws(LLMError) -> Double {
        let (vocabulary, hidden) = (KernelSizes.vocabulary, KernelSizes.hidden)
        let table = try matrix(rows: vocabulary, columns: hidden, seed: 1)
        let x = try backend.makeBuffer(rows: KernelSizes.tokens, columns: hidden, type: .float)
        try backend.prepare()
        let batch = batch([(0, 5, 0), (0, 1, 1)])
        try backend.run(.layers, of: batch) { _ in
            backend.embed(batch, table.matrix, firstID: 0, scale: 1.5, into: x)
        }
        let expected = (0..<batch.tokenCount).flatMap { row in
            table.values[Int(batch.ids[row]) * hidden..<(Int(batch.ids[row]) + 1) * hidden].map { $0 * 1.5 }
        }
        return Reference.distance(try backend.read(x, rows: batch.tokenCount), expected)
    }

    private func norms() throws(LLMError) -> Double {
        let (rows, width) = (5, KernelSizes.hidden)
        let (x, values) = try buffer(rows: rows, columns: width, .float, seed: 2)
        let ones = Reference.values(width, seed: 3)
        let weight = try backend.makeVector(ones)
        let out = try backend.makeBuffer(rows: rows, columns: width, type: .compute)
        backend.rmsNorm(x, rows: rows, weight: weight, epsilon: epsilon, into: out)
        func normed(_ columns: Range<Int>, _ weight: [Float]) -> [Float] {
            (0..<rows).flatMap { row in
                Reference.norm(
                    values[row * width + columns.lowerBound..<row * width + columns.upperBound], weight,
                    epsilon: epsilon)
            }
        }
        var worst = Reference.distance(try backend.read(out, rows: rows), normed(0..<width, ones))
        backend.rmsNorm(x, rows: rows, weight: nil, epsilon: epsilon, into: out)
        worst = max(worst, Reference.distance(try backend.read(out, rows: rows), values))

        let (sum, before) = try buffer(rows: rows, columns: width, .float, seed: 4)
        backend.addNormed(x, rows: rows, weight: weight, epsilon: epsilon, to: sum)
        let added = zip(before, normed(0..<width, ones)).map { $0 + $1 }
        worst = max(worst, Reference.distance(try backend.read(sum, rows: rows), added))

        let part = 8..<40
        let some = Array(ones[..<part.count])
        backend.rmsNorm(x, rows: rows, columns: part, weight: try backend.makeVector(some), epsilon: epsilon)
        var expected = values
        for (index, value) in normed(part, some).enumerated() {
            expected[index / part.count * width + part.lowerBound + index % part.count] = value
        }
        return max(worst, Reference.distance(try backend.read(x, rows: rows), expected))
    }

    /// All epilogues, for few rows and for many, with and without a bias.
    private func products() throws(LLMError) -> Double {
        let (columns, outputs) = (KernelSizes.hidden, 100)
        let plain = try matrix(rows: outputs, columns: columns, seed: 5)
        let gated = try matrix(rows: 2 * outputs, columns: columns, seed: 6, isGated: true)
        try backend.prepare()
        let biases = Reference.values(2 * outputs, seed: 7)
        let (bias, gatedBias) = (try backend.makeVector(Array(biases[..<outputs])), try backend.makeVector(biases))
        var worst = 0.0
        for rows in [1, 2, 3, 8, 9, 33] {
            let (x, values) = try buffer(rows: rows, columns: columns, .compute, seed: UInt64(10 + rows))
            let sums = Reference.product(values, plain.values, rows: rows, columns: columns)
            let gates = Reference.product(values, gated.values, rows: rows, columns: columns)
            for isBiased in [false, true] {
                let (float, before) = try buffer(rows: rows, columns: outputs, .float, seed: 8)
                let compute = try backend.makeBuffer(rows: rows, columns: outputs, type: .compute)
                let sum = { (index: Int) in Double(sums[index] + (isBiased ? biases[index % outputs] : 0)) }
                func compare(
                    _ epilogue: LinearEpilogue, isGated: Bool = false, _ expected: (Int) -> Double
                ) throws(LLMError) {
                    let out = isGated ? compute : float
                    backend.linear(
                        x, rows: rows, isGated ? gated.matrix : plain.matrix,
                        bias: isBiased ? isGated ? gatedBias : bias : nil, epilogue: epilogue, into: out)
                    let reference = (0..<rows * outputs).map { Float(expected($0)) }
                    worst = max(worst, Reference.distance(try backend.read(out, rows: rows), reference))
                }
                try compare(.add) { Double(before[$0]) + sum($0) }
                try compare(.store, sum)
                try compare(.storeCapped(2)) { Reference.capped(sum($0), 2) }
                func gate(_ index: Int, _ activation: (Double) -> Double) -> Double {
                    let (row, column) = (index / outputs * 2 * outputs, index % outputs)
                    let up = gates[row + outputs + column] + (isBiased ? biases[outputs + column] : 0)
                    return activation(Double(gates[row + column] + (isBiased ? biases[column] : 0))) * Double(up)
                }
                try compare(.gatedSiLU, isGated: true) { gate($0, Reference.silu) }
                try compare(.gatedGELU, isGated: true) { gate($0, Reference.gelu) }
            }
        }
        return worst
    }
}

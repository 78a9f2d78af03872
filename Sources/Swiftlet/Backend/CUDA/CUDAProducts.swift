// CUDAProducts: products of activations and weights by cublasLt: one algorithm for each shape, chosen at its first use
// and kept, so that eager steps and graphs compute alike, and for few rows on disk, too.
// Owned by the CUDABackend. The workspace is its own and lives as long as the graphs that were recorded with it.
//
// Invariant: a product of the same shape always takes the same algorithm in one process.

final class CUDAProducts {
    /// Weights [rows, columns] in the compute type: some rows of a matrix of `allRows`.
    struct Weights {
        var address: UInt64
        var rows: Int
        var columns: Int
        var allRows: Int
    }

    private typealias Shape = CUDAAlgorithms.Shape

    private struct Plan {
        var product: CublasLtProduct
        var algorithm: CublasLtAlgorithm
    }

    /// What NVIDIA recommends for its newer GPUs.
    private static var workspaceBytes: Int { 32 << 20 }
    private static var candidateCount: Int { 8 }
    /// Rows up to which candidates are tried: with few of them the best one depends on how it reads the weights.
    private static var mostTriedRows: Int { 64 }

    private let device: CUDADevice
    private let functions: CublasLt
    private let handle: CublasLt.Handle
    private let isFloat32: Bool
    private let workspace: DeviceMemory
    private var plans: [Shape: Plan] = [:]
    private var tried: CUDAAlgorithms

    init(
        _ device: CUDADevice, _ libraries: CUDALibraries, isFloat32: Bool, cache: CubinCache?
    ) throws(LLMError) {
        self.device = device
        self.isFloat32 = isFloat32
        let functions = try CublasLt(libraries)
        self.functions = functions
        tried = CUDAAlgorithms(
            cache, device.description, version: functions.version(),
            product: "\(isFloat32 ? "float32" : "bfloat16"), workspace \(Self.workspaceBytes)")
        workspace = try DeviceMemory(device, byteCount: Self.workspaceBytes, for: "cublasLt's workspace")
        handle = try functions.made("opening it") { functions.create($0) }
    }

    deinit {
        plans = [:]
        _ = functions.destroy(handle)
    }

    /// out [rows, outputs] float32 becomes x times the transpose of the weights, or that is added to it.
    ///
    /// - Parameter trial: Memory that candidates may write to, and its bytes.
    func multiply(
        _ x: UInt64, rows: Int, _ weights: Weights, adds: Bool, into out: UInt64, trial: (address: UInt64, bytes: Int)
    ) throws(LLMError) {
        let shape = Shape(outputs: weights.rows, columns: weights.columns, rows: rows, stride: weights.allRows)
        let plan: Plan
        if let known = plans[shape] {
            plan = known
        } else {
            plan = try choose(shape, x, weights.address, trial)
            plans[shape] = plan
        }
        try run(plan, shape, x, weights.address, adds: adds, into: out)
    }

    private func run(
        _ plan: Plan, _ shape: Shape, _ x: UInt64, _ weights: UInt64, adds: Bool, into out: UInt64
    ) throws(LLMError) {
        var (alpha, beta, algorithm): (Float, Float, _) = (1, adds ? 1 : 0, plan.algorithm)
        let product = plan.product
        try functions.check(
            functions.multiply(
                handle, product.product, &alpha, weights, product.weights, x, product.input, &beta, out,
                product.output, out, product.output, &algorithm, workspace.address, workspace.byteCount, device.stream),
            "a product of \(shape.outputs) x \(shape.columns)")
    }

    private func choose(
        _ shape: Shape, _ x: UInt64, _ weights: UInt64, _ trial: (address: UInt64, bytes: Int)
    ) throws(LLMError) -> Plan {
        let product = try CublasLtProduct(
            functions, outputs: shape.outputs, columns: shape.columns, rows: shape.rows, stride: shape.stride,
            isFloat32: isFloat32)
        let isTried = shape.rows <= Self.mostTriedRows && 4 * shape.rows * shape.stride <= trial.bytes
        if isTried, let known = tried[shape], let usable = checked(known, product) {
            return Plan(product: product, algorithm: usable)
        }
        let candidates = try candidates(product, shape)
        var best = Plan(product: product, algorithm: candidates[0])
        guard isTried, candidates.count > 1 else { return best }
        var bestTime = Double.infinity
        for candidate in candidates {
            let plan = Plan(product: product, algorithm: candidate)
            // The first run loads it.
            try run(plan, shape, x, weights, adds: false, into: trial.address)
            let time = try device.seconds { () throws(LLMError) in
                for _ in 0..<3 { try run(plan, shape, x, weights, adds: false, into: trial.address) }
            }
            // Clearly faster than those that the library thinks are better.
            if time < 0.95 * bestTime { (best, bestTime) = (plan, time) }
        }
        tried.add(best.algorithm, for: shape)
        return best
    }

    /// An algorithm of an earlier run, if the library still has it for this product and it fits the workspace.
    private func checked(_ algorithm: CublasLtAlgorithm, _ product: CublasLtProduct) -> CublasLtAlgorithm? {
        var (words, found) = (algorithm.words, CublasLtAlgorithm())
        let status = functions.checkAlgorithm(
            handle, product.product, product.weights, product.input, product.output, product.output, &words, &found)
        guard status == 0, found.status == 0, found.workspace <= workspace.byteCount else { return nil }
        var usable = algorithm
        usable.workspace = found.workspace
        return usable
    }

    /// What the library would take, best first.
    private func candidates(_ product: CublasLtProduct, _ shape: Shape) throws(LLMError) -> [CublasLtAlgorithm] {
        let preference = try functions.made("asking for algorithms") { functions.createPreference($0) }
        defer { _ = functions.destroyPreference(preference) }
        var bytes = workspace.byteCount
        try functions.check(functions.setPreference(preference, 1, &bytes, 8), "limiting the workspace")
        // A later pass begins at any row of the input.
        var alignment = UInt32(1) << min(8, (shape.columns * (isFloat32 ? 4 : 2)).trailingZeroBitCount)
        try functions.check(functions.setPreference(preference, 6, &alignment, 4), "asking for an alignment")
        var found = [CublasLtAlgorithm](repeating: CublasLtAlgorithm(), count: Self.candidateCount)
        var count: Int32 = 0
        try functions.check(
            found.withUnsafeMutableBytes {
                functions.candidates(
                    handle, product.product, product.weights, product.input, product.output, product.output, preference,
                    Int32(Self.candidateCount), $0.baseAddress!, &count)
            }, "asking for algorithms")
        let usable = found.prefix(Int(count)).filter { $0.status == 0 && $0.workspace <= workspace.byteCount }
        guard !usable.isEmpty else {
            throw LLMError(
                .engineFailed,
                "cublasLt has no algorithm for \(shape.rows) rows with a matrix of \(shape.outputs) x \(shape.columns)")
        }
        return usable
    }
}

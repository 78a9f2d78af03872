// RooflineBench: runs each operation of a model by itself, as a forward pass runs it, between probes of the machine.
// Owned by the command; the thread that calls it drives the kernels' threads.
// Invariant: weights, keys and values come from memory, never from a cache that an earlier call left warm: a pass
// goes through the matrices of all layers, or through other blocks than the pass before it.

import CSwiftletKernels
import Logging

package final class RooflineBench {
    typealias Weights = DecoderModel<CPUBackend>.Weights

    /// Rows that are measured.
    package static let rowCounts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    static let maxRows = 512
    static let blockSize = 64
    /// Weights of a pass at most: far more than a cache holds, little enough for large models.
    static let passBytes = 512.0 * 1048576
    /// And at least, where the products take long.
    static let leastPassBytes = 128.0 * 1048576

    package let config: ModelConfig
    package let backend: CPUBackend
    package let modelName: String
    let weights: Weights
    let work: ModelWork
    /// The longest context that is measured.
    let maxContext: Int
    private let isQuick: Bool
    private let integers: EngineConfig.Quantization?
    private let probe: MachineProbe
    private var samples: [MachineLimits] = []
    private var cells: [Roofline.Cell] = []

    /// Loads the weights.
    ///
    /// - Parameters:
    ///   - model: A Hugging Face directory; nil is the demo model.
    ///   - isQuick: Each operation is measured once.
    package init(_ model: String?, config engine: EngineConfig, isQuick: Bool = false) throws(LLMError) {
        try engine.validate()
        let silent = Logger(label: "swiftlet") { _ in SwiftLogNoOpLogHandler() }
        let loader = ModelLoader(model: model, tokenizerPath: nil, config: engine, logger: silent)
        let files = try ModelFiles(model, engine)
        let shape = try loader.shape(of: files)
        let quantization = WeightQuantization(engine, stored: shape.storedQuantization)
        let checkpoint = engine.loadFormat == .dummy ? nil : try Checkpoint(files)
        let dtype = loader.dataType(of: shape, checkpoint)
        config = shape
        self.isQuick = isQuick
        modelName = files.name
        maxContext = min(shape.maximumLength, 32768)
        try Self.checkFits(
            MemoryPlan(
                config: shape, engine: engine, dtype: dtype, maxModelLength: maxContext, maxBatchedTokens: Self.maxRows,
                checkpoint: checkpoint)
        )
        backend = try CPUBackend(
            level: engine.cpuLevel, threads: engine.threads ?? Platform.coreCount(),
            isPinned: engine.pinThreads, dtype: dtype, kvCacheType: engine.kvCacheType)
        let integerProducts = backend.integerProducts
        work = ModelWork(
            shape, dtype: dtype, quantization: quantization, kvCacheType: engine.kvCacheType,
            integerProducts: integerProducts)
        weights = try WeightLoader(
            shard: Shard(whole: shape), backend: backend,
            source: checkpoint.map { .checkpoint($0) } ?? .random(seed: engine.seed ?? 0),
            quantization: WeightQuantization(engine)
        ).load(positions: maxContext)
        integers = quantization.layers.flatMap { integerProducts.contains($0) ? $0 : nil }
        probe = try MachineProbe(backend, integers: integers)
    }

    private static func checkFits(_ plan: MemoryPlan) throws(LLMError) {
        guard let available = Platform.availableMemory() else { return }
        let needed = plan.weightBytes + plan.workspaceBytes + Int(passBytes) + 256 << 20
        guard needed <= available else {
            throw LLMError(
                .outOfMemory, "measuring this model takes \(needed >> 20) MiB; \(available >> 20) MiB are free")
        }
    }

    /// What products in the compute type are made of.
    package var instruction: String { backend.multiplyInstruction(nil) }
    /// What products of integers are made of, if there are any.
    package var integerInstruction: String? { integers.map { backend.multiplyInstruction($0) } }

    /// Measures everything. `report` is told what comes next.
    package func run(_ report: (String) -> Void) throws(LLMError) -> Roofline {
        // The first readings warm up clocks and pages.
        _ = probe.measure(times: 3)
        samples.append(probe.measure())
        report("linear")
        try measureLinear()
        try measureExperts()
        report("attention")
        try measureAttention()
        report("norm, rope, sampling")
        try measureOthers()
        report("forward passes")
        try measureForward(report)
        let memory = samples.map(\.memory)
        return Roofline(
            limits: .medians(of: samples), slowestMemory: memory.min() ?? 0, fastestMemory: memory.max() ?? 0,
            cells: cells)
    }

    // MARK: - Measuring

    /// What the machine can do now.
    private func sampleLimits(for work: OperationWork) -> MachineLimits {
        let limits = probe.measure(for: work)
        samples.append(limits)
        return limits
    }

    /// Measures `pass`, which makes `calls` calls with this work each.
    func measure<Failure: Error>(
        _ group: Roofline.Group, _ operation: String, rows: Int, work: OperationWork, calls: Int,
        pass: () throws(Failure) -> Void
    ) throws(Failure) {
        let passWork = work * calls
        var before = sampleLimits(for: work)
        let shortest = before.seconds(for: passWork)
        if shortest < 0.05 { try pass() }
        let repeats = isQuick ? 1 : min(max(Int(0.1 / shortest), shortest < 0.5 ? 3 : 2), 5)
        var (times, shares): ([Double], [Double]) = ([], [])
        var bound = MachineLimits.Bound.memory
        for _ in 0..<repeats {
            let start = Platform.monotonicSeconds()
            try pass()
            let seconds = Platform.monotonicSeconds() - start
            let after = sampleLimits(for: work)
            let limits = MachineLimits.mean(before, after)
            before = after
            times.append(seconds / Double(calls))
            shares.append(limits.seconds(for: passWork) / seconds)
            bound = limits.bound(of: passWork)
        }
        cells.append(
            Roofline.Cell(
                group: group, operation: operation, rows: rows, work: work, seconds: median(times),
                share: median(shares), bound: bound, repeats: repeats))
    }

    private func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    /// Calls of a short operation that make a pass long enough for the clock.
    func calls(for work: OperationWork) -> Int {
        let seconds = isQuick ? 0.001 : 0.01
        return max(1, min(10_000, Int(seconds / MachineLimits.medians(of: samples.suffix(9)).seconds(for: work))))
    }

    /// Activations of all sorts of values; every page is touched.
    func makeActivations(columns: Int, type: ElementType) throws(LLMError) -> CPUBuffer {
        let buffer = try backend.makeBuffer(rows: Self.maxRows, columns: columns, type: type)
        let values = buffer.memory.assumingMemoryBound(to: UInt16.self)
        let count = Self.maxRows * buffer.stride * (buffer.dtype == SWIFTLET_FLOAT32 ? 2 : 1)
        var state: UInt32 = 1
        for index in 0..<count {
            state = state &* 1_664_525 &+ 1_013_904_223
            // Sign and mantissa vary, the exponent is that of 0.5...1: a bfloat16, or either half of a float32.
            values[index] = UInt16(truncatingIfNeeded: state >> 16) & 0x807F | 0x3F00
        }
        return buffer
    }
}

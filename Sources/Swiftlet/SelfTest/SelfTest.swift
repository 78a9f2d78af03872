// SelfTest: whether this machine computes right: every kernel against plain Swift, whole steps played back against steps
// launched one by one, and a model against the CPU backend. What `swiftlet selftest` runs; nothing else uses it.
//
// Invariant: a check passes only by a number that was compared; what is not finite has failed.

import Logging

/// What one check found.
package struct SelfTestResult: Sendable {
    /// Such as `attention`.
    package var name: String
    /// On what: types and shapes.
    package var subject: String
    /// |mine - reference| / |reference| in the Euclidean norm, of the worst case; 0 where values have to be equal.
    package var error: Double
    package var limit: Double
    /// What went wrong, if it did not come to numbers.
    package var problem: String?

    package var hasPassed: Bool { problem == nil && error <= limit }
}

package struct SelfTest: Sendable {
    package let device: EngineConfig.Device
    /// nil: the demo model.
    package let model: String?
    let libraries: CUDALibraries
    private let cubinFolder: String?
    private let levels: [String]
    private let effort: Int

    /// - Parameters:
    ///   - libraries: CUDA's, or a stand-in.
    ///   - levels: Of the CPU's kernels.
    ///   - effort: 0 is short enough for an emulated GPU.
    package init(
        device: EngineConfig.Device, model: String? = nil, libraries: CUDALibraries = CUDALibraries(),
        cubinFolder: String? = CubinCache.path(), levels: [String] = CPUBackend.supportedLevelNames,
        effort: Int = 1
    ) {
        self.device = device
        self.model = model
        self.libraries = libraries
        self.cubinFolder = cubinFolder
        self.levels = levels
        self.effort = effort
    }

    /// Runs all checks, on a thread of their own: a GPU's context belongs to one.
    ///
    /// - Parameter report: Told of each result as it comes.
    /// - Throws: ``LLMError`` when the device can't be used at all.
    package func run(report: @escaping @Sendable (SelfTestResult) -> Void) throws(LLMError) {
        _ = try Deferred { () throws(LLMError) in
            switch device {
            case .cuda: try runOnGPU(report)
            case .cpu, .automatic: try runOnCPU(report)
            }
            return true
        }.value()
    }

    private func runOnCPU(_ report: @escaping (SelfTestResult) -> Void) throws(LLMError) {
        for level in levels {
            for shape in KernelShape.all {
                let backend = try CPUBackend(level: level, threads: 2, isPinned: false, dtype: shape.dtype)
                KernelChecks(backend, shape, "\(level) \(shape.name)", report).run()
            }
        }
        // Its levels are other implementations of the same steps.
        var reference: ModelRun?
        for level in levels {
            var config = ModelRun.config
            config.cpuLevel = level
            check("model", "\(level), against \(levels[0])", limit: ModelRun.limit, report) { () throws(LLMError) in
                let run = try modelRun(config)
                defer { reference = reference ?? run }
                return run.error(against: reference ?? run)
            }
        }
    }

    private func runOnGPU(_ report: @escaping (SelfTestResult) -> Void) throws(LLMError) {
        let cache = cubinFolder.flatMap { path in try? CubinCache(path) }
        let (all, types) = (KernelShape.all, [EngineConfig.DataType.bfloat16, .float32])
        for shape in effort > 0 ? all : [all[0], all[3]] {
            let device = try CUDADevice(libraries)
            let backend = try CUDABackend(
                device, libraries, shapes: shape.cuda, limits: KernelShape.limits, cache: cache, usesGraphs: false)
            let subject = "\(device.description.name) \(shape.name)"
            try checkKernels(backend, subject, libraries, effort: effort, report)
            KernelChecks(backend, shape, subject, report).run()
        }
        for dtype in types.prefix(effort > 0 ? 2 : 1) {
            try checkModelOnGPU(dtype, ranks: 1, keepsAlgorithms: cache != nil, report)
        }
        let count = try CUDAInfo.devices(libraries).count
        guard count > 1 else { return }
        try checkSums(gpus: count, report)
        try checkModelOnGPU(types[0], ranks: 2, keepsAlgorithms: cache != nil, report)
    }

    /// - Parameter keepsAlgorithms: Whether products compute alike in every run, once a first one has chosen how.
    private func checkModelOnGPU(
        _ dtype: EngineConfig.DataType, ranks: Int, keepsAlgorithms: Bool, _ report: (SelfTestResult) -> Void
    ) throws(LLMError) {
        var config = ModelRun.config
        config.dtype = dtype
        config.tensorParallelSize = ranks
        let subject = dtype.rawValue + (ranks > 1 ? " on \(ranks) GPUs" : "")
        let onCPU = try modelRun(config)
        config.device = .cuda
        check("model", "\(subject), against the CPU", limit: dtype == .float32 ? 1e-3 : 3e-2, report) {
            () throws(LLMError) in try modelRun(config).error(against: onCPU)
        }
        if dtype == .bfloat16 {
            var quantized = config
            (quantized.quantization, quantized.device) = (.int4, .cpu)
            let reference = try modelRun(quantized)
            quantized.device = .cuda
            check("model", "\(dtype.rawValue) with int4 weights, against the CPU", limit: 3e-2, report) {
                () throws(LLMError) in try modelRun(quantized).error(against: reference)
            }
        }
        // Each rank of the first run may have chosen for itself; what is kept holds for all from then on.
        let limit = keepsAlgorithms ? 0 : ModelRun.limit
        check("graphs", "\(subject), against eager steps", limit: limit, report) { () throws(LLMError) in
            let graphs = try modelRun(config)
            config.enforceEager = true
            let eager = try modelRun(config)
            return graphs.isEqual(to: eager) ? 0 : max(graphs.error(against: eager), .leastNonzeroMagnitude)
        }
    }

    private func modelRun(_ config: EngineConfig) throws(LLMError) -> ModelRun {
        let silent = Logger(label: "swiftlet") { _ in SwiftLogNoOpLogHandler() }
        let recorder = ModelRun.Recorder()
        var config = config
        // Random weights are as good.
        if model == nil && !ModelLoader.hasDemoWeights { (config.loadFormat, config.seed) = (.dummy, 1) }
        var loader = ModelLoader(
            model: model, tokenizerPath: nil, config: config, logger: silent, processors: [recorder])
        loader.cubinFolder = cubinFolder
        if config.device == .cuda {
            let (engine, loaded) = try loader.load(libraries)
            return try ModelRun(engine, recorder, vocabularySize: loaded.vocabularySize)
        }
        let (engine, loaded) = try loader.load()
        return try ModelRun(engine, recorder, vocabularySize: loaded.vocabularySize)
    }

    func check(
        _ name: String, _ subject: String, limit: Double, _ report: (SelfTestResult) -> Void,
        _ body: () throws(LLMError) -> Double
    ) {
        var result = SelfTestResult(name: name, subject: subject, error: .infinity, limit: limit)
        do throws(LLMError) {
            result.error = try body()
        } catch {
            result.problem = error.message
        }
        report(result)
    }
}

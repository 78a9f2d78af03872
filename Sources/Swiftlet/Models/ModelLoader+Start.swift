// ModelLoader: which device a model runs on, and the thread that loads and runs it there.
// Invariant: what an option asks for and a device does not have is refused by name, or (device auto) left to the CPU.

import Logging

extension ModelLoader {
    /// Loads the model on a thread of its own, which runs its engine until that is told to stop.
    package func start(_ mailbox: Mailbox) async throws -> LoadedModel {
        var loader = self
        let libraries = CUDALibraries()
        loader.config.device = try device(libraries)
        let (chosen, limit) = (loader, config.maxQueuedRequests)
        switch (chosen.config.device, config.traceFile) {
        case (.cuda, let path?):
            return try await EngineThread.start(mailbox, maxQueuedRequests: limit) { () throws(LLMError) in
                try chosen.loadTraced(libraries, to: path)
            }
        case (.cuda, nil):
            return try await EngineThread.start(mailbox, maxQueuedRequests: limit) { () throws(LLMError) in
                try chosen.load(libraries)
            }
        case (_, let path?):
            return try await EngineThread.start(mailbox, maxQueuedRequests: limit) { () throws(LLMError) in
                try chosen.loadTraced(to: path)
            }
        case (_, nil):
            return try await EngineThread.start(mailbox, maxQueuedRequests: limit) { () throws(LLMError) in
                try chosen.load()
            }
        }
    }

    /// What computes: the CPU unless a GPU was asked for, or was left to choose and can do it.
    func device(_ libraries: CUDALibraries) throws(LLMError) -> EngineConfig.Device {
        guard config.device == .automatic else { return config.device }
        do throws(LLMError) {
            guard config.rankPlacement == .threads, config.world == nil else {
                throw LLMError(.invalidConfiguration, "processes of one launcher have to agree: give --device cuda")
            }
            try requireGPUs(try CUDAInfo.devices(libraries).count)
            try config.requireOptionsOfGPUs()
            try requireModelOfGPUs(try shape(of: try ModelFiles(model, config)))
            let needed = [CUDALibraries.Name.compiler, .blas] + (config.tensorParallelSize > 1 ? [.collectives] : [])
            for name in needed { _ = try libraries.address(name, name.anyFunction) }
            return .cuda
        } catch {
            logger.info("device auto: the CPU, because \(error.message)")
            guard !config.enforceEager else {
                throw LLMError(
                    .invalidConfiguration, "enforce-eager needs a GPU, and device auto finds none: \(error.message)")
            }
            return .cpu
        }
    }

    /// Refuses what there are no kernels for on GPUs.
    func requireModelOfGPUs(_ model: ModelConfig) throws(LLMError) {
        let most = 1 << 18
        guard model.vocabularySize <= most else {
            throw LLMError(
                .unsupportedModel,
                "the vocabulary has \(model.vocabularySize) tokens; on GPUs at most \(most) are supported: use --device cpu"
            )
        }
    }
}

extension EngineConfig {
    /// Refuses options that only the CPU has.
    func requireOptionsOfGPUs() throws(LLMError) {
        func refuse(_ isAsked: Bool, _ option: String) throws(LLMError) {
            if isAsked {
                throw LLMError(
                    .invalidConfiguration, "\(option) is not supported on GPUs yet: leave it out, or use --device cpu")
            }
        }
        try refuse(kvCacheType == .int8, "kv-cache-dtype \(kvCacheType.rawValue)")
        try refuse(cpuLevel != nil, "cpu-level \(cpuLevel ?? "")")
        try refuse(maxSequences > 65_535, "max-num-seqs \(maxSequences)")
        try refuse(threads != nil, "threads \(threads ?? 0)")
    }
}

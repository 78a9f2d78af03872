// ModelLoader: what each rank loads. Rank 0's thread is the engine's; the others run its batches until it ends, on threads
// of the same process or in processes of their own.
// Invariant: all ranks go through the same steps of loading in the same order, and have the same number of KV blocks.

/// What is known before weights are read.
struct PreparedModel {
    let files: ModelFiles
    /// nil: the weights are random.
    let checkpoint: Checkpoint?
    /// Of the ranks in this process.
    let plan: MemoryPlan
    /// To ranks in other processes.
    let process: MPIRank?
}

/// What a rank has of a loaded model.
struct RankModel<B: Backend> {
    let decoder: DecoderModel<B>
    let blockCount: Int
    let batch: Batch
}

extension ModelLoader {
    /// Reads and checks all but the weights, and refuses what does not fit into memory.
    ///
    /// - Parameter gpu: What a single rank is to run on, if it is not the CPU.
    func prepare(on gpu: RankGPU? = nil) throws(LLMError) -> PreparedModel {
        let files = try ModelFiles(model, config)
        let shape = try shape(of: files)
        let checkpoint = config.loadFormat == .dummy ? nil : try Checkpoint(files)
        let process = gpu == nil ? try joinProcesses() : nil
        let length = try maxModelLength(of: shape)
        var shards = try shards(of: shape)
        if let rank = gpu?.rank ?? process?.rank { shards = [shards[rank]] }
        let plan = MemoryPlan(
            config: shape, shards: shards, engine: config, dtype: dataType(of: shape, checkpoint),
            maxModelLength: length, maxBatchedTokens: try maxBatchedTokens(length), checkpoint: checkpoint)
        try plan.checkFits(available: try gpu?.device.memory().free ?? availableMemory(process))
        return PreparedModel(files: files, checkpoint: checkpoint, plan: plan, process: process)
    }

    /// With those that a launcher started together, if ranks are to be processes.
    func joinProcesses() throws(LLMError) -> MPIRank? {
        guard config.rankPlacement == .processes else { return nil }
        let world =
            if let world = config.world { world } else {
                try MPIWorld.start(ranks: config.tensorParallelSize, replicas: 1, logger: logger)
            }
        return MPIRank(world, threads: config.device == .cuda ? 1 : threadCount(world))
    }

    /// Refuses to make an engine in another process than the first one.
    func requireFirst(_ process: MPIRank) throws(LLMError) {
        guard process.rank > 0 else { return }
        throw LLMError(
            .invalidConfiguration,
            "process \(process.rank) of \(process.count) has to follow the first one (LLM.follow), which alone has an engine"
        )
    }

    /// Of all ranks.
    func shards(of model: ModelConfig) throws(LLMError) -> [Shard] {
        var shards: [Shard] = []
        for rank in 0..<config.tensorParallelSize {
            shards.append(try Shard(of: model, rank: rank, rankCount: config.tensorParallelSize))
        }
        return shards
    }

    /// This process's share of what is free on the machine, or the engine's share of that.
    private func availableMemory(_ process: MPIRank?, loaded bytes: Int = 0) -> Int? {
        Platform.availableMemory().map { free in
            min(free / (process?.world.neighbours ?? 1), config.processShare.memory.map { max(0, $0 - bytes) } ?? .max)
        }
    }

    /// Of all ranks of this process.
    func threadCount(_ world: MPIWorld?) -> Int {
        if config.threads == nil, let world { return world.coreCount }
        let own = config.processShare.part(of: config.threads ?? Platform.coreCount()).count
        return max(own, world == nil ? config.tensorParallelSize : 1)
    }

    /// Starts the threads of the other ranks of this process, which load their shards and wait for batches.
    ///
    /// - Returns: This thread's backend, with which the others end.
    func startRanks<Other: Backend>(
        _ prepared: PreparedModel, _ wrap: @escaping @Sendable (CPUBackend) -> Other
    ) throws(LLMError) -> CPUBackend {
        let (plan, files) = (prepared.plan, prepared.files)
        let threads = threadCount(prepared.process?.world)
        if let process = prepared.process { return try makeBackend(plan, threads, link: .processes(process)) }
        guard plan.shards.count > 1 else { return try makeBackend(plan, threads) }
        // Of all engines of the process together: with more than there are cores, they park.
        let group = try RankGroup(count: plan.shards.count, threadCount: threads * config.processShare.count)
        let others = RankThreads(group) { rank throws(LLMError) in
            let cpu = try makeBackend(plan, threads, link: .threads(rank))
            let checkpoint = config.loadFormat == .dummy ? nil : try Checkpoint(files)
            let model = try loadRank(plan.shards[rank.rank], plan, cpu, wrap(cpu), checkpoint)
            let runner = ModelRunner(model: model.decoder, sampler: nil)
            while try runner.run(model.batch) {}
        }
        let link = ThreadRank(group, 0)
        do throws(LLMError) {
            return try makeBackend(plan, threads, link: .threads(link), others: others)
        } catch {
            link.fail(error)
            others.join()
            throw error
        }
    }

    /// What the process of a rank but 0 does: loads its shard and runs rank 0's batches until rank 0's engine ends.
    ///
    /// - Parameter libraries: CUDA's, or a stand-in.
    package func follow(_ libraries: CUDALibraries = CUDALibraries()) throws(LLMError) {
        if config.device == .cuda { return try followOnGPU(libraries) }
        let prepared = try prepare()
        let cpu = try startRanks(prepared) { $0 }
        let model = try loadRank(prepared.plan.shards[0], prepared.plan, cpu, cpu, prepared.checkpoint)
        let runner = ModelRunner(model: model.decoder, sampler: nil)
        while try runner.run(model.batch) {}
    }

    private func makeBackend(
        _ plan: MemoryPlan, _ threads: Int, link: RankLink? = nil, others: RankThreads? = nil
    ) throws(LLMError) -> CPUBackend {
        try CPUBackend(
            level: config.cpuLevel, threads: threads, isPinned: config.pinThreads, share: config.processShare,
            dtype: plan.dtype, kvCacheType: config.kvCacheType, link: link, others: others)
    }

    /// Loads one rank's shard and makes its KV cache. `backend` is `cpu`, or something around it.
    func loadRank<B: Backend>(
        _ shard: Shard, _ plan: MemoryPlan, _ cpu: CPUBackend, _ backend: B, _ checkpoint: Checkpoint?
    ) throws(LLMError) -> RankModel<B> {
        let weights = try loadWeights(shard, plan, backend, checkpoint)
        // What is free is known when all ranks have loaded; a block has the same number on all of them.
        _ = try cpu.minimum(0)
        let blockCount = try cpu.minimum(
            try plan.blockCount(available: availableMemory(cpu.process, loaded: plan.weightBytes)))
        let caches = try makeCaches(of: shard, backend, blockCount: blockCount)
        // The first prompts pay for no memory; later ones pay as they come.
        let provided = (config.providedTokens + config.blockSize - 1) / config.blockSize
        backend.provide(caches, blockCount: min(blockCount, provided))
        let decoder = try DecoderModel(
            shard: shard, backend: backend, weights: weights, caches: caches, maxTokens: plan.maxBatchedTokens,
            maxLogitRows: min(Self.maxLogitRows, plan.maxBatchedTokens))
        return RankModel(decoder: decoder, blockCount: blockCount, batch: makeBatch(plan, blockCount: blockCount))
    }

    /// Rows of logits that are made at once on the CPU.
    static var maxLogitRows: Int { 64 }

    func loadWeights<B: Backend>(
        _ shard: Shard, _ plan: MemoryPlan, _ backend: B, _ checkpoint: Checkpoint?
    ) throws(LLMError) -> DecoderModel<B>.Weights {
        let source: WeightLoader<B>.Source =
            if let checkpoint { .checkpoint(checkpoint) } else { .random(seed: config.seed ?? 0) }
        return try WeightLoader(
            shard: shard, backend: backend, source: source, quantization: WeightQuantization(config)
        ).load(positions: plan.maxModelLength)
    }

    /// A KV cache for each layer.
    func makeCaches<B: Backend>(of shard: Shard, _ backend: B, blockCount: Int) throws(LLMError) -> [B.Cache] {
        var caches: [B.Cache] = []
        for _ in 0..<shard.config.layerCount {
            caches.append(try backend.makeCache(of: shard, blockCount: blockCount, blockSize: config.blockSize))
        }
        return caches
    }

    func makeBatch(_ plan: MemoryPlan, blockCount: Int) -> Batch {
        Batch(
            maxTokens: plan.maxBatchedTokens,
            maxSequences: min(config.maxSequences, plan.maxBatchedTokens, blockCount),
            maxBlocksPerSequence: min(plan.blocksPerContext, blockCount))
    }
}

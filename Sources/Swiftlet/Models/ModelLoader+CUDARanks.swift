// ModelLoader: ranks on GPUs: which GPU is whose, and what each rank does with it: the first one's thread is the engine's,
// the others run its batches until it ends, on threads of the same process or in processes of their own.
// Invariant: ranks of one machine never share a GPU, and a rank that can't go on tells the others before it frees anything.

/// What a rank runs on.
struct RankGPU {
    let device: CUDADevice
    let rank: Int
}

/// Which of the GPUs that the driver shows is a rank's.
package struct GPUPlacement: Sendable, Hashable {
    /// That the driver shows.
    package var gpuCount: Int
    /// Of each engine.
    package var ranks: Int

    package init(gpuCount: Int, ranks: Int) {
        self.gpuCount = gpuCount
        self.ranks = ranks
    }

    /// Engines of one process, and their ranks, take a GPU each.
    ///
    /// - Throws: `invalidConfiguration` when there are too few.
    package func require(engines: Int) throws(LLMError) {
        let needed = ranks * engines
        guard needed > gpuCount else { return }
        let sizes = [
            ranks > 1 ? "tensor-parallel-size \(ranks)" : nil, engines > 1 ? "data-parallel-size \(engines)" : nil,
        ].compactMap(\.self).joined(separator: " times ")
        throw LLMError(
            .invalidConfiguration,
            "\(sizes.isEmpty ? "device cuda" : sizes) takes \(needed) GPU\(needed == 1 ? "" : "s"); the driver shows \(gpuCount) "
                + "(CUDA_VISIBLE_DEVICES): " + (sizes.isEmpty ? "" : "lower it, or ") + "use --device cpu")
    }

    /// In a process of several on a machine.
    ///
    /// - Parameter isChosen: Whether CUDA_VISIBLE_DEVICES is set: a launcher may give each process a GPU of its own.
    /// - Throws: `invalidConfiguration` when more processes run on the machine than it has GPUs.
    package func ordinal(
        process: Int, of neighbours: Int, isChosen: Bool
    ) throws(LLMError) -> Int {
        if gpuCount == 1 && isChosen { return 0 }
        guard neighbours <= gpuCount else {
            throw LLMError(
                .invalidConfiguration,
                "\(neighbours) processes of the launcher run on this machine, whose driver shows \(gpuCount) GPU"
                    + "\(gpuCount == 1 ? "" : "s") (CUDA_VISIBLE_DEVICES); each takes one: start at most \(gpuCount) on a "
                    + "machine (mpirun --map-by ppr:\(max(1, gpuCount)):node, srun --ntasks-per-node)")
        }
        return process
    }
}

extension ModelLoader {
    /// Throws when there are fewer than the engines of this process and their ranks take.
    func requireGPUs(_ count: Int) throws(LLMError) {
        try GPUPlacement(gpuCount: count, ranks: config.tensorParallelSize).require(
            engines: config.processShare.count)
    }

    /// Opens a rank's GPU on this thread.
    private func openGPU(_ libraries: CUDALibraries, rank: Int, _ process: MPIRank?) throws(LLMError) -> RankGPU {
        let count = try CUDAInfo.devices(libraries).count
        let ordinal: Int
        if let world = process?.world ?? config.world {
            ordinal = try GPUPlacement(gpuCount: count, ranks: config.tensorParallelSize).ordinal(
                process: world.rankOnMachine, of: world.neighbours,
                isChosen: Platform.environment("CUDA_VISIBLE_DEVICES") != nil)
        } else {
            try requireGPUs(count)
            ordinal = config.processShare.index * config.tensorParallelSize + rank
        }
        return RankGPU(device: try CUDADevice(libraries, ordinal: ordinal), rank: rank)
    }

    /// What this process's first rank knows of the others.
    struct Neighbours {
        var link: RankLink?
        var others: RankThreads?
        var process: MPIRank?
    }

    /// Starts the threads of the other ranks of this process, if they are not processes of their own.
    func startGPURanks(
        _ libraries: CUDALibraries, _ process: MPIRank?, isTraced: Bool
    ) throws(LLMError) -> Neighbours {
        let count = config.tensorParallelSize
        if let process { return Neighbours(link: .processes(process), process: process) }
        guard count > 1 else { return Neighbours() }
        // Before anybody waits for anybody: this is the error that is to be told.
        try requireGPUs(try CUDAInfo.devices(libraries).count)
        let group = try RankGroup(count: count, threadCount: count * config.processShare.count)
        let others = RankThreads(group) { rank throws(LLMError) in
            try follow(libraries, Neighbours(link: .threads(rank)), isTraced: isTraced)
        }
        return Neighbours(link: .threads(ThreadRank(group, 0)), others: others)
    }

    /// Runs `body` with a rank's GPU, which knows the others' by then.
    func onGPU<Result>(
        _ libraries: CUDALibraries, _ neighbours: Neighbours, _ body: (RankGPU) throws(LLMError) -> Result
    ) throws(LLMError) -> Result {
        // It outlives what `body` makes, so that all of it is freed when nobody is stuck in a collective any more.
        var ranks: CUDARanks?
        do throws(LLMError) {
            let gpu = try openGPU(libraries, rank: neighbours.link?.rank ?? 0, neighbours.process)
            if let link = neighbours.link {
                ranks = try CUDARanks(link, libraries, others: neighbours.others)
                gpu.device.ranks = ranks
            }
            return try body(gpu)
        } catch {
            if let ranks { ranks.fail(error) } else { neighbours.link?.fail(error) }
            neighbours.others?.join()
            throw error
        }
    }

    /// What the process of a rank but 0 does.
    func followOnGPU(_ libraries: CUDALibraries) throws(LLMError) {
        let process = try joinProcesses()
        guard let process else {
            throw LLMError(.invalidConfiguration, "no launcher started this process: run it alone")
        }
        try config.requireOptionsOfGPUs()
        try requireModelOfGPUs(try shape(of: try ModelFiles(model, config)))
        try follow(
            libraries, Neighbours(link: .processes(process), process: process), isTraced: config.traceFile != nil)
    }

    /// Loads a rank's shard and runs rank 0's batches until rank 0's engine ends.
    private func follow(
        _ libraries: CUDALibraries, _ neighbours: Neighbours, isTraced: Bool
    ) throws(LLMError) {
        try onGPU(libraries, neighbours) { (gpu) throws(LLMError) in
            let prepared = try prepare(on: gpu)
            let backend = try makeBackend(gpu.device, libraries, prepared.plan, isTraced: isTraced)
            let model = try loadModel(prepared, backend, backend)
            let runner = ModelRunner(model: model.decoder, sampler: nil)
            while try runner.run(model.batch) {}
        }
    }
}

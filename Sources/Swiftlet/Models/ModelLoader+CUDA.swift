// ModelLoader: loading onto a GPU: weights, then everything a step works in, then the largest steps as a trial, and the KV
// cache from what is free after that.
// Invariant: what other processes have of the GPU is never subtracted: what is free is asked for, and only once all that
// this engine needs besides is there.

import Logging

extension ModelLoader {
    /// The engine on a GPU.
    ///
    /// - Parameter libraries: CUDA's, or a stand-in.
    package func load(_ libraries: CUDALibraries) throws(LLMError) -> (Engine<CUDABackend>, LoadedModel) {
        try load(libraries, nil, wrap: { $0 })
    }

    /// The same with the time of each of its operations recorded, which are launched and waited for one by one.
    package func loadTraced(
        _ libraries: CUDALibraries, to path: String
    ) throws(LLMError) -> (Engine<TracingBackend<CUDABackend>>, LoadedModel) {
        let recorder = try TraceRecorder(path: path, logger: logger)
        return try load(libraries, recorder, wrap: { TracingBackend($0, recorder) })
    }

    private func load<B: Backend>(
        _ libraries: CUDALibraries, _ recorder: TraceRecorder?, wrap: (CUDABackend) -> B
    ) throws(LLMError) -> (Engine<B>, LoadedModel) {
        var loader = self
        loader.config.device = .cuda
        try loader.config.requireOptionsOfGPUs()
        try requireModelOfGPUs(try shape(of: try ModelFiles(model, config)))
        return try loader.loadOnGPU(libraries, recorder, wrap)
    }

    private func loadOnGPU<B: Backend>(
        _ libraries: CUDALibraries, _ recorder: TraceRecorder?, _ wrap: (CUDABackend) -> B
    ) throws(LLMError) -> (Engine<B>, LoadedModel) {
        let process = try joinProcesses()
        if let process { try requireFirst(process) }
        let isTraced = recorder != nil
        return try onGPU(libraries, try startGPURanks(libraries, process, isTraced: isTraced)) {
            (gpu) throws(LLMError) in
            let prepared = try prepare(on: gpu)
            return try assemble(prepared, recorder) { () throws(LLMError) in
                let backend = try makeBackend(gpu.device, libraries, prepared.plan, isTraced: isTraced)
                return (try loadModel(prepared, backend, wrap(backend)), backend.description.name)
            }
        }
    }

    /// The folder for compiled kernels; nil, with a word about it, when there is none to be trusted.
    func cubinCache() -> CubinCache? {
        guard let path = cubinFolder else { return nil }
        do throws(LLMError) {
            return try CubinCache(path)
        } catch {
            logger.warning("kernels are compiled at every start: \(error.message)")
            return nil
        }
    }

    func makeBackend(
        _ device: CUDADevice, _ libraries: CUDALibraries, _ plan: MemoryPlan, isTraced: Bool
    ) throws(LLMError) -> CUDABackend {
        let sequences = min(config.maxSequences, plan.maxBatchedTokens)
        let words = Batch(
            maxTokens: plan.maxBatchedTokens, maxSequences: sequences, maxBlocksPerSequence: plan.blocksPerContext
        ).words.count
        return try CUDABackend(
            device, libraries,
            shapes: CUDAShapes(
                plan.shards[0], dtype: plan.dtype, blockSize: config.blockSize, kvCacheType: config.kvCacheType),
            limits: CUDABackend.Limits(
                tokens: plan.maxBatchedTokens, sequences: sequences, logitRows: logitRows(plan), words: words),
            cache: cubinCache(), usesGraphs: !config.enforceEager, isSynchronous: isTraced)
    }

    /// All sequences of a decode at once: the head's weights are read once then.
    private func logitRows(_ plan: MemoryPlan) -> Int {
        min(max(Self.maxLogitRows, config.maxSequences), plan.maxBatchedTokens)
    }

    /// `backend` is `gpu`, or something around it.
    func loadModel<B: Backend>(
        _ prepared: PreparedModel, _ gpu: CUDABackend, _ backend: B
    ) throws(LLMError) -> RankModel<B> {
        let plan = prepared.plan
        let shard = plan.shards[0]
        let weights = try loadWeights(shard, plan, backend, prepared.checkpoint)
        try gpu.makeSums()
        let decoder = try DecoderModel(
            shard: shard, backend: backend, weights: weights, caches: [], maxTokens: plan.maxBatchedTokens,
            maxLogitRows: logitRows(plan))
        try tryLargestSteps(decoder, gpu, plan, shard)
        let own = try plan.blockCount(available: try gpu.device.memory().free, hasWorkspace: true)
        // A block has the same number on all ranks.
        let blockCount = try gpu.device.ranks?.link.minimum(own) ?? own
        decoder.caches = try makeCaches(of: shard, backend, blockCount: blockCount)
        gpu.device.ranks?.begin()
        return RankModel(decoder: decoder, blockCount: blockCount, batch: makeBatch(plan, blockCount: blockCount))
    }

    /// Runs the largest prompt step and the largest decode, twice, with a KV cache for no more than that: what libraries
    /// and graphs take of the memory is taken then.
    private func tryLargestSteps<B: Backend>(
        _ decoder: DecoderModel<B>, _ gpu: CUDABackend, _ plan: MemoryPlan, _ shard: Shard
    ) throws(LLMError) {
        let sequences = min(config.maxSequences, plan.maxBatchedTokens)
        let length = min(plan.maxBatchedTokens, plan.maxModelLength)
        let blocks = (length + config.blockSize - 1) / config.blockSize
        decoder.caches = try makeCaches(of: shard, decoder.backend, blockCount: blocks)
        defer {
            gpu.dropGraphs()
            decoder.caches = []
        }
        let batch = Batch(
            maxTokens: plan.maxBatchedTokens, maxSequences: sequences, maxBlocksPerSequence: plan.blocksPerContext)
        let prompt = trialSequence(tokenCount: length, scheduled: length, blocks: blocks)
        let decodes = (0..<sequences).map { _ in trialSequence(tokenCount: 1, scheduled: 1, blocks: 1) }
        for step in [[prompt], decodes, decodes] {
            batch.fill(step)
            try decoder.forward(batch)
            _ = try decoder.logits(of: batch, 0..<min(batch.logitRowCount, decoder.maxLogitRows))
            try gpu.device.synchronize()
        }
    }

    private func trialSequence(tokenCount: Int, scheduled: Int, blocks: Int) -> SequenceState {
        let sequence = SequenceState(
            id: 0, prompt: Array(repeating: 0, count: tokenCount), params: .greedy, tokenLimit: tokenCount + 1)
        sequence.scheduledTokenCount = scheduled
        sequence.blockTable = (0..<blocks).map { Int32($0) }
        return sequence
    }
}

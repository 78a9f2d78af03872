// ModelLoader: from a folder and a configuration to a running engine: read, check, plan memory, pack, assemble.
// Runs once, on the engine thread that then owns the result.

import CSwiftletDemoModel
import CSwiftletKernels
package import Logging
package import SwiftletTemplate
package import SwiftletTokenizer

/// What the public handle keeps of a loaded model.
package struct LoadedModel: Sendable {
    package var tokenizer: Tokenizer?
    package var chatTemplates: ModelTemplates
    package var defaultSamplingParams: SamplingParams
    package var maxModelLength: Int
    package var vocabularySize: Int
    package var kvTokenCapacity: Int
    package var eosTokenIDs: Set<TokenID>
    package var device: EngineConfig.Device
    package var summary: String
}

package struct ModelLoader: Sendable {
    let model: String?
    let tokenizerPath: String?
    package var config: EngineConfig
    let logger: Logger
    let processors: [any LogitsProcessor]
    /// Where kernels that were compiled for GPUs are kept.
    package var cubinFolder = CubinCache.path()

    package init(
        model: String?, tokenizerPath: String?, config: EngineConfig, logger: Logger,
        processors: [any LogitsProcessor] = []
    ) {
        self.processors = processors
        self.model = model
        self.tokenizerPath = tokenizerPath
        self.config = config
        self.logger = logger
    }

    package func load() throws(LLMError) -> (Engine<CPUBackend>, LoadedModel) {
        try load(wrap: { $0 }, others: { $0 })
    }

    /// The same engine with the time of each of its operations recorded.
    package func loadTraced(to path: String) throws(LLMError) -> (Engine<TracingBackend<CPUBackend>>, LoadedModel) {
        let recorder = try TraceRecorder(path: path, logger: logger)
        return try load(recorder, wrap: { TracingBackend($0, recorder) }, others: { $0 })
    }

    /// The engine on something around its backend; `others` is what goes around those of the ranks but 0.
    package func load<B: Backend, Other: Backend>(
        _ recorder: TraceRecorder? = nil, wrap: (CPUBackend) -> B,
        others: @escaping @Sendable (CPUBackend) -> Other
    ) throws(LLMError) -> (Engine<B>, LoadedModel) {
        let prepared = try prepare()
        if let process = prepared.process { try requireFirst(process) }
        return try assemble(prepared, recorder) { () throws(LLMError) in
            let plan = prepared.plan
            let cpu = try startRanks(prepared, others)
            let model = try loadRank(plan.shards[0], plan, cpu, wrap(cpu), prepared.checkpoint)
            warnAboutSlowPaths(cpu, plan.config.storedQuantization)
            let threads = threadCount(cpu.process?.world)
            return (model, "kernels \(cpu.levelName), \(threads) thread\(threads == 1 ? "" : "s")")
        }
    }

    /// An engine around a model, which `load` loads and whose machine it describes.
    func assemble<B: Backend>(
        _ prepared: PreparedModel, _ recorder: TraceRecorder?,
        load: () throws(LLMError) -> (model: RankModel<B>, machine: String)
    ) throws(LLMError) -> (Engine<B>, LoadedModel) {
        let (files, plan, modelConfig) = (prepared.files, prepared.plan, prepared.plan.config)
        // A large vocabulary takes as long as a good part of the weights.
        let tokenizerBeside = try Deferred { () throws(LLMError) in try loadTokenizer(files) }
        let (model, machine) = try load()
        let tokenizer = try tokenizerBeside.value()
        var eosTokenIDs = Set(modelConfig.eosTokenIDs.map { TokenID($0) })
        if let text = modelConfig.tokenizerEOSToken, let id = tokenizer?.id(of: text) { eosTokenIDs.insert(id) }
        let engine = try makeEngine(model, plan, tokenizer, eosTokenIDs, recorder)
        let blockCount = model.blockCount
        let loaded = LoadedModel(
            tokenizer: tokenizer, chatTemplates: try chatTemplates(files),
            defaultSamplingParams: defaultSamplingParams(modelConfig),
            maxModelLength: plan.maxModelLength, vocabularySize: modelConfig.vocabularySize,
            kvTokenCapacity: blockCount * config.blockSize, eosTokenIDs: eosTokenIDs,
            device: config.device == .cuda ? .cuda : .cpu, summary: summary(modelConfig, plan, machine, blockCount))
        return (engine, loaded)
    }

    /// Whether the library was built with its model's weights.
    package static var hasDemoWeights: Bool { swiftlet_demo_file("model.safetensors", nil) != nil }

    /// The model inside this library.
    package static var demoModel: ModelFiles {
        let names = [
            "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        ]
        var files: [String: ModelFiles.EmbeddedFile] = [:]
        for name in names {
            files[name] = {
                var size = 0
                let bytes = swiftlet_demo_file(name, &size)
                return UnsafeRawBufferPointer(start: bytes, count: size)
            }
        }
        return ModelFiles(name: "the demo model", embedded: files)
    }

    private func makeEngine<B: Backend>(
        _ model: RankModel<B>, _ plan: MemoryPlan, _ tokenizer: Tokenizer?, _ eosTokenIDs: Set<TokenID>,
        _ recorder: TraceRecorder?
    ) throws(LLMError) -> Engine<B> {
        let scheduler = Scheduler(
            blocks: BlockManager(
                blockCount: model.blockCount, blockSize: config.blockSize,
                isPrefixCacheEnabled: config.enablePrefixCaching),
            maxSequences: config.maxSequences, maxBatchedTokens: plan.maxBatchedTokens,
            isChunkedPrefillEnabled: config.enableChunkedPrefill, isMixingEnabled: config.enableMixedBatches)
        let sampler = try Sampler(
            backend: model.decoder.backend, vocabularySize: plan.config.vocabularySize, eosTokenIDs: eosTokenIDs,
            maxRows: model.decoder.maxLogitRows, maxLogprobs: config.maxLogprobs, processors: processors)
        return Engine(
            scheduler: scheduler, runner: ModelRunner(model: model.decoder, sampler: sampler), batch: model.batch,
            tokenizer: tokenizer, eosTokenIDs: eosTokenIDs, recorder: recorder)
    }

    // MARK: - What the configuration leaves open

    func shape(of files: ModelFiles) throws(LLMError) -> ModelConfig {
        let shape = try files.config()
        try shape.storedQuantization?.check(config.quantization)
        return shape
    }

    func dataType(of model: ModelConfig, _ checkpoint: Checkpoint?) -> swiftlet_dtype {
        switch config.dtype {
        case .float32: return SWIFTLET_FLOAT32
        case .bfloat16: return SWIFTLET_BFLOAT16
        case .automatic:
            // An old config.json may not say it; the first of all weights does.
            let isFloat32 =
                model.checkpointDtype.map { $0 == "float32" }
                ?? (checkpoint.map { $0.type(of: model.family.prefix(in: $0) + "embed_tokens.weight") } == .float32)
            return isFloat32 ? SWIFTLET_FLOAT32 : SWIFTLET_BFLOAT16
        }
    }

    func maxModelLength(of model: ModelConfig) throws(LLMError) -> Int {
        guard let wanted = config.maxModelLength else { return model.maximumLength }
        guard wanted <= model.maximumLength else {
            throw LLMError(
                .invalidConfiguration,
                "max-model-len is \(wanted); the model was made for at most \(model.maximumLength) positions")
        }
        return wanted
    }

    func maxBatchedTokens(_ maxModelLength: Int) throws(LLMError) -> Int {
        let usual = config.device == .cuda ? 8192 : 512
        if config.enableChunkedPrefill { return config.maxBatchedTokens ?? usual }
        let tokens = config.maxBatchedTokens ?? max(usual, maxModelLength)
        guard tokens >= maxModelLength else {
            throw LLMError(
                .invalidConfiguration,
                "without chunked prefill a step must hold a whole prompt: max-num-batched-tokens is \(tokens), max-model-len \(maxModelLength)"
            )
        }
        return tokens
    }

    func loadTokenizer(_ files: ModelFiles) throws(LLMError) -> Tokenizer? {
        if let path = tokenizerPath { return try TokenizerFiles.load(path) }
        guard let json = try files.data("tokenizer.json", limit: ModelFiles.Limits.tokenizer) else {
            if let message = TokenizerFiles.foreignFormat(in: files.name) {
                throw LLMError(.invalidModel, message + ", or give another with --tokenizer")
            }
            logger.warning("\(files.name) has no tokenizer.json: prompts must be token ids, and outputs have no text")
            return nil
        }
        do {
            return try Tokenizer(json: json)
        } catch {
            throw LLMError(.invalidModel, "tokenizer of \(files.name): \(error)")
        }
    }

    /// The templates beside the tokenizer, which are the model's own unless another folder was given for it.
    private func chatTemplates(_ files: ModelFiles) throws(LLMError) -> ModelTemplates {
        guard let path = tokenizerPath, Platform.kind(of: path) == .directory else { return try files.chatTemplates() }
        return try ModelFiles(tokenizerDirectory: path).chatTemplates()
    }

    private func defaultSamplingParams(_ model: ModelConfig) -> SamplingParams {
        var params = SamplingParams()
        guard config.useGenerationConfig else { return params }
        let defaults = model.generationDefaults
        if let value = defaults.temperature { params.temperature = Float(value) }
        if let value = defaults.topK { params.topK = value }
        if let value = defaults.topP { params.topP = Float(value) }
        if let value = defaults.minP { params.minP = Float(value) }
        if let value = defaults.repetitionPenalty { params.repetitionPenalty = Float(value) }
        if let value = defaults.maxNewTokens { params.maxTokens = value }
        return params
    }

    // MARK: - What is said at start

    private func warnAboutSlowPaths(_ backend: CPUBackend, _ quantization: QuantizationConfig?) {
        if backend.level == SWIFTLET_LEVEL_PORTABLE {
            logger.warning(
                "kernels run at the portable level: no AVX2 or NEON (or --cpu-level portable), expect a tenth of the speed"
            )
        } else if config.quantization == nil && quantization == nil && backend.dtype == SWIFTLET_BFLOAT16
            && ![SWIFTLET_LEVEL_AVX512BF16, SWIFTLET_LEVEL_NEONBF16].contains(backend.level)
            && CPUBackend.supportedLevels.first != backend.level
        {
            logger.warning(
                "bfloat16 products are emulated at level \(backend.levelName); this machine's best may be faster")
        }
    }

    private func summary(
        _ model: ModelConfig, _ plan: MemoryPlan, _ machine: String, _ blockCount: Int
    ) -> String {
        let millions = Double(plan.parameterCount) / 1e6
        let size = millions < 10 ? "\((millions * 10).rounded() / 10)" : "\(Int(millions.rounded()))"
        let type = plan.dtype == SWIFTLET_BFLOAT16 ? "bfloat16" : "float32"
        let named = config.quantization?.rawValue ?? model.storedQuantization?.summary(on: config.device)
        let weights = named.map { " with \($0) weights" } ?? ""
        let ranks = config.tensorParallelSize > 1 ? " in \(config.tensorParallelSize) ranks" : ""
        let cached = config.kvCacheType == .automatic ? "" : " in \(config.kvCacheType.rawValue)"
        return """
            \(model.family.modelType), \(size) M parameters, \(type)\(weights); \(machine)\(ranks); KV cache \(blockCount * config.blockSize) \
            tokens\(cached), \(blockCount / plan.blocksPerContext) full contexts of \(plan.maxModelLength)
            """
    }
}

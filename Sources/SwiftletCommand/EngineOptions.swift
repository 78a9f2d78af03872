// EngineOptions: the options that decide which model runs and how, shared by every command that runs one.
// They keep vLLM's spelling; what vLLM has no word for is the project's own.
// Invariant: an option that is not given leaves EngineConfig's default, and none is accepted without effect.

package import ArgumentParser
import Logging
package import Swiftlet

package struct EngineOptions: ParsableArguments {
    @Option(
        name: [.long, .customShort("m")],
        help: ArgumentHelp(
            "Folder of a Hugging Face model, or OWNER/NAME on the hub (default: the built-in demo model).",
            valueName: "model"))
    package var model: String?

    @Option(help: ArgumentHelp("Branch, tag or commit of a model of the hub (default: main).", valueName: "name"))
    package var revision: String?

    @Option(help: ArgumentHelp("Folder or tokenizer.json to use instead of the model's.", valueName: "path"))
    package var tokenizer: String?

    @Option(help: "What computes; auto is a GPU if there is one that can run the model.")
    package var device: EngineConfig.Device = .cpu

    @Option(help: "Type of weights, activations and KV cache; auto is the checkpoint's.")
    package var dtype: EngineConfig.DataType = .automatic

    @OptionGroup package var quantized: QuantizationOptions

    @Option(help: "Where weights come from; dummy is random weights of config.json's shape.")
    package var loadFormat: EngineConfig.LoadFormat = .automatic

    @Option(help: ArgumentHelp("Longest prompt plus output (default: the model's limit).", valueName: "tokens"))
    package var maxModelLen: Size?

    @Option(help: ArgumentHelp("Most sequences in one step (default: 256).", valueName: "count"))
    package var maxNumSeqs: Int?

    @Option(help: ArgumentHelp("Most tokens in one step (default: 512, on a GPU 8192).", valueName: "tokens"))
    package var maxNumBatchedTokens: Size?

    @Option(help: ArgumentHelp("Positions in a KV block, a power of two from 16 (default: 64).", valueName: "tokens"))
    package var blockSize: Int?

    @Option(
        help: ArgumentHelp(
            "Memory of the KV cache, such as 8G (default: what max-num-seqs full contexts need, at most half of what is free, on a GPU nine tenths).",
            valueName: "bytes"))
    package var kvCacheMemoryBytes: Size?

    @Option(help: ArgumentHelp("Size of the KV cache in blocks.", valueName: "blocks"))
    package var numGpuBlocksOverride: Int?

    @Flag(
        inversion: .prefixedNo,
        help: "Share the KV cache of equal prompt beginnings (default: on; bench latency: off, as vLLM's).")
    package var enablePrefixCaching: Bool?

    @Flag(inversion: .prefixedNo, help: "Split long prompts over steps.")
    package var enableChunkedPrefill = true

    @Flag(inversion: .prefixedNo, help: "Put decodes and prefills into one step.")
    package var enableMixedBatches = true

    @Flag(name: .long, help: "On a GPU, launch every kernel by itself instead of playing back graphs.")
    package var enforceEager = false

    @Option(help: ArgumentHelp("Write a Chrome trace of every step (for ui.perfetto.dev).", valueName: "file"))
    package var trace: String?

    @Option(help: "Seed of every request that names none, so that a run can be repeated.")
    package var seed: UInt64?

    @Option(help: "Take sampling defaults from the model's generation_config.json (auto) or not (vllm).")
    package var generationConfig: GenerationConfigSource = .auto

    @Option(help: ArgumentHelp("Most that --logprobs may ask for (default: 20).", valueName: "count"))
    package var maxLogprobs: Int?

    @Option(help: ArgumentHelp("Threads that compute (default: the cores of this process).", valueName: "count"))
    package var threads: Int?

    @Option(
        name: [.long, .customLong("tp", withSingleDash: true)],
        help: ArgumentHelp(
            "Ranks that share the model and the threads, or have a GPU each (default: 1).", valueName: "count"))
    package var tensorParallelSize: Int?

    @Flag(
        inversion: .prefixedNo,
        help: "Bind each thread to a core of its own, if there are as many threads as this process has cores.")
    package var pinThreads = true

    @Option(help: "Kernels to use (default: the best for this machine).")
    package var cpuLevel: CPULevel?

    @Option(help: ArgumentHelp("Requests that may wait for the engine (default: no limit).", valueName: "count"))
    package var maxQueuedRequests: Int?

    @Option(help: "What the engine's log on standard error says (default: warning, or SWIFTLET_LOG_LEVEL).")
    package var logLevel: LogLevel?

    @Flag(name: .long, help: "Only results and errors: no model line, no progress, no statistics.")
    package var quiet = false

    package init() {}

    package func validate() throws {
        if kvCacheMemoryBytes != nil && numGpuBlocksOverride != nil {
            throw ValidationError("--kv-cache-memory-bytes and --num-gpu-blocks-override exclude each other.")
        }
        do {
            try config.validate()
        } catch {
            throw ValidationError("--" + error.message)
        }
    }

    /// The engine's configuration.
    package var config: EngineConfig {
        var config = EngineConfig()
        config.device = device
        config.enforceEager = enforceEager
        config.dtype = dtype
        config.quantization = quantized.quantization
        config.quantizeHead = quantized.quantizeHead
        config.kvCacheType = quantized.kvCacheDtype
        config.loadFormat = loadFormat
        config.revision = revision
        config.maxModelLength = maxModelLen?.value
        config.maxSequences = maxNumSeqs ?? config.maxSequences
        config.maxBatchedTokens = maxNumBatchedTokens?.value
        config.blockSize = blockSize ?? config.blockSize
        if let kvCacheMemoryBytes { config.kvCache = .bytes(kvCacheMemoryBytes.value) }
        if let numGpuBlocksOverride { config.kvCache = .blocks(numGpuBlocksOverride) }
        config.enablePrefixCaching = enablePrefixCaching ?? config.enablePrefixCaching
        config.enableChunkedPrefill = enableChunkedPrefill
        config.enableMixedBatches = enableMixedBatches
        config.traceFile = trace
        config.seed = seed
        config.useGenerationConfig = generationConfig == .auto
        config.maxLogprobs = maxLogprobs ?? config.maxLogprobs
        config.threads = threads
        config.tensorParallelSize = tensorParallelSize ?? config.tensorParallelSize
        config.pinThreads = pinThreads
        config.cpuLevel = cpuLevel?.rawValue
        config.maxQueuedRequests = maxQueuedRequests
        return config
    }

    /// What the log may say: the option, else the environment, else warnings, which --quiet leaves out.
    package func logLevel(environment: [String: String]) -> LogLevel {
        let named = environment["SWIFTLET_LOG_LEVEL"].flatMap { LogLevel(rawValue: $0.lowercased()) }
        return logLevel ?? named ?? (quiet ? .error : .warning)
    }

    /// The same options with the model's folder instead of its name on the hub; downloads what is not there.
    package func resolved() async throws -> EngineOptions {
        var options = self
        options.model = try await ModelArgument.folder(
            of: model, revision: revision, needs: loadFormat == .dummy ? .withoutWeights : .model, quiet: quiet)
        options.revision = nil
        return options
    }

    /// The part of a process that mpirun or srun started beside the first one: it computes with that one.
    package func follow(environment: [String: String], in world: MPIWorld? = nil) async throws {
        let options = try await resolved()
        try await LLM.follow(
            options.model, config: options.config(launched: .current, world),
            logger: logger(environment: environment))
    }

    /// The configuration in a process of several.
    package func config(launched: LaunchedRanks?, _ world: MPIWorld?) throws -> EngineConfig {
        var config = self.config
        if let world { return world.config(config) }
        guard let launched else { return config }
        guard launched.count == config.tensorParallelSize else {
            throw LLMError(
                .invalidConfiguration,
                "\(launched.count) processes were started together; give --tensor-parallel-size \(launched.count)")
        }
        config.rankPlacement = .processes
        return config
    }

    func logger(environment: [String: String]) -> Logger {
        var logger = Logger(label: "swiftlet") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = logLevel(environment: environment).level
        return logger
    }

    /// Loads the model, downloading it if need be, and says which one it is.
    ///
    /// - Parameters:
    ///   - providedTokens: Tokens of the KV cache that are to have memory at once, if not the usual ones.
    ///   - change: What a command sets besides.
    package func load(
        environment: [String: String], providedTokens: Int? = nil, change: (inout EngineConfig) -> Void = { _ in }
    ) async throws -> LLM {
        let engines = try await load(1, environment: environment, providedTokens: providedTokens, change: change)
        return engines.engines[0]
    }

    /// The same for several engines of this process that share out requests, or for the one of `world` that is its.
    package func load(
        _ count: Int, in world: MPIWorld? = nil, environment: [String: String], providedTokens: Int? = nil,
        change: (inout EngineConfig) -> Void = { _ in }
    ) async throws -> Replicas {
        let options = try await resolved()
        var config = try options.config(launched: .current, world)
        change(&config)
        if let providedTokens { config.providedTokens = max(config.providedTokens, providedTokens) }
        let isFirst = world.map { $0.rank == 0 } ?? true
        if isFirst, !quiet, model == nil { Console.note("no --model given: using the built-in demo model") }
        var logger = logger(environment: environment)
        if !isFirst { logger.logLevel = max(logger.logLevel, .error) }  // it says what the first one says
        let engines = try await Replicas.load(count: count, config: config) { [logger] config in
            try await LLM(options.model, tokenizer: options.tokenizer, config: config, logger: logger)
        }
        let total = world?.replicaCount ?? count
        let each = total > 1 ? "\(total) replicas, each " : ""
        if isFirst, !quiet { Console.note((model.map { "\($0): " } ?? "") + each + engines.engines[0].summary) }
        return engines
    }
}

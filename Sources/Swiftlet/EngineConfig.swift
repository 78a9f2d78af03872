// EngineConfig: what is fixed when an engine starts. Each comment gives vLLM's name.

/// Configuration of an engine.
public struct EngineConfig: Sendable, Hashable {
    /// The type of weights, activations and, unless ``KVCacheType`` says otherwise, KV cache. Accumulation is float32
    /// always.
    public enum DataType: String, Sendable, Hashable, CaseIterable {
        /// The checkpoint's own: float32 for float32, bfloat16 for bfloat16 and float16.
        case automatic = "auto"
        case float32, bfloat16
    }

    /// What computes.
    public enum Device: String, Sendable, Hashable, CaseIterable {
        /// A GPU, if there is one and it can run this model with these options; otherwise the CPU.
        case automatic = "auto"
        case cpu
        /// A GPU of NVIDIA's for each rank, the first ones that CUDA_VISIBLE_DEVICES leaves. Their libraries are opened
        /// at run time.
        case cuda
    }

    /// A type that weights are quantised to while they are loaded.
    public enum Quantization: String, Sendable, Hashable, CaseIterable {
        /// Eight bits with a scale for each output, multiplied with activations that are quantised token by token; on GPUs
        /// these are not.
        case int8
        /// Four bits with a scale for each 64 weights of an output, multiplied with activations as they are.
        case int4
    }

    /// The type of keys and values in the KV cache.
    public enum KVCacheType: String, Sendable, Hashable, CaseIterable {
        /// That of weights and activations.
        case automatic = "auto"
        /// Eight bits, with a scale for each token and KV head: twice as many tokens as bfloat16 in the same memory.
        case int8
        /// Eight bits as floating-point numbers (e4m3), without a scale: twice as many tokens as bfloat16. For GPUs.
        case fp8
    }

    /// Where weights come from.
    public enum LoadFormat: String, Sendable, Hashable, CaseIterable {
        case automatic = "auto"
        case safetensors
        /// Random weights of `config.json`'s shape: to measure a model without its files.
        case dummy
    }

    /// Who goes first when not all fit.
    public enum SchedulingPolicy: String, Sendable, Hashable, CaseIterable {
        /// First come, first served.
        case fcfs
        /// The lowest ``Request/priority`` first, of equal ones the first to come. When blocks run out, the request with
        /// the highest value gives way.
        case priority
    }

    /// Where the ranks of ``tensorParallelSize`` run.
    public enum RankPlacement: String, Sendable, Hashable, CaseIterable {
        /// Threads of this process.
        case threads
        /// One in each process of those that mpirun or srun started together, on one machine or several: with Open MPI,
        /// which is opened at run time. The first process makes the ``LLM``, the others call ``LLM/follow(_:config:logger:)``.
        case processes
    }

    /// How much memory the KV cache takes.
    public enum KVCacheSize: Sendable, Hashable {
        /// What `maxSequences` full contexts need, at most half of the memory that is free after loading; nine tenths
        /// on a GPU.
        case automatic
        /// This share of the memory that is free after loading, in (0, 1].
        case fraction(Double)
        /// At most this many bytes (`kv_cache_memory_bytes`).
        case bytes(Int)
        /// This many blocks (`num_gpu_blocks_override`).
        case blocks(Int)
    }

    /// What computes (`device`). Default: the CPU.
    public var device: Device
    /// `dtype`. Default: the checkpoint's.
    public var dtype: DataType
    /// What the weights of all projections are quantised to (`quantization`). Default: they are kept in `dtype`.
    public var quantization: Quantization?
    /// Quantise the embedding and the output head too. Default on; off, they are kept in `dtype`.
    public var quantizeHead: Bool
    /// The type of keys and values in the KV cache (`kv_cache_dtype`). Default automatic: that of `dtype`.
    public var kvCacheType: KVCacheType
    /// Longest prompt plus output in tokens (`max_model_len`). Default: the model's own limit.
    public var maxModelLength: Int?
    /// Most sequences in one step (`max_num_seqs`). Default 256.
    public var maxSequences: Int
    /// Most tokens in one step (`max_num_batched_tokens`). Default 512, on a GPU 8192; without chunked prefill at
    /// least `maxModelLength`.
    public var maxBatchedTokens: Int?
    /// Positions in a KV block (`block_size`): a power of two, 16 or more. Default 64.
    public var blockSize: Int
    /// Memory of the KV cache. Default ``KVCacheSize/automatic``.
    public var kvCache: KVCacheSize
    /// Share KV blocks of equal prefixes (`enable_prefix_caching`). Default on.
    public var enablePrefixCaching: Bool
    /// Split long prompts over steps (`enable_chunked_prefill`). Default on.
    public var enableChunkedPrefill: Bool
    /// Put decodes and prefills into one step. Default on; off, a step with new prompts has no decodes, as in engines
    /// without mixed batches.
    public var enableMixedBatches: Bool
    /// On a GPU, launch every step kernel by kernel instead of playing back graphs of decodes (`enforce_eager`). The
    /// tokens are the same. Default off.
    public var enforceEager: Bool
    /// `scheduling_policy`. Default first come, first served.
    public var schedulingPolicy = SchedulingPolicy.fcfs
    /// A file that gets a Chrome trace of every step. Default: none.
    public var traceFile: String?
    /// Threads that compute, the engine's own included. Default: the cores this process may use, each counted once
    /// however many hardware threads it has.
    public var threads: Int?
    /// Ranks that share the model, each with a part of every layer and of the threads, or a GPU
    /// (`tensor_parallel_size`). Default 1; at most the model's query heads.
    public var tensorParallelSize: Int
    /// Where they run. Default threads.
    public var rankPlacement: RankPlacement = .threads
    /// The processes that ``RankPlacement/processes`` means, where somebody has joined them already: of several engines
    /// that are ranks of their own each.
    package var world: MPIWorld?
    /// Of several engines in one process.
    package var processShare = ProcessShare()
    /// Bind each thread to a core when they take all cores of this process. Default on. (The engine's own stays free.)
    public var pinThreads: Bool
    /// `avx512bf16`, `avx512vnni`, `avx512`, `avx2vnni`, `avx2`, `neonbf16`, `neondot`, `neon` or `portable`. Default: the best this machine has.
    public var cpuLevel: String?
    /// Draws the seeds of requests that have none (`seed`). Default: different in each process.
    public var seed: UInt64?
    /// `load_format`. Default automatic.
    public var loadFormat: LoadFormat
    /// Branch, tag or commit of a model that is named as on the hub (`revision`). Default `main`.
    public var revision: String?
    /// Requests that may wait before new ones are refused with `queueFull`. Default: no limit.
    public var maxQueuedRequests: Int?
    /// The limit for `logprobs` and `promptLogprobs` (`max_logprobs`). Default 20.
    public var maxLogprobs: Int
    /// Take sampling defaults from the model's generation_config.json (`generation_config`). Default on.
    public var useGenerationConfig: Bool
    /// Tokens of the KV cache that have memory behind them when the engine is ready; the others get it as they come.
    package var providedTokens = 128

    public init(
        device: Device = .cpu, dtype: DataType = .automatic, quantization: Quantization? = nil,
        quantizeHead: Bool = true,
        kvCacheType: KVCacheType = .automatic, maxModelLength: Int? = nil,
        maxSequences: Int = 256, maxBatchedTokens: Int? = nil, blockSize: Int = 64,
        kvCache: KVCacheSize = .automatic, enablePrefixCaching: Bool = true, enableChunkedPrefill: Bool = true,
        enableMixedBatches: Bool = true, traceFile: String? = nil, threads: Int? = nil, tensorParallelSize: Int = 1,
        pinThreads: Bool = true, cpuLevel: String? = nil, seed: UInt64? = nil, loadFormat: LoadFormat = .automatic,
        revision: String? = nil, maxQueuedRequests: Int? = nil, maxLogprobs: Int = 20,
        useGenerationConfig: Bool = true, enforceEager: Bool = false
    ) {
        self.device = device
        self.enforceEager = enforceEager
        self.dtype = dtype
        self.quantization = quantization
        self.quantizeHead = quantizeHead
        self.kvCacheType = kvCacheType
        self.maxModelLength = maxModelLength
        self.maxSequences = maxSequences
        self.maxBatchedTokens = maxBatchedTokens
        self.blockSize = blockSize
        self.kvCache = kvCache
        self.enablePrefixCaching = enablePrefixCaching
        self.enableChunkedPrefill = enableChunkedPrefill
        self.enableMixedBatches = enableMixedBatches
        self.traceFile = traceFile
        self.threads = threads
        self.tensorParallelSize = tensorParallelSize
        self.pinThreads = pinThreads
        self.cpuLevel = cpuLevel
        self.seed = seed
        self.loadFormat = loadFormat
        self.revision = revision
        self.maxQueuedRequests = maxQueuedRequests
        self.maxLogprobs = maxLogprobs
        self.useGenerationConfig = useGenerationConfig
    }

    /// Checks every field's range.
    ///
    /// - Throws: ``LLMError`` with code `invalidConfiguration` that names the option and its range.
    public func validate() throws(LLMError) {
        func require(_ holds: Bool, _ option: String, _ value: some Any, _ range: String) throws(LLMError) {
            if !holds { throw LLMError(.invalidConfiguration, "\(option) is \(value); it must be \(range)") }
        }
        try require(maxModelLength.map { $0 >= 1 } ?? true, "max-model-len", maxModelLength ?? 0, "1 or more")
        try require((1...65_536).contains(maxSequences), "max-num-seqs", maxSequences, "in 1...65536")
        let batched = maxBatchedTokens ?? 512
        try require((1...1_048_576).contains(batched), "max-num-batched-tokens", batched, "in 1...1048576")
        let powerOfTwo = blockSize >= 16 && blockSize <= 65_536 && blockSize & (blockSize - 1) == 0
        try require(powerOfTwo, "block-size", blockSize, "a power of two in 16...65536")
        try require(threads.map { (1...1024).contains($0) } ?? true, "threads", threads ?? 0, "in 1...1024")
        try require((1...1024).contains(tensorParallelSize), "tensor-parallel-size", tensorParallelSize, "in 1...1024")
        try require(
            maxQueuedRequests.map { $0 >= 1 } ?? true, "max-queued-requests", maxQueuedRequests ?? 0, "1 or more")
        try require((0...1024).contains(maxLogprobs), "max-logprobs", maxLogprobs, "in 0...1024")
        guard !enforceEager || device != .cpu else {
            throw LLMError(.invalidConfiguration, "enforce-eager needs device cuda or auto: the CPU has no graphs")
        }
        if device == .cuda { try requireOptionsOfGPUs() }
        guard kvCacheType != .fp8 || device == .cuda else {
            throw LLMError(.invalidConfiguration, "kv-cache-dtype fp8 needs device cuda: the CPU's is int8")
        }
        guard quantizeHead || quantization != nil else {
            throw LLMError(
                .invalidConfiguration, "no-quantize-head needs quantization: without it nothing is quantised")
        }
        switch kvCache {
        case .automatic: break
        case .fraction(let share):
            try require(share > 0 && share <= 1, "the KV cache's share of memory", share, "in (0, 1]")
        case .bytes(let bytes): try require(bytes >= 1, "kv-cache-memory-bytes", bytes, "1 or more")
        case .blocks(let count): try require(count >= 1, "num-gpu-blocks-override", count, "1 or more")
        }
    }
}

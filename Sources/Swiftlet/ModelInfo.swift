// ModelInfo: what a model is and what of it fits into this machine's memory, without loading its weights.
// It runs the loader's own checks, so a model that has a ModelInfo is one that LLM can load, memory permitting.
// Invariant: what fits is computed by the plan that loading with the same configuration would follow.

import CSwiftletKernels
import Logging

/// A model in a folder, described without loading it.
public struct ModelInfo: Sendable, Hashable {
    /// The folder, or what the model inside this library is called.
    public var name: String
    /// The class that the model's config.json names, such as `Qwen3ForCausalLM`.
    public var architecture: String
    public var parameterCount: Int
    /// Parameters that one token uses: fewer than all where it goes to some of many experts.
    public var activeParameterCount: Int
    /// The type that the folder's config.json names.
    public var checkpointType: String?
    /// Bytes of the tensors in the folder; nil for random weights.
    public var checkpointBytes: Int?
    /// The type it runs in: `bfloat16` or `float32`.
    public var dataType: String
    /// What the weights are quantised to; nil when they are kept in `dataType`.
    public var quantization: EngineConfig.Quantization?
    /// How the folder's weights are quantised, such as `gptq int4, groups of 128`; nil when they are not.
    public var storedQuantization: String?
    /// Bytes of the weights in memory, of all ranks together.
    public var weightBytes: Int
    /// Bytes of the weights of each rank.
    public var rankWeightBytes: [Int]
    public var vocabularySize: Int
    public var hiddenSize: Int
    public var intermediateSize: Int
    /// What layers have in place of an MLP; nil when none has it.
    public var experts: Experts?
    public var layerCount: Int
    public var queryHeadCount: Int
    public var keyValueHeadCount: Int
    public var headDimension: Int
    public var hasTokenizer: Bool
    /// The type of keys and values in the KV cache: `bfloat16`, `float32` or `int8`.
    public var kvDataType: String
    /// Bytes of the keys and values of one token in all layers, on all ranks.
    public var kvBytesPerToken: Int
    /// Longest prompt plus output in tokens.
    public var maxModelLength: Int
    /// What fits into the memory that is free now; nil where the system does not say how much that is.
    public var fit: Fit?

    /// A mixture of experts.
    public struct Experts: Sendable, Hashable {
        /// Experts of a layer.
        public var count: Int
        /// Experts that a token goes to.
        public var perToken: Int
        /// Width of an expert.
        public var intermediateSize: Int
        /// Layers that have experts; the others have an MLP.
        public var layerCount: Int
    }

    /// What fits into memory.
    public struct Fit: Sendable, Hashable {
        /// The longest context that one sequence could have, at most ``ModelInfo/maxModelLength``.
        public var longestContext: Int
        /// Tokens that the KV cache would hold; 0 when the engine would refuse to start.
        public var kvTokenCapacity: Int
        /// How many sequences of ``ModelInfo/maxModelLength`` that is.
        public var fullContexts: Int
        /// Why the engine would refuse to start; nil when it would start.
        public var shortage: String?
    }

    /// Looks at a model.
    ///
    /// - Parameters:
    ///   - model: A Hugging Face directory; nil is the demo model inside this library.
    ///   - tokenizer: A directory or `tokenizer.json` to use instead of the model's own.
    ///   - config: What it would be loaded with.
    /// - Throws: ``LLMError``, the one that loading would throw for anything but a lack of memory.
    public init(
        _ model: String? = nil, tokenizer: String? = nil, config: EngineConfig = EngineConfig()
    ) throws(LLMError) {
        try config.validate()
        let silent = Logger(label: "swiftlet") { _ in SwiftLogNoOpLogHandler() }
        let loader = ModelLoader(model: model, tokenizerPath: tokenizer, config: config, logger: silent)
        let files = try ModelFiles(model, config)
        let shape = try loader.shape(of: files)
        let length = try loader.maxModelLength(of: shape)
        let checkpoint = config.loadFormat == .dummy ? nil : try Checkpoint(files)
        let plan = MemoryPlan(
            config: shape, shards: try loader.shards(of: shape), engine: config,
            dtype: loader.dataType(of: shape, checkpoint), maxModelLength: length,
            maxBatchedTokens: try loader.maxBatchedTokens(length), checkpoint: checkpoint)
        let counter = WeightCounter()
        _ = try WeightLoader(
            shard: Shard(whole: shape), backend: counter, source: checkpoint.map { .checkpoint($0) } ?? .random(seed: 0)
        ).load(positions: 1)

        name = files.name
        architecture = shape.family.architecture
        // The loader also made rotary tables of one position, which are no parameters.
        parameterCount = counter.parameterCount - (shape.windowRope == nil ? 1 : 2) * shape.rotaryDimension
        activeParameterCount = parameterCount - shape.idleParameterCount
        checkpointType = shape.checkpointDtype
        checkpointBytes = checkpoint?.byteCount
        dataType = plan.dtype == SWIFTLET_BFLOAT16 ? "bfloat16" : "float32"
        quantization = config.quantization
        storedQuantization = shape.storedQuantization?.summary(on: config.device)
        weightBytes = plan.weightBytes
        rankWeightBytes = plan.shards.map { plan.weightBytes(of: $0.config) }
        vocabularySize = shape.vocabularySize
        hiddenSize = shape.hiddenSize
        intermediateSize = shape.intermediateSize
        experts = shape.experts.map {
            Experts(
                count: $0.count, perToken: $0.perToken, intermediateSize: $0.intermediateSize,
                layerCount: $0.layerCount)
        }
        layerCount = shape.layerCount
        queryHeadCount = shape.queryHeadCount
        keyValueHeadCount = shape.keyValueHeadCount
        headDimension = shape.headDimension
        hasTokenizer = try loader.loadTokenizer(files) != nil
        // What a block pads its tokens with is left out.
        kvDataType = config.kvCacheType.name(plan.dtype)
        kvBytesPerToken = plan.shards.reduce(0) {
            $0 + shape.layerCount * config.kvCacheType.bytesPerToken($1.config, plan.dtype)
        }
        maxModelLength = length
        fit = Platform.availableMemory().map { Fit(plan, available: $0) }
    }
}

extension ModelInfo {
    /// The type of most weights in memory.
    package var weightType: String {
        let steps = [storedQuantization, quantization?.rawValue].compactMap(\.self)
        return steps.isEmpty ? dataType : steps.joined(separator: ", then ")
    }
}

extension ModelInfo.Fit {
    /// What the engine would find with this many bytes free before it loads.
    init(_ plan: MemoryPlan, available: Int) {
        let left = max(0, available - plan.weightBytes)
        let room = max(0, left - plan.workspaceBytes) / plan.blockBytes
        let (tokens, overflow) = room.multipliedReportingOverflow(by: plan.engine.blockSize)
        longestContext = overflow ? plan.maxModelLength : min(plan.maxModelLength, tokens)
        kvTokenCapacity = 0
        fullContexts = 0
        do {
            try plan.checkFits(available: available)
            let blocks = try plan.blockCount(available: left)
            kvTokenCapacity = blocks * plan.engine.blockSize
            fullContexts = blocks / plan.blocksPerContext
        } catch {
            shortage = error.message
        }
    }
}

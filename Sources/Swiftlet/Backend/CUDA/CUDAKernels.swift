// CUDAKernels: this engine's kernels, compiled for one GPU and one model's shapes: what torch.compile is elsewhere.
// Owned by the CUDABackend. Their sources are in CSwiftletCUDA, with the grid that each wants above it.
//
// Invariant: a kernel is there under its name, or making this value throws.

package import CSwiftletKernels
import CSwiftletCUDA

/// What kernels are specialised to.
package struct CUDAShapes: Sendable, Hashable {
    package var dtype: swiftlet_dtype
    package var headDim: Int
    /// Of this rank.
    package var queryHeads: Int
    package var keyValueHeads: Int
    /// Query heads of the model to a key/value head.
    package var queryGroup: Int
    package var skippedQueryHeads: Int
    package var blockSize: Int
    /// Keys and values have eight bits: e4m3.
    package var hasFP8Cache: Bool

    package init(
        dtype: swiftlet_dtype, headDim: Int, queryHeads: Int, keyValueHeads: Int, queryGroup: Int,
        skippedQueryHeads: Int, blockSize: Int, hasFP8Cache: Bool = false
    ) {
        self.dtype = dtype
        self.headDim = headDim
        self.queryHeads = queryHeads
        self.keyValueHeads = keyValueHeads
        self.queryGroup = queryGroup
        self.skippedQueryHeads = skippedQueryHeads
        self.blockSize = blockSize
        self.hasFP8Cache = hasFP8Cache
    }

    package init(
        _ shard: Shard, dtype: swiftlet_dtype, blockSize: Int, kvCacheType: EngineConfig.KVCacheType
    ) {
        hasFP8Cache = kvCacheType == .fp8
        self.dtype = dtype
        headDim = shard.config.headDimension
        queryHeads = shard.config.queryHeadCount
        keyValueHeads = shard.config.keyValueHeadCount
        queryGroup = shard.queryGroup
        skippedQueryHeads = shard.skippedQueryHeads
        self.blockSize = blockSize
    }

    /// The compiler's options.
    package var options: [String] {
        [
            "COMPUTE_FLOAT=\(dtype == SWIFTLET_FLOAT32 ? 1 : 0)", "HEAD_DIM=\(headDim)", "QUERY_HEADS=\(queryHeads)",
            "KV_HEADS=\(keyValueHeads)", "QUERY_GROUP=\(queryGroup)", "SKIPPED_QUERY_HEADS=\(skippedQueryHeads)",
            "BLOCK_SIZE=\(blockSize)", "KV_FP8=\(hasFP8Cache ? 1 : 0)",
        ].map { "-D" + $0 }
    }

    /// Bytes of an element of matrices and activations.
    var elementSize: Int { dtype == SWIFTLET_FLOAT32 ? 4 : 2 }
    /// Blocks of the decode kernel that share a key/value head's query heads.
    var decodeParts: Int { (queryGroup + 15) / 16 }
    var decodeThreads: Int { headDim > 128 ? 32 : headDim > 64 ? 64 : 128 }
}

package final class CUDAKernels {
    typealias Kernel = CUDADriver.Handle

    let stepRows, embed, fillRandom: Kernel
    let norm, normOfLogitRows, normOfColumns, squareSums, normBySquares, addNormed: Kernel
    /// For at most 1, 2, 4 and 8 rows.
    let linearSmall: [Kernel]
    let linearFinish, ropeAndStore, attentionDecode, attentionCombine, attentionPrefill, sampleRows: Kernel
    let gatherColumns: Kernel
    let routeExperts, sortExperts, expertsGateUp, expertsDown, combineExperts: Kernel
    let module: CUDAModule

    init(
        _ device: CUDADevice, _ libraries: CUDALibraries, _ shapes: CUDAShapes, cache: CubinCache?
    ) throws(LLMError) {
        let module = try CUDAModule(device, libraries, .main, shapes, cache: cache)
        self.module = module
        func kernel(_ name: String) throws(LLMError) -> Kernel { try module.kernel(name) }
        stepRows = try kernel("step_rows")
        embed = try kernel("embed")
        fillRandom = try kernel("fill_random")
        norm = try kernel("rms_norm")
        normOfLogitRows = try kernel("rms_norm_logits")
        normOfColumns = try kernel("rms_norm_columns")
        squareSums = try kernel("square_sums")
        normBySquares = try kernel("rms_norm_squares")
        addNormed = try kernel("add_normed")
        var small: [Kernel] = []
        for rows in [1, 2, 4, 8] { small.append(try kernel("linear_small_\(rows)")) }
        linearSmall = small
        linearFinish = try kernel("linear_finish")
        ropeAndStore = try kernel("rope_and_store")
        attentionDecode = try kernel("attention_decode")
        attentionCombine = try kernel("attention_combine")
        attentionPrefill = try kernel("attention_prefill")
        sampleRows = try kernel("sample_rows")
        gatherColumns = try kernel("gather_columns")
        routeExperts = try kernel("route_experts")
        sortExperts = try kernel("sort_experts")
        expertsGateUp = try kernel("experts_gate_up")
        expertsDown = try kernel("experts_down")
        combineExperts = try kernel("combine_experts")
    }
}

/// A program's kernels on a GPU.
final class CUDAModule {
    let handle: CUDADriver.Handle
    private let device: CUDADevice

    init(
        _ device: CUDADevice, _ libraries: CUDALibraries, _ program: CUDAProgram, _ shapes: CUDAShapes,
        cache: CubinCache?
    ) throws(LLMError) {
        let code = try CUDACompiler(libraries).cubin(
            program.source, options: CUDAKernels.options(device.description.architecture, program.shapes(shapes)),
            cache: cache)
        var loaded: CUDADriver.Handle?
        try device.check(device.driver.loadModule(&loaded, code), "loading its kernels")
        guard let handle = loaded else { throw LLMError(.engineFailed, "the GPU: no kernels were loaded") }
        self.device = device
        self.handle = handle
    }

    deinit { _ = device.driver.unloadModule(handle) }

    func kernel(_ name: String) throws(LLMError) -> CUDADriver.Handle {
        var kernel: CUDADriver.Handle?
        let status = device.driver.function(&kernel, handle, name)
        guard status == 0, let kernel else { throw device.driver.error(status, "finding kernel \(name)") }
        return kernel
    }
}

/// A program is one source, which may include others by their names.
package enum CUDAProgram: String, Sendable, CaseIterable {
    case main = "swiftlet.cu"
    case quantized = "quantized.cu"

    package var source: CUDACompiler.Program {
        var (source, headers): (String, [(name: String, source: String)]) = ("", [])
        var index: Int32 = 0
        while let pointer = swiftlet_cuda_source_name(index) {
            var size = 0
            let text = swiftlet_cuda_source(pointer, &size)
            let bytes = UnsafeRawBufferPointer(start: text, count: size)
            let name = String(cString: pointer)
            if name == rawValue {
                source = String(decoding: bytes, as: UTF8.self)
            } else if includes(name) {
                headers.append((name, String(decoding: bytes, as: UTF8.self)))
            }
            index += 1
        }
        return CUDACompiler.Program(name: rawValue, source: source, headers: headers)
    }

    /// What it is compiled for: products of quantised weights know no heads, and are one code for all models.
    func shapes(_ shapes: CUDAShapes) -> CUDAShapes {
        self == .main
            ? shapes
            : CUDAShapes(
                dtype: shapes.dtype, headDim: 8, queryHeads: 1, keyValueHeads: 1, queryGroup: 1, skippedQueryHeads: 0,
                blockSize: 16)
    }

    private func includes(_ name: String) -> Bool {
        name.hasSuffix(".cuh") || self == .main && CUDAProgram(rawValue: name) == nil
    }
}

extension CUDAKernels {
    /// The options for a GPU.
    package static func options(_ architecture: Int, _ shapes: CUDAShapes) -> [String] {
        ["--gpu-architecture=sm_\(architecture)", "--std=c++17", "-default-device"] + shapes.options
    }
}

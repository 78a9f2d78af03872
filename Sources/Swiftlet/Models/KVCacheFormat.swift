// KVCacheFormat: what the KV cache keeps keys and values in, and how many bytes that takes. A value of EngineConfig as
// the CPUBackend, which makes the caches, and everything that counts their bytes see it.
// Invariant: a scale belongs to the keys or the values of one token and KV head, never to a block or a batch.

import CSwiftletKernels

extension EngineConfig.KVCacheType {
    /// What the CPU's kernels call it.
    var format: swiftlet_kv_format {
        switch self {
        case .automatic: SWIFTLET_KV_NATIVE
        case .int8: SWIFTLET_KV_INT8
        case .fp8: preconditionFailure("the CPU has none: EngineConfig.validate() refuses it")
        }
    }

    /// Bytes of one token's keys and values in one layer, without what the kernels pad a block with.
    func bytesPerToken(_ config: ModelConfig, _ dtype: swiftlet_dtype) -> Int {
        switch self {
        case .automatic: 2 * config.keyValueWidth * (dtype == SWIFTLET_BFLOAT16 ? 2 : 4)
        case .int8: 2 * (config.keyValueWidth + 4 * config.keyValueHeadCount)  // a scale for each head
        case .fp8: 2 * config.keyValueWidth
        }
    }

    /// What it is called: the compute type, or the type that is smaller than it.
    func name(_ dtype: swiftlet_dtype) -> String {
        switch self {
        case .automatic: dtype == SWIFTLET_BFLOAT16 ? "bfloat16" : "float32"
        case .int8, .fp8: rawValue
        }
    }
}

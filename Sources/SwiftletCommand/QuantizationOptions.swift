// The options of every command that loads a model, or would, about quantising its weights and its KV cache.
// Invariant: what they mean is EngineConfig's to say; they only carry it there.

package import ArgumentParser
package import Swiftlet

package struct QuantizationOptions: ParsableArguments {
    @Option(
        name: [.long, .customShort("q")],
        help: "Quantise the weights of every layer at load; norms and biases stay as they are.")
    package var quantization: EngineConfig.Quantization?

    @Flag(inversion: .prefixedNo, help: "Quantise the embedding and the output head too.")
    package var quantizeHead = true

    @Option(
        help:
            "Type of keys and values in the KV cache; auto is dtype's, int8 (fp8 on GPUs) takes half of bfloat16's memory."
    )
    package var kvCacheDtype: EngineConfig.KVCacheType = .automatic

    package init() {}
}

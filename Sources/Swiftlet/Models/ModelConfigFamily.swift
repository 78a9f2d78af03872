// ModelFamily: what tells the Llama-like architectures apart, as data. The forward pass is one; a family names the
// defaults that its config.json may leave out (those of the reference implementation, which publishers rely on),
// where it has biases and norms, which layers have a sliding window, and which tensors its folders carry needlessly.
// Invariant: adding a family of this kind is one entry in `all`, and no other code.

package struct ModelFamily: Sendable, Hashable {
    /// The class in `architectures`.
    package var architecture: String
    /// `model_type`, used when `architectures` is not there.
    package var modelType: String
    package var hasQKNorm = false
    package var attentionBias = AttentionBias.configured
    /// `mlp_bias` of config.json has a meaning.
    package var readsMLPBias = false
    package var window = WindowRule.layerTypes
    /// Defaults of config.json.
    package var headDimension: Int?
    package var keyValueHeadCount: Int?
    package var maxPositionEmbeddings = 2048
    /// Of the keys about experts; nil: the family has none.
    package var experts: MixtureOfExperts.Defaults?
    /// Tensors that may lie in a folder unused.
    package var unusedTensors = UnusedTensors()

    package enum AttentionBias: Sendable, Hashable {
        case never
        /// On query, key and value always, on the output never.
        case queryKeyValue
        /// On all four if `attention_bias` is true.
        case configured
    }

    package enum WindowRule: Sendable, Hashable {
        /// Only layers that `layer_types` calls `sliding_attention`.
        case layerTypes
        /// All layers if `sliding_window` is not null.
        case everyLayer
        /// If `use_sliding_window`: from layer `max_window_layers` on.
        case upperLayers
        /// If `use_sliding_window`: all layers.
        case everyLayerIfUsed
    }

    /// Real folders carry tensors that were buffers, not parameters, of the code that saved them.
    package struct UnusedTensors: Sendable, Hashable {
        package var suffixes = ["rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached"]
        /// Kept apart by some checkpoints although it is the embedding.
        package var tiedHead = "lm_head.weight"

        package init() {}
    }

    package static let all: [ModelFamily] = [
        ModelFamily(
            architecture: "Qwen3ForCausalLM", modelType: "qwen3", hasQKNorm: true, window: .upperLayers,
            headDimension: 128, keyValueHeadCount: 32, maxPositionEmbeddings: 32_768),
        ModelFamily(
            architecture: "Qwen3MoeForCausalLM", modelType: "qwen3_moe", hasQKNorm: true, window: .everyLayerIfUsed,
            keyValueHeadCount: 4, maxPositionEmbeddings: 32_768, experts: MixtureOfExperts.Defaults()),
        ModelFamily(
            architecture: "Qwen2ForCausalLM", modelType: "qwen2", attentionBias: .queryKeyValue,
            window: .upperLayers, keyValueHeadCount: 32, maxPositionEmbeddings: 32_768),
        ModelFamily(architecture: "LlamaForCausalLM", modelType: "llama", readsMLPBias: true),
        ModelFamily(
            architecture: "MistralForCausalLM", modelType: "mistral", attentionBias: .never, window: .everyLayer,
            keyValueHeadCount: 8, maxPositionEmbeddings: 131_072),
    ]

    /// `Qwen3ForCausalLM, …`, for messages.
    package static var supported: String { all.map(\.architecture).joined(separator: ", ") }
}

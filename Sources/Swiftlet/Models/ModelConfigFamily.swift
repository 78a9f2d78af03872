// ModelFamily: what tells the Llama-like architectures apart, as data. The forward pass is one; a family names the
// defaults that its config.json may leave out (those of the reference implementation, which publishers rely on),
// where it has biases and norms, which layers have a window, what its tensors are called, and which ones its folders
// carry needlessly. The families themselves are in ModelFamily+All. Docs/AddAModel.md says how to add one.
// Invariant: adding a family of this kind is one entry in `all`, and no other code.

package struct ModelFamily: Sendable, Hashable {
    /// The class in `architectures`.
    package var architecture: String
    /// `model_type`, used when `architectures` is not there.
    package var modelType: String
    /// The published models that are of this family, for the table of what is supported.
    package var models: String

    // Attention.
    package var hasQKNorm = false
    /// The norm goes over all heads at once, not over each.
    package var isQKNormWide = false
    package var attentionBias = AttentionBias.configured
    package var window = WindowRule.layerTypes
    package var windowRope = WindowRope.same
    /// `no_rope_layers` of config.json has a meaning.
    package var hasLayersWithoutRope = false
    /// Positions beyond `max_position_embeddings` are served when rope is scaled, as vLLM has it for most families.
    package var isLengthScaled = true

    // The rest of a layer.
    package var norms = NormNames.before
    /// Norm weights are stored less one.
    package var normsAddOne = false
    /// `mlp_bias` of config.json has a meaning.
    package var readsMLPBias = false
    /// The key of config.json that names the activation.
    package var activationKey = "hidden_act"
    package var activation = ModelConfig.Activation.silu
    /// Embeddings are multiplied by the square root of their width.
    package var scalesEmbedding = false

    // Files.
    /// The default of `tie_word_embeddings`.
    package var tiesHead = false
    /// Numbers that config.json may leave out, by key: what the reference takes for them.
    package var defaults: [String: Double] = [:]
    /// Keys that other families refuse, because they have no such part.
    package var keys: Set<String> = []
    /// Keys that the reference reads and then uses nowhere.
    package var idleKeys: Set<String> = []
    /// The member of config.json that describes the language model, in folders that hold other models too.
    package var textMember: String?
    /// What tensor names begin with; the first that is found counts.
    package var prefixes = ["model."]
    /// Query, key and value are one tensor, gate and up another.
    package var fusesProjections = false
    /// Tensors that may lie in a folder unused.
    package var unusedTensors = UnusedTensors()

    package enum AttentionBias: Sendable, Hashable {
        case never
        /// On query, key and value always, on the output never.
        case queryKeyValue
        /// On all four if `attention_bias` is true.
        case configured
    }

    /// Which layers have a sliding window where `layer_types` does not say it.
    package enum WindowRule: Sendable, Hashable {
        /// None.
        case layerTypes
        /// All layers if `sliding_window` is not null.
        case everyLayer
        /// If `use_sliding_window`: from layer `max_window_layers` on.
        case upperLayers
        /// If `use_sliding_window`: all layers.
        case everyLayerIfUsed
        /// All but each so-manieth one; `sliding_window_pattern` gives another number.
        case allBut(every: Int)
        /// If `use_sliding_window`: those without rope.
        case layersWithoutRope
    }

    /// How layers with a window turn queries and keys.
    package enum WindowRope: Sendable, Hashable {
        /// As the others do.
        case same
        /// By a base of their own, `rope_local_base_freq`, and unscaled; `rope_parameters` has an entry for each type.
        case ownBase
        /// Unscaled; `rope_parameters` has an entry for each type.
        case unscaled
    }

    /// What the norms of a layer are called; nil: there is none in this place.
    package struct NormNames: Sendable, Hashable {
        /// Of what attention reads, and of what it adds.
        package var attention: String?
        package var attentionOutput: String?
        /// Of what the MLP reads, and of what it adds.
        package var mlp: String?
        package var mlpOutput: String?

        package static let before = NormNames(attention: "input_layernorm", mlp: "post_attention_layernorm")
        package static let around = NormNames(
            attention: "input_layernorm", attentionOutput: "post_attention_layernorm",
            mlp: "pre_feedforward_layernorm", mlpOutput: "post_feedforward_layernorm")
        package static let after = NormNames(
            attentionOutput: "post_attention_layernorm", mlpOutput: "post_feedforward_layernorm")
    }

    /// Real folders carry tensors that were buffers, not parameters, of the code that saved them.
    package struct UnusedTensors: Sendable, Hashable {
        package var suffixes = ["rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached"]
        /// Of models in the same folder that this engine has no use for.
        package var prefixes: [String] = []
        /// Names of the output head, which some checkpoints have although it is the embedding.
        package var heads = ["lm_head.weight"]

        package init() {}
    }

    /// `Qwen3ForCausalLM, …`, for messages.
    package static var supported: String { all.map(\.architecture).joined(separator: ", ") }

    /// The reference's value for a number that config.json leaves out.
    func integer(_ key: String) -> Int? { defaults[key].map { Int($0) } }
}

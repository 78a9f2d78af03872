// ModelFamily+All: the registry of supported families. `swiftlet info --families`, the messages about models that are
// not supported, and README's table are made from it.
// Invariant: whatever is in this list is checked against outputs of the reference implementation.

extension ModelFamily {
    package static let all: [ModelFamily] = [
        ModelFamily(
            architecture: "Qwen3ForCausalLM", modelType: "qwen3", models: "Qwen3", hasQKNorm: true,
            window: .upperLayers,
            defaults: [
                "head_dim": 128, "num_key_value_heads": 32, "max_position_embeddings": 32_768, "sliding_window": 4096,
            ]),
        ModelFamily(
            architecture: "Qwen3MoeForCausalLM", modelType: "qwen3_moe",
            models: "Qwen3 with experts (30B-A3B, 235B-A22B)",
            hasQKNorm: true, window: .everyLayerIfUsed,
            defaults: [
                "num_key_value_heads": 4, "max_position_embeddings": 32_768, "sliding_window": 4096, "num_experts": 128,
                "num_experts_per_tok": 8, "moe_intermediate_size": 768,
            ],
            keys: ["num_experts", "num_local_experts", "num_experts_per_tok", "moe_intermediate_size"]),
        ModelFamily(
            architecture: "Qwen2ForCausalLM", modelType: "qwen2", models: "Qwen2, Qwen2.5",
            attentionBias: .queryKeyValue, window: .upperLayers,
            defaults: ["num_key_value_heads": 32, "max_position_embeddings": 32_768, "sliding_window": 4096]),
        ModelFamily(
            architecture: "LlamaForCausalLM", modelType: "llama", models: "Llama 1 to 3, SmolLM2, TinyLlama",
            readsMLPBias: true),
        ModelFamily(
            architecture: "MistralForCausalLM", modelType: "mistral", models: "Mistral", attentionBias: .never,
            window: .everyLayer,
            defaults: ["num_key_value_heads": 8, "max_position_embeddings": 131_072, "sliding_window": 4096]),
        ModelFamily(
            architecture: "Gemma2ForCausalLM", modelType: "gemma2", models: "Gemma 2", window: .allBut(every: 2),
            norms: .around, normsAddOne: true, activationKey: "hidden_activation", activation: .geluTanh,
            scalesEmbedding: true, tiesHead: true,
            defaults: gemma.merging([
                "vocab_size": 256_000, "max_position_embeddings": 8192, "attn_logit_softcapping": 50,
                "final_logit_softcapping": 30,
            ]) { $1 },
            keys: ["query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"]),
        gemma3,
        gemma3WithVision,
        ModelFamily(
            architecture: "Phi3ForCausalLM", modelType: "phi3", models: "Phi-3, Phi-3.5, Phi-4, Phi-4-mini",
            attentionBias: .never, window: .everyLayer,
            defaults: [
                "vocab_size": 32_064, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
                "num_attention_heads": 32, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
                "original_max_position_embeddings": 4096,
            ],
            keys: ["partial_rotary_factor"], fusesProjections: true),
        ModelFamily(
            architecture: "SmolLM3ForCausalLM", modelType: "smollm3", models: "SmolLM3", window: .layersWithoutRope,
            hasLayersWithoutRope: true, readsMLPBias: true, tiesHead: true,
            defaults: [
                "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 11_008, "num_hidden_layers": 36,
                "num_attention_heads": 16, "num_key_value_heads": 4, "max_position_embeddings": 32_768,
                "rope_theta": 2e6,
            ],
            keys: ["no_rope_layers", "no_rope_layer_interval"]),
        ModelFamily(
            architecture: "Olmo2ForCausalLM", modelType: "olmo2", models: "OLMo 2", hasQKNorm: true,
            isQKNormWide: true, norms: .after, defaults: olmo),
        ModelFamily(
            architecture: "Olmo3ForCausalLM", modelType: "olmo3", models: "OLMo 3", hasQKNorm: true,
            isQKNormWide: true, window: .allBut(every: 4), windowRope: .unscaled, norms: .after,
            defaults: olmo.merging(["rope_theta": 500_000, "sliding_window": 4096]) { $1 }),
    ]

    private static let olmo: [String: Double] = [
        "vocab_size": 50_304, "hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
    ]

    // MARK: - Gemma

    private static let gemma: [String: Double] = [
        "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 4096,
    ]

    private static let gemma3 = ModelFamily(
        architecture: "Gemma3ForCausalLM", modelType: "gemma3_text", models: "Gemma 3", hasQKNorm: true,
        window: .allBut(every: 6), windowRope: .ownBase, isLengthScaled: false, norms: .around, normsAddOne: true,
        activationKey: "hidden_activation", activation: .geluTanh, scalesEmbedding: true, tiesHead: true,
        defaults: gemma.merging([
            "vocab_size": 262_208, "max_position_embeddings": 131_072, "rope_theta": 1e6,
            "rope_local_base_freq": 10_000,
        ]) { $1 },
        keys: [
            "query_pre_attn_scalar", "final_logit_softcapping", "sliding_window_pattern", "rope_local_base_freq",
        ],
        // Neither transformers nor vLLM caps the scores of Gemma 3, whatever its config.json says.
        idleKeys: ["attn_logit_softcapping", "_sliding_window_pattern"])

    /// The language model of the folders that can see; what they see with is left unused.
    private static let gemma3WithVision: ModelFamily = {
        var family = gemma3
        family.architecture = "Gemma3ForConditionalGeneration"
        family.modelType = "gemma3"
        family.models = "Gemma 3 (text)"
        family.textMember = "text_config"
        family.keys.formUnion(["text_config", "vision_config"])
        // transformers caps the logits of Gemma3ForCausalLM alone.
        family.keys.remove("final_logit_softcapping")
        family.idleKeys.insert("final_logit_softcapping")
        // As published, and as transformers has saved them since 4.52.
        family.prefixes = ["language_model.model.", "model.language_model."]
        family.unusedTensors.prefixes = [
            "vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector.",
        ]
        family.unusedTensors.heads.append("language_model.lm_head.weight")
        return family
    }()
}

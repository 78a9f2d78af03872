// UnsupportedKeys: keys of config.json that change what a model computes and that this engine has no code for.
// The choice: a list of what is known to alter the computation, not a list of what is allowed. Real folders carry
// dozens of keys that mean nothing to inference (dropout, initialisers, the training tool's own notes), and
// refusing what is merely unknown would refuse most fine-tunes. What no list foresees is caught twice more: unknown
// keys inside the rope description are errors, and so is every tensor that is missing or left over.
// `pretraining_tp` is not on it: it reorders the same sum. `rope_*` is RopeScaling's business.
// Invariant: a key here passes only with a value that switches it off.

internal import SwiftletJSON

enum UnsupportedKeys {
    /// Keys that switch something on unless they are null or false; a number, if given, is neutral too.
    private static let neutral: [(keys: [String], value: Double?)] = [
        (
            [
                "attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar", "attention_multiplier",
                "attention_chunk_size", "no_rope_layers", "no_rope_layer_interval", "clip_qkv", "use_mrope",
                "dual_chunk_attention_config", "rope_interleaved", "rope_interleave", "use_qk_norm", "qk_norm",
                "qk_layernorm", "use_bidirectional_attention", "is_encoder_decoder", "add_cross_attention",
                "use_parallel_residual", "parallel_attn", "alibi", "use_alibi", "attn_temperature_tuning",
                "sliding_window_pattern", "_sliding_window_pattern", "cross_attention_layers", "vision_config",
                "audio_config", "text_config", "dim_model_base", "rotary_dim", "attention_sink", "per_layer_config",
                "rope_local_base_freq", "quantization",
            ], nil
        ),
        (
            [
                "num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok", "q_lora_rank",
                "kv_lora_rank", "moe_intermediate_size", "num_kv_shared_layers", "hidden_size_per_layer_input",
            ], 0
        ),
        (
            [
                "partial_rotary_factor", "rotary_pct", "logit_scale", "logits_scaling", "embedding_multiplier",
                "residual_multiplier", "lm_head_multiplier", "key_multiplier", "scale_emb", "scale_depth",
            ], 1
        ),
    ]

    static func check(_ reader: ConfigReader, family: ModelFamily) throws(LLMError) {
        if reader.value("quantization_config") != nil || reader.value("compression_config") != nil {
            throw LLMError(
                .unsupportedModel,
                "config.json: the weights are quantized (quantization_config); supported are folders with float32, "
                    + "float16 or bfloat16 weights")
        }
        // Encoders built from these architectures say so here.
        if try reader.flag("is_causal") == false {
            throw LLMError(.unsupportedModel, "config.json: is_causal false is not supported")
        }
        for (keys, neutralNumber) in neutral {
            for key in keys {
                guard let value = reader.value(key), value.bool != false else { continue }
                if let neutralNumber, value.double == neutralNumber { continue }
                if family.keys.contains(key) || family.idleKeys.contains(key) { continue }
                if family.hasQKNorm, key == "use_qk_norm" || key == "qk_norm" { continue }
                throw LLMError(
                    .unsupportedModel,
                    "config.json: \(key) \(ConfigReader.text(of: value)) is not supported for \(family.architecture)")
            }
        }
    }
}

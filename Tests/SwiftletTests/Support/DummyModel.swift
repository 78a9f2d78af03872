// Folders with a config.json alone, for `load-format dummy`: a model of any shape, without its weights.

import Swiftlet

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// A folder in the system's temporary directory that goes away with its owner.
final class TemporaryFolder {
    let path: String

    init() {
        var template = Array("/tmp/swiftlet-test-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }

    func write(_ name: String, _ contents: String) {
        let file = fopen(path + "/" + name, "w")!
        fputs(contents, file)
        fclose(file)
    }

    deinit {
        // Flat folders only.
        for name in Platform.listDirectory(path) ?? [] { unlink(path + "/" + name) }
        rmdir(path)
    }
}

enum DummyModel {
    /// Qwen3 with seven query heads to one key head, and heads that fill no vector.
    static let qwen3 = """
        {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 72, "num_hidden_layers": 2,
         "num_attention_heads": 7, "num_key_value_heads": 1, "head_dim": 24, "intermediate_size": 100,
         "vocab_size": 331, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true,
         "max_position_embeddings": 512, "hidden_act": "silu", "torch_dtype": "bfloat16", "eos_token_id": 7}
        """
    /// Mistral with a window that is no multiple of a tile.
    static let mistral = """
        {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96,
         "vocab_size": 257, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": false,
         "max_position_embeddings": 512, "hidden_act": "silu", "torch_dtype": "bfloat16", "sliding_window": 40,
         "eos_token_id": 7}
        """

    /// Qwen3 with experts in two of three layers, whose width fills no panel.
    static let qwen3MoE = """
        {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 72,
         "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
         "intermediate_size": 100, "num_experts": 11, "num_experts_per_tok": 3, "moe_intermediate_size": 36,
         "norm_topk_prob": true, "mlp_only_layers": [1], "vocab_size": 331, "rms_norm_eps": 1e-6,
         "rope_theta": 10000.0, "tie_word_embeddings": true, "max_position_embeddings": 512, "hidden_act": "silu",
         "torch_dtype": "bfloat16", "eos_token_id": 7}
        """

    /// Gemma 2 with caps that scores and logits feel, and a window.
    static let gemma2 = """
        {"architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "hidden_size": 60, "num_hidden_layers": 2,
         "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 40, "intermediate_size": 84,
         "vocab_size": 257, "query_pre_attn_scalar": 0.01, "attn_logit_softcapping": 1.5, "final_logit_softcapping": 2,
         "max_position_embeddings": 512, "sliding_window": 50, "torch_dtype": "bfloat16", "eos_token_id": 7}
        """
    /// Gemma 3: two layers with a window to one without, a rope for each.
    static let gemma3 = """
        {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": 60, "num_hidden_layers": 3,
         "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 40, "intermediate_size": 84,
         "vocab_size": 257, "max_position_embeddings": 512, "sliding_window": 50, "sliding_window_pattern": 3,
         "torch_dtype": "bfloat16", "eos_token_id": 7}
        """
    static let olmo2 = """
        {"architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2", "hidden_size": 72, "num_hidden_layers": 2,
         "num_attention_heads": 3, "num_key_value_heads": 1, "intermediate_size": 84, "vocab_size": 257,
         "max_position_embeddings": 512, "torch_dtype": "bfloat16", "eos_token_id": 7}
        """
    static let smollm3 = """
        {"architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "hidden_size": 64, "num_hidden_layers": 3,
         "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 84, "vocab_size": 257,
         "max_position_embeddings": 512, "no_rope_layer_interval": 2, "use_sliding_window": true, "sliding_window": 33,
         "torch_dtype": "bfloat16", "eos_token_id": 7}
        """

    static func folder(_ config: String) -> TemporaryFolder {
        let folder = TemporaryFolder()
        folder.write("config.json", config)
        return folder
    }
}

// ModelConfig for the families beside Llama's nearest: what each reads, its defaults, both forms, and what is refused.

import Swiftlet
import Testing

@Suite struct FamilyConfigTests {
    /// As the folder of Gemma 3 4B has it: nearly everything is left to the reference's defaults.
    static let gemma3WithVision = Array(
        """
        {"architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999, "eoi_token_index": 256000,
         "eos_token_id": [1, 106], "image_token_index": 262144, "initializer_range": 0.02, "mm_tokens_per_image": 256,
         "model_type": "gemma3", "text_config": {"hidden_size": 2560, "intermediate_size": 10240,
         "model_type": "gemma3_text", "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
         "sliding_window": 1024}, "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
         "vision_config": {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304,
         "model_type": "siglip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14,
         "vision_use_head": false}}
        """.utf8)

    static let phi4Mini = phi3(
        """
        "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75,
        "sliding_window": 262144, "tie_word_embeddings": true, "lm_head_bias": false,
        "rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1], "long_factor": [1, 2, 3, 4, 5, 6]}
        """)

    static let smollm3 = config(
        "SmolLM3ForCausalLM", #""no_rope_layers": [1, 0, 1, 0], "use_sliding_window": true, "sliding_window": 8"#)

    /// Heads of 16.
    private static func phi3(_ members: String) -> [UInt8] { config("Phi3ForCausalLM", members) }

    private static func config(_ architecture: String, _ members: String, without: Set<String> = []) -> [UInt8] {
        ModelConfigTests.config(architecture, members, without: without)
    }

    private func parse(_ architecture: String, _ members: String = "", without: Set<String> = []) throws -> ModelConfig
    {
        try ModelConfig(config: Self.config(architecture, members, without: without))
    }

    private func message(_ architecture: String, _ members: String) -> String {
        LoaderFixtures.message { _ = try parse(architecture, members) } ?? "accepted"
    }

    @Test func gemma2ReadsItsCaps() throws {
        let sizes: Set = ["num_attention_heads", "num_key_value_heads", "hidden_size", "vocab_size"]
        let defaults = try parse("Gemma2ForCausalLM", without: sizes)
        #expect(defaults.hiddenSize == 2304 && defaults.vocabularySize == 256_000)
        #expect(defaults.queryHeadCount == 8 && defaults.keyValueHeadCount == 4 && defaults.headDimension == 256)
        #expect(defaults.attentionSoftCap == 50 && defaults.logitSoftCap == 30 && defaults.attentionScale == 1 / 16)
        #expect(
            defaults.slidingWindows == [4096, nil, 4096, nil] && defaults.hasTiedHead && defaults.windowRope == nil)
        #expect(defaults.activation == .geluTanh && defaults.embeddingScale == 48)
        let given = try parse(
            "Gemma2ForCausalLM",
            #""attn_logit_softcapping": null, "final_logit_softcapping": 7, "query_pre_attn_scalar": 64, "#
                + #""hidden_act": "anything", "hidden_activation": "silu", "tie_word_embeddings": false"#)
        #expect(given.attentionSoftCap == nil && given.logitSoftCap == 7 && given.attentionScale == 0.125)
        #expect(given.activation == .silu && !given.hasTiedHead)
        #expect(
            message("Gemma2ForCausalLM", #""attn_logit_softcapping": -1"#)
                == "config.json: attn_logit_softcapping is -1; it must be a number above 0")
        #expect(message("Gemma2ForCausalLM", #""query_pre_attn_scalar": 0"#).contains("it must be a number above 0"))
    }

    @Test func gemma3HasARopeForEachTypeOfLayer() throws {
        let old = try parse(
            "Gemma3ForCausalLM",
            #""rope_theta": 2e6, "rope_local_base_freq": 30000, "rope_scaling": {"rope_type": "linear", "factor": 8}, "#
                + #""sliding_window": 16, "sliding_window_pattern": 3"#)
        let new = try parse(
            "Gemma3ForCausalLM",
            #""rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8, "rope_theta": 2e6}, "#
                + #""sliding_attention": {"rope_type": "default", "rope_theta": 30000}}, "sliding_window": 16, "#
                + #""layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]"#)
        #expect(old == new)
        #expect(new.rope.theta == 2e6 && new.rope.kind == .linear(factor: 8) && new.slidingWindows[2] == nil)
        #expect(new.windowRope?.theta == 30_000 && new.windowRope?.kind == .standard)
        // The factor stretches angles; max_position_embeddings counts it already.
        #expect(new.maximumLength == 512)
        let plain = try parse("Gemma3ForCausalLM", #""attn_logit_softcapping": 50.0"#)
        #expect(plain.attentionSoftCap == nil)  // as in the reference, which reads the key and uses it nowhere
        #expect(plain.rope.theta == 1e6 && plain.windowRope?.theta == 10_000 && plain.logitSoftCap == nil)
        #expect(
            message("Gemma3ForCausalLM", #""rope_parameters": {"rope_type": "default"}"#)
                == "config.json: rope_parameters: the key rope_type is not supported; Gemma3ForCausalLM has one rope for "
                + "each of full_attention and sliding_attention")
        #expect(message("Gemma3ForCausalLM", #""use_bidirectional_attention": true"#).contains("is not supported"))
        #expect(message("Qwen3ForCausalLM", #""sliding_window_pattern": 6"#).contains("is not supported for Qwen3"))
    }

    @Test func foldersThatCanSeeAreReadForTheirText() throws {
        let config = try ModelConfig(config: Self.gemma3WithVision)
        #expect(config.hiddenSize == 2560 && config.layerCount == 34 && config.vocabularySize == 262_208)
        #expect(config.queryHeadCount == 8 && config.keyValueHeadCount == 4 && config.headDimension == 256)
        #expect(config.eosTokenIDs == [1, 106] && config.hasTiedHead && config.checkpointDtype == "bfloat16")
        #expect(config.slidingWindows[4] == 1024 && config.slidingWindows[5] == nil && config.maximumLength == 131_072)
        #expect(
            message("Gemma3ForConditionalGeneration", #""vision_config": {}"#) == "config.json: text_config is missing")
        #expect(
            message("Gemma3ForConditionalGeneration", #""text_config": {"num_experts": 4}"#)
                == "config.json: num_experts 4 is not supported for Gemma3ForConditionalGeneration")
        #expect(
            message("Gemma3ForConditionalGeneration", #""text_config": {"hidden_size": 0}"#)
                .hasPrefix("config.json: text_config: hidden_size is 0"))
        #expect(message("Gemma3ForCausalLM", #""text_config": {}"#).contains("text_config {} is not supported"))
    }

    @Test func phi3TurnsAPartOfAHeadByFactors() throws {
        let config = try ModelConfig(config: Self.phi4Mini)
        #expect(config.headDimension == 16 && config.rotaryDimension == 12 && config.maximumLength == 131_072)
        #expect(config.hasTiedHead && config.rmsNormEpsilon == 1e-5 && config.slidingWindows[0] == 262_144)
        // The whole context decides, at load: up to the original length it is the short factors.
        let (short, shortMagnitude) = config.rope.frequencies(rotaryDimension: 12, maximumLength: 4096)
        let (long, longMagnitude) = config.rope.frequencies(rotaryDimension: 12, maximumLength: 4097)
        for (pair, (a, b)) in zip(short, long).enumerated() { #expect(abs(b * Float(pair + 1) / a - 1) < 1e-6) }
        // sqrt(1 + ln 32 / ln 4096)
        #expect(abs(shortMagnitude - 1.190_238) < 1e-6 && longMagnitude == shortMagnitude)

        let factors = #""short_factor": [1, 1, 1, 1, 1, 1, 1, 1], "long_factor": [2, 2, 2, 2, 2, 2, 2, 2]"#
        for name in ["longrope", "su", "yarn"] {
            let given = try ModelConfig(
                config: Self.phi3(#""rope_scaling": {"type": "\#(name)", \#(factors), "attention_factor": 1.5}"#))
            // Without original_max_position_embeddings beside it, the reference takes 4096.
            guard case .longrope(let longrope) = given.rope.kind else {
                Issue.record("\(name) is \(given.rope.kind)")
                continue
            }
            #expect(longrope.originalLength == 4096 && longrope.longMagnitude == 1.5)
        }
        let apart = try ModelConfig(
            config: Self.phi3(
                #""rope_scaling": {"type": "longrope", \#(factors), "short_mscale": 1.1, "long_mscale": 1.2}"#))
        #expect(apart.rope.frequencies(rotaryDimension: 16, maximumLength: 4096).attentionFactor == 1.1)
        #expect(apart.rope.frequencies(rotaryDimension: 16, maximumLength: 8192).attentionFactor == 1.2)
    }

    @Test(arguments: [
        (
            #""partial_rotary_factor": 0.1"#,
            "partial_rotary_factor 0.1 turns 1 of a head's 16 dimensions; supported are"
        ),
        (#""partial_rotary_factor": 0"#, "partial_rotary_factor is 0; it must be a number above 0, at most 1"),
        (#""rope_parameters": {"partial_rotary_factor": 1.5}"#, "partial_rotary_factor is 1.5; it must be"),
        (#""rope_scaling": {"type": "longrope", "long_factor": [1]}"#, "rope_scaling: short_factor is missing"),
        (
            #""rope_scaling": {"type": "longrope", "short_factor": [1, 2], "long_factor": [1]}"#,
            "rope_scaling: short_factor has 2 numbers; a head has 8 pairs"
        ),
        (
            #""rope_scaling": {"type": "su", "short_factor": [1, "2"], "long_factor": [1]}"#,
            "it must be a list of numbers, above 0"
        ),
        (
            #""rope_scaling": {"type": "su", "short_factor": [1, -2], "long_factor": [1]}"#,
            "short_factor is [1, -2]; it must be a list of numbers, above 0"
        ),
        (
            #""original_max_position_embeddings": 1, "rope_scaling": {"type": "longrope"}"#,
            "original_max_position_embeddings is 1; it must be above 1"
        ),
    ])
    func phi3Refusals(members: String, expected: String) {
        let message = message("Phi3ForCausalLM", members)
        #expect(message.contains(expected), "\(message)")
    }

    @Test func smollm3LeavesLayersUnturned() throws {
        let listed = try ModelConfig(config: Self.smollm3)
        #expect(listed.layersWithoutRope == [1, 3] && listed.slidingWindows == [nil, 8, nil, 8] && listed.hasTiedHead)
        let every = try parse("SmolLM3ForCausalLM", #""sliding_window": 8"#)
        #expect(every.layersWithoutRope == [3] && every.slidingWindows == [nil, nil, nil, nil])
        #expect(every.rope.theta == 2e6 && every.keyValueHeadCount == 2)
        #expect(try parse("SmolLM3ForCausalLM", #""no_rope_layer_interval": 2"#).layersWithoutRope == [1, 3])
        #expect(try parse("SmolLM3ForCausalLM", #""no_rope_layers": null"#).layersWithoutRope == [3])
        #expect(
            message("SmolLM3ForCausalLM", #""no_rope_layers": [1, 1]"#)
                == "config.json: no_rope_layers has 2 entries; num_hidden_layers is 4")
        #expect(message("SmolLM3ForCausalLM", #""no_rope_layers": [1, 2, 1, 1]"#).contains("a list of numbers, 0 or 1"))
    }

    @Test func olmoNormsBehind() throws {
        let olmo2 = try parse("Olmo2ForCausalLM", without: ["num_key_value_heads"])
        #expect(olmo2.family.norms == .after && olmo2.family.isQKNormWide && olmo2.keyValueHeadCount == 4)
        #expect(olmo2.rmsNormEpsilon == 1e-5 && !olmo2.hasTiedHead && !olmo2.qkvBias && olmo2.rope.theta == 10_000)
        let yarn = #""rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 128}"#
        let olmo3 = try parse("Olmo3ForCausalLM", #""rope_theta": 7e5, \#(yarn)"#)
        #expect(olmo3.slidingWindows == [4096, 4096, 4096, nil] && olmo3.rope.theta == 7e5)
        #expect(olmo3.windowRope?.theta == 7e5 && olmo3.windowRope?.kind == .standard && olmo3.maximumLength == 512)
    }

    @Test func noTwoFamiliesAnswerToOneName() {
        let families = ModelFamily.all
        #expect(Set(families.map(\.architecture)).count == families.count)
        #expect(Set(families.map(\.modelType)).count == families.count)
        #expect(families.allSatisfy { !$0.models.isEmpty && !$0.prefixes.isEmpty })
        #expect(families.allSatisfy { ($0.norms.attentionOutput == nil) == ($0.norms.mlpOutput == nil) })
    }
}

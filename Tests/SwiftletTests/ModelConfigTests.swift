// ModelConfig: families, both forms of config.json, defaults, and every refusal with its message.

import Foundation
import Swiftlet
import SwiftletTestSupport
import Testing

@Suite struct ModelConfigTests {
    /// A small config.json of a family; later members win over earlier ones.
    static func config(_ architecture: String, _ members: String = "", without: Set<String> = []) -> [UInt8] {
        var base = [
            ("architectures", "[\"\(architecture)\"]"), ("hidden_size", "64"), ("num_hidden_layers", "4"),
            ("num_attention_heads", "4"), ("num_key_value_heads", "2"), ("intermediate_size", "160"),
            ("vocab_size", "600"), ("max_position_embeddings", "512"),
        ]
        base.removeAll { without.contains($0.0) || members.contains("\"\($0.0)\":") }
        let texts = base.map { "\"\($0.0)\": \($0.1)" } + (members.isEmpty ? [] : [members])
        return Array("{\(texts.joined(separator: ", "))}".utf8)
    }

    static func llama(_ members: String = "") -> [UInt8] { config("LlamaForCausalLM", members) }

    private func parse(_ architecture: String, _ members: String = "", without: Set<String> = []) throws -> ModelConfig
    {
        try ModelConfig(config: Self.config(architecture, members, without: without))
    }

    private func message(_ members: String, architecture: String = "LlamaForCausalLM") -> String? {
        LoaderFixtures.message { _ = try parse(architecture, members) }
    }

    @Test func familiesDiffer() throws {
        let qwen3 = try parse("Qwen3ForCausalLM", #""attention_bias": true"#)
        #expect(qwen3.hasQKNorm && qwen3.qkvBias && qwen3.outputBias && qwen3.headDimension == 128)
        #expect(qwen3.queryWidth == 512 && qwen3.keyValueWidth == 256)
        let qwen2 = try parse("Qwen2ForCausalLM")
        #expect(!qwen2.hasQKNorm && qwen2.qkvBias && !qwen2.outputBias && qwen2.headDimension == 16)
        let llama = try parse("LlamaForCausalLM", #""attention_bias": true, "mlp_bias": true, "hidden_act": "silu""#)
        #expect(!llama.hasQKNorm && llama.qkvBias && llama.outputBias && llama.mlpBias)
        let plain = try parse("LlamaForCausalLM")
        #expect(!plain.qkvBias && !plain.outputBias && !plain.mlpBias && !plain.hasTiedHead)
        #expect(plain.rmsNormEpsilon == 1e-6 && plain.attentionScale == 0.25)
        let mistral = try parse("MistralForCausalLM", #""attention_bias": true, "sliding_window": 24"#)
        #expect(!mistral.qkvBias && mistral.slidingWindows == [24, 24, 24, 24])
    }

    @Test func defaultsAreTheReferences() throws {
        let without: Set = ["num_key_value_heads", "max_position_embeddings"]
        #expect(try parse("LlamaForCausalLM", without: without).keyValueHeadCount == 4)
        #expect(try parse("LlamaForCausalLM", without: without).maxPositionEmbeddings == 2048)
        #expect(try parse("MistralForCausalLM", #""num_attention_heads": 8"#, without: without).keyValueHeadCount == 8)
        #expect(try parse("MistralForCausalLM", without: ["max_position_embeddings"]).maxPositionEmbeddings == 131_072)
        #expect(try parse("MistralForCausalLM").slidingWindows == [4096, 4096, 4096, 4096])
        #expect(try parse("Qwen2ForCausalLM", #""num_key_value_heads": null"#).keyValueHeadCount == 4)
        #expect(try parse("Qwen3ForCausalLM", #""head_dim": 40"#).headDimension == 40)
    }

    @Test func modelTypeServesWithoutArchitectures() throws {
        let text = String(
            decoding: Self.config("", #""model_type": "qwen2""#, without: ["architectures"]), as: UTF8.self)
        #expect(try ModelConfig(config: Array(text.utf8)).family.architecture == "Qwen2ForCausalLM")
    }

    @Test func slidingWindowsByLayer() throws {
        #expect(try parse("LlamaForCausalLM", #""sliding_window": 8"#).slidingWindows == [nil, nil, nil, nil])
        #expect(try parse("MistralForCausalLM", #""sliding_window": null"#).slidingWindows == [nil, nil, nil, nil])
        let upper = #""use_sliding_window": true, "sliding_window": 8, "max_window_layers": 3"#
        #expect(try parse("Qwen2ForCausalLM", upper).slidingWindows == [nil, nil, nil, 8])
        let off = #""use_sliding_window": false, "sliding_window": 8, "max_window_layers": 0"#
        #expect(try parse("Qwen3ForCausalLM", off).slidingWindows == [nil, nil, nil, nil])
        let types = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
        let mixed =
            #""use_sliding_window": true, "sliding_window": 8, "max_window_layers": 0, "layer_types": \#(types)"#
        #expect(try parse("Qwen3ForCausalLM", mixed).slidingWindows == [nil, 8, 8, nil])
        #expect(
            try parse("MistralForCausalLM", #""sliding_window": 9, "layer_types": \#(types)"#).slidingWindows[1] == 9)
        #expect(
            message(#""layer_types": \#(types)"#, architecture: "Qwen3ForCausalLM")
                == "config.json: layer_types has sliding_attention, but no sliding_window is in force")
        #expect(
            message(#""layer_types": ["full_attention"]"#)
                == "config.json: layer_types has 1 entries; num_hidden_layers is 4")
        let chunked = #"["chunked_attention", "full_attention", "full_attention", "full_attention"]"#
        #expect(
            message(#""layer_types": \#(chunked)"#)?.contains("layer type chunked_attention is not supported") == true)
        #expect(
            message(#""sliding_window": 0"#, architecture: "MistralForCausalLM")?.contains("sliding_window is 0")
                == true)
    }

    @Test func pitfallA19EndOfSequenceIsAUnion() throws {
        let config = Self.config("LlamaForCausalLM", #""eos_token_id": [2, 5, 9999], "bos_token_id": 1"#)
        let generation = Array(#"{"eos_token_id": 7}"#.utf8)
        let tokenizer = Array(#"{"eos_token": {"content": "<|eot|>", "lstrip": false}}"#.utf8)
        let all = try ModelConfig(config: config, generation: generation, tokenizer: tokenizer)
        #expect(all.eosTokenIDs == [2, 5, 7] && all.bosTokenID == 1 && all.tokenizerEOSToken == "<|eot|>")
        let list = try ModelConfig(
            config: Self.llama(#""eos_token_id": 3"#), generation: Array(#"{"eos_token_id": [4, 3]}"#.utf8),
            tokenizer: Array(#"{"eos_token": "</s>"}"#.utf8))
        #expect(list.eosTokenIDs == [3, 4] && list.tokenizerEOSToken == "</s>")
        let none = try ModelConfig(
            config: Self.llama(#""eos_token_id": null, "bos_token_id": -1"#),
            tokenizer: Array(#"{"eos_token": null}"#.utf8))
        #expect(none.eosTokenIDs.isEmpty && none.bosTokenID == nil && none.tokenizerEOSToken == nil)
        #expect(message(#""eos_token_id": "2""#)?.contains("must be a token id or a list of token ids") == true)
    }

    @Test func generationDefaultsAreRead() throws {
        let text =
            #"{"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.05, "min_p": 0}"#
        let defaults = try ModelConfig(config: Self.llama(), generation: Array(text.utf8)).generationDefaults
        #expect(defaults.temperature == 0.6 && defaults.topK == 20 && defaults.topP == 0.95)
        #expect(defaults.repetitionPenalty == 1.05 && defaults.minP == 0 && defaults.doSample == true)
        let off = try ModelConfig(config: Self.llama(), generation: Array(#"{"top_k": 0, "top_p": null}"#.utf8))
        #expect(off.generationDefaults == GenerationDefaults())
        for (text, expected) in [
            (#"{"temperature": -1}"#, "generation_config.json: temperature is -1; it must be a number, 0 or more"),
            (#"{"top_p": 1.5}"#, "generation_config.json: top_p is 1.5; it must be a number above 0, at most 1"),
            (#"{"repetition_penalty": 0}"#, "generation_config.json: repetition_penalty is 0"),
            ("[]", "generation_config.json is not a JSON object"), ("{", "generation_config.json is not valid JSON"),
        ] {
            let message = LoaderFixtures.message {
                _ = try ModelConfig(config: Self.llama(), generation: Array(text.utf8))
            }
            #expect(message?.hasPrefix(expected) == true, "\(message ?? "accepted")")
        }
    }

    @Test func dtypeIsReadInBothForms() throws {
        #expect(try parse("LlamaForCausalLM", #""torch_dtype": "bfloat16""#).checkpointDtype == "bfloat16")
        #expect(try parse("LlamaForCausalLM", #""dtype": "torch.float16""#).checkpointDtype == "float16")
        #expect(try parse("LlamaForCausalLM").checkpointDtype == nil)
    }

    @Test(arguments: [
        (#""hidden_size": 0"#, "config.json: hidden_size is 0; it must be an integer from 1 to 1048576"),
        (#""hidden_size": "64""#, "config.json: hidden_size is \"64\"; it must be an integer"),
        (#""hidden_size": null"#, "config.json: hidden_size is missing"),
        (#""hidden_size": 1e300"#, "config.json: hidden_size is 1e300; it must be an integer"),
        (#""num_hidden_layers": 1000000"#, "num_hidden_layers is 1000000; it must be an integer from 1 to 1024"),
        (#""vocab_size": -5"#, "vocab_size is -5"),
        (#""intermediate_size": 1048577"#, "intermediate_size is 1048577"),
        (#""max_position_embeddings": 0"#, "max_position_embeddings is 0"),
        (
            #""num_attention_heads": 5, "head_dim": 16"#,
            "num_attention_heads 5 is not a multiple of num_key_value_heads 2"
        ),
        (
            #""num_attention_heads": 6"#,
            "hidden_size 64 is not a multiple of num_attention_heads 6, and there is no head_dim"
        ),
        (#""head_dim": 20"#, "a head has 20 dimensions; supported are multiples of 8 up to 256"),
        (#""head_dim": 512"#, "a head has 512 dimensions; supported are multiples of 8 up to 256"),
        (#""rms_norm_eps": "tiny""#, "rms_norm_eps is \"tiny\"; it must be a number from 0 to 1"),
        (#""hidden_act": "gelu""#, "hidden_act \"gelu\" is not supported (supported: silu, gelu_pytorch_tanh)"),
        (#""tie_word_embeddings": 1"#, "tie_word_embeddings is 1; it must be true or false"),
        (#""quantization_config": {"quant_method": "gptq"}"#, "the weights are quantized (quantization_config)"),
        (#""final_logit_softcapping": 30.0"#, "final_logit_softcapping 30.0 is not supported for LlamaForCausalLM"),
        (#""partial_rotary_factor": 0.5"#, "partial_rotary_factor 0.5 is not supported"),
        (#""num_experts": 8"#, "num_experts 8 is not supported"),
        (#""use_mrope": true"#, "use_mrope true is not supported"),
        (#""is_causal": false"#, "is_causal false is not supported"),
        (#""no_rope_layers": [1, 0]"#, "no_rope_layers [1, 0] is not supported"),
        (#""vision_config": {}"#, "vision_config {} is not supported"),
        (#""logit_scale": 0.0625"#, "logit_scale 0.0625 is not supported"),
    ])
    func refusals(members: String, expected: String) {
        let message = message(members)
        #expect(message?.contains(expected) == true, "\(message ?? "accepted")")
    }

    @Test func neutralAndUnknownKeysAreAccepted() throws {
        let neutral =
            #""final_logit_softcapping": null, "use_mrope": false, "num_experts": 0, "partial_rotary_factor": 1.0, "#
            + #""logit_scale": 1, "attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": true, "#
            + #""pretraining_tp": 2, "pad_token_id": -1, "transformers_version": "4.51.0", "unsloth_fixed": true"#
        #expect(try parse("LlamaForCausalLM", neutral) == parse("LlamaForCausalLM"))
    }

    @Test func unknownArchitecturesAreNamed() {
        #expect(
            message("", architecture: "GPT2LMHeadModel")
                == "config.json: architecture GPT2LMHeadModel is not supported (supported: \(ModelFamily.supported))")
        #expect(ModelFamily.supported.hasPrefix("Qwen3ForCausalLM, Qwen2ForCausalLM, LlamaForCausalLM, Mistral"))
        #expect(LoaderFixtures.code { _ = try parse("GPT2LMHeadModel") } == .unsupportedModel)
        #expect(
            LoaderFixtures.message { _ = try ModelConfig(config: Array("{".utf8)) }?.contains("not valid JSON") == true)
        #expect(
            LoaderFixtures.message { _ = try ModelConfig(config: [0xFF, 0xFE]) }?.contains("not valid JSON") == true)
        #expect(
            LoaderFixtures.message { _ = try ModelConfig(config: Array("[]".utf8)) }
                == "config.json is not a JSON object")
    }

    @Test(.enabled(if: LoaderFixtures.goldenModels != nil, "golden data is not on this machine"))
    func goldenModelsParse() throws {
        let models = try #require(LoaderFixtures.goldenModels)
        let open = { (name: String) in try ModelFiles(directory: models.appendingPathComponent(name).path) }
        let qwen3 = try open("qwen3-tied").config()
        #expect(qwen3.hasTiedHead && qwen3.hasQKNorm && qwen3.headDimension == 32 && qwen3.rope.theta == 1e6)
        #expect(
            qwen3.eosTokenIDs == [2] && qwen3.tokenizerEOSToken == "<|im_end|>" && qwen3.checkpointDtype == "bfloat16")
        let qwen2 = try open("qwen2").config()
        #expect(!qwen2.hasTiedHead && qwen2.qkvBias && qwen2.slidingWindows == [nil, nil, nil])
        let llama = try open("llama3").config()
        #expect(
            llama.rope.kind
                == .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 256))
        #expect(llama.headDimension == 8 && llama.maximumLength == 2048)
        #expect(try open("mistral-sliding").config().slidingWindows == [24, 24, 24])
        #expect(try open("stories260K").config().hasTiedHead && open("babyllama-105").config().vocabularySize == 105)
        let mixture = try open("qwen3-moe").config().experts
        #expect(mixture?.layers == [true, true, true] && mixture?.count == 8 && mixture?.perToken == 2)
        #expect(mixture?.intermediateSize == 48 && mixture?.renormalizes == true)
        let gemma3 = try open("gemma3").config()
        #expect(gemma3.slidingWindows == [24, 24, nil, 24] && gemma3.rope.theta == 1e6)
        #expect(gemma3.windowRope?.theta == 10_000 && gemma3.embeddingScale == 8 && gemma3.hasTiedHead)
    }

    @Test(.enabled(if: LoaderFixtures.goldenModels != nil, "golden data is not on this machine"))
    func goldenCheckpointsOpen() throws {
        let models = try #require(LoaderFixtures.goldenModels)
        for name in ["qwen3-tied", "qwen2", "llama3", "mistral-sliding", "stories260K", "babyllama-105", "qwen3-moe"] {
            let checkpoint = try Checkpoint(ModelFiles(directory: models.appendingPathComponent(name).path))
            #expect(checkpoint.tensorNames.contains("model.embed_tokens.weight"), "\(name)")
        }
    }

    /// Mutated configs: an error, or a config whose numbers are in range.
    @Test(.timeLimit(.minutes(FuzzRun.limitInMinutes))) func mutatedConfigsNeverCrash() throws {
        let qwen3 = Self.config(
            "Qwen3ForCausalLM",
            #""head_dim": 32, "rms_norm_eps": 1e-06, "hidden_act": "silu", "use_sliding_window": true, "#
                + #""sliding_window": 8, "max_window_layers": 1, "eos_token_id": [2, 3], "rope_theta": 10000.0, "#
                + #""rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256, "#
                + #""beta_fast": 32, "beta_slow": 1}, "tie_word_embeddings": true, "torch_dtype": "bfloat16""#)
        let originals = [
            qwen3, FamilyConfigTests.gemma3WithVision, FamilyConfigTests.phi4Mini, FamilyConfigTests.smollm3,
        ]
        let generation = Array(#"{"eos_token_id": [1, 2], "temperature": 0.6, "top_k": 20, "top_p": 0.9}"#.utf8)
        let run = FuzzRun(seconds: 5, seed: 20_261_124)
        var random = LoaderRandom(seed: run.seed)
        var (accepted, refused) = (0, 0)
        while run.goesOn {
            for _ in 0..<100 {
                let original = originals.randomElement(using: &random)!
                let config = LoaderFixtures.mutated(original, using: &random)
                let defaults = LoaderFixtures.mutated(generation, using: &random)
                do {
                    let parsed = try ModelConfig(
                        config: config, generation: Bool.random(using: &random) ? defaults : nil)
                    let (inverse, factor) = parsed.rope.frequencies(
                        rotaryDimension: parsed.rotaryDimension, maximumLength: min(parsed.maximumLength, 1 << 20))
                    try #require(inverse.allSatisfy(\.isFinite) && factor.isFinite, "seed \(run.seed)")
                    try #require(parsed.slidingWindows.count == parsed.layerCount, "seed \(run.seed)")
                    accepted += 1
                } catch let error as LLMError {
                    try #require(error.code == .invalidModel || error.code == .unsupportedModel, "seed \(run.seed)")
                    refused += 1
                }
            }
        }
        #expect(accepted > 100 && refused > 1000, "accepted \(accepted), refused \(refused)")
    }
}

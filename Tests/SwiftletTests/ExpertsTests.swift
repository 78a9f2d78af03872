// Mixtures of experts: what config.json says of them, how checkpoints name them, and what they take.

import CSwiftletKernels
import Swiftlet
import Testing

@Suite("Experts")
struct ExpertsTests {
    static func config(_ members: String = "", without: Set<String> = []) throws -> ModelConfig {
        try ModelConfig(config: ModelConfigTests.config("Qwen3MoeForCausalLM", members, without: without))
    }

    @Test("Keys and the reference's defaults")
    func keys() throws {
        let plain = try #require(try Self.config().experts)
        #expect(plain.count == 128 && plain.perToken == 8 && plain.intermediateSize == 768 && !plain.renormalizes)
        #expect(plain.layers == [true, true, true, true])
        let given = try #require(
            try Self.config(
                #"""
                "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20, "norm_topk_prob": true,
                "decoder_sparse_step": 2, "mlp_only_layers": [1, 77]
                """#
            ).experts)
        #expect(given.count == 6 && given.perToken == 2 && given.intermediateSize == 20 && given.renormalizes)
        #expect(given.layers == [false, false, false, true])
        #expect(try Self.config(#""num_local_experts": 9"#).experts?.count == 9)
        #expect(try Self.config(#""num_experts": 0"#).experts == nil)
        #expect(try Self.config(#""mlp_only_layers": [0, 1, 2, 3]"#).experts == nil)
        #expect(try Self.config(#""mlp_only_layers": null"#).experts?.layers == [true, true, true, true])
        // Windows are on all layers, if they are used.
        let windows = #""sliding_window": 24, "max_window_layers": 2"#
        #expect(try Self.config(windows).slidingWindows == [nil, nil, nil, nil])
        #expect(try Self.config(windows + #", "use_sliding_window": true"#).slidingWindows == [24, 24, 24, 24])
    }

    @Test(
        "What makes no sense is refused",
        arguments: [
            (#""num_experts_per_tok": 9, "num_experts": 8"#, "num_experts_per_tok is 9; there are 8 experts"),
            (#""num_experts_per_tok": 0"#, "num_experts_per_tok is 0"),
            (#""num_experts": 1025"#, "num_experts is 1025"),
            (#""moe_intermediate_size": -1"#, "moe_intermediate_size is -1"),
            (#""decoder_sparse_step": 0"#, "decoder_sparse_step is 0"),
            (
                #""num_experts": 1024, "moe_intermediate_size": 1048576"#,
                "1024 experts of width 1048576 are 1073741824 wide; the limit is 16777216"
            ),
            (#""mlp_only_layers": 3"#, "mlp_only_layers is 3; it must be a list of integers"),
            (#""mlp_only_layers": ["a"]"#, "it must be a list of integers"),
        ])
    func refusals(members: String, expected: String) {
        let message = LoaderFixtures.message { _ = try Self.config(members) }
        #expect(message?.contains(expected) == true, "\(message ?? "accepted")")
    }

    /// A model of one layer with 3 experts, as entries of a safetensors file.
    private static func entries(fused: Bool) -> [LoaderFixtures.Entry] {
        func entry(_ name: String, _ shape: [Int], from first: Int) -> LoaderFixtures.Entry {
            let bytes = (0..<shape.reduce(1, *)).flatMap { index in
                let value = Float((first + index) * 37 % 101) / 101 - 0.5
                return withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
            }
            return LoaderFixtures.Entry(name, "F32", shape, bytes)
        }
        let layer = "model.layers.0."
        var entries = [
            entry("model.embed_tokens.weight", [5, 16], from: 0), entry("lm_head.weight", [5, 16], from: 7),
            entry("model.norm.weight", [16], from: 1), entry(layer + "input_layernorm.weight", [16], from: 1),
            entry(layer + "post_attention_layernorm.weight", [16], from: 1),
            entry(layer + "self_attn.q_proj.weight", [16, 16], from: 3),
            entry(layer + "self_attn.k_proj.weight", [8, 16], from: 4),
            entry(layer + "self_attn.v_proj.weight", [8, 16], from: 5),
            entry(layer + "self_attn.o_proj.weight", [16, 16], from: 6),
            entry(layer + "self_attn.q_norm.weight", [8], from: 1),
            entry(layer + "self_attn.k_norm.weight", [8], from: 1), entry(layer + "mlp.gate.weight", [3, 16], from: 2),
        ]
        // The numbers of the fused tensors, [3, 2 x 4, 16] and [3, 16, 4], counted through.
        if fused {
            entries.append(entry(layer + "mlp.experts.gate_up_proj", [3, 8, 16], from: 1000))
            entries.append(entry(layer + "mlp.experts.down_proj", [3, 16, 4], from: 5000))
        } else {
            for expert in 0..<3 {
                let name = layer + "mlp.experts.\(expert)."
                entries.append(entry(name + "gate_proj.weight", [4, 16], from: 1000 + 128 * expert))
                entries.append(entry(name + "up_proj.weight", [4, 16], from: 1000 + 128 * expert + 64))
                entries.append(entry(name + "down_proj.weight", [16, 4], from: 5000 + 64 * expert))
            }
        }
        return entries
    }

    private static let smallConfig = #"""
        "num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
        "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 4, "vocab_size": 5
        """#

    /// Loads them and runs a prompt.
    private static func logits(_ entries: [LoaderFixtures.Entry]) throws -> [[Float]] {
        try LoaderFixtures.withDirectory { path in
            try LoaderFixtures.write(
                ModelConfigTests.config("Qwen3MoeForCausalLM", smallConfig), path + "/config.json")
            try LoaderFixtures.write(LoaderFixtures.file(entries), path + "/model.safetensors")
            return try ModelHarness(path).allLogits([0, 3, 1, 4, 2, 2])
        }
    }

    @Test("One tensor for all experts is read as a tensor for each")
    func layouts() throws {
        let apart = try Self.logits(Self.entries(fused: false))
        #expect(try Self.logits(Self.entries(fused: true)) == apart)
        // Every expert takes part.
        for name in ["0.gate_proj", "1.up_proj", "2.down_proj"] {
            var entries = Self.entries(fused: false)
            let index = try #require(entries.firstIndex { $0.name.contains(name) })
            entries[index].bytes[3] ^= 0x80
            #expect(try Self.logits(entries) != apart)
        }
        for missing in ["mlp.experts.2.up_proj.weight", "mlp.gate.weight", "mlp.experts.0.down_proj.weight"] {
            let message = LoaderFixtures.message {
                _ = try Self.logits(Self.entries(fused: false).filter { !$0.name.hasSuffix(missing) })
            }
            #expect(message?.contains("tensor model.layers.0.\(missing) is missing") == true)
        }
        let both = LoaderFixtures.message {
            let extra = Self.entries(fused: false).filter { $0.name.contains("experts.1.gate") }
            _ = try Self.logits(Self.entries(fused: true) + extra)
        }
        #expect(both?.contains("unused tensor model.layers.0.mlp.experts.1.gate_proj.weight") == true)
    }

    @Test("Work: all experts that some token goes to are read once, a token is multiplied by its own")
    func work() throws {
        // hidden 16; 3 experts of 16 x 4 x 3 weights, 2 for a token; a router of 3 x 16.
        let work = ModelWork(try Self.config(Self.smallConfig), dtype: SWIFTLET_BFLOAT16)
        let one = work.experts(tokens: 1)
        #expect(abs(one.memoryBytes - 2 * (2 * 192 + 48)) < 1e-9 && one.floatOperations == 2 * (2 * 192 + 48))
        // A second token goes to the third expert in two of three cases.
        let two = work.experts(tokens: 2)
        #expect(abs(two.memoryBytes - 2 * ((2 + 2.0 / 3) * 192 + 48)) < 1e-9)
        #expect(two.floatOperations == 2 * one.floatOperations)
        #expect(abs(work.experts(tokens: 100).memoryBytes - 2 * (3 * 192 + 48)) < 1e-6)
        let int8 = ModelWork(
            try Self.config(Self.smallConfig), dtype: SWIFTLET_BFLOAT16,
            quantization: WeightQuantization(EngineConfig(quantization: .int8)))
        // Eight bits and a scale for each of 8 + 16 rows of an expert; the router stays.
        let quantized = int8.experts(tokens: 1)
        #expect(abs(quantized.memoryBytes - (2 * (192 + 24 * 4) + 2 * 48)) < 1e-9)
        #expect(quantized.integerOperations == 2 * 2 * 192 && quantized.floatOperations == 2 * 48)
        // A step has them where a layer has them; others have an MLP of 3 x 16 x 160 weights.
        let mixed = ModelWork(
            try Self.config(
                Self.smallConfig.replacing(#""num_hidden_layers": 1"#, with: #""num_hidden_layers": 3"#)
                    + #", "mlp_only_layers": [1]"#), dtype: SWIFTLET_BFLOAT16)
        let attention = 32 * 16 + 16 * 16
        #expect(
            mixed.weights(tokens: 1, logitRows: 0).floatOperations
                == Double(2 * (3 * attention + 2 * (2 * 192 + 48) + 3 * 16 * 160)))
    }

    @Test("Memory: weights and workspace as they are")
    func memory() throws {
        let config = try Self.config(Self.smallConfig)
        let plan = MemoryPlan(
            config: config, engine: EngineConfig(), dtype: SWIFTLET_FLOAT32, maxModelLength: 64, maxBatchedTokens: 32)
        let parameters = 32 * 16 + 16 * 16 + 3 * 192 + 48 + 2 * 5 * 16
        #expect(plan.parameterCount == parameters && plan.weightBytes == 4 * parameters)
        var dense = config
        dense.experts = nil
        let without = MemoryPlan(
            config: dense, engine: EngineConfig(), dtype: SWIFTLET_FLOAT32, maxModelLength: 64, maxBatchedTokens: 32)
        // Two rows for each of 32 tokens: x and activations, and as much again for results and integers; the logits.
        #expect(plan.workspaceBytes - without.workspaceBytes == 4 * (64 * 2 * (16 + 4) + 32 * 3))
    }
}

// Weights of four and eight bits on the emulated GPU: published folders against transformers, weights that are quantised
// here against the CPU backend, both paths of products.

import CSwiftletCUDAEmulator
import CSwiftletKernels
import Swiftlet
import SwiftletJSON
import SwiftletTestSupport
import SwiftletTokenizer
import Testing

extension CUDATests {
    @Suite("Quantised weights", .serialized)
    struct QuantizedTests {
        private let folder: TemporaryFolder
        private let random: String

        init() throws {
            folder = try TemporaryFolder()
            random = try Emulated.writeModel(in: folder)
        }

        /// The tokens of these requests, one after the other, and the logits that they were chosen by, on either backend.
        private func logits(
            _ model: String?, _ config: EngineConfig, onCPU: Bool = false,
            _ requests: [(prompt: [TokenID], params: SamplingParams)]
        ) throws -> (tokens: [[TokenID]], logits: [[Float]]) {
            let recorder = Recorder()
            func outputs<B: Backend>(_ engine: Driven<B>) throws -> [[TokenID]] {
                try requests.map { try engine.outputs([$0])[0].tokens[0] }
            }
            let tokens =
                onCPU
                ? try Emulated.runOnCPU(model, config, processors: [recorder]) { try outputs($0) }
                : try Emulated.run(model, config, processors: [recorder]) { try outputs($0) }
            return (tokens, recorder.taken)
        }

        static let fixtures = ["awq-gemm", "gptq-act-order", "w4a16", "fp8", "fp8-blocks", "w8a8"]

        private static func fixture(_ name: String) -> String {
            TestFiles.package + "/Tests/Fixtures/quantized/" + name
        }

        /// No activation is rounded to eight bits here, as W8A8 has it on the CPU.
        @Test(
            "Published folders give transformers' logits of the expanded weights",
            arguments: fixtures.map { ($0, EngineConfig.DataType.float32) }
                + [("awq-gemm", .bfloat16), ("fp8", .bfloat16)])
        func published(name: String, dtype: EngineConfig.DataType) throws {
            let bytes = try Platform.readFile(Self.fixture(name) + "/golden.json", limit: 1 << 20)
            let cases = Array(try JSONDocument(parsing: bytes).root["cases"]!.elements)
            // In one step each: up to 128 rows are multiplied without expanding, and up to 8 by another kernel.
            let config = Emulated.small(dtype, tokens: 128, maxModelLength: 128)
            let run = try logits(Self.fixture(name), config, cases.map { ($0["prompt_ids"]!.ids, .greedy(1)) })
            for (found, testCase) in zip(run.logits, cases) {
                let far = distance(found, testCase["last_logits"]!.floats)
                #expect(far < (dtype == .float32 ? 2e-5 : 3e-2), "\(testCase["prompt_ids"]!.count) tokens")
            }
            #expect(run.logits.count == 3)
        }

        @Test(
            "The demo model's logits are those of the CPU's four-bit weights",
            arguments: [EngineConfig.DataType.float32, .bfloat16])
        func demoModel(dtype: EngineConfig.DataType) throws {
            var config = Emulated.small(dtype)
            config.quantization = .int4
            let requests = [(prompt(7, seed: 1), SamplingParams.greedy(1)), (prompt(20, seed: 2), .greedy(2))]
            let (mine, theirs) = (try logits(nil, config, requests), try logits(nil, config, onCPU: true, requests))
            if dtype == .float32 { #expect(mine.tokens == theirs.tokens) }
            #expect(mine.logits.count == theirs.logits.count && mine.logits.count == 3)
            for (a, b) in zip(mine.logits, theirs.logits).prefix(2) {
                #expect(distance(a, b) < (dtype == .float32 ? 1e-4 : 3e-2))
            }
        }

        struct Variant: CustomTestStringConvertible, Sendable {
            var quantization: EngineConfig.Quantization
            var dtype: EngineConfig.DataType
            var hasHead = true
            var testDescription: String { "\(quantization), \(dtype), head \(hasHead ? "too" : "not")" }
        }

        /// Columns of 72 and 100: the latter are expanded for every product.
        @Test(
            "Odd widths, few rows, many rows and an embedding agree with the CPU",
            arguments: [
                Variant(quantization: .int4, dtype: .float32), Variant(quantization: .int4, dtype: .bfloat16),
                Variant(quantization: .int4, dtype: .float32, hasHead: false),
                Variant(quantization: .int8, dtype: .float32), Variant(quantization: .int8, dtype: .bfloat16),
            ])
        func oddWidths(variant: Variant) throws {
            var config = Emulated.small(
                variant.dtype, blocks: 40, tokens: 192, maxModelLength: 256, dummySeed: 5)
            (config.quantization, config.quantizeHead) = (variant.quantization, variant.hasHead)
            let requests = [3, 12, 40, 150].map {
                (prompt: prompt($0, seed: UInt64($0)), params: SamplingParams.greedy(1))
            }
            let mine = try logits(random, config, requests)
            let theirs = try logits(random, config, onCPU: true, requests)
            // The CPU rounds activations to eight bits where weights have as many.
            let bound = variant.quantization == .int8 ? 4e-2 : variant.dtype == .float32 ? 1e-4 : 3e-2
            for (a, b) in zip(mine.logits, theirs.logits) { #expect(distance(a, b) < bound) }
            #expect(mine.logits.count == 4)
        }

        @Test("Graphs and eager steps give the same logits, bit for bit, in every order of threads")
        func graphsAreEager() throws {
            defer { swiftlet_emulator_set_thread_order(0) }
            var results: [[[Float]]] = []
            for (order, eager) in [(0, false), (0, true), (3, false), (4, true)] {
                swiftlet_emulator_set_thread_order(Int32(order))
                var config = Emulated.small(.bfloat16, eager: eager, dummySeed: 1)
                config.quantization = .int4
                let recorder = Recorder()
                try Emulated.run(random, config, processors: [recorder]) { engine in
                    _ = try engine.outputs([(prompt(5, seed: 3), .greedy(5)), (prompt(30, seed: 4), .greedy(4))])
                }
                results.append(recorder.taken)
            }
            #expect(results[0].count == 9)
            for other in results.dropFirst() { #expect(other == results[0]) }
        }

        @Test(
            "Experts agree with the CPU's", .enabled(if: Golden.isHere, Comment(rawValue: Golden.missing)),
            arguments: [EngineConfig.Quantization.int4, .int8], [EngineConfig.DataType.float32, .bfloat16])
        func experts(quantization: EngineConfig.Quantization, dtype: EngineConfig.DataType) throws {
            var config = Emulated.small(dtype)
            config.quantization = quantization
            let request = [(prompt(20, seed: 2, below: 60), SamplingParams.greedy(1))]
            let mine = try logits(Golden.model("qwen3-moe"), config, request)
            let theirs = try logits(Golden.model("qwen3-moe"), config, onCPU: true, request)
            let bound = quantization == .int8 ? 6e-2 : dtype == .float32 ? 1e-4 : 3e-2
            #expect(distance(mine.logits[0], theirs.logits[0]) < bound)
        }

        @Test("A folder of fp8 that is quantised anew has the CPU's integers")
        func requantized() throws {
            var config = Emulated.small(.float32)
            config.quantization = .int4
            let request = [(prompt(20, seed: 2, below: 60), SamplingParams.greedy(1))]
            let mine = try logits(Self.fixture("fp8-blocks"), config, request)
            let theirs = try logits(Self.fixture("fp8-blocks"), config, onCPU: true, request)
            #expect(distance(mine.logits[0], theirs.logits[0]) < 1e-4)
        }

        @Test("Ranks quantise their shards as ranks on the CPU do", arguments: [EngineConfig.Quantization.int4, .int8])
        func shards(quantization: EngineConfig.Quantization) throws {
            var config = Emulated.small(.float32, ranks: 2, dummySeed: 5)
            config.quantization = quantization
            let request = [(prompt(20, seed: 2), SamplingParams.greedy(2))]
            let mine = try logits(random, config, request)
            let theirs = try logits(random, config, onCPU: true, request)
            #expect(mine.logits.count == 2)
            #expect(distance(mine.logits[0], theirs.logits[0]) < (quantization == .int8 ? 4e-2 : 1e-4))
        }

        @Test("Ranks take their shards of published folders", arguments: fixtures.filter { $0 != "fp8-blocks" })
        func storedShards(name: String) throws {
            let bytes = try Platform.readFile(Self.fixture(name) + "/golden.json", limit: 1 << 20)
            let cases = Array(try JSONDocument(parsing: bytes).root["cases"]!.elements)
            let config = Emulated.small(.float32, tokens: 128, maxModelLength: 128, ranks: 2)
            let run = try logits(Self.fixture(name), config, cases.map { ($0["prompt_ids"]!.ids, .greedy(1)) })
            for (found, testCase) in zip(run.logits, cases) {
                #expect(distance(found, testCase["last_logits"]!.floats) < 2e-5)
            }
            #expect(run.logits.count == 3)
        }

        @Test("Scales of blocks that a rank would cut are refused by name")
        func cutBlocks() throws {
            let config = Emulated.small(.float32, tokens: 128, maxModelLength: 128, ranks: 2)
            let error = #expect(throws: LLMError.self) { try Emulated.run(Self.fixture("fp8-blocks"), config) { _ in } }
            #expect(error?.message.contains("128 columns") == true, "\(error?.message ?? "-")")
        }

        /// Random weights of a folder's shape: experts of four bits, with zero points.
        private func writeExperts(order: Bool) throws -> String {
            _ = try folder.write(
                """
                {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 64,
                 "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 24,
                 "intermediate_size": 64, "moe_intermediate_size": 96, "num_experts": 5, "num_experts_per_tok": 2,
                 "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [], "vocab_size": 101,
                 "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true,
                 "max_position_embeddings": 512, "hidden_act": "silu", "torch_dtype": "bfloat16", "eos_token_id": 7,
                 "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": \(order),
                  "sym": false}}
                """, "config.json")
            return folder.path
        }

        @Test("Experts that are stored quantised agree with the CPU's")
        func storedExperts() throws {
            let model = try writeExperts(order: false)
            let request = [(prompt(20, seed: 2, below: 90), SamplingParams.greedy(1))]
            let config = Emulated.small(.float32, dummySeed: 3)
            let (mine, theirs) = (
                try logits(model, config, request), try logits(model, config, onCPU: true, request)
            )
            #expect(distance(mine.logits[0], theirs.logits[0]) < 1e-4)
        }

        /// The weights of that folder: zeros, but for the groups that columns belong to.
        private func writeOrderedWeights() throws {
            var tensors: [(name: String, type: String, shape: [Int], bytes: [UInt8])] = []
            func add(_ name: String, _ type: String, _ shape: [Int], size: Int, _ bytes: [UInt8]? = nil) {
                let count = size * shape.reduce(1, *)
                tensors.append((name, type, shape, bytes ?? [UInt8](repeating: 0, count: count)))
            }
            func addLinear(_ module: String, _ rows: Int, _ columns: Int) {
                add(module + ".qweight", "I32", [columns / 8, rows], size: 4)
                add(module + ".qzeros", "I32", [columns / 32, rows / 8], size: 4)
                add(module + ".scales", "F16", [columns / 32, rows], size: 2)
                let groups: [UInt8] = (0..<4 * columns).map { $0 % 4 == 0 ? UInt8($0 / 4 % (columns / 32)) : 0 }
                add(module + ".g_idx", "I32", [columns], size: 4, groups)
            }
            add("model.embed_tokens.weight", "BF16", [101, 64], size: 2)
            for name in ["norm", "layers.0.input_layernorm", "layers.0.post_attention_layernorm"] {
                add("model.\(name).weight", "BF16", [64], size: 2)
            }
            let layer = "model.layers.0."
            for name in ["q", "k"] { add(layer + "self_attn.\(name)_norm.weight", "BF16", [24], size: 2) }
            for (name, rows) in [("q", 96), ("k", 48), ("v", 48)] {
                addLinear(layer + "self_attn.\(name)_proj", rows, 64)
            }
            addLinear(layer + "self_attn.o_proj", 64, 96)
            add(layer + "mlp.gate.weight", "BF16", [5, 64], size: 2)
            for expert in 0..<5 {
                addLinear(layer + "mlp.experts.\(expert).gate_proj", 96, 64)
                addLinear(layer + "mlp.experts.\(expert).up_proj", 96, 64)
                addLinear(layer + "mlp.experts.\(expert).down_proj", 64, 96)
            }
            var (members, data): ([String], [UInt8]) = ([], [])
            for tensor in tensors {
                let end = data.count + tensor.bytes.count
                members.append(
                    #""\#(tensor.name)": {"dtype": "\#(tensor.type)", "shape": \#(tensor.shape), "data_offsets": "#
                        + "[\(data.count), \(end)]}")
                data += tensor.bytes
            }
            let header = Array("{\(members.joined(separator: ", "))}".utf8)
            let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
            try folder.write(length + header + data, "model.safetensors")
        }

        @Test("Experts whose columns have an order of their own are refused by name")
        func orderedExperts() throws {
            let model = try writeExperts(order: true)
            try writeOrderedWeights()
            #expect(try Emulated.runOnCPU(model) { try $0.outputs([(prompt(3, seed: 1), .greedy(1))]) }.count == 1)
            let error = #expect(throws: LLMError.self) { try Emulated.run(model) { _ in } }
            #expect(error?.message.contains("act-order") == true, "\(error?.message ?? "-")")
        }

        @Test("A plan for a GPU counts fp8 as bytes with their scales")
        func memory() throws {
            func bytes(_ device: EngineConfig.Device) throws -> Int {
                let config = EngineConfig(device: device, dtype: .bfloat16)
                return try ModelInfo(Self.fixture("fp8-blocks"), config: config).weightBytes
            }
            // One layer: rows of 64 columns, and of 160 the last matrix's, which have two scales each.
            let (rows, lastRows) = (64 + 32 + 32 + 64 + 2 * 160, 64)
            let (weights, scales) = (rows * 64 + lastRows * 160, 4 * (rows + 2 * lastRows))
            #expect(try bytes(.cpu) - bytes(.cuda) == weights - scales)
        }
    }
}

// What operations, steps and runs have to move and to compute, against numbers worked out by hand for a small model.

import CSwiftletKernels
import Swiftlet
import Testing

@Suite("Work and limits")
struct ModelWorkTests {
    /// hidden 8, 4 query heads and 2 key heads of 6, intermediate 10, vocabulary 100, 3 layers.
    private func model(window: Int? = nil) throws -> ModelConfig {
        let windowed = window.map { "\"sliding_window\": \($0), " } ?? ""
        let folder = DummyModel.folder(
            """
            {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_size": 8,
             "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
             "intermediate_size": 10, "vocab_size": 100, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
             "max_position_embeddings": 512, "hidden_act": "silu", "torch_dtype": "bfloat16", \(windowed)
             "eos_token_id": 7}
            """)
        return try ModelFiles(directory: folder.path).config()
    }

    @Test("Matrices: weights once, two operations for each weight and token")
    func linear() throws {
        let work = ModelWork(try model(), dtype: SWIFTLET_BFLOAT16)
        // Outputs x inputs: (32 + 2 x 16) x 8, 8 x 32, 20 x 8, 8 x 10, 100 x 8.
        let weights: [(ModelWork.Projection, Double)] = [
            (.qkv, 512), (.output, 256), (.gateUp, 160), (.down, 80), (.head, 800),
        ]
        for (projection, count) in weights {
            let one = work.linear(projection, tokens: 1)
            #expect(one == OperationWork(memoryBytes: 2 * count, floatOperations: 2 * count), "\(projection)")
            #expect(one.intensity == 1)
            let many = work.linear(projection, tokens: 7)
            #expect(many == OperationWork(memoryBytes: 2 * count, floatOperations: 14 * count), "\(projection)")
        }
        let wide = ModelWork(try model(), dtype: SWIFTLET_FLOAT32).linear(.down, tokens: 3)
        #expect(wide == OperationWork(memoryBytes: 320, floatOperations: 480))
    }

    @Test("Quantised weights: fewer bytes, integer products")
    func quantised() throws {
        let config = try model()
        func work(_ kind: EngineConfig.Quantization, head: Bool = true) -> ModelWork {
            let engine = EngineConfig(quantization: kind, quantizeHead: head)
            return ModelWork(config, dtype: SWIFTLET_BFLOAT16, quantization: WeightQuantization(engine))
        }
        // 64 x 8 bytes and 64 scales.
        #expect(
            work(.int8).linear(.qkv, tokens: 3) == OperationWork(memoryBytes: 768, integerOperations: 3072))
        #expect(
            work(.int8, head: false).linear(.head, tokens: 1)
                == OperationWork(memoryBytes: 1600, floatOperations: 1600))
        #expect(work(.int4).linear(.qkv, tokens: 3).floatOperations == 3072)
    }

    @Test("Attention: keys and values once, rows see what is before them")
    func attention() throws {
        let work = ModelWork(try model(), dtype: SWIFTLET_BFLOAT16)
        // A decode at the fifth position: 5 keys and 5 values of 16 elements; 2 products of 5 x 32 elements.
        #expect(
            work.attention(.init(rows: 1, context: 5)) == OperationWork(memoryBytes: 320, floatOperations: 640))
        // In eight bits, with a scale for each head's 5 keys and 5 values.
        let eight = ModelWork(try model(), dtype: SWIFTLET_BFLOAT16, kvCacheType: .int8)
        let heads = Double(eight.config.keyValueHeadCount)
        #expect(eight.attention(.init(rows: 1, context: 5)).memoryBytes == 160 + 10 * 4 * heads)
        // A prompt of 4: rows see 1 + 2 + 3 + 4 positions.
        #expect(
            work.attention(.init(rows: 4, context: 4)) == OperationWork(memoryBytes: 256, floatOperations: 1280))
        // Its last two rows: 3 + 4.
        #expect(
            work.attention(.init(rows: 2, context: 4)) == OperationWork(memoryBytes: 256, floatOperations: 896))
        // A window of 3 at position 9: three positions seen and read.
        #expect(
            work.attention(.init(rows: 1, context: 10), window: 3)
                == OperationWork(memoryBytes: 192, floatOperations: 384))
        // A prompt of 6 with a window of 3: 1 + 2 + 3 + 3 + 3 + 3, all six read.
        #expect(
            work.attention(.init(rows: 6, context: 6), window: 3)
                == OperationWork(memoryBytes: 384, floatOperations: 1920))
        // Rows 4 and 5 of 6: 3 + 3, positions 2 to 5 read.
        #expect(
            work.attention(.init(rows: 2, context: 6), window: 3)
                == OperationWork(memoryBytes: 256, floatOperations: 768))
    }

    @Test("A step is all layers, the head for rows that need logits, and every sequence's attention")
    func step() throws {
        for window in [nil, 3] {
            let work = ModelWork(try model(window: window), dtype: SWIFTLET_BFLOAT16)
            let step = work.step([.init(rows: 4, context: 4), .init(rows: 1, context: 5)], logitRows: 2)
            // 1008 weights a layer, 5 rows; 800 in the head, 2 rows; 32 elements a query.
            let seen = window == nil ? 1 + 2 + 3 + 4 + 5 : 1 + 2 + 3 + 3 + 3
            let read = window == nil ? 4 + 5 : 4 + 3
            #expect(step.floatOperations == Double(2 * (3 * 1008 * 5 + 800 * 2) + 3 * 4 * 32 * seen))
            #expect(step.memoryBytes == Double(2 * (3 * 1008 + 800) + 3 * read * 2 * 16 * 2))
            #expect(step.cacheBytes == 0)
        }
    }

    @Test("A run is its prompts, then a step for each token that is left, with as many sequences as have a place")
    func run() throws {
        let work = ModelWork(try model(window: 3), dtype: SWIFTLET_BFLOAT16)
        let limits = MachineLimits(memory: 1e3, cache: 1, peak: 3e3)
        func seconds(_ contexts: [Int]) -> Double { limits.seconds(for: work.decode(contexts: contexts)) }
        let requests: [RunWork.Lengths] = [
            .init(prompt: 4, output: 3), .init(prompt: 2, output: 1), .init(prompt: 9, output: 2),
        ]
        let prompts = limits.seconds(
            for: work.step(
                [.init(rows: 4, context: 4), .init(rows: 2, context: 2), .init(rows: 9, context: 9)], logitRows: 3))
        let together = RunWork(requests, of: work, places: 3)
        #expect(together.seconds(on: limits) == prompts + (seconds([5, 10]) + seconds([6])))
        let oneByOne = RunWork(requests, of: work, places: 1)
        #expect(oneByOne.seconds(on: limits) == prompts + (seconds([5]) + seconds([6]) + seconds([10])))
        // One of them never generates beside the others.
        #expect(together.decodeRate(on: limits) == nil && oneByOne.decodeRate(on: limits) == nil)
        let equal = Array(repeating: RunWork.Lengths(prompt: 10, output: 5), count: 2)
        #expect(RunWork(equal, of: work, places: 2).decodeRate(on: limits) == 2 / seconds([13, 13]))
        #expect(RunWork(equal, of: work, places: 1).decodeRate(on: limits) == nil)
    }

    @Test("A probe looks at the machine around runs and leaves its own memory out")
    func probe() throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let probe = try RunProbe(folder.path, config: EngineConfig(threads: 1, loadFormat: .dummy))
        #expect(probe.peakMemory == nil)
        for _ in 0..<2 {
            let limits = try probe.limits()
            #expect(limits.memory > 0 && limits.cache > 0 && limits.peak > 0)
        }
        #expect(try #require(probe.peakMemory) > 0 && !probe.instruction.isEmpty)
    }

    @Test("Norms, rope and sampling move activations")
    func rest() throws {
        let work = ModelWork(try model(), dtype: SWIFTLET_BFLOAT16)
        #expect(work.rmsNorm(tokens: 3) == OperationWork(cacheBytes: 3 * 8 * 6))
        #expect(work.ropeAndStore(tokens: 3) == OperationWork(cacheBytes: 3 * 64 * 6))
        #expect(work.sample(tokens: 2, cacheSize: 3200) == OperationWork(cacheBytes: 800))
        #expect(work.sample(tokens: 2, cacheSize: 3199) == OperationWork(memoryBytes: 800))
    }

    @Test("The limit is the longer of moving and computing")
    func limits() {
        let limits = MachineLimits(memory: 10, cache: 40, peak: 100, integerPeak: 200)
        let cases: [(OperationWork, Double, MachineLimits.Bound)] = [
            (OperationWork(memoryBytes: 30, floatOperations: 200), 3, .memory),
            (OperationWork(memoryBytes: 30, floatOperations: 400), 4, .compute),
            (OperationWork(memoryBytes: 30, floatOperations: 200, integerOperations: 400), 4, .compute),
            (OperationWork(cacheBytes: 200), 5, .cache),
        ]
        for (work, seconds, bound) in cases {
            #expect(limits.seconds(for: work) == seconds)
            #expect(limits.bound(of: work) == bound)
        }
        let other = MachineLimits(memory: 30, cache: 20, peak: 300, integerPeak: 400)
        let mean = MachineLimits(memory: 20, cache: 30, peak: 200, integerPeak: 300)
        #expect(MachineLimits.mean(limits, other) == mean)
        #expect(MachineLimits.medians(of: [limits, other]) == mean)
        let high = MachineLimits(memory: 99, cache: 99, peak: 999, integerPeak: 300)
        #expect(
            MachineLimits.medians(of: [limits, high, other])
                == MachineLimits(memory: 30, cache: 40, peak: 300, integerPeak: 300))
        // Where nothing uses integers, nobody asks how fast they are.
        #expect(MachineLimits(memory: 1, cache: 1, peak: 1).seconds(for: OperationWork(memoryBytes: 2)) == 2)
    }

    @Test("Every operation of a small model is measured, at every number of rows that the engine runs")
    func bench() throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let bench = try RooflineBench(
            folder.path, config: EngineConfig(threads: 1, loadFormat: .dummy), isQuick: true)
        let roofline = try bench.run { _ in }
        #expect(roofline.limits.memory > 0 && roofline.limits.cache > 0 && roofline.limits.peak > 0)
        #expect(roofline.slowestMemory <= roofline.limits.memory && roofline.limits.memory <= roofline.fastestMemory)
        let all = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
        func rows(_ group: Roofline.Group, _ operation: String) -> [Int] {
            roofline.cells(of: group).filter { $0.operation == operation }.map(\.rows)
        }
        for name in ["qkv", "output", "gate+up", "down"] { #expect(rows(.linear, name) == all) }
        #expect(rows(.linear, "head") == Array(all.prefix(7)))
        // The model's context is 512.
        #expect(rows(.attentionDecode, "context 128") == all && rows(.attentionPrefill, "context 512") == all)
        for name in ["rms norm", "rope, decode", "rope, prefill"] { #expect(rows(.other, name) == all) }
        for name in ["greedy", "temperature 1", "top-k and top-p"] {
            #expect(rows(.other, name) == Array(all.prefix(7)))
        }
        #expect(
            roofline.cells(of: .forward).map(\.operation) == ["prefill 512", "decode 1", "decode 16", "decode 64"])
        for cell in roofline.cells {
            #expect(cell.seconds > 0 && cell.share > 0 && cell.share.isFinite && cell.repeats == 1)
        }
    }
}

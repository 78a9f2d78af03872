// How far quantised weights and an eight-bit KV cache take a model's logits from those of its own weights in float32. The bounds are about
// twice what Docs/Quantization.md reports.

import CSwiftletKernels
import Swiftlet
import SwiftletJSON
import Testing

@Suite("Quantisation", .serialized)
struct QuantizationTests {
    /// Over all positions of some texts.
    struct Divergence: CustomStringConvertible {
        /// |a - b| / |b| of logits less their mean, which no probability depends on.
        var distance = 0.0
        /// The divergence of the probabilities from the true ones, in nats.
        var divergence = 0.0
        /// The share of positions whose likeliest token is another one.
        var otherChoices = 0.0

        var description: String {
            "logits \(distance), KL \(divergence), other choices \(otherChoices)"
        }
    }

    static func measure(_ texts: [[Int32]], _ reference: ModelHarness, _ model: ModelHarness) -> Divergence {
        var result = Divergence()
        var count = 0.0
        for text in texts {
            for (wanted, actual) in zip(reference.allLogits(text), model.allLogits(text)) {
                let (p, q) = (logProbabilities(wanted), logProbabilities(actual))
                result.distance += relativeDistance(centered(actual), centered(wanted))
                result.divergence += zip(p, q).reduce(0) { $0 + exponential($1.0) * ($1.0 - $1.1) }
                result.otherChoices += p.firstIndex(of: p.max()!) == q.firstIndex(of: q.max()!) ? 0 : 1
                count += 1
            }
        }
        result.distance /= count
        result.divergence /= count
        result.otherChoices /= count
        return result
    }

    private static func exponential(_ x: Double) -> Double { Platform.power(2, x * 1.4426950408889634) }

    private static func centered(_ logits: [Float]) -> [Float] {
        let mean = Float(logits.reduce(0.0) { $0 + Double($1) } / Double(logits.count))
        return logits.map { $0 - mean }
    }

    private static func logProbabilities(_ logits: [Float]) -> [Double] {
        let largest = Double(logits.max()!)
        let sum = logits.reduce(0.0) { $0 + exponential(Double($1) - largest) }
        let logSum = largest + Platform.logarithm(sum)
        return logits.map { Double($0) - logSum }
    }

    /// What the demo model writes.
    static func demoTexts() async throws -> [[Int32]] {
        let llm = try await LLM(config: EngineConfig(dtype: .float32, threads: 2))
        let prompts = ["Once upon a time", "The old man", "Lily and her dog"]
        let outputs = try await llm.generate(
            prompts.map { .text($0) }, SamplingParams(temperature: 1, seed: 7, maxTokens: 150))
        await llm.shutdown()
        return outputs.map { $0.promptTokenIDs + $0.tokenIDs }
    }

    /// Prompts of the reference data, with the outputs of the trained models.
    static func goldenTexts(_ name: String) throws -> [[Int32]] {
        try GoldenModelTests.cases(name).map { testCase in
            guard let prompt = testCase["input_ids"] else { return testCase["prompt_ids"]!.ids }
            return prompt.ids + testCase["output_ids"]!.ids
        }
    }

    private static let dtypes = [SWIFTLET_FLOAT32.rawValue, SWIFTLET_BFLOAT16.rawValue]

    @Test("int8 keeps the demo model's logits", arguments: dtypes, [true, false])
    func demoModel(dtype: UInt32, quantizeHead: Bool) async throws {
        let model = try ModelHarness(
            nil, dtype: swiftlet_dtype(rawValue: dtype), quantization: .int8, quantizeHead: quantizeHead)
        let found = Self.measure(try await Self.demoTexts(), try ModelHarness(nil), model)
        #expect(found.distance > 1e-3, "something is rounded")
        #expect(found.distance < 0.06 && found.divergence < 0.0015 && found.otherChoices < 0.04, "\(found)")
    }

    @Test(
        "int8 keeps the logits of other models", .enabled(if: Shared.isHere, Comment(rawValue: Shared.missing)),
        arguments: GoldenModelTests.trained + GoldenModelTests.families, dtypes)
    func goldenModels(name: String, dtype: UInt32) throws {
        let model = try ModelHarness(Shared.model(name), dtype: swiftlet_dtype(rawValue: dtype), quantization: .int8)
        let found = Self.measure(try Self.goldenTexts(name), try ModelHarness(Shared.model(name)), model)
        // Random weights of a hidden size of 32 or 64 average out less than trained ones.
        let isTrained = GoldenModelTests.trained.contains(name)
        #expect(found.distance > 1e-3, "something is rounded")
        let (distance, divergence) = isTrained ? (0.04, 0.003) : (0.11, 0.035)
        #expect(found.distance < distance && found.divergence < divergence, "\(found)")
    }

    @Test("An eight-bit KV cache keeps the demo model's logits", arguments: dtypes)
    func demoModelCache(dtype: UInt32) async throws {
        let model = try ModelHarness(nil, dtype: swiftlet_dtype(rawValue: dtype), kvCacheType: .int8)
        let found = Self.measure(try await Self.demoTexts(), try ModelHarness(nil), model)
        #expect(found.distance > 1e-4, "something is rounded")
        #expect(found.distance < 0.015 && found.divergence < 0.00015 && found.otherChoices < 0.015, "\(found)")
    }

    @Test(
        "An eight-bit KV cache keeps the logits of other models",
        .enabled(if: Shared.isHere, Comment(rawValue: Shared.missing)),
        arguments: GoldenModelTests.trained + GoldenModelTests.dense, dtypes)
    func goldenModelsCache(name: String, dtype: UInt32) throws {
        let model = try ModelHarness(Shared.model(name), dtype: swiftlet_dtype(rawValue: dtype), kvCacheType: .int8)
        let found = Self.measure(try Self.goldenTexts(name), try ModelHarness(Shared.model(name)), model)
        #expect(found.distance > 1e-4, "something is rounded")
        #expect(found.distance < 0.035 && found.divergence < 0.003, "\(found)")
    }

    /// Nothing but the folder's own weights is rounded: what comes from memory is the packed matrices, once.
    @Test("int8 weights take the bytes that the plan says", arguments: [true, false])
    func memory(quantizeHead: Bool) throws {
        let shape = try ModelLoader.demoModel.config()
        let config = EngineConfig(quantization: .int8, quantizeHead: quantizeHead)
        let plan = MemoryPlan(
            config: shape, engine: config, dtype: SWIFTLET_BFLOAT16, maxModelLength: 64, maxBatchedTokens: 64)
        let whole = MemoryPlan(
            config: shape, engine: EngineConfig(), dtype: SWIFTLET_BFLOAT16, maxModelLength: 64, maxBatchedTokens: 64)
        let head = 2 * shape.vocabularySize * shape.hiddenSize
        let quantized = whole.weightBytes - (quantizeHead ? 0 : head)
        #expect(plan.weightBytes - (quantizeHead ? 0 : head) > quantized / 2)
        #expect(Double(plan.weightBytes - (quantizeHead ? 0 : head)) < Double(quantized) * 0.53)
        let info = try ModelInfo(nil, config: config)
        #expect(info.weightBytes == plan.weightBytes && info.quantization == .int8)
    }
}

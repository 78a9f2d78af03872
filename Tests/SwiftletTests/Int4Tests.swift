// How far four-bit weights take a model's logits from those of its own weights in float32, and that batches don't
// change them. The bounds are about 1.5 times what Docs/Quantization.md reports.

import CSwiftletKernels
import Swiftlet
import SwiftletJSON
import Testing

@Suite("Four-bit weights", .serialized)
struct Int4Tests {
    private static let dtypes = [SWIFTLET_FLOAT32.rawValue, SWIFTLET_BFLOAT16.rawValue]

    @Test("int4 keeps the demo model's logits", arguments: dtypes, [true, false])
    func demoModel(dtype: UInt32, quantizeHead: Bool) async throws {
        let model = try ModelHarness(
            nil, dtype: swiftlet_dtype(rawValue: dtype), quantization: .int4, quantizeHead: quantizeHead)
        let found = QuantizationTests.measure(try await QuantizationTests.demoTexts(), try ModelHarness(nil), model)
        #expect(found.distance > 1e-3, "something is rounded")
        #expect(found.distance < 0.3 && found.divergence < 0.045 && found.otherChoices < 0.1, "\(found)")
    }

    @Test(
        "int4 keeps the logits of other models", .enabled(if: Shared.isHere, Comment(rawValue: Shared.missing)),
        arguments: GoldenModelTests.trained + GoldenModelTests.families, dtypes)
    func goldenModels(name: String, dtype: UInt32) throws {
        let texts = try QuantizationTests.goldenTexts(name)
        let model = try ModelHarness(Shared.model(name), dtype: swiftlet_dtype(rawValue: dtype), quantization: .int4)
        let found = QuantizationTests.measure(texts, try ModelHarness(Shared.model(name)), model)
        // Random weights of a hidden size of 32 or 64 average out less than trained ones.
        let isTrained = GoldenModelTests.trained.contains(name)
        #expect(found.distance > 1e-3, "something is rounded")
        #expect(found.distance < (isTrained ? 0.25 : 0.8) && found.divergence < (isTrained ? 0.17 : 2.1), "\(found)")
    }

    @Test("No bit of a request depends on its batch", arguments: [EngineConfig.DataType.float32, .bfloat16])
    func batchInvariance(dtype: EngineConfig.DataType) async throws {
        let counters = try await BatchInvarianceTests.compare(DummyModel.qwen3, dtype, .int4, level: nil, rounds: 12)
        #expect(counters.preemptions > 20 && counters.prefixCacheHits > 500)
    }

    @Test("On every level", arguments: CPUBackend.supportedLevels.map { String(cString: swiftlet_level_name($0)) })
    func everyLevel(level: String) async throws {
        for dtype in [EngineConfig.DataType.float32, .bfloat16] {
            _ = try await BatchInvarianceTests.compare(DummyModel.qwen3, dtype, .int4, level: level, rounds: 2)
        }
    }

    @Test("int4 weights take the bytes that the plan says", arguments: [true, false])
    func memory(quantizeHead: Bool) throws {
        let shape = try ModelLoader.demoModel.config()
        let config = EngineConfig(quantization: .int4, quantizeHead: quantizeHead)
        let plan = MemoryPlan(
            config: shape, engine: config, dtype: SWIFTLET_BFLOAT16, maxModelLength: 64, maxBatchedTokens: 64)
        let whole = MemoryPlan(
            config: shape, engine: EngineConfig(), dtype: SWIFTLET_BFLOAT16, maxModelLength: 64, maxBatchedTokens: 64)
        // 4.25 bits of 16, in matrices whose columns fill their last group.
        let head = 2 * shape.vocabularySize * shape.hiddenSize
        let kept = quantizeHead ? 0 : head
        let share = Double(plan.weightBytes - kept) / Double(whole.weightBytes - kept)
        #expect(share >= 4.25 / 16 && share < 4.3 / 16, "\(share)")
        let info = try ModelInfo(nil, config: config)
        #expect(info.weightBytes == plan.weightBytes && info.quantization == .int4)
    }
}

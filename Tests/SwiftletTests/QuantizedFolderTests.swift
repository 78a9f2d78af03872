// Published folders of quantised weights: read as they are, and compared with the same weights expanded. Fixtures are
// made by Tools/conformance/make_quantized.py, with the outputs of transformers; others are made by QuantizedFolder.

import CSwiftletKernels
import Foundation
import Swiftlet
import SwiftletJSON
import Testing

@Suite("Quantised folders", .serialized)
struct QuantizedFolderTests {
    static let fixtures = ["awq-gemm", "gptq-act-order", "w4a16", "fp8", "fp8-blocks", "w8a8"]

    static func fixture(_ name: String) -> String {
        LoaderFixtures.package.appendingPathComponent("Tests/Fixtures/quantized/\(name)").path
    }

    /// With float32 activations only the order of sums differs from what the expanded weights give; W8A8 rounds
    /// activations to eight bits.
    @Test("Fixtures give transformers' logits of the expanded weights", arguments: fixtures)
    func logits(name: String) throws {
        let golden = try #require(Shared.json(Self.fixture(name) + "/golden.json")["cases"])
        let (single, double) = name == "w8a8" ? (4e-2, 5e-2) : (2e-5, 3e-2)
        for level in CPUBackend.supportedLevels {
            for (dtype, bound) in [(SWIFTLET_FLOAT32, single), (SWIFTLET_BFLOAT16, double)] {
                let harness = try ModelHarness(
                    Self.fixture(name), dtype: dtype, level: String(cString: swiftlet_level_name(level)))
                for testCase in golden.elements {
                    let (prompt, expected) = (testCase["prompt_ids"]!.ids, testCase["last_logits"]!.floats)
                    let distance = relativeDistance(harness.lastLogits(prompt), expected)
                    #expect(distance < bound, "\(harness.backend.levelName), \(dtype)")
                }
            }
        }
    }

    @Test("Results don't depend on chunks and threads", arguments: fixtures)
    func batchInvariance(name: String) throws {
        let prompt = (0..<90).map { Int32($0 * 7 % 61) }
        let reference = try ModelHarness(Self.fixture(name), dtype: SWIFTLET_BFLOAT16).lastLogits(prompt)
        for threads in [1, 3] {
            let harness = try ModelHarness(Self.fixture(name), dtype: SWIFTLET_BFLOAT16, threads: threads)
            for chunk in [1, 13, 64, 512] { #expect(harness.lastLogits(prompt, chunk: chunk) == reference) }
        }
    }

    struct Variant: CustomTestStringConvertible {
        var layout: QuantizedFolder.Layout
        var groupSize: Int
        var hasZeros: Bool
        var hasOrder: Bool
        var scaleType: String

        var testDescription: String {
            "\(layout) \(groupSize) \(hasZeros ? "zeros" : "symmetric") \(hasOrder ? "ordered" : "") \(scaleType)"
        }
    }

    static let variants: [Variant] = QuantizedFolder.Layout.allCases.flatMap { layout in
        [0, 32, 64, 128].flatMap { groupSize in
            [false, true].map { hasZeros in
                let canBeOrdered = [.gptq, .gptqV2, .packed].contains(layout)
                return Variant(
                    layout: layout, groupSize: groupSize, hasZeros: hasZeros,
                    hasOrder: canBeOrdered && (groupSize == 32 || hasZeros),
                    scaleType: groupSize == 64 ? "BF16" : groupSize == 128 && !hasZeros ? "F32" : "F16")
            }
        }
    }

    @Test("Every arrangement gives the logits of its expanded copy", arguments: variants)
    func arrangements(variant: Variant) throws {
        let folder = QuantizedFolder(
            variant.layout, groupSize: variant.groupSize, hasZeros: variant.hasZeros, hasOrder: variant.hasOrder,
            scaleType: variant.scaleType)
        let prompt = (0..<50).map { Int32($0 * 5 % 67) }
        try LoaderFixtures.withDirectory { path in
            try folder.write(path + "/stored")
            try folder.writeExpanded(path + "/expanded")
            let expected = try ModelHarness(path + "/expanded").lastLogits(prompt)
            let stored = try ModelHarness(path + "/stored", threads: 2)
            #expect(relativeDistance(stored.lastLogits(prompt), expected) < 1e-5)
            #expect(relativeDistance(stored.lastLogits(prompt, chunk: 1), expected) < 1e-5)
        }
    }

    @Test("Projections that are stored as one are cut apart", arguments: QuantizedFolder.Layout.allCases)
    func fused(layout: QuantizedFolder.Layout) throws {
        let folder = QuantizedFolder(
            layout, groupSize: 32, hasZeros: true, hasOrder: ![.awq, .awqGEMV].contains(layout), isFused: true)
        let prompt = (0..<20).map { Int32($0 * 5 % 67) }
        try LoaderFixtures.withDirectory { path in
            try folder.write(path + "/stored")
            try folder.writeExpanded(path + "/expanded")
            let expected = try ModelHarness(path + "/expanded").lastLogits(prompt)
            #expect(relativeDistance(try ModelHarness(path + "/stored").lastLogits(prompt), expected) < 1e-5)
        }
    }

    @Test("Experts are read as they are stored", arguments: QuantizedFolder.Layout.allCases, [32, 128])
    func experts(layout: QuantizedFolder.Layout, groupSize: Int) throws {
        // With an order of columns of their own, where the layout has it.
        let hasOrder = groupSize == 32 && ![.awq, .awqGEMV].contains(layout)
        let folder = QuantizedFolder(
            layout, groupSize: groupSize, hasZeros: groupSize == 32, hasOrder: hasOrder, hasExperts: true)
        let prompt = (0..<50).map { Int32($0 * 5 % 67) }
        try LoaderFixtures.withDirectory { path in
            try folder.write(path + "/stored")
            try folder.writeExpanded(path + "/expanded")
            let expected = try ModelHarness(path + "/expanded").lastLogits(prompt)
            // Only bfloat16's activations become integers before four-bit products: no worse than bfloat16 itself.
            let rounded = try ModelHarness(path + "/expanded", dtype: SWIFTLET_BFLOAT16).lastLogits(prompt)
            let bounds = [SWIFTLET_FLOAT32: 1e-5, SWIFTLET_BFLOAT16: 1.5 * relativeDistance(rounded, expected)]
            for (dtype, bound) in bounds {
                let stored = try ModelHarness(path + "/stored", dtype: dtype, threads: 2)
                let logits = stored.lastLogits(prompt)
                #expect(relativeDistance(logits, expected) < bound, "\(dtype)")
                #expect(stored.lastLogits(prompt, chunk: 7) == logits)
            }
        }
    }

    @Test("The plan and info count packed weights")
    func memory() throws {
        try LoaderFixtures.withDirectory { path in
            let folder = QuantizedFolder(.gptq, groupSize: 64, hasZeros: true, hasOrder: true)
            try folder.write(path)
            let info = try ModelInfo(path, config: EngineConfig(dtype: .bfloat16))
            let weights = 2 * 128 * 128 + 2 * 64 * 128 + 3 * 256 * 128
            let embedding = 67 * 128
            #expect(info.storedQuantization == "gptq int4, groups of 64 with zero points, act-order")
            #expect(info.parameterCount == weights + embedding + 3 * 128 + 256)
            // Half a byte and, for each group, a scale and a zero point; then norms, biases and column orders.
            let exact = weights / 2 + weights / 64 * 3 + 2 * embedding
            #expect(info.weightBytes > exact && info.weightBytes < exact + 8 * 1024, "\(info.weightBytes), \(exact)")
        }
    }

    @Test("Random weights of a quantised folder's shape are quantised alike")
    func dummy() throws {
        try LoaderFixtures.withDirectory { path in
            try QuantizedFolder(.awq, groupSize: 128, hasZeros: true).write(path)
            let harness = try ModelHarness(path, dummySeed: 3)
            let logits = harness.lastLogits([1, 2, 3])
            #expect(logits.allSatisfy { $0.isFinite } && logits.contains { $0 != 0 })
        }
    }

    @Test("A folder that is quantised already can't be quantised again, but for expanded weights")
    func conflict() throws {
        try LoaderFixtures.withDirectory { path in
            try QuantizedFolder(.awq, groupSize: 128, hasZeros: true).write(path)
            let message = LoaderFixtures.message {
                _ = try ModelInfo(path, config: EngineConfig(quantization: .int8))
            }
            #expect(message?.contains("awq int4, groups of 128 with zero points") == true, "\(message ?? "-")")
            #expect(message?.contains("leave --quantization out") == true)
        }
        let golden = try #require(Shared.json(Self.fixture("fp8") + "/golden.json")["cases"]).elements.map { $0 }
        let harness = try ModelHarness(Self.fixture("fp8"), quantization: .int8)
        let distance = relativeDistance(
            harness.lastLogits(golden[1]["prompt_ids"]!.ids), golden[1]["last_logits"]!.floats)
        #expect(distance > 1e-4 && distance < 5e-2, "\(distance)")
    }

    @Test("An old folder of GPTQ says it in quantize_config.json")
    func oldFolder() throws {
        let folder = QuantizedFolder(.gptq, groupSize: 32, hasZeros: true, hasOrder: true)
        try LoaderFixtures.withDirectory { path in
            try folder.write(path + "/new")
            try folder.write(path + "/old")
            try folder.writeExpanded(path + "/plain")
            try LoaderFixtures.write(
                #"{"bits": 4, "group_size": 32, "damp_percent": 0.1, "desc_act": true, "sym": false}"#,
                path + "/old/quantize_config.json")
            let config = try String(contentsOfFile: path + "/plain/config.json", encoding: .utf8)
            try LoaderFixtures.write(config, path + "/old/config.json")
            let logits = try ModelHarness(path + "/new").lastLogits([3, 1, 4])
            #expect(try ModelHarness(path + "/old").lastLogits([3, 1, 4]) == logits)
        }
    }

    @Test("Biases of zero that AutoGPTQ adds are passed over, others are not")
    func zeroBiases() throws {
        var folder = QuantizedFolder(.gptq, groupSize: 32, hasZeros: false)
        let name = "model.layers.0.mlp.down_proj.bias"
        folder.tensors[name] = LoaderFixtures.Entry(name, "F16", [128], [UInt8](repeating: 0, count: 256))
        try LoaderFixtures.withDirectory { path in
            try folder.write(path)
            _ = try ModelInfo(path)
            folder.tensors[name]?.bytes[7] = 1
            try folder.write(path)
            #expect(LoaderFixtures.message { _ = try ModelInfo(path) }?.contains("unused tensor \(name)") == true)
        }
    }
}

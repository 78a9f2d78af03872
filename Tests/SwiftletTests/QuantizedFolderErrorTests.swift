// What is wrong with a folder of quantised weights, or not supported, is said before weights are read.

import Foundation
import Swiftlet
import Testing

@Suite("Quantised folders: errors")
struct QuantizedFolderErrorTests {
    static func message(_ folder: QuantizedFolder) throws -> String? {
        try LoaderFixtures.withDirectory { path in
            try folder.write(path)
            return LoaderFixtures.message { _ = try ModelInfo(path) }
        }
    }

    /// Changes to quantization_config, and what the message must say.
    static let descriptions: [(QuantizedFolder.Layout, [String: String], String)] = [
        (
            .awq, ["quant_method": #""bitsandbytes""#],
            "quant_method \"bitsandbytes\" is not supported (supported: awq, gptq,"
        ),
        (.awq, ["quant_method": #""gguf""#], "\"gguf\" is not supported"),
        (.awq, ["quant_method": #""hqq""#], "\"hqq\" is not supported"),
        (.awq, ["quant_method": #""aqlm""#], "\"aqlm\" is not supported"),
        (.awq, ["quant_method": #""exl2""#], "\"exl2\" is not supported"),
        (.awq, ["quant_method": #""mxfp4""#], "\"mxfp4\" is not supported"),
        (.awq, ["quant_method": "7"], "quant_method is 7"),
        (.awq, ["quant_method": "null"], "quant_method is missing"),
        (.awq, ["quant_method": "null", "load_in_4bit": "true"], "\"bitsandbytes\" is not supported"),
        (.awq, ["bits": "3"], "bits is 3; supported is 4"),
        (.awq, ["group_size": "48"], "group_size is 48; supported is 32, 64, 128 or -1"),
        (.awq, ["group_size": "0"], "group_size is 0"),
        (.awq, ["group_size": "null"], "group_size is null"),
        (.awq, ["version": #""marlin""#], #"version is "marlin"; supported is gemm or gemv"#),
        (.awq, ["group_size": "64"], "model.layers.0.self_attn.q_proj.scales has the shape [4, 128]"),
        (.gptq, ["bits": "8"], "bits is 8; supported is 4"),
        (.gptq, ["checkpoint_format": #""marlin""#], #"checkpoint_format is "marlin""#),
        (.gptq, ["pack_dtype": #""int16""#], #"pack_dtype is "int16""#),
        (.gptq, ["dynamic": #"{"+:.*down.*": {"bits": 8}}"#], "dynamic is {"),
        (.gptq, ["is_marlin_format": "true"], "is_marlin_format is true"),
        (.packed, ["config_groups": "{}"], "config_groups is missing"),
        (.packed, ["format": #""marlin-24""#], #"in the format "marlin-24" are not supported"#),
        (.packed, ["format": #""nvfp4-pack-quantized""#], "nvfp4-pack-quantized"),
        (.packed, ["sparsity_config": #"{"format": "sparse-24-bitmask"}"#], "sparse-24-bitmask"),
        (.packed, ["transform_config": #"{"a": 1}"#], "transform_config"),
        (
            .packed, ["config_groups": #"{"a": {"targets": ["re:(("], "weights": {"num_bits": 4}}}"#],
            "targets"
        ),
        (
            .packed,
            ["config_groups": #"{"a": {"targets": ["Linear"], "weights": {"num_bits": 4, "strategy": "tensor"}}}"#],
            #"strategy is "tensor"; supported is group or channel"#
        ),
    ]

    @Test("What a description asks for and is not there is named", arguments: descriptions.indices)
    func wrongDescription(index: Int) throws {
        let (layout, changes, expected) = Self.descriptions[index]
        var folder = QuantizedFolder(layout, groupSize: 32, hasZeros: true)
        folder.description.merge(changes) { $1 }
        let found = try Self.message(folder)
        #expect(found?.contains(expected) == true, "\(found ?? "no error"), not \(expected)")
    }

    private static let query = "model.layers.0.self_attn.q_proj."

    /// Changes to tensors, and what the message must say.
    static let tensors: [(QuantizedFolder.Layout, @Sendable (inout QuantizedFolder) -> Void, String)] = [
        (.awq, { $0.tensors[query + "scales"] = nil }, "tensor \(query)scales is missing"),
        (.awq, { $0.tensors[query + "qzeros"] = nil }, "tensor \(query)qzeros is missing"),
        (.awq, { $0.tensors[query + "scales"]?.dtype = "I16" }, "\(query)scales has the dtype I16 (supported: F32,"),
        (.awq, { $0.tensors[query + "qweight"]?.dtype = "F32" }, "\(query)qweight has the dtype F32 (supported: I32)"),
        (.awq, { $0.tensors[query + "qweight"]?.shape = [64, 32] }, "\(query)qweight has the shape [64, 32]"),
        (
            .awq,
            {
                $0.tensors[query + "qweight"] = nil
                $0.tensors.addFloats(query + "weight", [128, 128], [Float](repeating: 0, count: 128 * 128))
            }, "q_proj is not quantised, model.layers.0.self_attn.k_proj is int4"
        ),
        (
            .awq,
            {
                $0.tensors[query + "scales"]?.dtype = "BF16"
            }, "scales of model.layers.0.self_attn.q_proj and its neighbours are of different types"
        ),
        (
            .gptq, { $0.tensors[query + "g_idx"]?.bytes.replaceSubrange(0..<4, with: [9, 0, 0, 0]) },
            "\(query)g_idx: column 0 is in group 9, of 4 groups of 32"
        ),
        (
            .gptq, { $0.tensors[query + "g_idx"]?.bytes.replaceSubrange(0..<4, with: [0xff, 0xff, 0xff, 0xff]) },
            "column 0 is in group -1"
        ),
        (
            .gptq,
            { folder in
                folder.tensors[query + "g_idx"]?.bytes = QuantizedFolder.bytes([UInt32](repeating: 1, count: 128))
            }, "group 1 has more than 32 columns"
        ),
        (
            .gptq,
            { folder in
                let groups = (0..<128).map { UInt32(3 - $0 / 32) }
                folder.tensors[query + "g_idx"]?.bytes = QuantizedFolder.bytes(groups)
            }, "are one matrix here, but order their columns differently (act-order)"
        ),
        (.gptq, { $0.tensors[query + "g_idx"] = nil }, "tensor \(query)g_idx is missing"),
        (.packed, { $0.tensors[query + "weight_scale"] = nil }, "tensor \(query)weight_scale is missing"),
        (.packed, { $0.tensors[query + "weight_zero_point"] = nil }, "tensor \(query)weight_zero_point is missing"),
        (.packed, { $0.tensors[query + "weight_shape"]?.bytes[0] = 7 }, "weight_shape says [7, 128]"),
        (.packed, { $0.tensors[query + "weight_g_idx"] = nil }, "tensor \(query)weight_g_idx is missing"),
    ]

    @Test("What is wrong with a tensor is named", arguments: tensors.indices)
    func wrongTensor(index: Int) throws {
        let (layout, change, expected) = Self.tensors[index]
        var folder = QuantizedFolder(layout, groupSize: 32, hasZeros: true, hasOrder: layout != .awq)
        change(&folder)
        let found = try Self.message(folder)
        #expect(found?.contains(expected) == true, "\(found ?? "no error"), not \(expected)")
    }

    @Test("A group size that does not divide the columns is refused")
    func groups() throws {
        try LoaderFixtures.withDirectory { path in
            try QuantizedFolder(.gptq, groupSize: 128, hasZeros: false).write(path)
            let config = try String(contentsOfFile: path + "/config.json", encoding: .utf8)
            try LoaderFixtures.write(
                config.replacingOccurrences(of: "\"intermediate_size\": 256", with: "\"intermediate_size\": 192"),
                path + "/config.json")
            let found = LoaderFixtures.message { _ = try ModelInfo(path) }
            #expect(found?.contains("[192]") == true || found?.contains("192") == true, "\(found ?? "no error")")
        }
    }

    @Test("Truncated files and random changes give errors, never more")
    func mutations() throws {
        var random = LoaderRandom(seed: 5)
        try LoaderFixtures.withDirectory { path in
            for layout in [QuantizedFolder.Layout.awq, .gptq, .packed] {
                try QuantizedFolder(layout, groupSize: 64, hasZeros: true, hasOrder: layout != .awq).write(path)
                let config = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path + "/config.json")))
                for _ in 0..<40 {
                    try LoaderFixtures.write(LoaderFixtures.mutated(config, using: &random), path + "/config.json")
                    _ = LoaderFixtures.message { _ = try ModelInfo(path, config: EngineConfig(dtype: .float32)) }
                }
                try LoaderFixtures.write(config, path + "/config.json")
                let file = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path + "/model.safetensors")))
                try LoaderFixtures.write(Array(file.prefix(file.count / 2)), path + "/model.safetensors")
                #expect(LoaderFixtures.code { _ = try ModelInfo(path) } == .invalidModel)
            }
        }
    }
}

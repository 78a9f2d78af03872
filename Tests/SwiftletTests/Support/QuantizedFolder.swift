// Folders of four-bit weights made here, in every arrangement that is published, each with a copy whose weights are
// expanded to float32. Layouts are written from their descriptions, element by element.

import Foundation
import Swiftlet

/// A tiny model with random four-bit weights.
struct QuantizedFolder {
    enum Layout: String, CaseIterable {
        case awq, awqGEMV, gptq, gptqV2, packed
    }

    var layout: Layout
    /// 0: a whole row.
    var groupSize: Int
    var hasZeros: Bool
    var hasOrder = false
    /// Phi-3's: the projections are two tensors.
    var isFused = false
    /// Qwen3-MoE's: experts in place of the MLP, and a router that is not quantised.
    var hasExperts = false
    var scaleType = "F16"
    /// By name.
    var tensors: [String: LoaderFixtures.Entry] = [:]
    /// Members of quantization_config, as JSON.
    var description: [String: String] = [:]
    private(set) var expanded: [String: LoaderFixtures.Entry] = [:]

    static let (hidden, intermediate, vocabulary) = (128, 256, 67)
    static let experts = 4

    init(
        _ layout: Layout, groupSize: Int, hasZeros: Bool, hasOrder: Bool = false, isFused: Bool = false,
        hasExperts: Bool = false, scaleType: String = "F16", seed: UInt64 = 1
    ) {
        (self.layout, self.groupSize, self.hasZeros) = (layout, groupSize, hasZeros)
        (self.hasOrder, self.isFused, self.scaleType) = (hasOrder, isFused, scaleType)
        self.hasExperts = hasExperts
        var random = LoaderRandom(seed: seed)
        var shared: [String: LoaderFixtures.Entry] = [:]
        let hidden = Self.hidden
        shared.addFloats("model.embed_tokens.weight", [Self.vocabulary, hidden], scale: 0.3, &random)
        shared.addFloats("model.norm.weight", [hidden], scale: 0.3, offset: 1, &random)
        let layer = "model.layers.0."
        shared.addFloats(layer + "input_layernorm.weight", [hidden], scale: 0.3, offset: 1, &random)
        shared.addFloats(layer + "post_attention_layernorm.weight", [hidden], scale: 0.3, offset: 1, &random)
        if hasExperts {
            for name in ["q", "k"] {
                shared.addFloats(layer + "self_attn.\(name)_norm.weight", [32], scale: 0.3, offset: 1, &random)
            }
            shared.addFloats(layer + "mlp.gate.weight", [Self.experts, hidden], scale: 0.3, &random)
        } else if !isFused {
            for (name, width) in [("q", hidden), ("k", 64), ("v", 64)] {
                shared.addFloats(layer + "self_attn.\(name)_proj.bias", [width], scale: 0.5, &random)
            }
        }
        (tensors, expanded) = (shared, shared)
        var orders: [Int: [Int]] = [:]
        for (name, rows, columns, input) in matrices {
            let groups = (0..<columns).map { groupSize == 0 ? 0 : $0 / groupSize }
            let groupOf = orders[input] ?? (hasOrder ? groups.shuffled(using: &random) : groups)
            orders[input] = groupOf
            add(layer + name, rows: rows, columns: columns, groupOf: groupOf, &random)
        }
        describe()
    }

    /// Those of a layer; matrices with the same `input` are products of the same rows.
    private var matrices: [(name: String, rows: Int, columns: Int, input: Int)] {
        let (hidden, intermediate) = (Self.hidden, Self.intermediate)
        if isFused {
            return [
                ("self_attn.qkv_proj", hidden + 128, hidden, 0), ("self_attn.o_proj", hidden, hidden, 1),
                ("mlp.gate_up_proj", 2 * intermediate, hidden, 2), ("mlp.down_proj", hidden, intermediate, 3),
            ]
        }
        let attention = [
            ("self_attn.q_proj", hidden, hidden, 0), ("self_attn.k_proj", 64, hidden, 0),
            ("self_attn.v_proj", 64, hidden, 0), ("self_attn.o_proj", hidden, hidden, 1),
        ]
        guard hasExperts else { return attention + Self.feedForward("mlp.", input: 2) }
        return attention + (0..<Self.experts).flatMap { Self.feedForward("mlp.experts.\($0).", input: 2 + 2 * $0) }
    }

    private static func feedForward(
        _ prefix: String, input: Int
    ) -> [(name: String, rows: Int, columns: Int, input: Int)] {
        [
            (prefix + "gate_proj", intermediate, hidden, input), (prefix + "up_proj", intermediate, hidden, input),
            (prefix + "down_proj", hidden, intermediate, input + 1),
        ]
    }

    private mutating func describe() {
        let group = groupSize == 0 ? "-1" : "\(groupSize)"
        switch layout {
        case .awq, .awqGEMV:
            description = [
                "quant_method": #""awq""#, "bits": "4", "group_size": group, "zero_point": "\(hasZeros)",
                "version": layout == .awq ? #""gemm""# : #""gemv""#, "modules_to_not_convert": #"["lm_head"]"#,
            ]
        case .gptq, .gptqV2:
            description = [
                "quant_method": #""gptq""#, "bits": "4", "group_size": group, "sym": "\(!hasZeros)",
                "desc_act": "\(hasOrder)", "checkpoint_format": layout == .gptq ? #""gptq""# : #""gptq_v2""#,
            ]
        case .packed:
            let strategy = groupSize == 0 ? "channel" : "group"
            let size = groupSize == 0 ? "null" : group
            let order = hasOrder ? #""group""# : "null"
            description = [
                "quant_method": #""compressed-tensors""#, "format": #""pack-quantized""#, "ignore": #"["lm_head"]"#,
                "config_groups": """
                {"group_0": {"targets": ["Linear"], "input_activations": null, "weights": {"num_bits": 4, "type": "int",
                 "symmetric": \(!hasZeros), "strategy": "\(strategy)", "group_size": \(size), "actorder": \(order)}}}
                """,
            ]
        }
    }

    private mutating func add(
        _ name: String, rows: Int, columns: Int, groupOf: [Int], _ random: inout LoaderRandom
    ) {
        let groupCount = groupSize == 0 ? 1 : columns / groupSize
        let integers = (0..<rows * columns).map { _ in Int.random(in: 0...15, using: &random) }
        let zeroRange = layout == .gptq ? 1...16 : 0...15
        let zeros = (0..<rows * groupCount).map { _ in hasZeros ? Int.random(in: zeroRange, using: &random) : 8 }
        // 2^-6 to 2^-5, of few bits, so that every type holds them exactly.
        let scales = (0..<rows * groupCount).map { _ in Float(Int.random(in: 64...127, using: &random)) * 0x1p-12 }
        var values = [Float](repeating: 0, count: rows * columns)
        for index in values.indices {
            let at = index / columns * groupCount + groupOf[index % columns]
            values[index] = Float(integers[index] - zeros[at]) * scales[at]
        }
        expanded.addFloats(name + ".weight", [rows, columns], values)
        let integer = { (row: Int, column: Int) in integers[row * columns + column] }
        let offset = layout == .gptq ? 1 : 0
        let zero = { (row: Int, group: Int) in (zeros[row * groupCount + group] - offset) & 15 }
        let scale = { (row: Int, group: Int) in scales[row * groupCount + group] }
        switch layout {
        case .awq, .gptq, .gptqV2:
            let isAWQ = layout == .awq
            let shifts = isAWQ ? [0, 16, 4, 20, 8, 24, 12, 28] : [0, 4, 8, 12, 16, 20, 24, 28]
            let weights =
                isAWQ
                ? Self.words(columns, rows / 8) { c, word, i in integer(word * 8 + i, c) << shifts[i] }
                : Self.words(columns / 8, rows) { word, r, i in integer(r, word * 8 + i) << shifts[i] }
            set(name + ".qweight", "I32", isAWQ ? [columns, rows / 8] : [columns / 8, rows], weights)
            set(
                name + ".qzeros", "I32", [groupCount, rows / 8],
                Self.words(groupCount, rows / 8) { group, word, i in zero(word * 8 + i, group) << shifts[i] })
            setScales(name + ".scales", [groupCount, rows]) { group, row in scale(row, group) }
            if !isAWQ { set(name + ".g_idx", "I32", [columns], Self.bytes(groupOf.map { UInt32($0) })) }
        case .awqGEMV:
            let multiple = groupSize == 32 ? 4 : groupSize == 64 ? 2 : 1
            let width = ((groupCount + 7) / 8 + multiple - 1) / multiple * multiple
            set(
                name + ".qweight", "I32", [rows, columns / 8],
                Self.words(rows, columns / 8) { r, word, i in integer(r, word * 8 + i) << (4 * i) })
            set(
                name + ".qzeros", "I32", [rows, width],
                Self.words(rows, width) { r, word, i in
                    word * 8 + i < groupCount ? zero(r, word * 8 + i) << (4 * i) : 0
                })
            setScales(name + ".scales", [rows, 8 * width]) { row, group in group < groupCount ? scale(row, group) : 0 }
        case .packed:
            set(
                name + ".weight_packed", "I32", [rows, columns / 8],
                Self.words(rows, columns / 8) { r, word, i in integer(r, word * 8 + i) << (4 * i) })
            setScales(name + ".weight_scale", [rows, groupCount], scale)
            if hasZeros {
                set(
                    name + ".weight_zero_point", "I32", [rows / 8, groupCount],
                    Self.words(rows / 8, groupCount) { word, group, i in zero(word * 8 + i, group) << (4 * i) })
            }
            if hasOrder { set(name + ".weight_g_idx", "I32", [columns], Self.bytes(groupOf.map { UInt32($0) })) }
            set(
                name + ".weight_shape", "I64", [2],
                [rows, columns].flatMap { withUnsafeBytes(of: Int64($0).littleEndian) { Array($0) } })
        }
    }

    private mutating func set(_ name: String, _ type: String, _ shape: [Int], _ bytes: [UInt8]) {
        tensors[name] = LoaderFixtures.Entry(name, type, shape, bytes)
    }

    private mutating func setScales(_ name: String, _ shape: [Int], _ scale: (Int, Int) -> Float) {
        let values = (0..<shape[0] * shape[1]).map { scale($0 / shape[1], $0 % shape[1]) }
        let bytes: [UInt8] =
            switch scaleType {
            case "F32": Self.bytes(values.map(\.bitPattern))
            case "BF16": values.flatMap { Self.bytes(UInt16($0.bitPattern >> 16)) }
            default: values.flatMap { Self.bytes(Self.float16($0)) }
            }
        set(name, scaleType, shape, bytes)
    }

    /// The bits of a float16 in its normal range that has few bits.
    private static func float16(_ value: Float) -> UInt16 {
        guard value != 0 else { return 0 }
        return UInt16((value.bitPattern >> 13) & 0x3ff | UInt32(Int(value.exponent) + 15) << 10)
    }

    private static func words(_ down: Int, _ along: Int, _ part: (Int, Int, Int) -> Int) -> [UInt8] {
        var words: [UInt32] = []
        for row in 0..<down {
            for column in 0..<along {
                words.append(UInt32((0..<8).reduce(0) { $0 | part(row, column, $1) }))
            }
        }
        return bytes(words)
    }

    static func bytes(_ words: [UInt32]) -> [UInt8] { words.flatMap { bytes($0) } }

    static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    // MARK: - Folders

    private var expertMembers: String {
        """
        , "num_experts": \(Self.experts), "num_experts_per_tok": 2, "norm_topk_prob": true,
         "moe_intermediate_size": \(Self.intermediate)
        """
    }

    private func config(_ quantization: String) -> String {
        """
        {"architectures": ["\(isFused ? "Phi3" : hasExperts ? "Qwen3Moe" : "Qwen2")ForCausalLM"], "hidden_size": \(Self.hidden),
         "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
         "intermediate_size": \(Self.intermediate), "vocab_size": \(Self.vocabulary), "rms_norm_eps": 1e-6,
         "rope_theta": 10000.0, "tie_word_embeddings": true, "max_position_embeddings": 256, "original_max_position_embeddings": 256, "hidden_act": "silu",
         "torch_dtype": "float32"\(hasExperts ? expertMembers : "")\(quantization)}
        """
    }

    func write(_ path: String) throws {
        let members = description.map { "\"\($0.key)\": \($0.value)" }.sorted().joined(separator: ", ")
        try LoaderFixtures.write(config(", \"quantization_config\": {\(members)}"), path + "/config.json")
        let entries = tensors.values.sorted { $0.name < $1.name }
        try LoaderFixtures.write(LoaderFixtures.file(entries), path + "/model.safetensors")
    }

    func writeExpanded(_ path: String) throws {
        try LoaderFixtures.write(config(""), path + "/config.json")
        let entries = expanded.values.sorted { $0.name < $1.name }
        try LoaderFixtures.write(LoaderFixtures.file(entries), path + "/model.safetensors")
    }
}

extension [String: LoaderFixtures.Entry] {
    mutating func addFloats(_ name: String, _ shape: [Int], _ values: [Float]) {
        self[name] = LoaderFixtures.Entry(name, "F32", shape, QuantizedFolder.bytes(values.map(\.bitPattern)))
    }

    mutating func addFloats(
        _ name: String, _ shape: [Int], scale: Float, offset: Float = 0, _ random: inout LoaderRandom
    ) {
        addFloats(
            name, shape,
            (0..<shape.reduce(1, *)).map { _ in offset + scale * Float.random(in: -1.7...1.7, using: &random) })
    }
}

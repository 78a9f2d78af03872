// QuantizationConfig+CompressedTensors: the quantization_config of compressed-tensors, one scheme for each of its
// config_groups.
// How activations are to be rounded is not taken over: with int8 weights every token's are, by a scale of its own, and
// with all others they stay as they are, which is more exact than what is asked for. The same holds for
// `kv_cache_scheme`: the cache has the type that the engine was told.
// Invariant: what a group says about its weights is understood or refused.

internal import SwiftletJSON

extension QuantizationConfig {
    static func compressedTensors(_ reader: ConfigReader) throws(LLMError) -> [Scheme] {
        if let sparsity = try reader.member("sparsity_config"), let format = try sparsity.text("format"),
            format != "dense"
        {
            throw unsupported(sparsity, "format", "dense")
        }
        if let transform = reader.value("transform_config"), transform.count > 0 {
            throw unsupported(reader, "transform_config", "none")
        }
        guard let groups = try reader.member("config_groups"), groups.object.count > 0 else {
            throw reader.invalid("config_groups is missing")
        }
        var schemes: [Scheme] = []
        for (name, _) in groups.object.members {
            guard let group = try groups.member(name) else { continue }
            guard let weights = try group.member("weights") else {
                throw unsupported(group, "weights", "a description of them")
            }
            let own = try group.text("format")
            let common = try reader.text("format")
            let targets = try group.strings("targets") ?? []
            for target in targets where !ModulePattern(target).isValid {
                throw unsupported(group, "targets", "names, classes and patterns that can be read")
            }
            schemes.append(
                Scheme(storage: try storage(weights, format: own ?? common ?? "", group), targets: targets))
        }
        guard !schemes.isEmpty else { throw reader.invalid("config_groups is empty") }
        return schemes
    }

    private static func storage(
        _ weights: ConfigReader, format: String, _ group: ConfigReader
    ) throws(LLMError) -> Storage {
        let type = try weights.text("type") ?? "int"
        let bits = try weights.integer("num_bits", in: 1...64) ?? 8
        switch (format, type, bits) {
        case ("pack-quantized", "int", 4): return .int4(try packed(weights))
        case ("pack-quantized", "int", 8):
            try requireSymmetry(weights)
            return .bytes(Bytes(element: .packedInt8, groupSize: try expandedGroup(weights)))
        case ("int-quantized", "int", 8), ("naive-quantized", "int", 8):
            try requireSymmetry(weights)
            let strategy = try weights.text("strategy")
            guard group.value("input_activations") != nil, strategy == "channel" || strategy == "tensor" else {
                return .bytes(Bytes(element: .int8, groupSize: try expandedGroup(weights)))
            }
            return .bytes(Bytes(element: .int8, roundsActivations: true))
        case ("float-quantized", "float", 8), ("naive-quantized", "float", 8):
            return .bytes(
                Bytes(
                    element: .float8, block: try blockSize(weights, "block_structure"),
                    groupSize: try expandedGroup(weights)))
        default:
            throw LLMError(
                .unsupportedModel,
                "\(weights.file): \(bits) bits of type \(type) in the format \"\(format)\" are not supported "
                    + "(supported: pack-quantized int of 4 or 8 bits, int-quantized int of 8, float-quantized float of 8)"
            )
        }
    }

    private static func requireSymmetry(_ weights: ConfigReader) throws(LLMError) {
        if try weights.flag("symmetric") == false { throw unsupported(weights, "symmetric", "true") }
    }

    /// Columns of a group of weights that are expanded: any number.
    private static func expandedGroup(_ weights: ConfigReader) throws(LLMError) -> Int {
        guard try weights.text("strategy") == "group" else { return 0 }
        return max(0, try weights.integer("group_size", in: -1...(1 << 24)) ?? 0)
    }

    private static func packed(_ weights: ConfigReader) throws(LLMError) -> Int4 {
        let size: Int
        switch try weights.text("strategy") {
        case "group": size = try groupSize(weights, ["group_size"])
        case "channel": size = 0
        case nil: size = weights.value("group_size") == nil ? 0 : try groupSize(weights, ["group_size"])
        default: throw unsupported(weights, "strategy", "group or channel")
        }
        // "weight" orders columns while quantising only; true is an old name of "group".
        let order = weights.value("actorder")
        let hasOrder = order?.bool == true || order?.string?.lowercased() == "group"
        return Int4(
            layout: .packed, groupSize: size, isSymmetric: try weights.flag("symmetric") ?? true, hasOrder: hasOrder)
    }
}

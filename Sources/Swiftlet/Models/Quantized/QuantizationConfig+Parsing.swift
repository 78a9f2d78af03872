// QuantizationConfig+Parsing: AWQ's, GPTQ's and FP8's quantization_config, and which method there is.
// QuantizationConfig+CompressedTensors has that format's.
// Invariant: a key that changes what stored weights mean is understood or refused.

internal import SwiftletJSON

extension QuantizationConfig {
    /// Reads `quantization_config` (or `compression_config`, its old name) of config.json, or quantize_config.json
    /// where there is neither; nil: nothing is quantised.
    init?(of model: ConfigReader, beside file: [UInt8]? = nil) throws(LLMError) {
        let newer = try model.member("quantization_config")
        let older = try model.member("compression_config")
        guard let reader = newer ?? older else {
            guard let file else { return nil }
            method = "gptq"
            schemes = [Scheme(storage: .int4(try Self.gptq(ConfigReader(parsing: file, file: "quantize_config.json"))))]
            return
        }
        let older4 = try reader.flag("load_in_4bit") ?? false
        let older8 = try reader.flag("load_in_8bit") ?? false
        let named = try reader.text("quant_method")
        guard let method = named ?? (older4 || older8 ? "bitsandbytes" : nil) else {
            throw reader.invalid("quant_method is missing; supported are \(QuantizedFormat.supported)")
        }
        self.method = method
        switch method {
        case "awq": schemes = [Scheme(storage: .int4(try Self.awq(reader)))]
        case "gptq": schemes = [Scheme(storage: .int4(try Self.gptq(reader)))]
        case "fp8": schemes = [Scheme(storage: .bytes(try Self.float8(reader)))]
        case "compressed-tensors": schemes = try Self.compressedTensors(reader)
        default:
            throw LLMError(
                .unsupportedModel,
                "\(reader.file): quant_method \"\(method)\" is not supported (supported: \(QuantizedFormat.supported), "
                    + "or folders with float32, float16 or bfloat16 weights)")
        }
    }

    static func unsupported(_ reader: ConfigReader, _ key: String, _ supported: String) -> LLMError {
        let value = reader.object[key].map { ConfigReader.text(of: $0) } ?? "not there"
        return LLMError(
            .unsupportedModel, "\(reader.file): \(key) is \(value); supported is \(supported)")
    }

    private static func bits(_ reader: ConfigReader, _ keys: [String]) throws(LLMError) {
        for key in keys where reader.value(key) != nil {
            guard try reader.integer(key, in: 1...64) == 4 else { throw unsupported(reader, key, "4") }
            return
        }
        throw unsupported(reader, keys[0], "4")
    }

    /// 0 for a whole row, which is -1 in the file.
    static func groupSize(_ reader: ConfigReader, _ keys: [String]) throws(LLMError) -> Int {
        for key in keys {
            guard let size = try reader.integer(key, in: -1...(1 << 24)) else { continue }
            if size == -1 { return 0 }
            guard size > 0, groupSizes.contains(size) else { throw unsupported(reader, key, "32, 64, 128 or -1") }
            return size
        }
        throw unsupported(reader, keys[0], "32, 64, 128 or -1")
    }

    private static func awq(_ reader: ConfigReader) throws(LLMError) -> Int4 {
        try bits(reader, ["bits", "w_bit"])
        let key = reader.value("version") == nil ? "format" : "version"
        let layout: Int4.Layout
        switch try reader.text(key)?.lowercased() ?? "gemm" {
        case "gemm": layout = .awq
        case "gemv": layout = .awqGEMV
        default: throw unsupported(reader, key, "gemm or gemv")
        }
        return Int4(
            layout: layout, groupSize: try groupSize(reader, ["group_size", "q_group_size"]),
            isSymmetric: try reader.flag("zero_point") == false)
    }

    private static func gptq(_ reader: ConfigReader) throws(LLMError) -> Int4 {
        try bits(reader, ["bits"])
        var offset = 1
        for key in ["checkpoint_format", "format"] {
            switch try reader.text(key) {
            case nil, "gptq": break
            case "gptq_v2": offset = 0
            default: throw unsupported(reader, key, "gptq or gptq_v2")
            }
        }
        if try reader.flag("is_marlin_format") == true { throw unsupported(reader, "is_marlin_format", "false") }
        if let type = try reader.text("pack_dtype"), type != "int32" {
            throw unsupported(reader, "pack_dtype", "int32")
        }
        if reader.value("adapter") != nil { throw unsupported(reader, "adapter", "none") }
        // Modules that are left out are seen by their tensors; others that differ are not supported.
        if let dynamic = try reader.member("dynamic"),
            dynamic.object.members.contains(where: { !$0.key.hasPrefix("-:") })
        {
            throw unsupported(reader, "dynamic", "one that only leaves modules out (-:)")
        }
        return Int4(
            layout: .gptq, groupSize: try groupSize(reader, ["group_size"]),
            isSymmetric: try reader.flag("sym") ?? true, zeroOffset: offset,
            hasOrder: try reader.flag("desc_act") ?? false)
    }

    private static func float8(_ reader: ConfigReader) throws(LLMError) -> Bytes {
        for key in ["fmt", "weight_fmt"] {
            if let format = try reader.text(key), format != "e4m3", format != "float8_e4m3fn" {
                throw unsupported(reader, key, "e4m3")
            }
        }
        guard let block = try blockSize(reader, "weight_block_size") else { return Bytes(element: .float8) }
        return Bytes(element: .float8, scaleName: "weight_scale_inv", block: block)
    }

    static func blockSize(_ reader: ConfigReader, _ key: String) throws(LLMError) -> [Int]? {
        guard let value = reader.value(key) else { return nil }
        let numbers = value.elements.compactMap(\.int)
        guard value.kind == .array, numbers.count == 2, value.count == 2,
            numbers.allSatisfy({ (1...ModelConfig.Limits.width).contains($0) })
        else { throw unsupported(reader, key, "two sizes such as [128, 128]") }
        return numbers
    }
}

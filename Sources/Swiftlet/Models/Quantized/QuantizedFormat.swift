// QuantizedFormat: the registry of the quantised folders that are read, as data, and the names of those that are not.
// Messages and the README's table are made of it; QuantizationConfig parses each.
// Invariant: a format is listed here exactly if its folders load.

/// A way in which folders of quantised weights are published.
package struct QuantizedFormat: Sendable, Hashable {
    /// What people call it.
    package var name: String
    /// `quant_method` of config.json.
    package var method: String
    /// What weights it may have.
    package var weights: String
    /// How they are multiplied with.
    package var products: String

    package static let all: [QuantizedFormat] = [
        QuantizedFormat(
            name: "AWQ", method: "awq",
            weights: "int4 in groups of 32, 64, 128 or a whole row, with or without zero points (gemm, gemv)",
            products: "as they are (int4)"),
        QuantizedFormat(
            name: "GPTQ", method: "gptq",
            weights: "int4 in groups of 32, 64, 128 or a whole row, with or without act-order and zero points "
                + "(gptq, gptq_v2)",
            products: "as they are (int4)"),
        QuantizedFormat(
            name: "compressed-tensors", method: "compressed-tensors",
            weights: "pack-quantized int4 (W4A16), with or without zero points and activation order",
            products: "as they are (int4)"),
        QuantizedFormat(
            name: "compressed-tensors", method: "compressed-tensors",
            weights: "int-quantized int8 with a scale a row (W8A8)", products: "as they are (int8)"),
        QuantizedFormat(
            name: "compressed-tensors", method: "compressed-tensors",
            weights: "float-quantized and naive-quantized fp8 (e4m3), pack-quantized int8 (W8A16)",
            products: "expanded while they are loaded; on GPUs as they are"),
        QuantizedFormat(
            name: "FP8", method: "fp8", weights: "fp8 (e4m3) with scales of blocks, rows or the whole matrix",
            products: "expanded while they are loaded; on GPUs as they are"),
    ]

    /// `awq, gptq, …`, for messages.
    package static var supported: String {
        var methods: [String] = []
        for format in all where !methods.contains(format.method) { methods.append(format.method) }
        return methods.joined(separator: ", ")
    }
}

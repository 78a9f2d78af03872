// Checkpoint+Stored: what quantised tensors take when they are packed, and what lies beside them needlessly.
// Invariant: a tensor is passed over only when it can change no result.

import CSwiftletKernels

extension Checkpoint {
    /// Bytes of all tensors as they will be kept: integers as they are, zero points of four bits as bytes, everything
    /// else in the compute type, or in what weights that are expanded are quantised to.
    ///
    /// - Parameter keepsBytes: Floats of eight bits are kept, with a scale for each row and group (as on GPUs).
    func packedByteCount(
        _ dtype: swiftlet_dtype, _ quantization: EngineConfig.Quantization?, keepsBytes: Bool
    ) -> Int {
        let width = dtype == SWIFTLET_BFLOAT16 ? 2 : 4
        return tensorNames.reduce(0) { sum, name in
            guard let type = type(of: name), let shape = shape(of: name) else { return sum }
            let count = shape.reduce(1, *)
            switch type {
            case .int32 where name.hasSuffix("zeros") || name.hasSuffix("zero_point"): return sum + 8 * count
            case .int32, .int64: return sum + 4 * count
            case .int8: return sum + count
            case .float8e4m3 where keepsBytes && quantization == nil && shape.count == 2:
                let scales = self.shape(of: name + "_scale_inv") ?? self.shape(of: name + "_scale") ?? []
                return sum + count + 4 * shape[0] * (scales.count == 2 ? scales[1] : 1)
            case .float32, .float16, .bfloat16, .float8e4m3:
                if name.hasSuffix("scales") || name.hasSuffix("_scale") { return sum + 2 * count }
                guard shape.count == 2, let quantization else { return sum + width * count }
                return sum + WeightQuantization.bytes(rows: shape[0], columns: shape[1], quantization, dtype)
            default: return sum
            }
        }
    }

    /// AutoGPTQ gave every matrix a bias, also those of models without: all of them zero.
    func passOverZeroBiases() {
        for name in untaken where name.hasSuffix(".bias") {
            guard let type = type(of: name), let shape = shape(of: name),
                let tensor = try? take(name, shape: shape, types: [type])
            else { continue }
            if !tensor.withBytes({ $0.allSatisfy { $0 == 0 } }) { giveBack(name) }
        }
    }
}

extension QuantizationConfig {
    /// Scales of activations and of the KV cache, for engines that keep either in eight bits with fixed scales.
    var unusedSuffixes: [String] {
        [
            ".input_scale", ".input_zero_point", ".output_scale", ".output_zero_point", ".k_scale", ".v_scale",
            ".q_scale",
        ]
    }
}

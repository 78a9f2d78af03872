// WeightQuantization: which matrices of a model are quantised and to what. A value made of EngineConfig; read by the
// WeightLoader, which makes the matrices, and by the MemoryPlan, which counts their bytes.
// Invariant: norms, biases and rotary tables are never quantised, and both readers follow this one decision.

import CSwiftletKernels

package struct WeightQuantization: Sendable {
    /// Of the projections of all layers: attention's and the MLP's.
    let layers: EngineConfig.Quantization?
    /// Of the embedding and the output head, which are one matrix in many models.
    let head: EngineConfig.Quantization?

    package init(_ config: EngineConfig = EngineConfig()) {
        layers = config.quantization
        head = config.quantizeHead ? config.quantization : nil
    }

    /// How products will be computed: as what is stored says, or else as the engine is told.
    package init(_ config: EngineConfig, stored: QuantizationConfig?) {
        var config = config
        if let stored, let kind = stored.products {
            config.quantization = kind
            config.quantizeHead = false
        }
        self.init(config)
    }

    /// Columns that share a scale in weights of four bits.
    static let groupSize = SWIFTLET_INT4_GROUP

    /// Bytes of a matrix, without what the kernels pad it with.
    static func bytes(
        rows: Int, columns: Int, _ quantization: EngineConfig.Quantization?, _ dtype: swiftlet_dtype
    ) -> Int {
        switch quantization {
        case nil: rows * columns * (dtype == SWIFTLET_BFLOAT16 ? 2 : 4)
        case .int8: rows * (columns + 4)  // a scale for each row
        case .int4:
            rows * ((columns + 1) / 2 + 2 * ((columns + groupSize - 1) / groupSize))  // a scale for each group
        }
    }
}

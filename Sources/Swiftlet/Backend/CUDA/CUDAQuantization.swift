// CUDAQuantization: how weights of four or eight bits lie on a GPU, and the kernels that know it. The layout is described
// in quantized.cuh. Made by the CUDABackend for each matrix.
//
// Invariant: what `byteCount` counts is what the kernels read.

struct CUDAQuantization: Sendable, Hashable {
    /// By the kernels' numbers.
    enum Format: Int32, Sendable { case int8 = 0, int4, fp8 }

    var format: Format
    /// Columns that share a scale: 32, 64, 128, …; 0: all of a row.
    var groupSize = 0
    /// Of four bits.
    var hasZeros = false
    /// float16, not bfloat16.
    var hasHalfScales = false

    init(format: Format, groupSize: Int = 0, hasZeros: Bool = false, hasHalfScales: Bool = false) {
        self.format = format
        self.groupSize = groupSize
        self.hasZeros = hasZeros
        self.hasHalfScales = hasHalfScales
    }

    /// What weights are quantised to here.
    init(_ quantization: EngineConfig.Quantization) {
        switch quantization {
        case .int8: self.init(format: .int8)
        case .int4: self.init(format: .int4, groupSize: WeightQuantization.groupSize)
        }
    }

    /// Of a matrix with so many columns of x.
    ///
    /// - Throws: `unsupportedModel` when the kernels have no such groups.
    init(_ stored: StoredMatrix, columns: Int) throws(LLMError) {
        switch stored.format {
        case .int4(let groupSize, let hasZeros, let scalesAreFloat16):
            self.init(
                format: .int4, groupSize: groupSize, hasZeros: hasZeros, hasHalfScales: scalesAreFloat16)
        case .expanded(let wanted?): self.init(wanted)
        case .int8, .expanded(nil):
            let parts = stored.parts.compactMap { part in
                if case .bytes(let bytes) = part.weights { bytes } else { nil }
            }
            let first = parts.first
            let isWhole = parts.allSatisfy { $0.scaleColumns >= $0.firstColumn + columns }
            self.init(
                format: first?.element == .float8 ? .fp8 : .int8, groupSize: isWhole ? 0 : first?.scaleColumns ?? 0)
            guard parts.allSatisfy({ isWhole || $0.scaleColumns == groupSize }), isWhole || Self.isGroup(groupSize),
                isWhole || parts.allSatisfy({ $0.firstColumn.isMultiple(of: $0.scaleColumns) })
            else {
                throw LLMError(
                    .unsupportedModel,
                    "weights of eight bits with a scale for each \(groupSize) columns are not supported on GPUs, "
                        + "only of 32, 64, 128 and so on that no rank cuts, or a row: use --device cpu")
            }
        }
    }

    private static func isGroup(_ columns: Int) -> Bool { columns >= 32 && columns & (columns - 1) == 0 }

    /// The CPU backend's form of the same weights, which are packed there before they come here; nil: it has none.
    var packed: StoredMatrix.Format? {
        switch format {
        case .int4: .int4(groupSize: groupSize, hasZeros: hasZeros, scalesAreFloat16: hasHalfScales)
        case .int8 where groupSize == 0: .int8
        default: nil
        }
    }

    /// The kernels' `layout`.
    var layout: Int32 {
        let shift = groupSize == 0 ? 31 : (groupSize / 32).trailingZeroBitCount
        return Int32(shift | (hasZeros ? 256 : 0) | (hasHalfScales ? 512 : 0))
    }

    func groups(_ columns: Int) -> Int { groupSize == 0 ? 1 : (columns + groupSize - 1) / groupSize }

    /// Where the scales begin: rows are whole blocks of 64 bytes.
    func weightBytes(rows: Int, columns: Int) -> Int {
        let width = format == .int4 ? 128 : 64
        return rows * ((columns + width - 1) / width) * 64
    }

    func byteCount(rows: Int, columns: Int) -> Int {
        let scaleBytes = format == .int4 ? hasZeros ? 3 : 2 : 4
        return weightBytes(rows: rows, columns: columns) + rows * groups(columns) * scaleBytes
    }
}

/// The program quantized.cu, for models that have such weights.
final class CUDAQuantizedKernels {
    typealias Kernel = CUDADriver.Handle

    /// Of each format, for at most 8 rows, and for 32 at a time.
    private let linear: [(small: Kernel, large: Kernel)]
    /// Of each format.
    private let gateUp: [Kernel]
    private let down: [Kernel]
    let expandWeights, embed, orderColumns, arrangeBytes, arrangePanels: Kernel
    let module: CUDAModule

    init(_ module: CUDAModule) throws(LLMError) {
        self.module = module
        let names = ["int8", "int4", "fp8"]
        var (linear, gateUp, down): ([(small: Kernel, large: Kernel)], [Kernel], [Kernel]) = ([], [], [])
        for name in names {
            linear.append((try module.kernel("linear_\(name)_8"), try module.kernel("linear_\(name)_32")))
            gateUp.append(try module.kernel("experts_gate_up_\(name)"))
            down.append(try module.kernel("experts_down_\(name)"))
        }
        (self.linear, self.gateUp, self.down) = (linear, gateUp, down)
        expandWeights = try module.kernel("expand_weights")
        embed = try module.kernel("embed_quantized")
        orderColumns = try module.kernel("order_columns")
        arrangeBytes = try module.kernel("arrange_bytes")
        arrangePanels = try module.kernel("arrange_panels")
    }

    /// And how many rows it takes at once.
    func linear(_ format: CUDAQuantization.Format, rows: Int) -> (kernel: Kernel, rows: Int) {
        let both = linear[Int(format.rawValue)]
        return rows <= 8 ? (both.small, 8) : (both.large, 32)
    }

    func gateUp(_ format: CUDAQuantization.Format) -> Kernel { gateUp[Int(format.rawValue)] }
    func down(_ format: CUDAQuantization.Format) -> Kernel { down[Int(format.rawValue)] }
}

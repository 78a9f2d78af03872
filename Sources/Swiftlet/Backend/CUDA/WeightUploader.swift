// WeightUploader: rows of a checkpoint's tensors, as they lie in the mapped file, into a matrix on the GPU.
// Used by the CUDABackend while it loads. What has the compute type already is copied as it is.
//
// Invariant: the values are those that the CPU backend packs: float32, or rounded to bfloat16, to nearest, ties to even.

import CSwiftletKernels

struct WeightUploader {
    /// Converted at once.
    private static var chunkBytes: Int { 16 << 20 }

    private let device: CUDADevice
    private let dtype: swiftlet_dtype

    init(_ device: CUDADevice, dtype: swiftlet_dtype) {
        self.device = device
        self.dtype = dtype
    }

    func upload(_ slice: Checkpoint.Slice, to matrix: CUDAMatrix, firstRow: Int) throws(LLMError) {
        let source = try slice.tensor.kernelSource()
        let (width, columns) = (slice.tensor.shape[1], slice.columns)
        let (from, to) = (slice.tensor.type.bitCount / 8, dtype == SWIFTLET_FLOAT32 ? 4 : 2)
        let isSame = source == (dtype == SWIFTLET_FLOAT32 ? SWIFTLET_SOURCE_F32 : SWIFTLET_SOURCE_BF16)
        let target = matrix.memory.address + UInt64(firstRow * columns.count * to)
        try slice.tensor.withBytes { bytes throws(LLMError) in
            guard let base = bytes.baseAddress else { return }
            let first = base + slice.rows.lowerBound * width * from
            if isSame && columns.count == width {
                return try device.copy(first, to: target, byteCount: slice.elementCount * to)
            }
            let rowsAtOnce = max(1, Self.chunkBytes / (columns.count * 4))
            var floats = [Float](repeating: 0, count: rowsAtOnce * columns.count)
            var row = 0
            while row < slice.rows.count {
                let count = min(rowsAtOnce, slice.rows.count - row)
                for index in 0..<count {
                    let begin = first + ((row + index) * width + columns.lowerBound) * from
                    floats.withUnsafeMutableBufferPointer {
                        swiftlet_convert_to_float(
                            begin, source, columns.count, $0.baseAddress! + index * columns.count)
                    }
                }
                let address = target + UInt64(row * columns.count * to)
                try copy(floats.prefix(count * columns.count), to: address)
                row += count
            }
        }
    }

    private func copy(_ floats: ArraySlice<Float>, to address: UInt64) throws(LLMError) {
        guard dtype == SWIFTLET_BFLOAT16 else {
            return try device.copy(Array(floats), to: address, byteCount: 4 * floats.count)
        }
        try device.copy(floats.map { $0.bfloat16 }, to: address, byteCount: 2 * floats.count)
    }
}

extension Float {
    /// The bits of the nearest bfloat16, of two the even one.
    package var bfloat16: UInt16 {
        if isNaN { return UInt16(truncatingIfNeeded: bitPattern >> 16) | 0x40 }
        return UInt16(truncatingIfNeeded: (bitPattern &+ 0x7FFF &+ (bitPattern >> 16 & 1)) >> 16)
    }
}

// CUDAQuantizedLoads: matrices of four and eight bits on their way to a GPU, one after the other. The CPU backend's
// kernels quantise or unpack them, so that a model has the same integers on both; the GPU puts its panels into the order
// that its own kernels want. Bytes with scales (fp8) go as they are stored. Owned by the CUDABackend while it loads.
//
// Invariant: one matrix at a time has memory on the host, and one on the GPU besides its own.

import CSwiftletKernels

final class CUDAQuantizedLoads {
    private struct Load {
        var matrix: CUDAMatrix
        var stored: StoredMatrix?
        var slices: [(slice: Checkpoint.Slice, part: MatrixPart, firstRow: Int)] = []
    }

    private let device: CUDADevice
    private let kernels: CUDAQuantizedKernels
    private let packer: CPUBackend
    private var loads: [Load] = []
    private var indices: [ObjectIdentifier: Int] = [:]
    private var staging: CUDABuffer?

    init(_ device: CUDADevice, _ kernels: CUDAQuantizedKernels, dtype: swiftlet_dtype) throws(LLMError) {
        self.device = device
        self.kernels = kernels
        packer = try CPUBackend(level: nil, threads: Platform.coreCount(), isPinned: false, dtype: dtype)
    }

    func add(_ stored: StoredMatrix, to matrix: CUDAMatrix) {
        if !stored.parts.isEmpty { loads.append(Load(matrix: matrix, stored: stored)) }
    }

    func add(_ slice: Checkpoint.Slice, to matrix: CUDAMatrix, part: MatrixPart, firstRow: Int) {
        let id = ObjectIdentifier(matrix)
        if indices[id] == nil {
            indices[id] = loads.count
            loads.append(Load(matrix: matrix))
        }
        loads[indices[id]!].slices.append((slice, part, firstRow))
    }

    func finish() throws(LLMError) {
        for load in loads {
            if let stored = load.stored, stored.hasBytes {
                try upload(stored, to: load.matrix)
                continue
            }
            let host = try hostMatrix(load.matrix, load.stored)
            for (slice, part, firstRow) in load.slices {
                try packer.load(slice, into: host, part: part, firstRow: firstRow)
            }
            try packer.finishLoading()
            try upload(host, to: load.matrix)
        }
        (loads, indices, staging) = ([], [:], nil)
    }

    func fillRandom(_ matrix: CUDAMatrix, seed: UInt64, scale: Float) throws(LLMError) {
        let host = try hostMatrix(matrix, nil)
        packer.fillRandom(host, seed: seed, scale: scale)
        try upload(host, to: matrix)
    }

    /// The CPU's matrix of the same weights, which is filled by `stored`, if that is given.
    private func hostMatrix(_ matrix: CUDAMatrix, _ stored: StoredMatrix?) throws(LLMError) -> CPUMatrix {
        guard let format = matrix.quantization?.packed else { preconditionFailure("the CPU has no such weights") }
        return try packer.makeMatrix(
            rows: matrix.rows, columns: matrix.inputColumns, isGated: matrix.isGated,
            stored: stored ?? StoredMatrix(format: format))
    }

    private func stage(_ bytes: UnsafeRawPointer, byteCount: Int) throws(LLMError) -> UInt64 {
        if staging.map({ $0.memory.byteCount < byteCount }) ?? true {
            staging = nil
            staging = try CUDABuffer(device, rows: 1, columns: (byteCount + 3) / 4, type: .float, size: 4)
        }
        try device.copy(bytes, to: staging!.memory.address, byteCount: byteCount)
        return staging!.memory.address
    }

    /// The CPU's panels.
    private func upload(_ host: CPUMatrix, to matrix: CUDAMatrix) throws(LLMError) {
        guard let quantization = matrix.quantization else { preconditionFailure("its weights are plain") }
        precondition(Int(host.value.columns) == matrix.columns && Int(host.value.rows) == matrix.rows)
        var value = host.value
        let panels = try stage(value.words, byteCount: swiftlet_matrix_bytes(&value))
        let group = quantization.groupSize == 0 ? matrix.columns : quantization.groupSize
        device.launch(
            kernels.arrangePanels, grid: (1024, 1, 1), block: 256, panels, quantization.format.rawValue,
            Int32(matrix.rows), Int32(matrix.columns), Int32(matrix.isGated ? 1 : 0), Int32(group), quantization.layout,
            matrix.memory.address)
        try device.throwFailure()
    }

    // MARK: - Bytes as they are stored

    private static var chunkBytes: Int { 16 << 20 }

    private func upload(_ stored: StoredMatrix, to matrix: CUDAMatrix) throws(LLMError) {
        guard let quantization = matrix.quantization else { preconditionFailure("its weights are plain") }
        let groups = quantization.groups(matrix.columns)
        let scales =
            matrix.memory.address + UInt64(quantization.weightBytes(rows: matrix.rows, columns: matrix.columns))
        for part in stored.parts {
            guard case .bytes(let bytes) = part.weights else { preconditionFailure("they are no bytes") }
            let firstRow = part.firstRow + (part.part == .up ? matrix.rows / 2 : 0)
            try upload(bytes, rows: part.rows, to: matrix, firstRow: firstRow)
            let values = try bytes.scales(rows: part.rows, groups: groups, groupSize: quantization.groupSize)
            try device.copy(values, to: scales + UInt64(4 * firstRow * groups), byteCount: 4 * values.count)
        }
    }

    private func upload(
        _ bytes: StoredBytes, rows: Int, to matrix: CUDAMatrix, firstRow: Int
    ) throws(LLMError) {
        let columns = matrix.columns
        let flip: Int32 = bytes.element == .packedInt8 ? 0x80 : 0
        let rowsAtOnce = max(1, Self.chunkBytes / columns)
        var first = 0
        while first < rows {
            let count = min(rowsAtOnce, rows - first)
            try bytes.tensor.withBytes { tensor throws(LLMError) in
                let chunk = [UInt8](unsafeUninitializedCapacity: count * columns) { buffer, used in
                    for row in 0..<count {
                        let begin = (bytes.firstRow + first + row) * bytes.stride + bytes.firstColumn
                        let source = UnsafeRawBufferPointer(rebasing: tensor[begin..<begin + columns])
                        UnsafeMutableRawBufferPointer(buffer).baseAddress!.advanced(by: row * columns)
                            .copyMemory(from: source.baseAddress!, byteCount: columns)
                    }
                    used = count * columns
                }
                let source = try stage(chunk, byteCount: chunk.count)
                device.launch(
                    kernels.arrangeBytes, grid: (1024, 1, 1), block: 256, source, Int32(firstRow + first), Int32(count),
                    Int32(columns), flip, matrix.memory.address)
            }
            first += count
        }
        try device.throwFailure()
    }
}

extension StoredMatrix {
    /// Bytes with scales, which stay what they are.
    fileprivate var hasBytes: Bool { format == .int8 || format == .expanded(nil) }
}

extension StoredBytes {
    /// [rows, groups]: one for each row and group of columns of the matrix, whatever shares it in the tensor.
    fileprivate func scales(rows: Int, groups: Int, groupSize: Int) throws(LLMError) -> [Float] {
        let source = try scales.kernelSource()
        let count = scales.elementCount
        let all = [Float](unsafeUninitializedCapacity: count) { buffer, used in
            scales.withBytes { swiftlet_convert_to_float($0.baseAddress, source, count, buffer.baseAddress) }
            used = count
        }
        return (0..<rows * groups).map { index in
            let (row, column) = (firstRow + index / groups, firstColumn + index % groups * groupSize)
            return all[row / scaleRows * scaleStride + column / scaleColumns]
        }
    }
}

// KernelShape: on what shapes the self-test runs each kernel, and what it needs to put in and take out.
// Invariant: values that are put in are those that come out: already rounded to the compute type.

import CSwiftletKernels

struct KernelShape: Sendable {
    var dtype: swiftlet_dtype
    var headDim: Int
    var queryHeads: Int
    var keyValueHeads: Int
    var blockSize: Int
    var window: Int?
    var softCap: Float?

    var queryGroup: Int { queryHeads / keyValueHeads }
    var isFloat32: Bool { dtype == SWIFTLET_FLOAT32 }

    /// Groups of one, two and seven; heads of one and of several tiles; with and without a window and a cap.
    static var all: [KernelShape] {
        [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16].flatMap { dtype in
            [
                KernelShape(dtype: dtype, headDim: 64, queryHeads: 7, keyValueHeads: 1, blockSize: 16),
                KernelShape(
                    dtype: dtype, headDim: 128, queryHeads: 4, keyValueHeads: 2, blockSize: 64, window: 40, softCap: 20),
            ]
        }
    }

    var name: String { "\(isFloat32 ? "float32" : "bfloat16"), heads of \(headDim)" }

    static var limits: CUDABackend.Limits {
        CUDABackend.Limits(tokens: KernelSizes.tokens, sequences: KernelSizes.tokens, logitRows: 16, words: 1 << 14)
    }

    var cuda: CUDAShapes {
        CUDAShapes(
            dtype: dtype, headDim: headDim, queryHeads: queryHeads, keyValueHeads: keyValueHeads,
            queryGroup: queryGroup, skippedQueryHeads: 0, blockSize: blockSize)
    }

    /// As the compute type has it.
    func rounded(_ value: Float) -> Float {
        isFloat32 ? value : Float(bitPattern: UInt32(value.bfloat16) << 16)
    }

    func rounded(_ values: [Float]) -> [Float] { values.map { rounded($0) } }
}

/// What the checks share.
enum KernelSizes {
    static var tokens: Int { 64 }
    static var hidden: Int { 72 }
    static var vocabulary: Int { 331 }
}

/// A backend whose activations the self-test can write and read.
protocol CheckedBackend: Backend {
    /// Fills the first rows.
    func write(_ values: [Float], to buffer: Buffer) throws(LLMError)
    /// The first rows.
    func read(_ buffer: Buffer, rows: Int) throws(LLMError) -> [Float]
    /// Called when all matrices are made.
    func prepare() throws(LLMError)
}

extension CPUBackend: CheckedBackend {
    func write(_ values: [Float], to buffer: CPUBuffer) {
        for (index, value) in values.enumerated() {
            let place = index / buffer.columns * buffer.stride + index % buffer.columns
            if buffer.dtype == SWIFTLET_FLOAT32 {
                buffer.floats[place] = value
            } else {
                buffer.memory.assumingMemoryBound(to: UInt16.self)[place] = value.bfloat16
            }
        }
    }

    func read(_ buffer: CPUBuffer, rows: Int) -> [Float] {
        (0..<rows * buffer.columns).map { index in
            let place = index / buffer.columns * buffer.stride + index % buffer.columns
            guard buffer.dtype != SWIFTLET_FLOAT32 else { return buffer.floats[place] }
            let bits = buffer.memory.assumingMemoryBound(to: UInt16.self)[place]
            return Float(bitPattern: UInt32(bits) << 16)
        }
    }

    func prepare() {}
}

extension CUDABackend: CheckedBackend {
    func write(_ values: [Float], to buffer: CUDABuffer) throws(LLMError) {
        if buffer.type == .float || shapes.dtype == SWIFTLET_FLOAT32 {
            return try device.copy(values, to: buffer.memory.address, byteCount: 4 * values.count)
        }
        try device.copy(values.map { $0.bfloat16 }, to: buffer.memory.address, byteCount: 2 * values.count)
    }

    func read(_ buffer: CUDABuffer, rows: Int) throws(LLMError) -> [Float] {
        let count = rows * buffer.columns
        if buffer.type == .float || shapes.dtype == SWIFTLET_FLOAT32 {
            var values = [Float](repeating: .nan, count: count)
            try device.copy(buffer.memory.address, to: &values, byteCount: 4 * count)
            return values
        }
        var bits = [UInt16](repeating: 0x7FC0, count: count)
        try device.copy(buffer.memory.address, to: &bits, byteCount: 2 * count)
        return bits.map { Float(bitPattern: UInt32($0) << 16) }
    }

    func prepare() throws(LLMError) { try makeSums() }
}

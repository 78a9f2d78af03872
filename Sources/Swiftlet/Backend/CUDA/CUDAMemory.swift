// What the CUDA backend owns on a GPU: matrices, vectors, activations, KV pools. Each frees its memory in deinit.
//
// Invariant: every piece starts on 256 bytes, and its owner keeps the device.

import CSwiftletKernels

/// Memory of a GPU. Not zeroed.
struct DeviceMemory: ~Copyable {
    let address: UInt64
    let byteCount: Int
    private let device: CUDADevice
    /// What it is a part of.
    private let block: DeviceBlock?

    init(_ device: CUDADevice, byteCount: Int, for purpose: @autoclosure () -> String) throws(LLMError) {
        let rounded = max(byteCount, 256)
        var address: UInt64 = 0
        let status = device.driver.allocate(&address, rounded)
        guard status == 0 else {
            let free = (try? device.memory().free) ?? 0
            throw status == 2
                ? LLMError(
                    .outOfMemory,
                    "\(rounded >> 20) MiB for \(purpose()) can't be allocated on the GPU; \(free >> 20) MiB are free")
                : device.driver.error(status, "allocating \(rounded) bytes for \(purpose())")
        }
        self.address = address
        self.byteCount = rounded
        self.device = device
        block = nil
    }

    /// A part of a block, which lives as long as any of them.
    init(in block: DeviceBlock, at offset: Int, byteCount: Int) {
        precondition(offset >= 0 && byteCount >= 0 && offset + byteCount <= block.memory.byteCount)
        address = block.memory.address + UInt64(offset)
        self.byteCount = byteCount
        device = block.memory.device
        self.block = block
    }

    deinit {
        guard block == nil else { return }
        device.settle()
        _ = device.driver.free(address)
    }
}

/// Memory that several matrices share.
final class DeviceBlock {
    fileprivate let memory: DeviceMemory

    init(_ device: CUDADevice, byteCount: Int, for purpose: @autoclosure () -> String) throws(LLMError) {
        memory = try DeviceMemory(device, byteCount: byteCount, for: purpose())
    }
}

/// Host memory that the GPU reads and writes by itself.
struct PinnedMemory: ~Copyable {
    let bytes: UnsafeMutableRawPointer
    let byteCount: Int
    private let device: CUDADevice

    init(_ device: CUDADevice, byteCount: Int) throws(LLMError) {
        var bytes: UnsafeMutableRawPointer?
        try device.check(device.driver.allocateHost(&bytes, max(byteCount, 64), 0), "pinning \(byteCount) bytes")
        guard let bytes else { throw LLMError(.outOfMemory, "\(byteCount) bytes can't be pinned") }
        self.bytes = bytes
        self.byteCount = byteCount
        self.device = device
    }

    deinit {
        device.settle()
        _ = device.driver.freeHost(bytes)
    }
}

/// Weights [rows, columns], row-major, in the compute type or quantised. A gated one has all gate rows, then all up rows.
package final class CUDAMatrix {
    let memory: DeviceMemory
    let rows: Int
    let columns: Int
    /// Of x: other than `columns` where these have an order of their own.
    let inputColumns: Int
    let isGated: Bool
    /// nil: in the compute type.
    let quantization: CUDAQuantization?
    /// [columns] Int32: which column of x each belongs to, or -1; nil: its own.
    let order: CUDAVector?

    init(_ device: CUDADevice, rows: Int, columns: Int, size: Int, isGated: Bool) throws(LLMError) {
        let (count, overflow) = rows.multipliedReportingOverflow(by: columns * size)
        memory = try DeviceMemory(
            device, byteCount: overflow ? Int.max >> 1 : count, for: "a weight matrix of \(rows) x \(columns)")
        self.rows = rows
        self.columns = columns
        self.isGated = isGated
        inputColumns = columns
        quantization = nil
        order = nil
    }

    /// - Parameter columns: Of x.
    init(
        _ device: CUDADevice, rows: Int, columns: Int, isGated: Bool, _ quantization: CUDAQuantization,
        order: StoredMatrix.Order?
    ) throws(LLMError) {
        let own = order?.columns.count ?? columns
        memory = try DeviceMemory(
            device, byteCount: quantization.byteCount(rows: rows, columns: own),
            for: "a weight matrix of \(rows) x \(columns)")
        self.rows = rows
        self.columns = own
        self.isGated = isGated
        self.quantization = quantization
        inputColumns = columns
        self.order = try order.map { (order) throws(LLMError) in try CUDAVector(device, numbers: order.columns) }
    }

    /// In a part of a block.
    init(
        in block: DeviceBlock, at offset: Int, byteCount: Int, rows: Int, columns: Int, isGated: Bool,
        quantization: CUDAQuantization? = nil
    ) {
        memory = DeviceMemory(in: block, at: offset, byteCount: byteCount)
        self.rows = rows
        self.columns = columns
        self.isGated = isGated
        self.quantization = quantization
        inputColumns = columns
        order = nil
    }
}

/// float32 values, or Int32.
package final class CUDAVector {
    let memory: DeviceMemory

    init(_ device: CUDADevice, numbers: [Int32]) throws(LLMError) {
        memory = try DeviceMemory(device, byteCount: 4 * numbers.count, for: "a vector of \(numbers.count)")
        try device.copy(numbers, to: memory.address, byteCount: 4 * numbers.count)
    }

    init(_ device: CUDADevice, _ values: [Float]) throws(LLMError) {
        memory = try DeviceMemory(device, byteCount: 4 * values.count, for: "a vector of \(values.count)")
        try device.copy(values, to: memory.address, byteCount: 4 * values.count)
    }
}

/// Activations [rows, columns], row-major.
package final class CUDABuffer {
    let memory: DeviceMemory
    let rows: Int
    let columns: Int
    let type: ElementType
    /// Of logits: rows in host memory.
    let mirror: CUDAMirror?

    /// - Parameter room: Bytes, where it has more than its own rows.
    init(
        _ device: CUDADevice, rows: Int, columns: Int, type: ElementType, size: Int, room: Int = 0,
        hasMirror: Bool = false
    ) throws(LLMError) {
        memory = try DeviceMemory(
            device, byteCount: max(room, rows * columns * (type == .float ? 4 : size)),
            for: "activations of \(rows) x \(columns)")
        self.rows = rows
        self.columns = columns
        self.type = type
        mirror = hasMirror ? try CUDAMirror(rows: rows, columns: columns) : nil
    }

    /// Of a row of float32.
    func address(ofRow row: Int) -> UInt64 { memory.address + UInt64(4 * row * columns) }
}

/// Rows of a buffer of float32 as the host sees them, copied when it asks for them. (Pages that nobody touches cost
/// nothing.)
final class CUDAMirror {
    private let pages: CPUPages
    private let columns: Int
    /// [rows]: whether the row is the device's.
    private(set) var isCurrent: [Bool]

    init(rows: Int, columns: Int) throws(LLMError) {
        pages = try CPUPages(byteCount: 4 * rows * columns, for: "logits of \(rows) x \(columns) on the host")
        self.columns = columns
        isCurrent = Array(repeating: false, count: rows)
    }

    subscript(row: Int) -> UnsafeMutablePointer<Float> {
        pages.memory.assumingMemoryBound(to: Float.self) + row * columns
    }

    func markCurrent(_ row: Int) { isCurrent[row] = true }

    /// The device has others now.
    func invalidate() { for row in isCurrent.indices { isCurrent[row] = false } }
}

/// The KV pool of a layer: keys and values, each [blocks, heads, blockSize, headDim] in the compute type.
package final class CUDACache {
    let keys: DeviceMemory
    let values: DeviceMemory

    init(_ device: CUDADevice, byteCount: Int) throws(LLMError) {
        keys = try DeviceMemory(device, byteCount: byteCount, for: "the keys of a layer's KV cache")
        values = try DeviceMemory(device, byteCount: byteCount, for: "the values of a layer's KV cache")
        // 0 x NaN of a slot that was never written would be NaN.
        for address in [keys.address, values.address] {
            try device.clear(address, byteCount: byteCount)
        }
    }

    /// Bytes of keys and values of a block.
    static func blockBytes(
        blockSize: Int, keyValueHeads: Int, headDim: Int, dtype: swiftlet_dtype, isFP8: Bool
    ) -> Int {
        2 * blockSize * keyValueHeads * headDim * (isFP8 ? 1 : dtype == SWIFTLET_BFLOAT16 ? 2 : 4)
    }
}

// CUDAAlgorithms: which of cublasLt's algorithms were the fastest when they were tried, kept beside the compiled kernels so
// that the next start need not try them again, and computes alike. Owned by the CUDAProducts.
//
// Invariant: what is read is a proposal: the library checks it, and its own proposals are tried where it does not agree.

struct CUDAAlgorithms {
    struct Shape: Hashable {
        var outputs: Int
        var columns: Int
        var rows: Int
        /// From row to row of the result.
        var stride: Int
    }

    private typealias Entry = (shape: Shape, algorithm: CublasLtAlgorithm)

    private static var most: Int { 1024 }
    private static var entryBytes: Int { 104 }
    private let cache: CubinCache?
    private let key: CubinCache.Key
    /// Oldest first.
    private var entries: [Entry]

    /// - Parameter product: What every product has in common.
    init(_ cache: CubinCache?, _ description: CUDADescription, version: Int, product: String) {
        self.cache = cache
        key = CubinCache.Key(
            [
                "cublasLt \(version)", "driver \(description.driverVersion)", description.name,
                "sm_\(description.architecture)", product,
            ], [], kind: "algorithms")
        entries = Self.read(cache, key)
    }

    subscript(shape: Shape) -> CublasLtAlgorithm? { entries.last { $0.shape == shape }?.algorithm }

    /// Keeps it, with what other processes have found meanwhile.
    mutating func add(_ algorithm: CublasLtAlgorithm, for shape: Shape) {
        guard let cache else { return }
        entries = Self.read(cache, key).filter { $0.shape != shape }.suffix(Self.most - 1) + [(shape, algorithm)]
        var bytes: [UInt8] = []
        for (shape, algorithm) in entries {
            for number in [shape.outputs, shape.columns, shape.rows, shape.stride, algorithm.workspace] {
                withUnsafeBytes(of: UInt64(number).littleEndian) { bytes += $0 }
            }
            withUnsafeBytes(of: algorithm.words) { bytes += $0 }
        }
        cache.write(bytes, key)
    }

    private static func read(_ cache: CubinCache?, _ key: CubinCache.Key) -> [Entry] {
        guard let bytes = cache?.read(key), bytes.count.isMultiple(of: entryBytes), bytes.count <= most * entryBytes
        else { return [] }
        return bytes.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: entryBytes).map { at in
                func number(_ index: Int) -> Int {
                    let word = bytes.loadUnaligned(fromByteOffset: at + 8 * index, as: UInt64.self)
                    return Int(truncatingIfNeeded: UInt64(littleEndian: word))
                }
                var algorithm = CublasLtAlgorithm()
                algorithm.workspace = number(4)
                withUnsafeMutableBytes(of: &algorithm.words) {
                    $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[at + 40..<at + entryBytes]))
                }
                return (
                    Shape(outputs: number(0), columns: number(1), rows: number(2), stride: number(3)), algorithm
                )
            }
        }
    }
}

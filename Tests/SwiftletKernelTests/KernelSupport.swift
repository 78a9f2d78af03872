// KernelSupport.swift: what the kernels' tests share: the levels of this machine, pools, seeded random values,
// bfloat16 in Swift, and packed matrices read back by the documented layout.
// Owner: SwiftletKernelTests. Invariant: nothing here calls the code under test to produce an expected value.

import CSwiftletKernels
import Testing

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The root of all kernel suites: one after the other, since each starts threads.
@Suite(.serialized) enum Kernels {}

/// splitmix64: the same values on every run.
struct SeededRandom: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func float(_ range: ClosedRange<Float> = -1...1) -> Float { Float.random(in: range, using: &self) }
    mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    /// The bits of a finite bfloat16.
    mutating func bits() -> UInt16 { bfloat16(float()) }
    mutating func bool() -> Bool { Bool.random(using: &self) }
}

/// The levels this machine runs.
let supportedLevels: [swiftlet_level] = [
    SWIFTLET_LEVEL_PORTABLE, SWIFTLET_LEVEL_AVX2, SWIFTLET_LEVEL_AVX2VNNI, SWIFTLET_LEVEL_AVX512,
    SWIFTLET_LEVEL_AVX512VNNI, SWIFTLET_LEVEL_AVX512BF16, SWIFTLET_LEVEL_NEON, SWIFTLET_LEVEL_NEONDOT,
    SWIFTLET_LEVEL_NEONBF16,
].filter { swiftlet_level_supported($0) }

func name(of level: swiftlet_level) -> String { String(cString: swiftlet_level_name(level)) }

/// Whether bfloat16 is rounded to sixteen bits where weights have four.
func roundsToInt16(_ level: swiftlet_level) -> Bool {
    #if arch(x86_64)
    [SWIFTLET_LEVEL_PORTABLE, SWIFTLET_LEVEL_AVX2, SWIFTLET_LEVEL_AVX2VNNI].contains(level)
    #else
    false
    #endif
}

/// A `swiftlet_cpu` that is destroyed with its owner.
final class Pool {
    let cpu: OpaquePointer

    init(_ level: swiftlet_level, threads: Int = 1) {
        guard let cpu = swiftlet_cpu_create(level, Int32(threads), nil) else {
            preconditionFailure("no pool of \(threads) threads for \(name(of: level))")
        }
        self.cpu = cpu
    }

    /// Threads of these memory nodes, bound to no core; nil when there are no such nodes.
    init?(_ level: swiftlet_level, nodes: [Int32]) {
        let places = nodes.map { swiftlet_place(core: -1, node: $0) }
        guard let cpu = swiftlet_cpu_create(level, Int32(places.count), places) else { return nil }
        self.cpu = cpu
    }

    deinit { swiftlet_cpu_destroy(cpu) }
}

/// A file's bytes, mapped. The file has no name any more.
final class MappedBytes {
    let bytes: UnsafeRawBufferPointer

    struct Failure: Error {}

    init(_ contents: [UInt8]) throws {
        var path = Array("/tmp/swiftlet-XXXXXX".utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor >= 0 else { throw Failure() }
        unlink(path)
        defer { close(descriptor) }
        guard write(descriptor, contents, contents.count) == contents.count,
            let address = mmap(nil, contents.count, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED
        else { throw Failure() }
        bytes = UnsafeRawBufferPointer(start: address, count: contents.count)
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress!), bytes.count) }
}

/// The C library's functions, so that only this file imports it.
func exponential(_ x: Double) -> Double { exp(x) }
func logarithm(_ x: Double) -> Double { log(x) }

// MARK: - bfloat16

/// The nearer of the two neighbouring bfloat16 values, the even one when both are as near.
func bfloat16(_ value: Float) -> UInt16 {
    let below = UInt16(value.bitPattern >> 16)  // towards zero
    guard value.isFinite else { return value.isNaN ? below | 0x40 : below }
    let magnitude = Double(value.magnitude)
    let low = Double(Float(bitPattern: UInt32(below & 0x7fff) << 16))
    let above = UInt32(below & 0x7fff) + 1
    let high = above == 0x7f80 ? 0x1p128 : Double(Float(bitPattern: above << 16))
    if magnitude - low < high - magnitude { return below }
    if magnitude - low > high - magnitude { return below + 1 }
    return below & 1 == 0 ? below : below + 1
}

func float(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

func rounded(_ values: [Float], to dtype: swiftlet_dtype) -> [Float] {
    dtype == SWIFTLET_BFLOAT16 ? values.map { float(bfloat16($0)) } : values
}

// MARK: - int8

/// A row as eight-bit integers and what one of them stands for: the largest magnitude becomes 127.
func quantized(_ row: some Collection<Float>, most: Float = 127) -> (integers: [Int], scale: Float) {
    let largest = row.map(\.magnitude).max() ?? 0
    guard largest >= 1e-30 else { return (row.map { _ in 0 }, 0) }
    let inverse = most / largest
    return (row.map { Int(($0 * inverse).rounded(.toNearestOrEven)) }, largest / most)
}

/// A buffer of the compute dtype.
struct Elements {
    var dtype: swiftlet_dtype
    var bytes: [UInt8]

    init(_ values: [Float], _ dtype: swiftlet_dtype) {
        self.dtype = dtype
        bytes =
            dtype == SWIFTLET_BFLOAT16
            ? values.map { bfloat16($0) }.withUnsafeBytes { Array($0) } : values.withUnsafeBytes { Array($0) }
    }

    var values: [Float] {
        bytes.withUnsafeBytes { raw in
            dtype == SWIFTLET_BFLOAT16
                ? (0..<raw.count / 2).map { float(raw.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self)) }
                : (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
    }
}

// MARK: - Matrices

/// A packed matrix and its memory.
final class PackedMatrix {
    private(set) var matrix: swiftlet_matrix
    let byteCount: Int

    init(
        rows: Int, columns: Int, dtype: swiftlet_dtype, gated: Bool = false,
        format: swiftlet_weights = SWIFTLET_WEIGHTS_NATIVE, groups: swiftlet_groups = swiftlet_groups()
    ) {
        matrix = swiftlet_matrix(
            words: nil, rows: Int32(rows), columns: Int32(columns), dtype: dtype, format: format, groups: groups,
            gated: gated)
        byteCount = swiftlet_matrix_bytes(&matrix)
        matrix.words = swiftlet_allocate(max(byteCount, 1))!.assumingMemoryBound(to: UInt32.self)
    }

    /// Packs checkpoint rows (gate, then up, when gated) [rows, columns] of float32.
    convenience init(
        _ pool: Pool, _ weights: [Float], rows: Int, columns: Int, dtype: swiftlet_dtype, gated: Bool,
        format: swiftlet_weights = SWIFTLET_WEIGHTS_NATIVE, groups: swiftlet_groups = swiftlet_groups()
    ) {
        self.init(rows: rows, columns: columns, dtype: dtype, gated: gated, format: format, groups: groups)
        let half = gated ? rows / 2 : rows
        weights.withUnsafeBufferPointer { source in
            let part = gated ? SWIFTLET_PART_GATE : SWIFTLET_PART_WHOLE
            let half32 = Int32(half)
            swiftlet_pack_rows(
                pool.cpu, &matrix, part, 0, half32, source.baseAddress, SWIFTLET_SOURCE_F32, columns)
            guard gated else { return }
            let up = source.baseAddress! + half * columns
            swiftlet_pack_rows(pool.cpu, &matrix, SWIFTLET_PART_UP, 0, half32, up, SWIFTLET_SOURCE_F32, columns)
        }
    }

    deinit { swiftlet_release(matrix.words, max(byteCount, 1)) }

    /// The words, by the layout that CSwiftletKernels.h documents.
    var words: [UInt32] { Array(UnsafeBufferPointer(start: matrix.words, count: byteCount / 4)) }

    /// Where a checkpoint row lies.
    func place(_ row: Int) -> (panel: Int, lane: Int) {
        guard matrix.gated else { return (row / 64, row % 64) }
        let half = Int(matrix.rows) / 2
        return (row % half / 32, row % half % 32 + row / half * 32)
    }

    /// The sum of a row's integers, of int8 weights.
    func int8Sum(_ row: Int) -> Int {
        let (panel, lane) = place(row)
        let wordsPerRow = (Int(matrix.columns) + 3) / 4 + 2
        return Int(Int32(bitPattern: matrix.words[((panel + 1) * wordsPerRow - 1) * 64 + lane]))
    }

    /// The value at a checkpoint row and column.
    func value(_ row: Int, _ column: Int) -> Float {
        if matrix.format == SWIFTLET_WEIGHTS_INT4 { return int4Value(row, column) }
        let isInt8 = matrix.format == SWIFTLET_WEIGHTS_INT8
        let unit = isInt8 ? 4 : matrix.dtype == SWIFTLET_BFLOAT16 ? 2 : 1
        // A panel of int8 ends with scales and sums.
        let wordsPerRow = (Int(matrix.columns) + unit - 1) / unit + (isInt8 ? 2 : 0)
        let (panel, lane) = place(row)
        let word = matrix.words[(panel * wordsPerRow + column / unit) * 64 + lane]
        if isInt8 {
            let scale = Float(bitPattern: matrix.words[((panel + 1) * wordsPerRow - 2) * 64 + lane])
            return Float(Int8(truncatingIfNeeded: word >> (8 * (column % 4)))) * scale
        }
        if unit == 1 { return Float(bitPattern: word) }
        return float(UInt16(truncatingIfNeeded: column % 2 == 0 ? word : word >> 16))
    }
}

// MARK: - Rows without a scale

/// A row of zeros, one of values too small to divide by, and two with what is no number.
func rowsWithoutAScale(columns: Int, tiny: Float) -> [[Float]] {
    [
        [Float](repeating: 0, count: columns), [Float](repeating: tiny, count: columns),
        (0..<columns).map { $0 == 9 ? .nan : 1 }, (0..<columns).map { $0 == 9 ? .infinity : 1 },
    ]
}

/// Products of rows with weights that are all one.
func timesOnes(
    _ rows: [[Float]], _ pool: Pool, _ dtype: swiftlet_dtype, _ format: swiftlet_weights,
    groups: swiftlet_groups = swiftlet_groups()
) -> [Float] {
    let columns = rows[0].count
    let packed = PackedMatrix(
        pool, [Float](repeating: 1, count: columns), rows: 1, columns: columns, dtype: dtype, gated: false,
        format: format, groups: groups)
    var matrix = packed.matrix
    var out = [Float](repeating: 7, count: rows.count)
    Elements(rows.flatMap { $0 }, dtype).bytes.withUnsafeBytes {
        swiftlet_linear(
            pool.cpu, &matrix, $0.baseAddress, columns, Int32(rows.count), nil, SWIFTLET_STORE_FLOAT, &out, 1)
    }
    return out
}

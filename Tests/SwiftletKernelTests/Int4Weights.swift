// Int4Weights.swift: random four-bit weights as checkpoints hold them, and packed ones read back by the documented
// layout. Owner: SwiftletKernelTests.
// Invariant: see KernelSupport.swift.

import CSwiftletKernels

/// The bits of a float16 scale between 2^-9 and 2^-3.
private func randomFloat16(_ random: inout SeededRandom) -> UInt16 { UInt16(random.int(0x1800...0x2fff)) }

private func fromFloat16(_ bits: UInt16) -> Float {
    let magnitude = Float(bitPattern: UInt32(bits & 0x7fff) << 13) * 0x1p112
    return bits & 0x8000 == 0 ? magnitude : -magnitude
}

/// A matrix of four-bit weights.
struct Int4Weights {
    /// How a checkpoint lays the integers out.
    enum Arrangement: CaseIterable {
        case awq, gptq, compressedTensors
    }

    var rows: Int
    var columns: Int
    var groups: swiftlet_groups
    var integers: [UInt32]  // [rows, columns]
    var scales: [UInt16]  // [rows, groups]
    var zeros: [UInt32]  // [rows, groups]

    var groupCount: Int { groups.columns == 0 ? 1 : (columns + Int(groups.columns) - 1) / Int(groups.columns) }

    init(rows: Int, columns: Int, zeros zeroRange: ClosedRange<Int> = 1...16, _ random: inout SeededRandom) {
        self.rows = rows
        self.columns = columns
        groups = swiftlet_groups(
            columns: [0, 32, 64, 128][random.int(0...3)], has_zeros: random.bool(), scales_are_f16: random.bool())
        integers = (0..<rows * columns).map { _ in UInt32(random.int(0...15)) }
        (scales, zeros) = ([], [])
        for _ in 0..<rows * groupCount {
            let scale = random.float(0.001...0.1) * (random.bool() ? 1 : -1)
            scales.append(groups.scales_are_f16 ? randomFloat16(&random) : bfloat16(scale))
            zeros.append(groups.has_zeros ? UInt32(random.int(zeroRange)) : 8)
        }
    }

    /// What they stand for [rows, columns]; a scale has too few bits for a product to be rounded.
    var values: [Float] {
        (0..<rows * columns).map { index in
            let group = groups.columns == 0 ? 0 : index % columns / Int(groups.columns)
            let at = index / columns * groupCount + group
            let scale = groups.scales_are_f16 ? fromFloat16(scales[at]) : float(scales[at])
            return Float(Int(integers[index]) - Int(zeros[at])) * scale
        }
    }

    /// What a checkpoint holds of rows `range` of a part, which begins at row `base` here. `order`: which of the
    /// checkpoint's columns comes where.
    func stored(
        as arrangement: Arrangement, part: swiftlet_part = SWIFTLET_PART_WHOLE, base: Int = 0, rows range: Range<Int>,
        order: [Int32]? = nil
    ) -> StoredInt4 {
        let count = range.count
        let first = base + range.lowerBound
        // Words of a tensor [down, along], eight integers each.
        func words(_ values: [UInt32], width: Int, alongRows: Bool, transposed: Bool) -> (
            nibbles: [UInt32], row: Int, column: Int
        ) {
            let (down, along) = alongRows ? ((count + 7) / 8, width) : (count, (width + 7) / 8)
            let (rowStride, columnStride) = transposed ? (1, down) : (along, 1)
            var result = [UInt32](repeating: 0, count: down * along)
            for row in 0..<count {
                for column in 0..<width {
                    let at = (alongRows ? row / 8 : row) * rowStride + (alongRows ? column : column / 8) * columnStride
                    result[at] |= values[row * width + column] << shifts[(alongRows ? row : column) % 8]
                }
            }
            return (result, rowStride, columnStride)
        }
        let shifts: [UInt32] = arrangement == .awq ? [0, 16, 4, 20, 8, 24, 12, 28] : [0, 4, 8, 12, 16, 20, 24, 28]
        let stored = StoredInt4()
        stored.source.zero_offset = arrangement == .gptq ? 1 : 0
        var columnsStored = [UInt32](repeating: 0, count: count * columns)
        for row in 0..<count {
            for place in 0..<columns {
                let column = Int(order?[place] ?? Int32(place))
                columnsStored[row * columns + column] = integers[(first + row) * columns + place]
            }
        }
        let weights = words(
            columnsStored, width: columns, alongRows: arrangement == .awq, transposed: arrangement == .gptq)
        let offset = UInt32(stored.source.zero_offset)
        let storedZeros = zeros[first * groupCount..<(first + count) * groupCount].map { ($0 - offset) & 15 }
        let zeroWords = words(
            storedZeros, width: groupCount, alongRows: true, transposed: arrangement != .compressedTensors)
        func nibbles(_ words: [UInt32], _ row: Int, _ column: Int, alongRows: Bool) -> swiftlet_nibbles {
            var result = swiftlet_nibbles()
            (result.words, result.row_stride, result.column_stride) = (stored.keep(words), row, column)
            result.along_rows = alongRows
            withUnsafeMutableBytes(of: &result.shifts) { bytes in
                for (index, shift) in shifts.enumerated() { bytes[index] = UInt8(shift) }
            }
            return result
        }
        stored.source.weights = nibbles(
            weights.nibbles, weights.row, weights.column, alongRows: arrangement == .awq)
        stored.source.zeros = nibbles(zeroWords.nibbles, zeroWords.row, zeroWords.column, alongRows: true)
        stored.source.scales = stored.keep(Array(scales[first * groupCount..<(first + count) * groupCount]))
        stored.source.scale_type = groups.scales_are_f16 ? SWIFTLET_SOURCE_F16 : SWIFTLET_SOURCE_BF16
        (stored.source.scale_row_stride, stored.source.scale_group_stride) = (groupCount, 1)
        (stored.source.part, stored.source.first_row) = (part, Int32(range.lowerBound))
        stored.source.rows = Int32(count)
        if let order { stored.source.order = stored.keep(order)?.assumingMemoryBound(to: Int32.self) }
        return stored
    }

    /// A matrix of all of them.
    func packed(_ pool: Pool, dtype: swiftlet_dtype, gated: Bool = false) -> PackedMatrix {
        let packed = PackedMatrix(
            rows: rows, columns: columns, dtype: dtype, gated: gated, format: SWIFTLET_WEIGHTS_INT4, groups: groups)
        let half = gated ? rows / 2 : rows
        var parts = [
            stored(as: .gptq, part: gated ? SWIFTLET_PART_GATE : SWIFTLET_PART_WHOLE, rows: 0..<half)
        ]
        if gated { parts.append(stored(as: .gptq, part: SWIFTLET_PART_UP, base: half, rows: 0..<half)) }
        StoredInt4.pack(pool, parts, into: packed)
        return packed
    }
}

/// A source and the memory behind it.
final class StoredInt4 {
    var source = swiftlet_int4_source()
    private var memory: [UnsafeMutableRawPointer] = []

    deinit { for pointer in memory { pointer.deallocate() } }

    /// A copy at an odd address, as tensors in a file may have; nil of nothing.
    func keep<T>(_ values: [T]) -> UnsafeRawPointer? {
        guard !values.isEmpty else { return nil }
        return values.withUnsafeBytes { bytes in
            // Column orders are this program's own and aligned.
            let offset = T.self == Int32.self ? 0 : 1
            let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count + offset, alignment: 64)
            (copy + offset).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
            memory.append(copy)
            return UnsafeRawPointer(copy + offset)
        }
    }

    static func pack(_ pool: Pool, _ parts: [StoredInt4], into packed: PackedMatrix) {
        parts.map(\.source).withUnsafeBufferPointer { sources in
            var pack = swiftlet_int4_pack()
            (pack.matrix, pack.sources, pack.source_count) = (packed.matrix, sources.baseAddress, Int32(sources.count))
            withExtendedLifetime(parts) { _ = swiftlet_pack_int4(pool.cpu, &pack, 1) }
        }
    }
}

extension PackedMatrix {
    /// What is stored for a checkpoint row and column: the integer, its scale and its zero point.
    func int4Parts(_ row: Int, _ column: Int) -> (integer: Int, scale: Float, zero: Int) {
        let groups = matrix.groups
        let columns = Int(matrix.columns)
        let perGroup = groups.columns == 0 ? columns : Int(groups.columns)
        let groupCount = (columns + perGroup - 1) / perGroup
        let header = 128 + (groups.has_zeros ? 64 : 0)
        let panelBytes = groupCount * header + (columns + 1) / 2 * 64
        let (panel, lane) = place(row)
        let group = column / perGroup
        let bytes = UnsafeRawPointer(matrix.words!) + panel * panelBytes + group * (header + (perGroup + 1) / 2 * 64)
        let bits = bytes.loadUnaligned(fromByteOffset: 2 * lane, as: UInt16.self)
        let zero = groups.has_zeros ? Int(bytes.load(fromByteOffset: 128 + lane, as: UInt8.self)) : 8
        let place = column - group * perGroup
        let word = bytes.loadUnaligned(fromByteOffset: header + place / 2 * 64 + lane % 16 * 4, as: UInt32.self)
        let integer = Int(word >> (lane / 16 * 4 + place % 2 * 16) & 15)
        return (integer, groups.scales_are_f16 ? fromFloat16(bits) : float(bits), zero)
    }

    func int4Value(_ row: Int, _ column: Int) -> Float {
        let (integer, scale, zero) = int4Parts(row, column)
        return Float(integer - zero) * scale
    }
}

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

    /// Packs rows `range` of a part, which begins at row `base` here. `order`: which of the checkpoint's columns comes
    /// where.
    func pack(
        _ pool: Pool, into packed: PackedMatrix, as arrangement: Arrangement, part: swiftlet_part = SWIFTLET_PART_WHOLE,
        base: Int = 0, rows range: Range<Int>, order: [Int32]? = nil
    ) {
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
        var source = swiftlet_int4_source()
        source.zero_offset = arrangement == .gptq ? 1 : 0
        var stored = [UInt32](repeating: 0, count: count * columns)
        for row in 0..<count {
            for place in 0..<columns {
                let column = Int(order?[place] ?? Int32(place))
                stored[row * columns + column] = integers[(first + row) * columns + place]
            }
        }
        let weights = words(
            stored, width: columns, alongRows: arrangement == .awq, transposed: arrangement != .compressedTensors)
        let offset = UInt32(source.zero_offset)
        let storedZeros = zeros[first * groupCount..<(first + count) * groupCount].map { ($0 - offset) & 15 }
        let zeroWords = words(
            storedZeros, width: groupCount, alongRows: true, transposed: arrangement != .compressedTensors)
        let scaleRows = Array(scales[first * groupCount..<(first + count) * groupCount])
        source.part = part
        source.first_row = Int32(range.lowerBound)
        source.rows = Int32(count)
        source.scale_type = groups.scales_are_f16 ? SWIFTLET_SOURCE_F16 : SWIFTLET_SOURCE_BF16
        source.scale_row_stride = groupCount
        source.scale_group_stride = 1
        var matrix = packed.matrix
        func nibbles(_ base: UnsafeRawPointer?, _ row: Int, _ column: Int, alongRows: Bool) -> swiftlet_nibbles {
            var result = swiftlet_nibbles()
            (result.words, result.row_stride, result.column_stride) = (base, row, column)
            result.along_rows = alongRows
            withUnsafeMutableBytes(of: &result.shifts) { bytes in
                for (index, shift) in shifts.enumerated() { bytes[index] = UInt8(shift) }
            }
            return result
        }
        weights.nibbles.withUnsafeBytes { weightBytes in
            zeroWords.nibbles.withUnsafeBytes { zeroBytes in
                scaleRows.withUnsafeBytes { scaleBytes in
                    source.weights = nibbles(
                        weightBytes.baseAddress, weights.row, weights.column, alongRows: arrangement == .awq)
                    source.zeros = nibbles(zeroBytes.baseAddress, zeroWords.row, zeroWords.column, alongRows: true)
                    source.scales = scaleBytes.baseAddress
                    guard let order else { return swiftlet_pack_int4(pool.cpu, &matrix, &source) }
                    order.withUnsafeBufferPointer {
                        source.order = $0.baseAddress
                        swiftlet_pack_int4(pool.cpu, &matrix, &source)
                    }
                }
            }
        }
    }

    /// A matrix of all of them.
    func packed(_ pool: Pool, dtype: swiftlet_dtype, gated: Bool = false) -> PackedMatrix {
        let packed = PackedMatrix(
            rows: rows, columns: columns, dtype: dtype, gated: gated, format: SWIFTLET_WEIGHTS_INT4, groups: groups)
        let half = gated ? rows / 2 : rows
        pack(
            pool, into: packed, as: .gptq, part: gated ? SWIFTLET_PART_GATE : SWIFTLET_PART_WHOLE, rows: 0..<half)
        if gated { pack(pool, into: packed, as: .gptq, part: SWIFTLET_PART_UP, base: half, rows: 0..<half) }
        return packed
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

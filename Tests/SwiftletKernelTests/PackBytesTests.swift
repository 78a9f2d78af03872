// PackBytesTests.swift: weights that a checkpoint holds as bytes: eight-bit integers as they are, and bytes expanded.
// Owner: SwiftletKernelTests.
// Invariant: see KernelSupport.swift.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct PackBytesTests {
        /// Bytes [rows, columns] with scales of blocks.
        private struct Source {
            var rows: Int
            var columns: Int
            var type: swiftlet_bytes
            var block: (rows: Int, columns: Int)
            var bytes: [UInt8]
            var scales: [Float]

            init(
                rows: Int, columns: Int, type: swiftlet_bytes, block: (rows: Int, columns: Int),
                _ random: inout SeededRandom
            ) {
                (self.rows, self.columns, self.type, self.block) = (rows, columns, type, block)
                bytes = (0..<rows * columns).map { _ in UInt8(random.int(0...255)) }
                // Not the two that are no number.
                if type == SWIFTLET_BYTES_E4M3 { bytes = bytes.map { $0 & 0x7f == 0x7f ? 0x42 : $0 } }
                let count = (rows + block.rows - 1) / block.rows * ((columns + block.columns - 1) / block.columns)
                scales = (0..<count).map { _ in random.float(0.001...0.1) }
            }

            var scaleStride: Int { (columns + block.columns - 1) / block.columns }

            func value(_ row: Int, _ column: Int) -> Float {
                let byte = bytes[row * columns + column]
                let scale = scales[row / block.rows * scaleStride + column / block.columns]
                switch type {
                case SWIFTLET_BYTES_INT8: return Float(Int8(bitPattern: byte)) * scale
                case SWIFTLET_BYTES_UINT8: return Float(Int(byte) - 128) * scale
                default:
                    let (exponent, mantissa) = (Int(byte >> 3 & 15), Float(byte & 7))
                    let power = { (n: Int) in Float(sign: .plus, exponent: n, significand: 1) }
                    let size = exponent == 0 ? mantissa * power(-9) : (1 + mantissa / 8) * power(exponent - 7)
                    return (byte & 0x80 == 0 ? size : -size) * scale
                }
            }

            /// Packs rows 0..<split of a part and the others as two tensors.
            func pack(_ pool: Pool, into packed: PackedMatrix, split: Int) {
                bytes.withUnsafeBytes { bytes in
                    scales.withUnsafeBytes { scales in
                        let gated = packed.matrix.gated
                        let half = gated ? rows / 2 : rows
                        var sources: [swiftlet_bytes_source] = []
                        for (index, part) in [SWIFTLET_PART_GATE, SWIFTLET_PART_UP].prefix(gated ? 2 : 1).enumerated() {
                            for range in [0..<split, split..<half] where !range.isEmpty {
                                let row = index * half + range.lowerBound
                                sources.append(
                                    swiftlet_bytes_source(
                                        bytes: bytes.baseAddress! + row * columns, stride: columns, type: type,
                                        scales: scales.baseAddress, scale_type: SWIFTLET_SOURCE_F32,
                                        scale_stride: scaleStride, scale_rows: Int32(block.rows),
                                        scale_columns: Int32(block.columns), scale_first_row: Int32(row),
                                        scale_first_column: 0,
                                        part: gated ? part : SWIFTLET_PART_WHOLE, first_row: Int32(range.lowerBound),
                                        rows: Int32(range.count)))
                            }
                        }
                        sources.withUnsafeBufferPointer { sources in
                            var pack = swiftlet_bytes_pack()
                            pack.matrix = packed.matrix
                            (pack.sources, pack.source_count) = (sources.baseAddress, Int32(sources.count))
                            #expect(swiftlet_pack_bytes(pool.cpu, &pack, 1))
                        }
                    }
                }
            }
        }

        @Test(arguments: [false, true])
        func checkpointsInt8ArePackedAsTheyAre(gated: Bool) {
            var random = SeededRandom(31)
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            for _ in 0..<24 {
                let half = random.int(1...140)
                let (rows, columns) = (gated ? 2 * half : half, random.int(1...300))
                let source = Source(
                    rows: rows, columns: columns, type: SWIFTLET_BYTES_INT8, block: (1, columns), &random)
                let packed = PackedMatrix(
                    rows: rows, columns: columns, dtype: SWIFTLET_BFLOAT16, gated: gated, format: SWIFTLET_WEIGHTS_INT8)
                source.pack(pool, into: packed, split: random.int(0...half))
                for row in 0..<rows {
                    let integers = source.bytes[row * columns..<(row + 1) * columns].map { Int(Int8(bitPattern: $0)) }
                    #expect(packed.int8Sum(row) == integers.reduce(0, +), "\(rows)x\(columns), row \(row)")
                    #expect((0..<columns).allSatisfy { packed.value(row, $0) == source.value(row, $0) })
                }
            }
        }

        @Test(
            arguments: [SWIFTLET_BYTES_INT8, SWIFTLET_BYTES_UINT8, SWIFTLET_BYTES_E4M3].map(\.rawValue),
            [false, true])
        func bytesAreExpanded(type: UInt32, gated: Bool) {
            var random = SeededRandom(UInt64(type) + 40)
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            for round in 0..<12 {
                let half = random.int(1...140)
                let (rows, columns) = (gated ? 2 * half : half, random.int(1...300))
                let block = [(1, columns), (rows, columns), (128, 128), (1, 32)][round % 4]
                let source = Source(
                    rows: rows, columns: columns, type: swiftlet_bytes(rawValue: type), block: block, &random)
                let packed = PackedMatrix(rows: rows, columns: columns, dtype: SWIFTLET_FLOAT32, gated: gated)
                source.pack(pool, into: packed, split: random.int(0...half))
                let equal = (0..<rows * columns).allSatisfy {
                    packed.value($0 / columns, $0 % columns) == source.value($0 / columns, $0 % columns)
                }
                #expect(equal, "\(rows)x\(columns), blocks of \(block)")
            }
        }

        @Test func noNumberStaysNone() {
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE)
            var random = SeededRandom(1)
            var source = Source(rows: 1, columns: 4, type: SWIFTLET_BYTES_E4M3, block: (1, 4), &random)
            source.bytes = [0x7f, 0xff, 0x7e, 0x01]
            source.scales = [1]
            let packed = PackedMatrix(rows: 1, columns: 4, dtype: SWIFTLET_FLOAT32)
            source.pack(pool, into: packed, split: 0)
            #expect(packed.value(0, 0).isNaN && packed.value(0, 1).isNaN)
            #expect(packed.value(0, 2) == 448 && packed.value(0, 3) == 0x1p-9)
        }
    }
}

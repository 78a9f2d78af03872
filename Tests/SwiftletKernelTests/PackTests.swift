// PackTests.swift: packing checkpoints into panels, conversions, random filling and the embedding.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct PackTests {
        /// A float16's value by its definition.
        private func float16(_ bits: UInt16) -> Float {
            let exponent = Int(bits >> 10 & 31)
            let fraction = Float(bits & 1023)
            let sign: Float = bits >> 15 == 0 ? 1 : -1
            if exponent == 31 { return fraction == 0 ? sign * .infinity : .nan }
            if exponent == 0 { return sign * fraction * 0x1p-24 }
            return sign * (1 + fraction / 1024) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
        }

        @Test func everyHalfConverts() {
            let bits = (0...65535).map { UInt16($0) }
            var out = [Float](repeating: 0, count: bits.count)
            swiftlet_convert_to_float(bits, SWIFTLET_SOURCE_F16, bits.count, &out)
            #expect(bits.allSatisfy { same(out[Int($0)], float16($0)) })
            swiftlet_convert_to_float(bits, SWIFTLET_SOURCE_BF16, bits.count, &out)
            #expect(bits.allSatisfy { same(out[Int($0)], float($0)) })
        }

        private func same(_ a: Float, _ b: Float) -> Bool { a.bitPattern == b.bitPattern || a.isNaN && b.isNaN }

        /// Source bytes of `values` behind `offset` bytes, and the floats they stand for.
        private func encode(_ values: [Float], _ type: swiftlet_source, offset: Int) -> ([UInt8], [Float]) {
            var bytes = [UInt8](repeating: 0xaa, count: offset)
            var meant: [Float] = []
            for value in values {
                switch type {
                case SWIFTLET_SOURCE_F32:
                    withUnsafeBytes(of: value) { bytes += $0 }
                    meant.append(value)
                case SWIFTLET_SOURCE_BF16:
                    withUnsafeBytes(of: bfloat16(value)) { bytes += $0 }
                    meant.append(float(bfloat16(value)))
                default:  // the float's top bits make a float16 of some value
                    let half = UInt16(value.bitPattern >> 16) & 0xbfff
                    withUnsafeBytes(of: half) { bytes += $0 }
                    meant.append(float16(half))
                }
            }
            return (bytes, meant)
        }

        /// How many values of a word are not zero.
        private func valueCount(_ word: UInt32, _ dtype: swiftlet_dtype) -> Int {
            guard dtype == SWIFTLET_BFLOAT16 else { return word == 0 ? 0 : 1 }
            return (word & 0xffff == 0 ? 0 : 1) + (word >> 16 == 0 ? 0 : 1)
        }

        @Test(arguments: [SWIFTLET_FLOAT32.rawValue, SWIFTLET_BFLOAT16.rawValue], [false, true])
        func packingKeepsEveryValueAndZeroPadding(dtype: UInt32, gated: Bool) {
            let dtype = swiftlet_dtype(rawValue: dtype)
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            var random = SeededRandom(7)
            for round in 0..<60 {
                let type = swiftlet_source(rawValue: UInt32(round % 3))
                let columns = random.int(1...150)
                let half = random.int(1...(gated ? 70 : 140))
                let stride = columns + random.int(0...3)
                let packed = PackedMatrix(rows: gated ? 2 * half : half, columns: columns, dtype: dtype, gated: gated)
                let parts = gated ? [SWIFTLET_PART_GATE, SWIFTLET_PART_UP] : [SWIFTLET_PART_WHOLE]
                for index in parts.indices {
                    let offset = random.int(0...3)
                    let (bytes, meant) = encode((0..<half * stride).map { _ in random.float() }, type, offset: offset)
                    let split = random.int(0...half)  // in two calls
                    bytes.withUnsafeBytes { raw in
                        let size = type == SWIFTLET_SOURCE_F32 ? 4 : 2
                        var matrix = packed.matrix
                        for rows in [0..<split, split..<half] {
                            swiftlet_pack_rows(
                                pool.cpu, &matrix, parts[index], Int32(rows.lowerBound), Int32(rows.count),
                                raw.baseAddress! + offset + rows.lowerBound * stride * size, type, stride)
                        }
                    }
                    let wanted = rounded(meant, to: dtype)
                    var equal = true
                    for row in 0..<half {
                        for column in 0..<columns {
                            equal = equal && packed.value(index * half + row, column) == wanted[row * stride + column]
                        }
                    }
                    #expect(equal, "round \(round)")
                }
                let values = packed.words.reduce(0) { $0 + valueCount($1, dtype) }
                #expect(values <= Int(packed.matrix.rows) * columns, "padding is zero")
            }
        }

        /// The tensors of a model in one call, some of them large enough for several items, one from a mapped file.
        /// Threads are given by their memory nodes.
        @Test(arguments: [[0], [0, 0, 0], [0, 1], [2, 0, 1, 1]] as [[Int32]])
        func allTensorsAtOnceArePackedAsOneByOne(nodes: [Int32]) throws {
            let pool = try #require(Pool(SWIFTLET_LEVEL_PORTABLE, nodes: nodes))
            var random = SeededRandom(11)
            let columns = 1030  // two bytes each: about 1,000 rows an item
            let plain = [1, 1000, 2500, 30, 0, 77].map { rows in (0..<rows * columns).map { _ in random.bits() } }
            let gate = (0..<1500 * columns).map { _ in random.bits() }
            let up = (0..<1500 * columns).map { _ in random.bits() }
            let file = try MappedBytes(gate.withUnsafeBytes { Array($0) })
            let stacked = PackedMatrix(
                rows: plain.reduce(0) { $0 + $1.count / columns }, columns: columns, dtype: SWIFTLET_BFLOAT16)
            let gated = PackedMatrix(rows: 3000, columns: columns, dtype: SWIFTLET_BFLOAT16, gated: true)
            func pack(
                _ matrix: PackedMatrix, _ part: swiftlet_part, _ source: UnsafeRawPointer?, at row: Int, _ rows: Int
            ) -> swiftlet_pack {
                swiftlet_pack(
                    matrix: matrix.matrix, source: source, source_stride: columns, source_columns: 0,
                    first_column: 0, type: SWIFTLET_SOURCE_BF16,
                    part: part, first_row: Int32(row), rows: Int32(rows), first_item: 0,
                    mapped: source == file.bytes.baseAddress)
            }
            up.withUnsafeBytes { up in
                var packs = [pack(gated, SWIFTLET_PART_GATE, file.bytes.baseAddress, at: 0, 1500)]
                let joined = plain.flatMap { $0 }
                joined.withUnsafeBytes { joined in
                    var row = 0
                    for tensor in plain {
                        let rows = tensor.count / columns
                        packs.append(
                            pack(stacked, SWIFTLET_PART_WHOLE, joined.baseAddress! + row * columns * 2, at: row, rows))
                        row += rows
                    }
                    packs.append(pack(gated, SWIFTLET_PART_UP, up.baseAddress, at: 0, 1500))
                    swiftlet_pack_all(pool.cpu, &packs, Int32(packs.count))
                }
            }
            let wanted = plain.flatMap { $0 }.map { float($0) }
            var equal = true
            for index in wanted.indices {
                equal = equal && stacked.value(index / columns, index % columns) == wanted[index]
            }
            for index in gate.indices {
                let (row, column) = (index / columns, index % columns)
                equal = equal && gated.value(row, column) == float(gate[index])
                equal = equal && gated.value(1500 + row, column) == float(up[index])
            }
            #expect(equal)
            #expect(file.bytes.elementsEqual(gate.withUnsafeBytes { Array($0) }), "a mapping's pages can be read again")
        }

        @Test func roundingToBfloat16IsToNearestEven() {
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE)
            var random = SeededRandom(3)
            var values = (0..<4096).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: random.next())) }
            values += [
                1 + 0x1p-8, 1 + 3 * 0x1p-8, .greatestFiniteMagnitude, .infinity, -.infinity, .nan, -0.0, 0x1p-149,
            ]
            let packed = PackedMatrix(
                pool, values, rows: 1, columns: values.count, dtype: SWIFTLET_BFLOAT16, gated: false)
            for (column, value) in values.enumerated() {
                #expect(same(packed.value(0, column), float(bfloat16(value))), "\(value)")
            }
        }

        @Test(arguments: [SWIFTLET_FLOAT32.rawValue, SWIFTLET_BFLOAT16.rawValue])
        func randomFillingDependsOnSeedRowAndColumnAlone(dtype: UInt32) {
            let dtype = swiftlet_dtype(rawValue: dtype)
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            func filled(_ rows: Int, _ columns: Int, gated: Bool, seed: UInt64) -> PackedMatrix {
                let packed = PackedMatrix(rows: rows, columns: columns, dtype: dtype, gated: gated)
                var matrix = packed.matrix
                swiftlet_fill_random(pool.cpu, &matrix, seed, 0.25)
                return packed
            }
            let plain = filled(150, 33, gated: false, seed: 1)
            let gated = filled(150, 40, gated: true, seed: 1)
            let other = filled(150, 33, gated: false, seed: 2)
            var sum = 0.0, differing = 0
            for row in 0..<150 {
                for column in 0..<33 {
                    let value = plain.value(row, column)
                    #expect(value >= -0.25 && value <= 0.25)
                    #expect(value == gated.value(row, column))
                    differing += value == other.value(row, column) ? 0 : 1
                    sum += Double(value)
                }
            }
            #expect(differing > 4000 && abs(sum / 4950) < 0.01)
            #expect(plain.words.count(where: { $0 != 0 }) <= 150 * 33)
        }

        @Test(arguments: [SWIFTLET_FLOAT32.rawValue, SWIFTLET_BFLOAT16.rawValue])
        func embeddingReadsTheRow(dtype: UInt32) {
            let dtype = swiftlet_dtype(rawValue: dtype)
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            var random = SeededRandom(5)
            for columns in [1, 2, 31, 64, 129] {
                let weights = (0..<200 * columns).map { _ in random.float() }
                let table = PackedMatrix(pool, weights, rows: 200, columns: columns, dtype: dtype, gated: false)
                let ids = (0..<37).map { _ in Int32(random.int(0...199)) }
                let stride = columns + 3
                var x = [Float](repeating: 77, count: ids.count * stride)
                var matrix = table.matrix
                swiftlet_embed(pool.cpu, &matrix, 0, ids, Int32(ids.count), 1, &x, stride)
                let wanted = rounded(weights, to: dtype)
                for (token, id) in ids.enumerated() {
                    let row = Array(x[token * stride..<token * stride + columns])
                    #expect(row == Array(wanted[Int(id) * columns..<(Int(id) + 1) * columns]))
                    #expect(x[token * stride + columns..<(token + 1) * stride].allSatisfy { $0 == 77 })
                }
            }
        }
    }
}

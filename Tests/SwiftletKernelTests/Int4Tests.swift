// Int4Tests.swift: what four-bit weights have of their own: packing of what checkpoints hold, quantising, embedding.
// LinearTests has their products, beside the other formats'. Owner: SwiftletKernelTests.
// Invariant: see KernelSupport.swift.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct Int4Tests {
        private static let ownGroups = [32, 64, 128] as [Int32]

        @Test(arguments: Int4Weights.Arrangement.allCases, [false, true])
        func checkpointsIntegersArePackedAsTheyAre(arrangement: Int4Weights.Arrangement, gated: Bool) {
            var random = SeededRandom(21)
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            for round in 0..<24 {
                let half = random.int(1...(gated ? 70 : 140))
                let columns = random.int(1...(round % 2 == 0 ? 70 : 400))
                let weights = Int4Weights(
                    rows: gated ? 2 * half : half, columns: columns, zeros: arrangement == .gptq ? 1...16 : 0...15,
                    &random)
                let packed = PackedMatrix(
                    rows: weights.rows, columns: columns, dtype: SWIFTLET_BFLOAT16, gated: gated,
                    format: SWIFTLET_WEIGHTS_INT4, groups: weights.groups)
                // GPTQ's act-order.
                let order = random.bool() ? (0..<Int32(columns)).shuffled(using: &random) : nil
                let split = random.int(0...half)  // in two tensors
                let parts = gated ? [SWIFTLET_PART_GATE, SWIFTLET_PART_UP] : [SWIFTLET_PART_WHOLE]
                var stored: [StoredInt4] = []
                for (index, part) in parts.enumerated() {
                    for range in [0..<split, split..<half] {
                        stored.append(
                            weights.stored(as: arrangement, part: part, base: index * half, rows: range, order: order))
                    }
                }
                StoredInt4.pack(pool, stored, into: packed)
                let values = weights.values
                let equal = (0..<weights.rows * columns).allSatisfy {
                    packed.value($0 / columns, $0 % columns) == values[$0]
                }
                #expect(equal, "round \(round): \(weights.rows)x\(columns), groups \(weights.groups)")
            }
        }

        @Test func float32ScalesAreRoundedToBfloat16() {
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE)
            let packed = PackedMatrix(
                rows: 1, columns: 8, dtype: SWIFTLET_FLOAT32, format: SWIFTLET_WEIGHTS_INT4, groups: swiftlet_groups())
            let scale: Float = 0.012345
            let stored = StoredInt4()
            stored.source.weights = swiftlet_nibbles(
                words: stored.keep([UInt32(0x7654_3210)]), row_stride: 1, column_stride: 1, along_rows: false,
                shifts: (0, 4, 8, 12, 16, 20, 24, 28))
            stored.source.scales = stored.keep([scale])
            (stored.source.scale_type, stored.source.rows) = (SWIFTLET_SOURCE_F32, 1)
            StoredInt4.pack(pool, [stored], into: packed)
            let wanted = float(bfloat16(scale))
            #expect((0..<8).map { packed.value(0, $0) } == (0..<8).map { Float($0 - 8) * wanted })
        }

        /// Squared error of what is stored, of rounding to the largest magnitude over seven, and of a bfloat16 scale.
        private func errors(
            _ weights: ArraySlice<Float>, _ stored: [Float]
        ) -> (found: Double, simple: Double, rounding: Double) {
            let scale = (weights.map { $0.magnitude }.max() ?? 0) / 7
            let simple = weights.map { scale == 0 ? 0 : ($0 / scale).rounded() * scale }
            func squares(_ values: [Float]) -> Double {
                zip(weights, values).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
            }
            return (squares(stored), squares(simple), squares(weights.map { _ in 0 }) * 0x1p-16)
        }

        @Test(arguments: supportedLevels.map { $0.rawValue }, ownGroups)
        func quantisingBeatsRoundingToTheLargestMagnitude(level: UInt32, group: Int32) {
            var random = SeededRandom(UInt64(group))
            let pool = Pool(swiftlet_level(rawValue: level), threads: 2)
            var (found, simple) = (0.0, 0.0)
            for round in 0..<6 {
                let (rows, columns) = (random.int(1...140), random.int(1...300))
                let size: Float = [1, 1e-3, 40][round % 3]
                let weights = (0..<rows * columns).map { _ in size * random.float() * random.float() }
                let packed = PackedMatrix(
                    pool, weights, rows: rows, columns: columns, dtype: SWIFTLET_BFLOAT16, gated: false,
                    format: SWIFTLET_WEIGHTS_INT4,
                    groups: swiftlet_groups(columns: group, has_zeros: false, scales_are_f16: false))
                for row in 0..<rows {
                    for first in stride(from: 0, to: columns, by: Int(group)) {
                        let range = first..<min(columns, first + Int(group))
                        let source = weights[row * columns + range.lowerBound..<row * columns + range.upperBound]
                        let result = errors(source, range.map { packed.value(row, $0) })
                        #expect(
                            result.found <= result.simple * 1.1 + result.rounding,
                            "\(rows)x\(columns), row \(row), \(range)")
                        found += result.found / Double(size * size)
                        simple += result.simple / Double(size * size)
                    }
                }
            }
            #expect(found < 0.8 * simple, "\(found) against \(simple)")
        }

        /// Rows share bytes: no call may change another's, and none may see what was there before.
        @Test(arguments: [false, true])
        func quantisingDependsOnTheRowAlone(gated: Bool) {
            var random = SeededRandom(4)
            for level in supportedLevels {
                let pool = Pool(level, threads: 3)
                for round in 0..<6 {
                    let half = random.int(1...150)
                    let columns = random.int(1...200)
                    let rows = gated ? 2 * half : half
                    let weights = (0..<rows * columns).map { _ in random.float() }
                    let groups = swiftlet_groups(columns: 32, has_zeros: false, scales_are_f16: false)
                    let whole = PackedMatrix(
                        pool, weights, rows: rows, columns: columns, dtype: SWIFTLET_BFLOAT16, gated: gated,
                        format: SWIFTLET_WEIGHTS_INT4, groups: groups)
                    let pieces = PackedMatrix(
                        rows: rows, columns: columns, dtype: SWIFTLET_BFLOAT16, gated: gated,
                        format: SWIFTLET_WEIGHTS_INT4, groups: groups)
                    var matrix = pieces.matrix
                    let parts = gated ? [SWIFTLET_PART_GATE, SWIFTLET_PART_UP] : [SWIFTLET_PART_WHOLE]
                    var packs: [swiftlet_pack] = []
                    weights.withUnsafeBufferPointer { source in
                        for (index, part) in parts.enumerated() {
                            var first = 0
                            while first < half {
                                let count = random.int(1...min(20, half - first))
                                packs.append(
                                    swiftlet_pack(
                                        matrix: matrix, source: source.baseAddress! + (index * half + first) * columns,
                                        source_stride: columns, source_columns: 0,
                                        first_column: 0, type: SWIFTLET_SOURCE_F32, part: part,
                                        first_row: Int32(first), rows: Int32(count), first_item: 0, mapped: false))
                                first += count
                            }
                        }
                        // Over what was there: the bits of a first packing must not shine through.
                        swiftlet_fill_random(pool.cpu, &matrix, 7, 1)
                        swiftlet_pack_all(pool.cpu, &packs, Int32(packs.count))
                    }
                    let equal = (0..<rows * columns).allSatisfy {
                        whole.int4Parts($0 / columns, $0 % columns) == pieces.int4Parts($0 / columns, $0 % columns)
                    }
                    #expect(equal, "\(name(of: level)), round \(round), \(rows)x\(columns)")
                }
            }
        }

        @Test func groupsWithoutAScaleAreHandled() {
            let columns = 64
            let rows = rowsWithoutAScale(columns: columns, tiny: 0x1p-140)
            for level in supportedLevels {
                let pool = Pool(level)
                let packed = PackedMatrix(
                    pool, rows.flatMap { $0 }, rows: 4, columns: columns, dtype: SWIFTLET_FLOAT32, gated: false,
                    format: SWIFTLET_WEIGHTS_INT4,
                    groups: swiftlet_groups(columns: 64, has_zeros: false, scales_are_f16: false))
                #expect((0..<columns).allSatisfy { packed.value(0, $0) == 0 && abs(packed.value(1, $0)) < 1e-30 })
                #expect(!packed.value(2, 9).isFinite, "what is no number must not look like one")
                #expect(!packed.value(3, 9).isFinite, "what is no number must not look like one")
            }
        }

        /// Where x becomes integers, a block of it has no scale, or one that is no number.
        @Test func rowsOfXWithoutAScaleAreHandled() {
            let rows = rowsWithoutAScale(columns: 64, tiny: 0x1p-120)
            let groups = swiftlet_groups(columns: 64, has_zeros: false, scales_are_f16: false)
            for level in supportedLevels {
                let pool = Pool(level)
                for dtype in [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16] {
                    let out = timesOnes(rows, pool, dtype, SWIFTLET_WEIGHTS_INT4, groups: groups)
                    #expect(out[0] == 0 && abs(out[1]) < 1e-30, "\(name(of: level)): \(out)")
                    #expect(!out[2].isFinite && !out[3].isFinite, "what is no number must not look like one: \(out)")
                }
            }
        }

        @Test func embeddingReadsTheStoredRow() {
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            var random = SeededRandom(5)
            for columns in [1, 3, 31, 64, 129, 300] {
                let weights = Int4Weights(rows: 200, columns: columns, &random)
                let table = weights.packed(pool, dtype: SWIFTLET_BFLOAT16)
                let values = weights.values
                let ids = (0..<37).map { _ in Int32(random.int(0...199)) }
                let stride = columns + 3
                var x = [Float](repeating: 77, count: ids.count * stride)
                var matrix = table.matrix
                swiftlet_embed(pool.cpu, &matrix, 0, ids, Int32(ids.count), 1, &x, stride)
                for (token, id) in ids.enumerated() {
                    let row = Array(x[token * stride..<token * stride + columns])
                    #expect(row == Array(values[Int(id) * columns..<(Int(id) + 1) * columns]))
                    #expect(x[token * stride + columns..<(token + 1) * stride].allSatisfy { $0 == 77 })
                }
            }
        }
    }
}

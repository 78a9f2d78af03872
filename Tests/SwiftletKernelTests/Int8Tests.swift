// Int8Tests.swift: what eight-bit weights have of their own: scales, packing, exact sums, the same on every level.
// LinearTests has them beside the other formats. Owner: SwiftletKernelTests.
// Invariant: expected integers come from KernelSupport's quantized(), never from the kernels.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct Int8Tests {
        /// Sums of integers and their scaling are the same on every level; of float32 results, all bits are.
        @Test func int8ProductsAreTheSameOnAllLevels() {
            for seed in 300..<316 as Range<UInt64> {
                var random = SeededRandom(seed)
                let problem = LinearTests.Problem(
                    rows: random.int(1...200), columns: random.int(1...600), tokens: random.int(1...20),
                    dtype: seed % 2 == 0 ? SWIFTLET_FLOAT32 : SWIFTLET_BFLOAT16, format: SWIFTLET_WEIGHTS_INT8,
                    epilogue: SWIFTLET_STORE_FLOAT, seed: seed)
                let results = supportedLevels.map { problem.run(Pool($0), groups: [0..<problem.tokens]).bytes }
                #expect(results.allSatisfy { $0 == results[0] }, "\(problem.rows)x\(problem.columns)")
            }
        }

        /// Every weight and every value at its largest: no instruction may saturate.
        @Test func int8ProductsOfTheLargestIntegersAreExact() {
            let columns = 4096
            for signs in [(1, 1), (1, -1), (-1, -1)] as [(Float, Float)] {
                let weights = [Float](repeating: signs.0, count: 3 * columns)
                let x = [Float](repeating: signs.1, count: 5 * columns)
                for level in supportedLevels {
                    let pool = Pool(level)
                    let packed = PackedMatrix(
                        pool, weights, rows: 3, columns: columns, dtype: SWIFTLET_FLOAT32, gated: false,
                        format: SWIFTLET_WEIGHTS_INT8)
                    var matrix = packed.matrix
                    var out = [Float](repeating: 0, count: 15)
                    swiftlet_linear(pool.cpu, &matrix, x, columns, 5, nil, SWIFTLET_STORE_FLOAT, &out, 3)
                    let wanted = signs.0 * signs.1 * Float(columns)
                    #expect(out.allSatisfy { abs($0 - wanted) <= abs(wanted) * 1e-6 }, "\(name(of: level)): \(out)")
                }
            }
        }

        /// A row of zeros, of values too small to divide by, and of what is no number.
        @Test func int8RowsWithoutAScaleAreHandled() {
            let rows = rowsWithoutAScale(columns: 70, tiny: 1e-38)
            for level in supportedLevels {
                let pool = Pool(level)
                for dtype in [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16] {
                    let out = timesOnes(rows, pool, dtype, SWIFTLET_WEIGHTS_INT8)
                    #expect(out[0] == 0 && out[1] == 0, "\(out)")
                    #expect(!out[2].isFinite && !out[3].isFinite, "what is no number must not look like one: \(out)")
                }
            }
        }

        /// Source bytes of values, and the floats they stand for.
        private func encode(_ values: [Float], _ type: swiftlet_source) -> ([UInt8], [Float]) {
            guard type == SWIFTLET_SOURCE_BF16 else { return (values.withUnsafeBytes { Array($0) }, values) }
            let halves = values.map { bfloat16($0) }
            return (halves.withUnsafeBytes { Array($0) }, halves.map { float($0) })
        }

        @Test(arguments: [SWIFTLET_SOURCE_F32.rawValue, SWIFTLET_SOURCE_BF16.rawValue], [false, true])
        func packingRoundsEachRowByItsOwnScaleOnEveryLevel(source: UInt32, gated: Bool) {
            let source = swiftlet_source(rawValue: source)
            var random = SeededRandom(17)
            for round in 0..<20 {
                let pools = supportedLevels.map { Pool($0, threads: 2) }
                let columns = random.int(1...(round % 2 == 0 ? 70 : 700))
                let half = random.int(1...(gated ? 70 : 140))
                let rows = gated ? 2 * half : half
                // Rows of very different size.
                let values = (0..<rows * columns).map { random.float() * (($0 / columns) % 3 == 0 ? 1e-3 : 50) }
                let (bytes, meant) = encode(values, source)
                let wanted = (0..<rows).map { quantized(meant[$0 * columns..<($0 + 1) * columns]) }
                let parts = gated ? [SWIFTLET_PART_GATE, SWIFTLET_PART_UP] : [SWIFTLET_PART_WHOLE]
                let split = random.int(0...half)  // in two calls
                for pool in pools {
                    let packed = PackedMatrix(
                        rows: rows, columns: columns, dtype: SWIFTLET_BFLOAT16, gated: gated,
                        format: SWIFTLET_WEIGHTS_INT8)
                    var matrix = packed.matrix
                    bytes.withUnsafeBytes { raw in
                        for (index, part) in parts.enumerated() {
                            for range in [0..<split, split..<half] {
                                let first = (index * half + range.lowerBound) * columns
                                swiftlet_pack_rows(
                                    pool.cpu, &matrix, part, Int32(range.lowerBound), Int32(range.count),
                                    raw.baseAddress! + first * bytes.count / values.count, source, columns)
                            }
                        }
                    }
                    var equal = true
                    for row in 0..<rows {
                        let (integers, scale) = wanted[row]
                        for column in 0..<columns {
                            equal = equal && packed.value(row, column) == Float(integers[column]) * scale
                        }
                        equal = equal && packed.int8Sum(row) == integers.reduce(0, +)
                    }
                    #expect(equal, "round \(round), \(rows)x\(columns)")
                }
            }
        }

        @Test func embeddingReadsTheRoundedRow() {
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            var random = SeededRandom(5)
            for columns in [1, 3, 31, 64, 129] {
                let weights = (0..<200 * columns).map { _ in random.float() }
                let table = PackedMatrix(
                    pool, weights, rows: 200, columns: columns, dtype: SWIFTLET_BFLOAT16, gated: false,
                    format: SWIFTLET_WEIGHTS_INT8)
                let ids = (0..<37).map { _ in Int32(random.int(0...199)) }
                let stride = columns + 3
                var x = [Float](repeating: 77, count: ids.count * stride)
                var matrix = table.matrix
                swiftlet_embed(pool.cpu, &matrix, 0, ids, Int32(ids.count), 1, &x, stride)
                for (token, id) in ids.enumerated() {
                    let (integers, scale) = quantized(weights[Int(id) * columns..<(Int(id) + 1) * columns])
                    let row = Array(x[token * stride..<token * stride + columns])
                    #expect(row == integers.map { Float($0) * scale })
                    #expect(x[token * stride + columns..<(token + 1) * stride].allSatisfy { $0 == 77 })
                }
            }
        }

        /// Random weights are those of the other formats, rounded.
        @Test func randomFillingIsThatOfOtherFormatsRounded() {
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            for gated in [false, true] {
                let (rows, columns) = (150, 33)
                let filled = [SWIFTLET_WEIGHTS_NATIVE, SWIFTLET_WEIGHTS_INT8].map { format in
                    let packed = PackedMatrix(
                        rows: rows, columns: columns, dtype: SWIFTLET_FLOAT32, gated: gated, format: format)
                    var matrix = packed.matrix
                    swiftlet_fill_random(pool.cpu, &matrix, 3, 0.25)
                    return packed
                }
                for row in 0..<rows {
                    let (integers, scale) = quantized((0..<columns).map { filled[0].value(row, $0) })
                    #expect((0..<columns).map { filled[1].value(row, $0) } == integers.map { Float($0) * scale })
                }
            }
        }
    }
}

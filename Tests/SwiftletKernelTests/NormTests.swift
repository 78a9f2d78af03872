// NormTests.swift: RMS norm against double precision, and bit for bit over row lists and threads.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct NormTests {
        private func normalised(
            _ pool: Pool, _ x: [Float], stride: Int, rows: [Int32]?, count: Int, columns: Int, weight: [Float]?,
            dtype: swiftlet_dtype, outStride: Int
        ) -> Elements {
            var out = Elements([Float](repeating: 99, count: count * outStride), dtype)
            out.bytes.withUnsafeMutableBytes { bytes in
                swiftlet_rms_norm(
                    pool.cpu, x, stride, rows, Int32(count), Int32(columns), weight, 1e-6, dtype, bytes.baseAddress,
                    outStride)
            }
            return out
        }

        @Test(arguments: [SWIFTLET_FLOAT32.rawValue, SWIFTLET_BFLOAT16.rawValue])
        func agreesWithDoublePrecision(dtype: UInt32) {
            let dtype = swiftlet_dtype(rawValue: dtype)
            let pools = supportedLevels.map { ($0, Pool($0, threads: 2)) }
            var random = SeededRandom(2)
            for columns in [1, 7, 16, 63, 64, 65, 200, 1024, 3001] {
                let count = random.int(1...40)
                let stride = columns + 3
                let x = (0..<count * stride).map { $0 % stride < columns ? random.float(-4...4) : .nan }
                let weight = (0..<columns).map { _ in random.float(0...2) }
                for (level, pool) in pools {
                    let values = normalised(
                        pool, x, stride: stride, rows: nil, count: count, columns: columns, weight: weight,
                        dtype: dtype, outStride: columns + 2
                    ).values
                    var worst = 0.0
                    for row in 0..<count {
                        let mean =
                            (0..<columns).reduce(0.0) {
                                $0 + Double(x[row * stride + $1]) * Double(x[row * stride + $1])
                            }
                            / Double(columns)
                        for column in 0..<columns {
                            let wanted =
                                Double(x[row * stride + column]) / (mean + 1e-6).squareRoot() * Double(weight[column])
                            let error = abs(Double(values[row * (columns + 2) + column]) - wanted)
                            worst = max(worst, error / (abs(wanted) + 1e-30))
                        }
                        #expect(values[row * (columns + 2) + columns] == 99)
                    }
                    #expect(worst < (dtype == SWIFTLET_BFLOAT16 ? 0x1p-8 : 1e-6), "\(name(of: level)), \(columns)")
                }
            }
        }

        /// In place, without a weight, and added to what is there: the same values as the norm into another buffer.
        @Test func otherFormsAreTheNormItself() {
            var random = SeededRandom(8)
            for (level, columns) in supportedLevels.flatMap({ level in [5, 16, 333].map { (level, $0) } }) {
                let (count, stride, pool) = (21, columns + 3, Pool(level, threads: 3))
                let x = (0..<count * stride).map { _ in random.float(-4...4) }
                let weight = (0..<columns).map { _ in random.float(0...2) }
                let sum = (0..<count * stride).map { _ in random.float(-4...4) }
                let normed = normalised(
                    pool, x, stride: stride, rows: nil, count: count, columns: columns, weight: weight,
                    dtype: SWIFTLET_FLOAT32, outStride: columns
                ).values
                var (inPlace, added, copied) = (x, sum, sum)
                inPlace.withUnsafeMutableBufferPointer {
                    swiftlet_rms_norm(
                        pool.cpu, $0.baseAddress, stride, nil, Int32(count), Int32(columns), weight, 1e-6,
                        SWIFTLET_FLOAT32, $0.baseAddress, stride)
                }
                swiftlet_add_normed(
                    pool.cpu, x, stride, Int32(count), Int32(columns), weight, 1e-6, &added, stride)
                swiftlet_rms_norm(
                    pool.cpu, x, stride, nil, Int32(count), Int32(columns), nil, 1e-6, SWIFTLET_FLOAT32, &copied,
                    stride)
                for row in 0..<count {
                    let (first, end) = (row * stride, row * stride + columns)
                    let wanted = Array(normed[row * columns..<(row + 1) * columns])
                    #expect(Array(inPlace[first..<end]) == wanted, "\(name(of: level)), \(columns)")
                    #expect(Array(added[first..<end]) == zip(sum[first..<end], wanted).map { $0 + $1 })
                    #expect(Array(copied[first..<end]) == Array(x[first..<end]))
                    #expect(inPlace[end..<first + stride] == x[end..<first + stride])
                    #expect(added[end..<first + stride] == sum[end..<first + stride])
                }
                let rounded = normalised(
                    pool, x, stride: stride, rows: nil, count: count, columns: columns, weight: nil,
                    dtype: SWIFTLET_BFLOAT16, outStride: columns
                ).values
                #expect(
                    rounded
                        == Elements(
                            (0..<count * columns).map { x[$0 / columns * stride + $0 % columns] }, SWIFTLET_BFLOAT16
                        ).values)
            }
        }

        @Test func rowListsSelectRowsAndChangeNoBit() {
            var random = SeededRandom(4)
            let columns = 333
            let x = (0..<50 * columns).map { _ in random.float() }
            let weight = (0..<columns).map { _ in random.float() }
            let rows = (0..<70).map { _ in Int32(random.int(0...49)) }
            for level in supportedLevels {
                func run(_ threads: Int, _ rows: [Int32]?, _ count: Int) -> [UInt8] {
                    normalised(
                        Pool(level, threads: threads), x, stride: columns, rows: rows, count: count, columns: columns,
                        weight: weight, dtype: SWIFTLET_FLOAT32, outStride: columns
                    ).bytes
                }
                let all = run(1, nil, 50)
                let listed = run(3, rows, rows.count)
                let bytes = columns * 4
                for (index, row) in rows.enumerated() {
                    let a = listed[index * bytes..<(index + 1) * bytes]
                    let b = all[Int(row) * bytes..<(Int(row) + 1) * bytes]
                    #expect(Array(a) == Array(b))
                }
            }
        }
    }
}

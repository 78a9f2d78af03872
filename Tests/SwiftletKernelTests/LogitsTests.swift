// LogitsTests.swift: argmax, log-sum-exp, the largest k and ranks, against plain loops and sorts.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct LogitsTests {
        /// Rows with ties, -inf and NaN, of many lengths.
        private func rows() -> [[Float]] {
            var random = SeededRandom(21)
            var rows: [[Float]] = (0..<120).map { round in
                let count = random.int(1...(round % 10 == 0 ? 20000 : 300))
                return (0..<count).map { _ in
                    let kind = random.int(0...19)
                    if kind == 0 && round % 2 == 0 { return -.infinity }
                    if kind == 1 && round % 3 == 0 { return .nan }
                    return round % 4 == 0 ? random.float(-5...5).rounded() : random.float(-30...30)
                }
            }
            rows += [
                [.nan], [-.infinity], [.nan, -.infinity, .nan], [.nan, .nan], [-0.0, 0], [3, .infinity, .infinity],
            ]
            rows.append((0..<151_936).map { _ in random.float(-10...10) })
            return rows
        }

        /// Ids, largest value first, the lower id first among equals, NaN last.
        private func ranking(_ row: [Float]) -> [Int] {
            row.indices.sorted { a, b in
                if row[a].isNaN || row[b].isNaN { return row[a].isNaN == row[b].isNaN ? a < b : row[b].isNaN }
                return row[a] == row[b] ? a < b : row[a] > row[b]
            }
        }

        @Test func argmaxTakesTheLowestOfTheLargest() {
            for level in supportedLevels {
                for threads in [1, 3] {
                    let pool = Pool(level, threads: threads)
                    for row in rows() {
                        var best = -1
                        for (id, value) in row.enumerated() where !value.isNaN {
                            if best < 0 || value > row[best] { best = id }
                        }
                        #expect(swiftlet_argmax(pool.cpu, row, Int32(row.count)) == Int32(max(best, 0)))
                    }
                }
            }
        }

        @Test func logSumExpIsAccurateAndTheSameOnAnyThreads() {
            for level in supportedLevels {
                let one = Pool(level, threads: 1)
                let three = Pool(level, threads: 3)
                for row in rows() {
                    let result = swiftlet_log_sum_exp(one.cpu, row, Int32(row.count))
                    #expect(result.bitPattern == swiftlet_log_sum_exp(three.cpu, row, Int32(row.count)).bitPattern)
                    let values = row.filter { !$0.isNaN }.map { Double($0) }
                    let maximum = values.max() ?? -.infinity
                    guard maximum.isFinite else {
                        #expect(Double(result) == maximum)
                        continue
                    }
                    let wanted = maximum + logarithm(values.reduce(0) { $0 + exponential($1 - maximum) })
                    #expect(abs(Double(result) - wanted) < 1e-6 * max(1, abs(wanted)))
                }
            }
        }

        @Test func theLargestComeInOrder() {
            var random = SeededRandom(5)
            for row in rows() {
                let ranked = ranking(row)
                for level in supportedLevels {
                    let pool = Pool(level)
                    let k = random.int(1...min(row.count + 3, 60))
                    var ids = [Int32](repeating: 7, count: k)
                    var values = [Float](repeating: 7, count: k)
                    swiftlet_top_logits(pool.cpu, row, Int32(row.count), Int32(k), &ids, &values)
                    let wanted =
                        ranked.prefix(k).map { Int32($0) } + [Int32](repeating: -1, count: max(0, k - row.count))
                    #expect(ids == wanted)
                    let same = zip(ids, values).allSatisfy { id, value in
                        id < 0 ? value == -.infinity : value.bitPattern == row[Int(id)].bitPattern
                    }
                    #expect(same)
                }
            }
        }

        @Test func countGreaterGivesTheRank() {
            for level in supportedLevels {
                let pool = Pool(level, threads: 2)
                for row in rows() {
                    for value in [row[row.count / 2], row[0], 0, .infinity, -.infinity] {
                        let wanted = row.count(where: { $0 > value })
                        #expect(swiftlet_count_greater(pool.cpu, row, Int32(row.count), value) == Int32(wanted))
                    }
                }
            }
        }
    }
}

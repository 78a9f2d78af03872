// SampleTests.swift: sampling without sorting against a reference that sorts, over thousands of random rows.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct SampleTests {
        struct Row {
            var logits: [Float]
            var temperature: Float = 1
            var topK = 0
            var topP: Float = 1
            var minP: Float = 0

            func sample(_ pool: Pool, _ uniform: Float) -> Int {
                var scratch = [Float](repeating: .nan, count: logits.count)
                return logits.withUnsafeBufferPointer { logits in
                    scratch.withUnsafeMutableBufferPointer { scratch in
                        var row = swiftlet_sample_row(
                            logits: logits.baseAddress, scratch: scratch.baseAddress, count: Int32(logits.count),
                            temperature: temperature, top_k: Int32(topK), top_p: topP, min_p: minP, uniform: uniform,
                            token: -1)
                        swiftlet_sample(pool.cpu, &row, 1)
                        return Int(row.token)
                    }
                }
            }

            /// The kept tokens' weights by id, or nil when a filter's edge is too close to call in float32.
            func reference() -> [Double]? {
                let maximum = Double(logits.max()!)
                var weights = logits.map { exponential((Double($0) - maximum) / Double(temperature)) }
                let order = logits.indices.sorted { logits[$0] == logits[$1] ? $0 < $1 : logits[$0] > logits[$1] }
                for edge in [Double(minP), exponential(-87)]
                where weights.contains(where: { abs($0 - edge) < 1e-5 * edge }) {
                    return nil
                }
                // Weights below e^-87 would be denormal: they count as zero.
                for id in weights.indices where weights[id] < Double(minP) || weights[id] < exponential(-87) {
                    weights[id] = 0
                }
                if topK > 0 { for id in order.dropFirst(topK) { weights[id] = 0 } }
                guard topP < 1 else { return weights }
                let target = Double(topP) * weights.reduce(0, +)
                var before = 0.0
                for (rank, id) in order.enumerated() {
                    if rank > 0 && abs(before - target) < 1e-5 * target { return nil }
                    let weight = weights[id]
                    if rank > 0 && before >= target { weights[id] = 0 }
                    before += weight
                }
                return weights
            }

            /// Draws with evenly spread numbers and compares each with the reference's cumulative distribution.
            func check(_ pool: Pool, draws: Int, _ label: String) {
                guard let weights = reference() else { return }
                let total = weights.reduce(0, +)
                for draw in 0..<draws {
                    let uniform = draw == 0 ? 0 : (Float(draw) + 0.5) / Float(draws + 1)
                    let token = sample(pool, uniform)
                    guard weights.indices.contains(token) else {
                        Issue.record("\(label): token \(token)")
                        return
                    }
                    let low = weights[..<token].reduce(0, +) / total
                    let high = low + weights[token] / total
                    let inside = Double(uniform) > low - 1e-5 && Double(uniform) < high + 1e-5
                    #expect(weights[token] > 0 && inside, "\(label): \(uniform) gave \(token), \(low)..<\(high)")
                }
                let last = sample(pool, Float(1).nextDown)
                #expect(weights[last] > 0, "\(label): the largest number gave \(last)")
            }
        }

        private func randomRow(_ random: inout SeededRandom, _ round: Int) -> Row {
            let count = random.int(1...(round % 20 == 0 ? 5000 : 300))
            // On a grid there are ties; those weights are equal in any precision.
            var logits = (0..<count).map { _ in
                round % 2 == 0 ? random.float(-8...8) : random.float(-8...8).rounded() / 2
            }
            for id in logits.indices where round % 3 == 0 && random.int(0...3) == 0 { logits[id] = -.infinity }
            logits[random.int(0...count - 1)] = random.float(-4...9).rounded()
            let temperatures: [Float] = [0.1, 0.6, 1, 1.5, 5]
            return Row(
                logits: logits, temperature: temperatures[random.int(0...4)],
                topK: random.bool() ? 0 : random.int(1...(random.bool() ? 20 : 400)),
                topP: random.bool() ? 1 : random.float(0.01...0.999), minP: random.bool() ? 0 : random.float(0.001...1))
        }

        @Test func agreesWithSortingOnThousandsOfRows() {
            for level in supportedLevels {
                let pool = Pool(level)
                var random = SeededRandom(31)
                for round in 0..<1500 {
                    randomRow(&random, round).check(pool, draws: 6, "\(name(of: level)), round \(round)")
                }
            }
        }

        @Test func frequenciesFollowTheProbabilities() {
            let row = Row(logits: [0.1, 0.2, 0.3, 0.4].map { Float(logarithm($0)) })
            for level in supportedLevels {
                let pool = Pool(level)
                var counts = [0, 0, 0, 0]
                for draw in 0..<10_000 { counts[row.sample(pool, (Float(draw) + 0.5) / 10_000)] += 1 }
                for (count, wanted) in zip(counts, [1000, 2000, 3000, 4000]) { #expect(abs(count - wanted) <= 2) }
            }
        }

        @Test func topPKeepsTheTokenThatCrosses() {
            for level in supportedLevels {
                let pool = Pool(level)
                var row = Row(logits: [0.1, 0.2, 0.3, 0.4].map { Float(logarithm($0)) })
                func drawn(_ row: Row) -> Set<Int> { Set((0..<200).map { row.sample(pool, Float($0) / 200) }) }
                row.topP = 0.6
                #expect(drawn(row) == [2, 3])
                row.topP = 0.3
                #expect(drawn(row) == [3])
                row.topP = 0
                #expect(drawn(row) == [3])
                row.topP = 0.95
                #expect(drawn(row) == [0, 1, 2, 3])
                // Renormalised after top_k: of {.4, .3, .2} the first two hold .78.
                row.topK = 3
                row.topP = 0.75
                #expect(drawn(row) == [2, 3])
            }
        }

        @Test func tiesGoToTheLowerIDs() {
            for level in supportedLevels {
                let pool = Pool(level)
                func drawn(_ row: Row) -> Set<Int> { Set((0..<500).map { row.sample(pool, Float($0) / 500) }) }
                #expect(drawn(Row(logits: [Float](repeating: 1, count: 100), topK: 7)) == Set(0..<7))
                #expect(drawn(Row(logits: [Float](repeating: 1, count: 100), topP: 0.255)) == Set(0..<26))
                #expect(drawn(Row(logits: [0, -0.0, 0, -1], topK: 2)) == [0, 1])
                // Every id's chance is the same however hot; top_k still goes by the logits.
                let hot = Row(logits: (0..<50).map { Float($0) * 1e-3 }, temperature: 1e6, topK: 3)
                #expect(drawn(hot) == [47, 48, 49])
            }
        }

        @Test func extremesGiveATokenThatIsAllowed() {
            let infinity = Float.infinity
            let row: [Float] = [-infinity, 2, 5, .nan, 5, -infinity, -3]
            for level in supportedLevels {
                let pool = Pool(level)
                for uniform in [0, 0.5, Float(1).nextDown, 1, .nan, -1] {
                    #expect(Row(logits: row, temperature: 0).sample(pool, uniform) == 2)
                    for temperature: Float in [1e-6, .leastNonzeroMagnitude, 1, 1e6, 3e38, infinity] {
                        let token = Row(logits: row, temperature: temperature).sample(pool, uniform)
                        #expect([1, 2, 4, 6].contains(token))
                        if temperature < 1e-3 { #expect(token == 2 || token == 4) }
                    }
                    #expect(Row(logits: row, temperature: .nan).sample(pool, uniform) == 2)
                    #expect(Row(logits: row, minP: 2).sample(pool, uniform) != 1)
                    #expect(Row(logits: [-infinity, -infinity]).sample(pool, uniform) == 0)
                    #expect(Row(logits: [.nan, -infinity], topK: 1, topP: 0.5).sample(pool, uniform) == 1)
                    #expect(Row(logits: [.nan, .nan]).sample(pool, uniform) == 0)
                    #expect(Row(logits: [1, infinity, infinity]).sample(pool, uniform) == 1)
                    #expect(Row(logits: [3e38, -3e38, 3e38], topP: 0.9).sample(pool, uniform) != 1)
                }
            }
        }

        @Test func rowsOfABatchAreIndependent() {
            var random = SeededRandom(8)
            let count = 3000
            let logits = (0..<20 * count).map { _ in random.float(-5...5) }
            let uniforms = (0..<20).map { _ in random.float(0...0.999) }
            for level in supportedLevels {
                let alone = Pool(level)
                let together = Pool(level, threads: 3)
                var scratch = [Float](repeating: 0, count: logits.count)
                logits.withUnsafeBufferPointer { logits in
                    scratch.withUnsafeMutableBufferPointer { scratch in
                        var rows = (0..<20).map { index in
                            swiftlet_sample_row(
                                logits: logits.baseAddress! + index * count,
                                scratch: scratch.baseAddress! + index * count,
                                count: Int32(count), temperature: 1, top_k: index % 2 == 0 ? 40 : 0, top_p: 0.9,
                                min_p: 0,
                                uniform: uniforms[index], token: -1)
                        }
                        swiftlet_sample(together.cpu, &rows, 20)
                        let tokens = rows.map { $0.token }
                        for index in rows.indices {
                            swiftlet_sample(alone.cpu, &rows[index], 1)
                            #expect(rows[index].token == tokens[index])
                        }
                    }
                }
            }
        }

        @Test func aWholeVocabularyAgreesWithSorting() {
            var random = SeededRandom(77)
            let logits = (0..<151_936).map { _ in random.float(-1...1) + random.float(-1...1) * random.float(-6...6) }
            for level in supportedLevels {
                let pool = Pool(level)
                Row(logits: logits).check(pool, draws: 2, name(of: level))
                Row(logits: logits, topK: 50, topP: 0.95).check(pool, draws: 2, name(of: level))
                Row(logits: logits, temperature: 0.7, topP: 0.9).check(pool, draws: 2, name(of: level))
            }
        }
    }
}

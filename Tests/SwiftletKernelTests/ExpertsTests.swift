// ExpertsTests.swift: mixtures of experts against one product after the other, a token at a time, and bit for bit
// against themselves in other groupings of tokens and other numbers of threads.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct ExpertsTests {
        /// A layer's experts, tokens and router logits.
        final class Problem {
            let count: Int
            let perToken: Int
            let hidden: Int
            let intermediate: Int
            let tokens: Int
            let dtype: swiftlet_dtype
            let renormalizes: Bool
            let activation: swiftlet_epilogue
            var logits: [Float]  // [tokens, count]
            let x: Elements  // [tokens, stride]
            let stride: Int
            let initial: [Float]  // [tokens, hidden]
            private let gateUp: [PackedMatrix]
            private let down: [PackedMatrix]

            init(
                count: Int, perToken: Int, hidden: Int, intermediate: Int, tokens: Int, dtype: swiftlet_dtype,
                format: swiftlet_weights = SWIFTLET_WEIGHTS_NATIVE, renormalizes: Bool = true, seed: UInt64
            ) {
                var random = SeededRandom(seed)
                (self.count, self.perToken, self.hidden, self.intermediate) = (count, perToken, hidden, intermediate)
                (self.tokens, self.dtype, self.renormalizes) = (tokens, dtype, renormalizes)
                activation = seed % 3 == 1 ? SWIFTLET_GATED_GELU : SWIFTLET_GATED_SILU
                logits = (0..<tokens * count).map { _ in random.float(-4...4) }
                let stride = hidden + random.int(0...3)
                self.stride = stride
                x = Elements((0..<tokens * stride).map { $0 % stride < hidden ? random.float() : .nan }, dtype)
                initial = (0..<tokens * hidden).map { _ in random.float() }
                let pool = Pool(SWIFTLET_LEVEL_PORTABLE)
                func matrices(rows: Int, columns: Int, gated: Bool) -> [PackedMatrix] {
                    (0..<count).map { _ in
                        let weights = (0..<rows * columns).map { _ in random.float() }
                        return PackedMatrix(
                            pool, weights, rows: rows, columns: columns, dtype: dtype, gated: gated, format: format,
                            groups: swiftlet_groups(columns: 32, has_zeros: false, scales_are_f16: false))
                    }
                }
                gateUp = matrices(rows: 2 * intermediate, columns: hidden, gated: true)
                down = matrices(rows: hidden, columns: intermediate, gated: false)
            }

            static func random(_ seed: UInt64, _ dtype: swiftlet_dtype, _ format: swiftlet_weights) -> Problem {
                var random = SeededRandom(seed)
                let count = random.int(1...20)
                return Problem(
                    count: count, perToken: random.int(1...count), hidden: random.int(1...150),
                    intermediate: random.int(1...80), tokens: random.int(1...(seed % 3 == 0 ? 150 : 12)), dtype: dtype,
                    format: format, renormalizes: random.bool(), seed: seed)
            }

            private var elementBytes: Int { dtype == SWIFTLET_BFLOAT16 ? 2 : 4 }

            /// Runs tokens in the given groups; [tokens, hidden + 3], 99 past the outputs.
            func run(_ pool: Pool, groups: [Range<Int>], adds: Bool = true) -> [Float] {
                let outStride = hidden + 3
                var out = [Float](repeating: 99, count: tokens * outStride)
                for token in 0..<tokens {
                    for c in 0..<hidden { out[token * outStride + c] = initial[token * hidden + c] }
                }
                let (gateUp, down) = (gateUp.map(\.matrix), down.map(\.matrix))
                gateUp.withUnsafeBufferPointer { gateUp in
                    down.withUnsafeBufferPointer { down in
                        var experts = swiftlet_experts(
                            gate_up: gateUp.baseAddress, down: down.baseAddress, count: Int32(count),
                            per_token: Int32(perToken), renormalizes: renormalizes, activation: activation,
                            gate_up_orders: nil, down_orders: nil)
                        for group in groups { run(pool, &experts, group, adds, &out, outStride) }
                    }
                }
                return out
            }

            private func run(
                _ pool: Pool, _ experts: inout swiftlet_experts, _ group: Range<Int>, _ adds: Bool,
                _ out: inout [Float], _ outStride: Int
            ) {
                let bytes = swiftlet_experts_workspace_bytes(pool.cpu, &experts, Int32(group.count))
                // What an earlier layer left there is of no account.
                let workspace = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
                workspace.initializeMemory(as: UInt8.self, repeating: 0xff, count: bytes)
                defer { workspace.deallocate() }
                x.bytes.withUnsafeBytes { x in
                    out.withUnsafeMutableBufferPointer { out in
                        logits.withUnsafeBufferPointer { logits in
                            swiftlet_mixture_of_experts(
                                pool.cpu, &experts, x.baseAddress! + group.lowerBound * stride * elementBytes, stride,
                                Int32(group.count), logits.baseAddress! + group.lowerBound * count, count, adds,
                                out.baseAddress! + group.lowerBound * outStride, outStride, workspace)
                        }
                    }
                }
            }

            /// A token's experts, the lowest first, with their weights.
            func routes(_ token: Int) -> [(expert: Int, weight: Double)] {
                let row = logits[token * count..<(token + 1) * count].map(Double.init)
                let order = row.indices.sorted { (row[$0], $1) > (row[$1], $0) }
                let exponentials = row.map { exponential($0 - row[order[0]]) }
                let chosen = order.prefix(perToken).sorted()
                let sum = renormalizes ? chosen.reduce(0) { $0 + exponentials[$1] } : exponentials.reduce(0, +)
                return chosen.map { ($0, exponentials[$0] / sum) }
            }

            /// What one expert gives for one token, by the products of this very row.
            func output(of expert: Int, token: Int, _ pool: Pool) -> [Float] {
                var (gateUp, down) = (gateUp[expert].matrix, down[expert].matrix)
                var activated = Elements([Float](repeating: 0, count: intermediate), dtype)
                var out = [Float](repeating: 0, count: hidden)
                x.bytes.withUnsafeBytes { x in
                    activated.bytes.withUnsafeMutableBytes { activated in
                        swiftlet_linear(
                            pool.cpu, &gateUp, x.baseAddress! + token * stride * elementBytes, stride, 1, nil,
                            activation, activated.baseAddress, intermediate)
                        swiftlet_linear(
                            pool.cpu, &down, activated.baseAddress!, intermediate, 1, nil, SWIFTLET_STORE_FLOAT, &out,
                            hidden)
                    }
                }
                return out
            }

            func check(_ out: [Float], _ pool: Pool, adds: Bool, _ label: String) {
                var worst = 0.0
                for token in 0..<tokens {
                    var sums = [Double](repeating: 0, count: hidden)
                    var magnitudes = sums
                    if adds { for c in 0..<hidden { sums[c] = Double(initial[token * hidden + c]) } }
                    for (expert, weight) in routes(token) {
                        for (c, value) in output(of: expert, token: token, pool).enumerated() {
                            sums[c] += weight * Double(value)
                            magnitudes[c] += weight * abs(Double(value))
                        }
                    }
                    for c in 0..<hidden {
                        let distance = abs(Double(out[token * (hidden + 3) + c]) - sums[c])
                        worst = max(worst, distance.isNaN ? .infinity : distance / (magnitudes[c] * 2e-6 + 1e-6))
                    }
                    #expect(out[token * (hidden + 3) + hidden..<(token + 1) * (hidden + 3)].allSatisfy { $0 == 99 })
                }
                #expect(worst <= 1, "\(label): \(tokens) tokens, \(perToken) of \(count), \(hidden) x \(intermediate)")
            }
        }

        private static let formats = [
            SWIFTLET_WEIGHTS_NATIVE.rawValue, SWIFTLET_WEIGHTS_INT8.rawValue, SWIFTLET_WEIGHTS_INT4.rawValue,
        ]
        private static let types = [SWIFTLET_FLOAT32.rawValue, SWIFTLET_BFLOAT16.rawValue]

        @Test(arguments: types, formats)
        func aTokensSumIsThatOfItsExpertsAlone(dtype: UInt32, format: UInt32) {
            for level in supportedLevels {
                let pool = Pool(level, threads: 2)
                for seed in 0..<24 as Range<UInt64> {
                    let problem = Problem.random(
                        seed, swiftlet_dtype(rawValue: dtype), swiftlet_weights(rawValue: format))
                    let adds = seed % 2 == 0
                    let out = problem.run(pool, groups: [0..<problem.tokens], adds: adds)
                    problem.check(out, pool, adds: adds, name(of: level))
                }
            }
        }

        @Test(arguments: types, formats)
        func noBitDependsOnOtherTokensThreadsOrNodes(dtype: UInt32, format: UInt32) throws {
            let (dtype, format) = (swiftlet_dtype(rawValue: dtype), swiftlet_weights(rawValue: format))
            var problems = (100..<112 as Range<UInt64>).map { Problem.random($0, dtype, format) }
            // An expert with several chunks of rows, and one that has none.
            let uneven = Problem(
                count: 5, perToken: 2, hidden: 130, intermediate: 70, tokens: 230, dtype: dtype, format: format, seed: 1
            )
            for token in 0..<230 { uneven.logits.replaceSubrange(token * 5..<token * 5 + 2, with: [9, -9]) }
            problems.append(uneven)
            for level in supportedLevels {
                let pools = [1, 2, 3].map { Pool(level, threads: $0) }
                let nodes = try #require(Pool(level, nodes: [2, 0, 0]))
                for problem in problems {
                    let half = problem.tokens / 2
                    let whole = problem.run(pools[0], groups: [0..<problem.tokens])
                    let single = problem.run(pools[1], groups: (0..<problem.tokens).map { $0..<$0 + 1 })
                    let halves = problem.run(pools[2], groups: [0..<half, half..<problem.tokens])
                    let placed = problem.run(nodes, groups: [0..<problem.tokens])
                    #expect(whole == single && whole == halves && whole == placed, "\(name(of: level))")
                }
            }
        }

        @Test func moreTokensThanTheWorkspaceHoldsGoInTurns() {
            let problem = Problem(
                count: 64, perToken: 64, hidden: 9, intermediate: 5, tokens: 600, dtype: SWIFTLET_FLOAT32, seed: 3)
            let pool = Pool(supportedLevels.last!, threads: 2)
            let turns = problem.run(pool, groups: [0..<600])
            #expect(turns == problem.run(pool, groups: (0..<6).map { $0 * 100..<($0 + 1) * 100 }))
            problem.check(turns, pool, adds: true, "turns")
        }

        @Test func amongEqualLogitsTheLowerExpertCounts() {
            for level in supportedLevels {
                let pool = Pool(level)
                let problem = Problem(
                    count: 7, perToken: 3, hidden: 20, intermediate: 6, tokens: 4, dtype: SWIFTLET_FLOAT32, seed: 4)
                problem.logits = [
                    0, 0, 0, 0, 0, 0, 0,
                    1, 2, 1, 2, 1, 2, 1,
                    -1, 5, -1, -1, -1, -1, 5,
                    -.infinity, 0, -.infinity, -.infinity, 0, -.infinity, 0,
                ]
                #expect(
                    (0..<4).map { problem.routes($0).map(\.expert) } == [
                        [0, 1, 2], [1, 3, 5], [0, 1, 6], [1, 4, 6],
                    ])
                problem.check(problem.run(pool, groups: [0..<4]), pool, adds: true, name(of: level))
            }
        }

        @Test func logitsThatAreNoNumbersShowInTheirTokenAlone() {
            for level in supportedLevels {
                let pool = Pool(level)
                let problem = Problem(
                    count: 20, perToken: 3, hidden: 20, intermediate: 6, tokens: 5, dtype: SWIFTLET_BFLOAT16, seed: 5)
                let sound = problem.run(pool, groups: [0..<5])
                problem.logits[20 + 7] = .nan
                problem.logits[60 + 19] = .infinity
                for expert in 80..<100 { problem.logits[expert] = .nan }
                let out = problem.run(pool, groups: [0..<5])
                for token in 0..<5 {
                    let range = token * 23..<token * 23 + 20
                    let isBroken = [1, 3, 4].contains(token)
                    #expect(isBroken ? out[range].allSatisfy { $0.isNaN } : out[range] == sound[range])
                }
            }
        }
    }
}

// LinearTests.swift: matrix products against a double-precision loop, and bit for bit against themselves in other
// groupings of tokens and other numbers of threads.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct LinearTests {
        /// A product and its operands, as the checkpoint has them.
        struct Problem {
            var rows: Int
            var columns: Int
            var tokens: Int
            var dtype: swiftlet_dtype
            var format: swiftlet_weights
            var epilogue: swiftlet_epilogue
            var weights: [Float]  // [rows, columns]
            var x: [Float]  // [tokens, stride], NaN past the columns
            var quantizedWeights: [(integers: [Int], scale: Float)] = []  // [rows], of int8 weights
            var quantizedX: [(integers: [Int], scale: Float)] = []  // [tokens], of int8 weights
            var int4: Int4Weights?
            var roundedX: [Double]?  // [tokens, stride], of int4 weights and bfloat16
            var stride: Int
            var bias: [Float]?  // [rows]
            var initial: [Float]  // [tokens, outputs]

            static let gatedEpilogues = [SWIFTLET_GATED_SILU, SWIFTLET_GATED_GELU]
            var gated: Bool { Self.gatedEpilogues.contains(epilogue) }
            var outputs: Int { gated ? rows / 2 : rows }
            var outStride: Int { outputs + 5 }
            var storesFloats: Bool { epilogue == SWIFTLET_STORE_FLOAT || epilogue == SWIFTLET_ADD_FLOAT }
            var outType: swiftlet_dtype { storesFloats ? SWIFTLET_FLOAT32 : dtype }

            init(
                rows: Int, columns: Int, tokens: Int, dtype: swiftlet_dtype,
                format: swiftlet_weights = SWIFTLET_WEIGHTS_NATIVE, epilogue: swiftlet_epilogue, seed: UInt64
            ) {
                var random = SeededRandom(seed)
                self.rows = Self.gatedEpilogues.contains(epilogue) ? (rows + 1) / 2 * 2 : rows
                self.columns = columns
                self.tokens = tokens
                self.dtype = dtype
                self.format = format
                self.epilogue = epilogue
                let rowCount = self.rows
                weights = rounded((0..<rowCount * columns).map { _ in random.float() }, to: dtype)
                let stride = columns + random.int(0...3)
                self.stride = stride
                x = (0..<tokens * stride).map { $0 % stride < columns ? random.float() : .nan }
                x = rounded(x, to: dtype)
                bias = random.bool() ? (0..<rowCount).map { _ in random.float() } : nil
                initial = (0..<tokens * rowCount).map { _ in random.float() }
                if format == SWIFTLET_WEIGHTS_INT4 {
                    let int4 = Int4Weights(rows: rowCount, columns: columns, &random)
                    weights = int4.values
                    self.int4 = int4
                    if dtype == SWIFTLET_BFLOAT16 { roundedX = roundedToInt16() }
                }
                guard format == SWIFTLET_WEIGHTS_INT8 else { return }
                quantizedWeights = (0..<rowCount).map { quantized(weights[$0 * columns..<($0 + 1) * columns]) }
                quantizedX = (0..<tokens).map { quantized(x[$0 * stride..<$0 * stride + columns]) }
            }

            /// x as integers of sixteen bits, with a scale for each block of columns.
            private func roundedToInt16() -> [Double] {
                let width = int4?.groups.columns == 32 || int4?.groups.columns == 0 && columns <= 32 ? 32 : 64
                var result = x.map { Double($0) }
                for token in 0..<tokens {
                    for first in Swift.stride(from: 0, to: columns, by: width) {
                        let range = token * stride + first..<token * stride + min(first + width, columns)
                        let (integers, scale) = quantized(x[range], most: 32767)
                        for (index, integer) in zip(range, integers) { result[index] = Double(integer) * Double(scale) }
                    }
                }
                return result
            }

            /// W x + bias of one row, and the sum of the terms' magnitudes.
            func exact(_ token: Int, _ row: Int, _ level: swiftlet_level) -> (value: Double, magnitude: Double) {
                var value = Double(bias?[row] ?? 0)
                var magnitude = abs(value)
                if format == SWIFTLET_WEIGHTS_INT8 {
                    let (x, weights) = (quantizedX[token], quantizedWeights[row])
                    let sum = zip(x.integers, weights.integers).reduce(0) { $0 + $1.0 * $1.1 }
                    // The sum is exact: only scaling it rounds.
                    let term = Double(sum) * Double(x.scale) * Double(weights.scale)
                    return (value + term, magnitude + abs(term))
                }
                let rounded = roundsToInt16(level) ? roundedX : nil
                for column in 0..<columns {
                    let at = token * stride + column
                    let term = Double(weights[row * columns + column]) * (rounded?[at] ?? Double(x[at]))
                    value += term
                    magnitude += abs(term)
                }
                return (value, magnitude)
            }

            /// The output and how far from it a result may be.
            func expected(
                _ token: Int, _ output: Int, _ level: swiftlet_level
            ) -> (value: Double, tolerance: Double) {
                let (value, magnitude) = exact(token, output, level)
                var wanted = value
                var tolerance = magnitude * 6e-7
                if epilogue == SWIFTLET_ADD_FLOAT {
                    wanted += Double(initial[token * outputs + output])
                    tolerance += 1e-6
                } else if gated {
                    let (up, upMagnitude) = exact(token, outputs + output, level)
                    let active = epilogue == SWIFTLET_GATED_SILU ? silu(value) : gelu(value)
                    wanted = active * up
                    tolerance = tolerance * 1.2 * abs(up) + abs(active) * upMagnitude * 6e-7 + abs(wanted) * 2e-6
                }
                return (wanted, tolerance + (outType == SWIFTLET_BFLOAT16 ? abs(wanted) * 0x1p-8 : 1e-7))
            }

            /// Runs tokens in the given groups; the result [tokens, outStride], 99 past the outputs.
            func run(_ pool: Pool, groups: [Range<Int>]) -> Elements {
                let packed =
                    int4?.packed(pool, dtype: dtype, gated: gated)
                    ?? PackedMatrix(
                        pool, weights, rows: rows, columns: columns, dtype: dtype, gated: gated, format: format)
                let input = Elements(x, dtype)
                var values = [Float](repeating: 99, count: tokens * outStride)
                for token in 0..<tokens {
                    for output in 0..<outputs where epilogue == SWIFTLET_ADD_FLOAT {
                        values[token * outStride + output] = initial[token * outputs + output]
                    }
                }
                var out = Elements(values, outType)
                var matrix = packed.matrix
                let inputSize = dtype == SWIFTLET_BFLOAT16 ? 2 : 4
                let outputSize = outType == SWIFTLET_BFLOAT16 ? 2 : 4
                input.bytes.withUnsafeBytes { x in
                    out.bytes.withUnsafeMutableBytes { out in
                        for group in groups {
                            swiftlet_linear(
                                pool.cpu, &matrix, x.baseAddress! + group.lowerBound * stride * inputSize, stride,
                                Int32(group.count), bias, epilogue,
                                out.baseAddress! + group.lowerBound * outStride * outputSize, outStride)
                        }
                    }
                }
                return out
            }

            func check(_ result: Elements, _ level: swiftlet_level) {
                let label = name(of: level)
                let values = result.values
                var worst = 0.0
                for token in 0..<tokens {
                    for output in 0..<outputs {
                        let (wanted, tolerance) = expected(token, output, level)
                        worst = max(worst, abs(Double(values[token * outStride + output]) - wanted) / tolerance)
                        if values[token * outStride + output].isNaN { worst = .infinity }
                    }
                    let margin = values[token * outStride + outputs..<(token + 1) * outStride]
                    #expect(margin.allSatisfy { $0 == 99 }, "\(label): written past a row's end")
                }
                #expect(
                    worst <= 1,
                    "\(label), format \(format.rawValue): \(rows)x\(columns), \(tokens) tokens, epilogue \(epilogue.rawValue)"
                )
            }
        }

        private static let formats = [
            SWIFTLET_WEIGHTS_NATIVE.rawValue, SWIFTLET_WEIGHTS_INT8.rawValue, SWIFTLET_WEIGHTS_INT4.rawValue,
        ]
        private static let epilogues = [
            SWIFTLET_STORE, SWIFTLET_STORE_FLOAT, SWIFTLET_ADD_FLOAT, SWIFTLET_GATED_SILU,
            SWIFTLET_GATED_GELU,
        ]

        private func randomProblem(
            _ seed: UInt64, _ dtype: swiftlet_dtype, _ format: swiftlet_weights = SWIFTLET_WEIGHTS_NATIVE
        ) -> Problem {
            var random = SeededRandom(seed)
            return Problem(
                rows: random.int(1...200), columns: random.int(1...(seed % 4 == 0 ? 300 : 40)),
                tokens: random.int(1...(seed % 3 == 0 ? 40 : 9)), dtype: dtype,
                format: format, epilogue: Self.epilogues[Int(seed % 5)], seed: seed)
        }

        @Test(
            arguments: [SWIFTLET_FLOAT32.rawValue, SWIFTLET_BFLOAT16.rawValue],
            formats)
        func everyLevelAgreesWithDoublePrecision(dtype: UInt32, format: UInt32) {
            let pools = supportedLevels.map { ($0, Pool($0, threads: 2)) }
            for seed in 0..<48 as Range<UInt64> {
                let problem = randomProblem(
                    seed, swiftlet_dtype(rawValue: dtype), swiftlet_weights(rawValue: format))
                for (level, pool) in pools {
                    problem.check(problem.run(pool, groups: [0..<problem.tokens]), level)
                }
            }
        }

        @Test(
            arguments: [SWIFTLET_FLOAT32.rawValue, SWIFTLET_BFLOAT16.rawValue],
            formats)
        func longColumnsAndManyTokensAreRight(dtype: UInt32, format: UInt32) {
            let (dtype, format) = (swiftlet_dtype(rawValue: dtype), swiftlet_weights(rawValue: format))
            // More than one block of columns, more than one chunk of tokens, prefetching.
            let problem = Problem(
                rows: 70, columns: 4099, tokens: 9, dtype: dtype, format: format, epilogue: SWIFTLET_STORE_FLOAT,
                seed: 11)
            let many = Problem(
                rows: 130, columns: 65, tokens: 205, dtype: dtype, format: format, epilogue: SWIFTLET_GATED_SILU,
                seed: 12)
            // More rows than are quantised at once.
            let more = Problem(
                rows: 10, columns: 33, tokens: 700, dtype: dtype, format: format, epilogue: SWIFTLET_STORE, seed: 13)
            for level in supportedLevels {
                let pool = Pool(level, threads: 2)
                problem.check(problem.run(pool, groups: [0..<9]), level)
                many.check(many.run(pool, groups: [0..<205]), level)
                more.check(more.run(pool, groups: [0..<700]), level)
            }
        }

        /// Cuts 0..<count at random places.
        private func randomGroups(_ count: Int, _ random: inout SeededRandom) -> [Range<Int>] {
            var groups: [Range<Int>] = []
            while (groups.last?.upperBound ?? 0) < count {
                let start = groups.last?.upperBound ?? 0
                groups.append(start..<min(count, start + random.int(1...12)))
            }
            return groups
        }

        @Test(
            arguments: [SWIFTLET_FLOAT32.rawValue, SWIFTLET_BFLOAT16.rawValue],
            formats)
        func noBitDependsOnGroupingThreadsOrNodes(dtype: UInt32, format: UInt32) throws {
            let (dtype, format) = (swiftlet_dtype(rawValue: dtype), swiftlet_weights(rawValue: format))
            var problems = (100..<116 as Range<UInt64>).map { randomProblem($0, dtype, format) }
            problems.append(
                Problem(
                    rows: 129, columns: 2100, tokens: 101, dtype: dtype, format: format, epilogue: SWIFTLET_STORE,
                    seed: 1))
            var random = SeededRandom(9)
            for level in supportedLevels {
                let pools = [1, 2, 3].map { Pool(level, threads: $0) }
                let nodes = try #require(Pool(level, nodes: [2, 0, 0]))
                for problem in problems {
                    let whole = problem.run(pools[0], groups: [0..<problem.tokens]).bytes
                    let single = problem.run(pools[1], groups: (0..<problem.tokens).map { $0..<$0 + 1 }).bytes
                    let mixed = problem.run(pools[2], groups: randomGroups(problem.tokens, &random)).bytes
                    let placed = problem.run(nodes, groups: [0..<problem.tokens]).bytes
                    #expect(
                        whole == single && whole == mixed && whole == placed,
                        "\(name(of: level)), \(problem.rows)x\(problem.columns)")
                }
            }
        }

        @Test(arguments: Problem.gatedEpilogues.map(\.rawValue))
        func activationsAreAccurateOverTheirRange(epilogue: UInt32) {
            let epilogue = swiftlet_epilogue(rawValue: epilogue)
            // One column: gate = w * 1, up = 1.
            let gates: [Float] = stride(from: -110, through: 110, by: 0.37).map { Float($0) } + [0, -0.0, 1e-30, 3e38]
            let weights = gates + [Float](repeating: 1, count: gates.count)
            for level in supportedLevels {
                let pool = Pool(level)
                let packed = PackedMatrix(
                    pool, weights, rows: weights.count, columns: 1, dtype: SWIFTLET_FLOAT32, gated: true)
                var matrix = packed.matrix
                var out = [Float](repeating: 0, count: gates.count)
                var one: Float = 1
                swiftlet_linear(pool.cpu, &matrix, &one, 1, 1, nil, epilogue, &out, gates.count)
                for (gate, result) in zip(gates, out) {
                    let isGELU = epilogue == SWIFTLET_GATED_GELU
                    let wanted = isGELU ? gelu(Double(gate)) : silu(Double(gate))
                    // Where gelu is small, the exponent that it has in float32 is a large number, rounded.
                    let tolerance = isGELU && gate < 0 ? 2e-5 : 1e-6
                    #expect(abs(Double(result) - wanted) <= abs(wanted) * tolerance + 1e-35, "\(gate)")
                }
            }
        }

        @Test func logitsAreCapped() {
            let values: [Float] = stride(from: -300, through: 300, by: 0.71).map { Float($0) } + [0, 1e-6, 3e38, -3e38]
            for level in supportedLevels {
                let pool = Pool(level)
                let packed = PackedMatrix(
                    pool, values, rows: values.count, columns: 1, dtype: SWIFTLET_FLOAT32, gated: false)
                var matrix = packed.matrix
                var out = [Float](repeating: 0, count: values.count)
                var one: Float = 1
                swiftlet_linear_capped(pool.cpu, &matrix, &one, 1, 1, nil, 30, &out, values.count)
                for (value, result) in zip(values, out) {
                    let wanted = AttentionTests.capped(Double(value), 30)
                    #expect(abs(Double(result) - wanted) <= 6e-6, "\(value)")
                }
                one = .nan
                swiftlet_linear_capped(pool.cpu, &matrix, &one, 1, 1, nil, 30, &out, values.count)
                #expect(!out.contains { !$0.isNaN })
            }
        }
    }
}

private func silu(_ x: Double) -> Double { x / (1 + exponential(-x)) }

/// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
private func gelu(_ x: Double) -> Double {
    x / (1 + exponential(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
}

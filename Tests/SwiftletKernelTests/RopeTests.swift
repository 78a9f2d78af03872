// Norm, rotary embedding and the write into the paged cache, against double precision and the documented layout.
//
// Owner: CSwiftletKernels/rope*. Invariant: the expected values come from the definition, not from the kernels.

import CSwiftletKernels
import Testing

struct RopeTests {
    /// The head at `column` of a token, normed and rotated [headDim].
    static func rotated(_ run: PagedRun, request: Int, position: Int, column: Int, norm: [Float]) -> [Double] {
        let shape = run.shape
        let from = position * shape.columns + column
        var x = run.projections[request][from..<from + shape.headDim].map(Double.init)
        if shape.normed {
            let squares = x.reduce(0) { $0 + $1 * $1 } / Double(shape.headDim) + 1e-6
            for d in x.indices { x[d] *= Double(norm[d]) / squares.squareRoot() }
        }
        let table = shape.rope()
        let half = shape.rotaryDim / 2
        for d in 0..<half {
            let cosine = Double(table[position * shape.rotaryDim + d])
            let sine = Double(table[position * shape.rotaryDim + half + d])
            (x[d], x[d + half]) = (x[d] * cosine - x[d + half] * sine, x[d + half] * cosine + x[d] * sine)
        }
        return x
    }

    static func isClose(_ got: Double, _ exact: Double, _ shape: AttentionCase) -> Bool {
        abs(got - exact) <= (shape.isHalf ? 0.00393 : 1e-6) * abs(exact) + 2e-6
    }

    /// Whether a head of the cache is what it should be: with eight-bit integers, to half of its scale.
    static func isCached(_ got: [Double], _ exact: [Double], _ shape: AttentionCase) -> Bool {
        let half = shape.isInt8 ? exact.map(abs).max()! / 127 * 0.501 : 0
        return zip(got, exact).allSatisfy {
            shape.isInt8 ? abs($0 - $1) <= half + 2e-6 : isClose($0, $1, shape)
        }
    }

    @Test(arguments: attentionLevels, [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16])
    func matchesDefinition(level: swiftlet_level, dtype: swiftlet_dtype) {
        for seed in 200..<230 as Range<UInt64> {
            let shape = AttentionCase.random(seed: seed, level: level, dtype: dtype, longest: 60)
            let run = PagedRun(shape, threads: Int32(1 + seed % 3), contents: .nan, shuffle: seed)
            AttentionInvarianceTests.chunks(run, seed: seed, most: 40)
            let norms = [shape.norm(0), shape.norm(1)]
            for request in shape.lengths.indices {
                for position in 0..<shape.lengths[request] where position % 7 == 0 || position % 16 > 13 {
                    check(run, request: request, position: position, norms: norms)
                }
            }
        }
    }

    private func check(_ run: PagedRun, request: Int, position: Int, norms: [[Float]]) {
        let shape = run.shape
        var wrong = 0
        for head in 0..<shape.queryHeads {
            let exact = Self.rotated(
                run, request: request, position: position, column: head * shape.headDim, norm: norms[0])
            let row = (position * shape.queryHeads + head) * shape.headDim
            for d in exact.indices where !Self.isClose(run.element(run.queries[request], row + d), exact[d], shape) {
                wrong += 1
            }
        }
        for head in 0..<shape.kvHeads {
            let column = (shape.queryHeads + head) * shape.headDim
            let exact = Self.rotated(run, request: request, position: position, column: column, norm: norms[1])
            let keys = exact.indices.map { Double(run.key(request, head: head, position: position, dim: $0)) }
            if !Self.isCached(keys, exact, shape) { wrong += 1 }
            let from = position * shape.columns + column + shape.kvHeads * shape.headDim
            let given = run.projections[request][from..<from + shape.headDim].map(Double.init)
            let values = exact.indices.map { Double(run.cachedValue(request, head: head, position: position, dim: $0)) }
            if !Self.isCached(values, given, shape) { wrong += 1 }
        }
        #expect(wrong == 0, "position \(position) of request \(request): \(shape)")
    }

    @Test(arguments: attentionLevels, [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16])
    func valuesStayFinite(level: swiftlet_level, dtype: swiftlet_dtype) {
        var shape = AttentionCase(level: level, dtype: dtype)
        shape.headDim = 24
        shape.rotaryDim = 24
        shape.lengths = [5]
        let run = PagedRun(shape, contents: .nan)
        let poisons = [Float.nan, .infinity, -.infinity, .greatestFiniteMagnitude, -.greatestFiniteMagnitude]
        for position in 0..<5 {
            for i in 0..<shape.columns { run.projections[0][position * shape.columns + i] = poisons[position] }
        }
        run.step([Chunk(request: 0, count: 5)], attends: false)
        let most = Float(sign: .plus, exponent: 127, significand: 2 - 1 / 128)
        for (position, expected) in [0, most, -most, most, -most].enumerated() {
            #expect(run.cachedValue(0, head: 1, position: position, dim: 23) == expected, "\(shape)")
        }
        // Position 4 is an even slot: bfloat16 words hold its partner, which must not stay what it was.
        if shape.isHalf { #expect(run.cachedValue(0, head: 1, position: 5, dim: 23) == 0, "\(shape)") }
    }

    @Test(arguments: attentionLevels, [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16])
    func eightBitHeadsStandAlone(level: swiftlet_level, dtype: swiftlet_dtype) {
        var shape = AttentionCase(level: level, dtype: dtype, format: SWIFTLET_KV_INT8)
        shape.headDim = 24
        shape.rotaryDim = 0
        shape.normed = false
        shape.lengths = [6]
        let run = PagedRun(shape, contents: .nan)
        // Whole heads of one value: tiny, nothing at all, huge, broken.
        let given: [Float] = [1, 1e-35, 0, 3e38, .nan, -.infinity]
        for position in 0..<6 {
            for i in 0..<shape.columns { run.projections[0][position * shape.columns + i] = given[position] }
        }
        run.step([Chunk(request: 0, count: 6)], attends: false)
        for (position, expected) in [Float(1), 0, 0, 3e38].enumerated() {
            let cached = [
                run.key(0, head: 1, position: position, dim: 23),
                run.cachedValue(0, head: 1, position: position, dim: 5),
            ]
            for value in cached { #expect(abs(value - expected) <= 1e-6 * expected, "\(shape)") }
        }
        for position in 4..<6 {
            #expect(run.scale(0, head: 0, position: position, ofValues: false).isNaN, "a broken key stays broken")
            #expect(run.cachedValue(0, head: 0, position: position, dim: 0).isFinite, "\(shape)")
        }
    }
}

// A row's attention must be the same bits however its request was run: in one prefill, token by token, in random
// chunks, with others in the batch, over any blocks, whatever else is in the pool, on any number of threads.
//
// Owner: CSwiftletKernels/attention*. Invariant: every comparison here is of bytes.

import CSwiftletKernels
import Testing

struct AttentionInvarianceTests {
    static func prefill(_ run: PagedRun) {
        for request in run.shape.lengths.indices {
            run.step([Chunk(request: request, count: run.shape.lengths[request])])
        }
    }

    /// All requests at once, one token each, until all are done.
    static func decode(_ run: PagedRun, from done: Int = 0) {
        while true {
            let left = run.shape.lengths.indices.filter { run.done[$0] < run.shape.lengths[$0] }
            if left.isEmpty { return }
            run.step(left.map { Chunk(request: $0, count: 1) })
        }
    }

    /// Random requests in random order, each with a random number of tokens.
    static func chunks(_ run: PagedRun, seed: UInt64, most: Int) {
        var random = SeededGenerator(seed)
        while true {
            var left = run.shape.lengths.indices.filter { run.done[$0] < run.shape.lengths[$0] }
            if left.isEmpty { return }
            left.shuffle(using: &random)
            run.step(
                left.prefix(Int.random(in: 1...left.count, using: &random)).map {
                    let rest = run.shape.lengths[$0] - run.done[$0]
                    return Chunk(
                        request: $0, count: Int.random(in: 1...max(1, min(rest, most)), using: &random))
                })
        }
    }

    /// The first position of the request at which the outputs differ, or nil; a short message when they do.
    static func firstDifference(_ a: PagedRun, _ b: PagedRun, request: Int = 0, before limit: Int) -> Int? {
        let row = a.shape.queryHeads * a.shape.headDim * a.shape.elementBytes
        return (0..<limit).first {
            a.outputs[request][$0 * row..<($0 + 1) * row] != b.outputs[request][$0 * row..<($0 + 1) * row]
        }
    }

    static func expectSame(_ a: PagedRun, _ b: PagedRun, _ what: String) {
        for (request, length) in a.shape.lengths.enumerated() {
            let different = firstDifference(a, b, request: request, before: length)
            #expect(different == nil, "request \(request), \(what): \(b.shape)")
        }
    }

    @Test(arguments: attentionLevels, [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16])
    func sameBitsHoweverItRuns(level: swiftlet_level, dtype: swiftlet_dtype) {
        for seed in 100..<133 as Range<UInt64> {
            var shape = AttentionCase.random(seed: seed, level: level, dtype: dtype, longest: 190)
            shape.lengths += [70]
            let expected = PagedRun(shape)
            Self.prefill(expected)

            let decoded = PagedRun(shape, threads: Int32(1 + seed % 3), contents: .nan, shuffle: seed)
            Self.decode(decoded)
            Self.expectSame(expected, decoded, "token by token, NaN pool")

            shape.blockSize = [16, 64, 256].filter { $0 != shape.blockSize }[Int(seed % 2)]
            let mixed = PagedRun(
                shape, threads: Int32(1 + (seed + 1) % 3), contents: .finite(seed), shuffle: seed + 1)
            Self.chunks(mixed, seed: seed, most: 100)
            Self.expectSame(expected, mixed, "random chunks, garbage pool")
            let sameQueries = mixed.queries == expected.queries
            #expect(sameQueries, "\(shape)")
        }
    }

    @Test(arguments: attentionLevels, [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16])
    func sameBitsAcrossSegments(level: swiftlet_level, dtype: swiftlet_dtype) {
        for (window, format) in [0, 10, 40, 2060].flatMap({ [($0, SWIFTLET_KV_NATIVE), ($0, SWIFTLET_KV_INT8)] })
        where format == SWIFTLET_KV_NATIVE || window % 40 == 0 {
            var shape = AttentionCase(level: level, dtype: dtype, format: format)
            shape.headDim = 16
            shape.rotaryDim = 8
            shape.kvHeads = 1
            shape.group = 3
            shape.scale = 2
            shape.window = window
            shape.lengths = [2130, 65]
            let expected = PagedRun(shape)
            Self.prefill(expected)
            shape.blockSize = 16
            let mixed = PagedRun(shape, threads: 2, contents: .nan, shuffle: 9)
            mixed.step([Chunk(request: 0, count: 2000), Chunk(request: 1, count: 1)])
            mixed.step([Chunk(request: 1, count: 3), Chunk(request: 0, count: 77)])
            Self.decode(mixed)
            Self.expectSame(expected, mixed, "across segments")
        }
    }

    @Test(arguments: attentionLevels, [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16])
    func zeroHasOneSign(level: swiftlet_level, dtype: swiftlet_dtype) {
        // Products below the smallest normal number may become -0, which a masked slot's + 0 would turn into +0.
        for format in [SWIFTLET_KV_NATIVE, SWIFTLET_KV_INT8] { compareTinyValues(level, dtype, format) }
    }

    private func compareTinyValues(_ level: swiftlet_level, _ dtype: swiftlet_dtype, _ format: swiftlet_kv_format) {
        var shape = AttentionCase(level: level, dtype: dtype, format: format)
        shape.lengths = [41]
        func tiny(_ run: PagedRun) -> PagedRun {
            for position in 0..<41 {
                let values = (position + 1) * shape.columns - shape.kvHeads * shape.headDim
                for i in values..<(position + 1) * shape.columns { run.projections[0][i] *= 1.2e-38 }
            }
            return run
        }
        let expected = tiny(PagedRun(shape))
        Self.prefill(expected)
        let decoded = tiny(PagedRun(shape))
        Self.decode(decoded)
        Self.expectSame(expected, decoded, "tiny values")
    }

    @Test(arguments: attentionLevels, [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16])
    func brokenRequestHurtsItselfOnly(level: swiftlet_level, dtype: swiftlet_dtype) {
        for format in [SWIFTLET_KV_NATIVE, SWIFTLET_KV_INT8] { breakRequest(level, dtype, format) }
    }

    private func breakRequest(_ level: swiftlet_level, _ dtype: swiftlet_dtype, _ format: swiftlet_kv_format) {
        var shape = AttentionCase(level: level, dtype: dtype, format: format)
        shape.headDim = 48
        shape.rotaryDim = 48
        shape.lengths = [90, 90]
        let expected = PagedRun(shape)
        Self.prefill(expected)
        let poisons = [Float.nan, .nan, .nan, .infinity, -.infinity, 3.4e38]
        for (poison, healthy) in zip(poisons, [70, 73, 71, 75, 69, 77]) {
            let run = PagedRun(shape, threads: 2)
            // Request 1 breaks altogether; request 0 from position `healthy` on: its earlier rows share tiles with that.
            for i in run.projections[1].indices { run.projections[1][i] = poison }
            for i in healthy * shape.columns..<90 * shape.columns { run.projections[0][i] = poison }
            run.step([Chunk(request: 1, count: 90), Chunk(request: 0, count: 90)])
            #expect(Self.firstDifference(run, expected, before: healthy) == nil, "\(poison): \(shape)")

            // A healthy request in the blocks that the broken ones leave behind.
            run.projections[0] = expected.projections[0]
            run.contextTables = run.contextTables.reversed()
            run.done = [0, 0]
            Self.decode(run)
            #expect(Self.firstDifference(run, expected, before: 90) == nil, "reused after \(poison): \(shape)")
        }
    }
}

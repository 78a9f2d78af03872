// KernelChecks: attention and what is before it, over several steps of sequences that grow as an engine's do, and logits.

extension KernelChecks {
    /// What one sequence has had so far.
    private struct History {
        var keys: [[[Float]]] = []  // [positions][heads][headDim]
        var values: [[[Float]]] = []
    }

    /// Steps that mix prompts, chunks of prompts and decodes, all on one cache.
    func attention() throws(LLMError) -> Double {
        let rotaryDim = shape.headDim / 2
        let table = Reference.values(KernelSizes.tokens * 8 * rotaryDim, seed: 20)
        let rope = try backend.makeVector(table)
        let norms = (Reference.values(shape.headDim, seed: 21), Reference.values(shape.headDim, seed: 22))
        let (queryNorm, keyNorm) = (try backend.makeVector(norms.0), try backend.makeVector(norms.1))
        let cache = try backend.makeCache(
            blockCount: 32, blockSize: shape.blockSize, keyValueHeads: shape.keyValueHeads, headDim: shape.headDim,
            queryGroup: shape.queryGroup, skippedQueryHeads: 0)
        let steps: [[(cached: Int, rows: Int, firstBlock: Int)]] = [
            [(0, 17, 0), (0, 40, 8)], [(17, 1, 0), (40, 20, 8), (0, 3, 16)], [(18, 1, 0), (60, 1, 8), (3, 1, 16)],
        ]
        var histories = [History](repeating: History(), count: 3)
        var worst = 0.0
        for (number, step) in steps.enumerated() {
            let batch = batch(step)
            let rows = batch.tokenCount
            let queryWidth = shape.queryHeads * shape.headDim
            let width = queryWidth + 2 * shape.keyValueHeads * shape.headDim
            let qkv = try backend.makeBuffer(rows: KernelSizes.tokens, columns: width, type: .float)
            let values = Reference.values(rows * width, seed: UInt64(30 + number))
            try backend.write(values, to: qkv)
            let queries = try backend.makeBuffer(rows: KernelSizes.tokens, columns: queryWidth, type: .compute)
            let out = try backend.makeBuffer(rows: KernelSizes.tokens, columns: queryWidth, type: .compute)
            let scale = 1 / Float(shape.headDim).squareRoot()
            try backend.run(.layers, of: batch) { _ in
                backend.provide([cache], blockCount: 32)
                backend.ropeAndStore(
                    qkv, batch, queryHeads: shape.queryHeads, queryNorm: queryNorm, keyNorm: keyNorm, epsilon: epsilon,
                    rope: rope, rotaryDim: rotaryDim, into: queries, cache: cache)
                backend.attention(
                    queries, batch, cache: cache, queryHeads: shape.queryHeads, scale: scale, softCap: shape.softCap,
                    window: shape.window, into: out)
            }
            var expected: [Float] = []
            var row = 0
            for (index, sequence) in step.enumerated() {
                for position in sequence.cached..<sequence.cached + sequence.rows {
                    let heads = heads(values[row * width..<(row + 1) * width], position, table, rotaryDim, norms)
                    histories[index].keys.append(heads.keys)
                    histories[index].values.append(heads.values)
                    expected += attended(heads.queries, histories[index], scale)
                    row += 1
                }
            }
            worst = max(worst, Reference.distance(try backend.read(out, rows: rows), expected))
        }
        return worst
    }

    /// A row's heads, normed, turned and rounded.
    private func heads(
        _ row: ArraySlice<Float>, _ position: Int, _ table: [Float], _ rotaryDim: Int, _ norms: ([Float], [Float])
    ) -> (queries: [[Float]], keys: [[Float]], values: [[Float]]) {
        let rope = table[position * rotaryDim..<(position + 1) * rotaryDim]
        func head(_ number: Int, _ weight: [Float]?) -> [Float] {
            let first = row.startIndex + number * shape.headDim
            let values = row[first..<first + shape.headDim]
            guard let weight else { return shape.rounded(Array(values)) }
            return shape.rounded(Reference.turned(Reference.norm(values, weight, epsilon: epsilon), rope))
        }
        let (queries, keys) = (shape.queryHeads, shape.keyValueHeads)
        return (
            (0..<queries).map { head($0, norms.0) }, (queries..<queries + keys).map { head($0, norms.1) },
            (queries + keys..<queries + 2 * keys).map { head($0, nil) }
        )
    }

    private func attended(_ queries: [[Float]], _ history: History, _ scale: Float) -> [Float] {
        let first = max(0, history.keys.count - (shape.window ?? .max))
        return queries.enumerated().flatMap { number, query in
            let head = number / shape.queryGroup
            return Reference.attention(
                query, history.keys[first...].map { $0[head] }, history.values[first...].map { $0[head] }, scale: scale,
                softCap: shape.softCap)
        }
    }

    /// The rows that a batch lists, normed and multiplied with a head.
    func logits() throws(LLMError) -> Double {
        let (hidden, vocabulary) = (KernelSizes.hidden, KernelSizes.vocabulary)
        let head = try matrix(rows: vocabulary, columns: hidden, seed: 40)
        try backend.prepare()
        let (x, values) = try buffer(rows: KernelSizes.tokens, columns: hidden, .float, seed: 41)
        let weights = Reference.values(hidden, seed: 42)
        let weight = try backend.makeVector(weights)
        let input = try backend.makeBuffer(rows: 16, columns: hidden, type: .compute)
        let (own, all) = try backend.makeGathered(rows: 16, columns: vocabulary, own: 0..<vocabulary)
        let batch = batch([(0, 5, 0), (4, 1, 1), (0, 9, 2)], scores: true)
        var worst = 0.0
        try backend.run(.layers, of: batch) { _ in }
        for listed in [0..<batch.logitRowCount, 1..<3] {
            try backend.run(.logits(listed), of: batch) { rows in
                backend.rmsNorm(
                    x, logitRowsOf: batch, from: listed.lowerBound, count: rows, weight: weight, epsilon: epsilon,
                    into: input)
                backend.linear(input, rows: rows, head.matrix, bias: nil, epilogue: .store, into: own)
            }
            for (index, number) in listed.enumerated() {
                let row = Int(batch.logitRows[number]) * hidden
                let normed = shape.rounded(Reference.norm(values[row..<row + hidden], weights, epsilon: epsilon))
                let expected = Reference.product(normed, head.values, rows: 1, columns: hidden)
                let mine = UnsafeBufferPointer(start: backend.hostRow(all, index), count: vocabulary)
                // A value beside a border of the compute type may be rounded to its other side.
                let distance = Reference.distance(Array(mine), expected)
                worst = max(worst, distance < roundedLimit ? 0 : distance)
            }
        }
        return worst
    }

    /// Tokens by every kind of rule, and those of rows that were changed on the host. The error is the share of wrong ones.
    func sampling() throws(LLMError) -> Double {
        let vocabulary = 5000
        let (own, all) = try backend.makeGathered(rows: 16, columns: vocabulary, own: 0..<vocabulary)
        let scratch = try backend.makeBuffer(rows: 16, columns: vocabulary, type: .float)
        var logits = Reference.values(16 * vocabulary, seed: 50).map { $0 * 8 }
        try backend.write(logits, to: own)
        var rows = (0..<16).map { row in
            SampleRow(
                row: row, temperature: row % 4 == 0 ? 0 : 0.5 + Float(row) / 16, topK: row % 3 == 1 ? 40 : 0,
                topP: row % 2 == 1 ? 0.9 : 1, minP: row % 5 == 2 ? 0.05 : 0, uniform: (Float(row) + 0.37) / 17)
        }
        // Not all rows are sampled from, and one is changed.
        rows.remove(at: 6)
        let changed = backend.hostRow(all, 3)
        changed[1234] = 60
        logits[3 * vocabulary + 1234] = 60
        rows[3].isChanged = true
        let sampled = UnsafeMutableBufferPointer<SampleRow>.allocate(capacity: rows.count)
        defer { sampled.deallocate() }
        _ = sampled.initialize(from: rows)
        try backend.sample(sampled, of: all, count: vocabulary, scratch: scratch)
        var wrong = 0
        for row in sampled {
            let values = Array(logits[row.row * vocabulary..<(row.row + 1) * vocabulary])
            if let expected = Reference.token(values, row), expected != row.token { wrong += 1 }
        }
        return Double(wrong) / Double(rows.count)
    }
}

// RooflineBench: matrix products, norms, rotary embedding and sampling.
// Invariant: an operation reads and writes what it does in DecoderModel.forward, in buffers of the same shape.

extension RooflineBench {
    // MARK: - Matrix products

    /// Of each layer that has it, a matrix and what its product does with the result.
    private func matrices(_ projection: ModelWork.Projection) -> [(CPUMatrix, CPUVector?, LinearEpilogue)] {
        if projection == .head { return [(weights.head, nil, .store)] }
        return weights.layers.compactMap { layer in
            switch (projection, layer.feedForward) {
            case (.qkv, _): (layer.qkv, layer.qkvBias, .store)
            case (.output, _): (layer.output, layer.outputBias, .add)
            case (.gateUp, .dense(let mlp)): (mlp.gateUp, mlp.gateUpBias, config.activation.epilogue)
            case (.down, .dense(let mlp)): (mlp.down, mlp.downBias, .add)
            default: nil
            }
        }
    }

    func measureLinear() throws(LLMError) {
        for projection in ModelWork.Projection.allCases {
            let matrices = matrices(projection)
            if matrices.isEmpty { continue }
            let (outputs, inputs) = work.shape(of: projection)
            let x = try makeActivations(columns: inputs, type: .compute)
            let isHead = projection == .head
            let isGated = projection == .gateUp
            let out = try backend.makeBuffer(
                rows: isHead ? ModelLoader.maxLogitRows : Self.maxRows,
                columns: isGated ? outputs / 2 : outputs, type: isGated ? .compute : .float)
            for rows in Self.rowCounts where rows <= out.rows {
                let work = work.linear(projection, tokens: rows)
                let bytes = rows < 128 ? Self.passBytes : Self.leastPassBytes
                let calls = min(matrices.count, max(1, Int(bytes / work.memoryBytes)))
                measure(.linear, projection.rawValue, rows: rows, work: work, calls: calls) {
                    for (matrix, bias, epilogue) in matrices[..<calls] {
                        backend.linear(x, rows: rows, matrix, bias: bias, epilogue: epilogue, into: out)
                    }
                }
            }
        }
    }

    /// Routers and experts.
    func measureExperts() throws(LLMError) {
        guard let shape = config.experts else { return }
        let layers = weights.layers.compactMap { layer in
            if case .mixture(let router, let experts) = layer.feedForward { (router, experts) } else { nil }
        }
        let x = try makeActivations(columns: config.hiddenSize, type: .compute)
        let logits = try backend.makeBuffer(rows: Self.maxRows, columns: shape.count, type: .float)
        let workspace = try backend.makeWorkspace(of: layers[0].1, maxTokens: Self.maxRows)
        let out = try backend.makeBuffer(rows: Self.maxRows, columns: config.hiddenSize, type: .float)
        for rows in Self.rowCounts {
            let work = work.experts(tokens: rows)
            let calls = min(layers.count, max(1, Int(Self.passBytes / work.memoryBytes)))
            measure(.linear, "experts", rows: rows, work: work, calls: calls) {
                for (router, experts) in layers[..<calls] {
                    backend.linear(x, rows: rows, router, bias: nil, epilogue: .store, into: logits)
                    backend.mixtureOfExperts(
                        x, rows: rows, logits: logits, experts, workspace: workspace, adds: true, into: out)
                }
            }
        }
    }

    // MARK: - The rest

    func measureOthers() throws(LLMError) {
        try measureNorms()
        try measureRope()
        try measureSampling()
    }

    private func measureNorms() throws(LLMError) {
        let x = try makeActivations(columns: config.hiddenSize, type: .float)
        let out = try makeActivations(columns: config.hiddenSize, type: .compute)
        let layers = weights.layers
        for rows in Self.rowCounts {
            let work = work.rmsNorm(tokens: rows)
            let calls = calls(for: work)
            measure(.other, "rms norm", rows: rows, work: work, calls: calls) {
                for call in 0..<calls {
                    backend.rmsNorm(
                        x, rows: rows, weight: layers[call % layers.count].inputNorm, epsilon: config.rmsNormEpsilon,
                        into: out)
                }
            }
        }
    }

    private func measureRope() throws(LLMError) {
        let pool = try AttentionPool(bench: self, blockCount: Self.maxRows)
        for rows in Self.rowCounts {
            let decode = Array(repeating: ModelWork.Sequence(rows: 1, context: 1), count: rows)
            let prefill = rows <= maxContext ? [ModelWork.Sequence(rows: rows, context: rows)] : []
            for (name, sequences) in [("rope, decode", decode), ("rope, prefill", prefill)] where !sequences.isEmpty {
                let batch = pool.batch(of: sequences)
                pool.takeBlocks(for: batch)
                let work = work.ropeAndStore(tokens: rows)
                let calls = calls(for: work)
                measure(.other, name, rows: rows, work: work, calls: calls) {
                    for _ in 0..<calls { pool.store(batch) }
                }
            }
        }
    }

    private static var samplers: [(name: String, temperature: Float, topK: Int, topP: Float)] {
        [("greedy", 0, 0, 1), ("temperature 1", 1, 0, 1), ("top-k and top-p", 1, 50, 0.9)]
    }

    private func measureSampling() throws(LLMError) {
        let (vocabulary, maxRows) = (config.vocabularySize, ModelLoader.maxLogitRows)
        let x = try makeActivations(columns: config.hiddenSize, type: .compute)
        // Two sets by turns, so that what no cache holds comes from memory.
        let sets = [
            try backend.makeBuffer(rows: maxRows, columns: vocabulary, type: .float),
            try backend.makeBuffer(rows: maxRows, columns: vocabulary, type: .float),
        ]
        for logits in sets {
            backend.linear(x, rows: maxRows, weights.head, bias: nil, epilogue: .store, into: logits)
        }
        let scratch = try backend.makeBuffer(rows: maxRows, columns: vocabulary, type: .float)
        let sampled = UnsafeMutableBufferPointer<SampleRow>.allocate(capacity: maxRows)
        defer { sampled.deallocate() }
        for kind in Self.samplers {
            for rows in Self.rowCounts where rows <= maxRows {
                for row in 0..<rows {
                    sampled.initializeElement(
                        at: row,
                        to: SampleRow(
                            row: row, temperature: kind.temperature, topK: min(kind.topK, vocabulary),
                            topP: kind.topP, minP: 0, uniform: (Float(row) + 0.5) / Float(maxRows)))
                }
                let work = work.sample(tokens: rows, cacheSize: Platform.lastCacheSize())
                let calls = calls(for: work)
                measure(.other, kind.name, rows: rows, work: work, calls: calls) {
                    for call in 0..<calls {
                        backend.sample(
                            UnsafeMutableBufferPointer(rebasing: sampled[..<rows]), of: sets[call % 2],
                            count: vocabulary, scratch: scratch)
                    }
                }
            }
        }
    }
}

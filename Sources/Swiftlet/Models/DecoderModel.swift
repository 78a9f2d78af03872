// DecoderModel: the forward pass of a Llama-like decoder, one straight line of fused operations, for any mix of rows.
// Owned by the ModelRunner. What differs between families is data: a nil bias, a nil norm or rope, a window, experts in
// place of an MLP. Where several ranks share a model, each runs this on its shard: shapes here are the shard's, and what
// the ranks' products make together is added up by allReduce.
//
// Invariant: T rows go in, T rows come out, and no row looks at another one except through the KV cache.

package final class DecoderModel<B: Backend> {
    package struct Layer {
        var inputNorm: B.Vector?  // [hidden]
        var qkv: B.Matrix  // [(q + 2 kv) headDim, hidden]
        var qkvBias: B.Vector?
        var queryNorm: B.Vector?  // [headDim]
        var keyNorm: B.Vector?  // [headDim]
        var wideQueryNorm: B.Vector?  // [q headDim]: over all heads at once
        var wideKeyNorm: B.Vector?  // [kv headDim]
        var rope: B.Vector?  // [positions, rotaryDim]
        var output: B.Matrix  // [hidden, q headDim]
        var outputBias: B.Vector?
        var attentionOutputNorm: B.Vector?  // [hidden]: of what attention adds to the residual stream
        var mlpNorm: B.Vector?  // [hidden]
        var feedForward: FeedForward
        var mlpOutputNorm: B.Vector?  // [hidden]
        var window: Int?
    }

    package enum FeedForward {
        case dense(MLP)
        case mixture(router: B.Matrix, experts: B.Experts)  // [experts, hidden]
    }

    package struct MLP {
        var gateUp: B.Matrix  // [2 intermediate, hidden], gated
        var gateUpBias: B.Vector?
        var down: B.Matrix  // [hidden, intermediate]
        var downBias: B.Vector?
    }

    package struct Weights {
        var embedding: B.Matrix  // [vocabulary, hidden]
        var layers: [Layer]
        var finalNorm: B.Vector  // [hidden]
        var head: B.Matrix  // [vocabulary, hidden]; the embedding itself when tied

        /// Of any layer that has them: they are alike.
        var experts: B.Experts? {
            for case .mixture(_, let experts) in layers.lazy.map(\.feedForward) { return experts }
            return nil
        }
    }

    /// Activations of one step. T is the step's token count.
    private struct Workspace {
        let x: B.Buffer  // [T, hidden], float32: the residual stream
        let hidden: B.Buffer  // [T, hidden]
        let qkv: B.Buffer  // [T, (q + 2 kv) headDim], float32
        let queries: B.Buffer  // [T, q headDim]
        let attended: B.Buffer  // [T, q headDim]
        let activated: B.Buffer  // [T, intermediate]
        let partial: B.Buffer  // [T, hidden], float32: a rank's part of a sum of all; x itself for one rank
        let partialSquares: B.Buffer?  // [T, 2], float32: of queries and of keys, where ranks norm them together
        let squares: B.Buffer?  // [T, 2], float32: of all ranks
        let projected: B.Buffer?  // [T, hidden], float32: what is normed before it is added to x
        let routerLogits: B.Buffer  // [T, experts], float32
        let experts: B.Buffer  // the backend's own
        let logitInput: B.Buffer  // [slice, hidden]
        let logits: B.Buffer  // [slice, vocabulary], float32
        let allLogits: B.Buffer  // [slice, all ranks' vocabulary], float32, on rank 0
    }

    private let shard: Shard
    private let config: ModelConfig  // the shard's
    package let backend: B
    private let weights: Weights
    package var caches: [B.Cache]  // one per layer
    package let maxLogitRows: Int
    private let workspace: Workspace
    private let attentionScale: Float

    package init(
        shard: Shard, backend: B, weights: Weights, caches: [B.Cache], maxTokens: Int, maxLogitRows: Int
    ) throws(LLMError) {
        self.shard = shard
        config = shard.config
        self.backend = backend
        self.weights = weights
        self.caches = caches
        self.maxLogitRows = maxLogitRows
        attentionScale = config.attentionScale
        let queryWidth = config.queryWidth
        let qkvWidth = queryWidth + 2 * config.keyValueWidth
        let hiddenSize = config.hiddenSize
        let x = try backend.makeBuffer(rows: maxTokens, columns: hiddenSize, type: .float)
        let sharesNorms = backend.rankCount > 1 && config.family.isQKNormWide
        let (logits, allLogits) = try backend.makeGathered(
            rows: maxLogitRows, columns: shard.vocabulary.whole, own: shard.vocabulary.own)
        workspace = Workspace(
            x: x,
            hidden: try backend.makeBuffer(rows: maxTokens, columns: config.hiddenSize, type: .compute),
            qkv: try backend.makeBuffer(rows: maxTokens, columns: qkvWidth, type: .float),
            queries: try backend.makeBuffer(rows: maxTokens, columns: queryWidth, type: .compute),
            attended: try backend.makeBuffer(rows: maxTokens, columns: queryWidth, type: .compute),
            activated: try backend.makeBuffer(rows: maxTokens, columns: config.intermediateSize, type: .compute),
            partial: backend.rankCount > 1 ? try backend.makePartial(rows: maxTokens, columns: hiddenSize) : x,
            partialSquares: sharesNorms ? try backend.makePartial(rows: maxTokens, columns: 2) : nil,
            squares: sharesNorms ? try backend.makeBuffer(rows: maxTokens, columns: 2, type: .float) : nil,
            projected: config.family.norms.attentionOutput == nil
                ? nil : try backend.makeBuffer(rows: maxTokens, columns: config.hiddenSize, type: .float),
            routerLogits: try backend.makeBuffer(rows: maxTokens, columns: config.experts?.count ?? 0, type: .float),
            experts: try backend.makeWorkspace(of: weights.experts, maxTokens: maxTokens),
            logitInput: try backend.makeBuffer(rows: maxLogitRows, columns: config.hiddenSize, type: .compute),
            logits: logits, allLogits: allLogits)
    }

    /// Runs the batch through all layers: writes its KV, leaves its hidden states in the workspace.
    package func forward(_ batch: Batch) throws(LLMError) {
        backend.provide(caches, blockCount: batch.blockLimit)
        try backend.run(.layers, of: batch) { rows throws(LLMError) in try runLayers(batch, rows: rows) }
    }

    private func runLayers(_ batch: Batch, rows: Int) throws(LLMError) {
        let (b, w, epsilon) = (backend, workspace, config.rmsNormEpsilon)
        let firstID = shard.vocabulary.own.lowerBound
        b.embed(batch, weights.embedding, firstID: firstID, scale: config.embeddingScale, into: w.partial)
        try b.allReduce(w.partial, rows: rows, adds: false, into: w.x)
        for index in weights.layers.indices {
            let (layer, cache) = (weights.layers[index], caches[index])
            b.rmsNorm(w.x, rows: rows, weight: layer.inputNorm, epsilon: epsilon, into: w.hidden)
            b.linear(w.hidden, rows: rows, layer.qkv, bias: layer.qkvBias, epilogue: .store, into: w.qkv)
            if let queryNorm = layer.wideQueryNorm, let keyNorm = layer.wideKeyNorm {
                try normAllHeads(rows: rows, queryNorm, keyNorm)
            }
            b.ropeAndStore(
                w.qkv, batch, queryHeads: config.queryHeadCount, queryNorm: layer.queryNorm, keyNorm: layer.keyNorm,
                epsilon: epsilon, rope: layer.rope, rotaryDim: config.rotaryDimension, into: w.queries, cache: cache)
            b.attention(
                w.queries, batch, cache: cache, queryHeads: config.queryHeadCount, scale: attentionScale,
                softCap: config.attentionSoftCap, window: layer.window, into: w.attended)
            try add(w.attended, rows: rows, layer.output, bias: layer.outputBias, norm: layer.attentionOutputNorm)
            b.rmsNorm(w.x, rows: rows, weight: layer.mlpNorm, epsilon: epsilon, into: w.hidden)
            switch layer.feedForward {
            case .dense(let mlp):
                b.linear(
                    w.hidden, rows: rows, mlp.gateUp, bias: mlp.gateUpBias, epilogue: config.activation.epilogue,
                    into: w.activated)
                try add(w.activated, rows: rows, mlp.down, bias: mlp.downBias, norm: layer.mlpOutputNorm)
            case .mixture(let router, let experts):
                b.linear(w.hidden, rows: rows, router, bias: nil, epilogue: .store, into: w.routerLogits)
                b.mixtureOfExperts(
                    w.hidden, rows: rows, logits: w.routerLogits, experts, workspace: w.experts,
                    adds: b.rankCount == 1, into: w.partial)
                try b.allReduce(w.partial, rows: rows, adds: true, into: w.x)
            }
        }
    }

    /// Norms over all heads at once of queries and of keys, in place. Ranks add up their sums of squares first; of those
    /// that have the same key, one counts it.
    private func normAllHeads(rows: Int, _ queryNorm: B.Vector, _ keyNorm: B.Vector) throws(LLMError) {
        let (b, w, epsilon) = (backend, workspace, config.rmsNormEpsilon)
        let q = 0..<config.queryWidth
        let keys = q.upperBound..<q.upperBound + config.keyValueWidth
        guard let partial = w.partialSquares, let squares = w.squares else {
            b.rmsNorm(w.qkv, rows: rows, columns: q, weight: queryNorm, epsilon: epsilon)
            return b.rmsNorm(w.qkv, rows: rows, columns: keys, weight: keyNorm, epsilon: epsilon)
        }
        b.squareSums(w.qkv, rows: rows, columns: q, into: partial, column: 0)
        b.squareSums(w.qkv, rows: rows, columns: keys.dropFirst(shard.repeatedKeyColumns), into: partial, column: 1)
        try b.allReduce(partial, rows: rows, adds: false, into: squares)
        b.rmsNorm(
            w.qkv, rows: rows, columns: q, squares: squares, column: 0, width: shard.queries.whole, weight: queryNorm,
            epsilon: epsilon)
        b.rmsNorm(
            w.qkv, rows: rows, columns: keys, squares: squares, column: 1, width: shard.keyValues.whole,
            weight: keyNorm, epsilon: epsilon)
    }

    /// The projection onto the residual stream, normed before it is added where the family norms it.
    private func add(
        _ input: B.Buffer, rows: Int, _ matrix: B.Matrix, bias: B.Vector?, norm: B.Vector?
    ) throws(LLMError) {
        let (b, w, isAlone) = (backend, workspace, backend.rankCount == 1)
        guard let norm, let projected = w.projected else {
            b.linear(input, rows: rows, matrix, bias: bias, epilogue: isAlone ? .add : .store, into: w.partial)
            return try b.allReduce(w.partial, rows: rows, adds: true, into: w.x)
        }
        let partial = isAlone ? projected : w.partial
        b.linear(input, rows: rows, matrix, bias: bias, epilogue: .store, into: partial)
        try b.allReduce(partial, rows: rows, adds: false, into: projected)
        b.addNormed(projected, rows: rows, weight: norm, epsilon: config.rmsNormEpsilon, to: w.x)
    }

    /// The logits of some of the rows that the batch just run lists for it. They are there on rank 0.
    package func logits(of batch: Batch, _ listed: Range<Int>) throws(LLMError) -> B.Buffer {
        let (b, w) = (backend, workspace)
        try b.run(.logits(listed), of: batch) { rows throws(LLMError) in
            b.rmsNorm(
                w.x, logitRowsOf: batch, from: listed.lowerBound, count: rows, weight: weights.finalNorm,
                epsilon: config.rmsNormEpsilon, into: w.logitInput)
            let epilogue = config.logitSoftCap.map(LinearEpilogue.storeCapped) ?? .store
            b.linear(w.logitInput, rows: rows, weights.head, bias: nil, epilogue: epilogue, into: w.logits)
            try b.gather(w.logits, rows: rows, into: w.allLogits)
        }
        return w.allLogits
    }
}

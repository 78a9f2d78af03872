// DecoderModel: the forward pass of a Llama-like decoder, one straight line of fused operations, for any mix of rows.
// Owned by the ModelRunner. What differs between families is data: a nil bias, a nil norm, a window. Where several ranks
// share a model, each runs this on its shard: shapes here are the shard's, and what the ranks' products make together
// is added up by allReduce.
//
// Invariant: T rows go in, T rows come out, and no row looks at another one except through the KV cache.

package final class DecoderModel<B: Backend> {
    package struct Layer {
        var inputNorm: B.Vector  // [hidden]
        var qkv: B.Matrix  // [(q + 2 kv) headDim, hidden]
        var qkvBias: B.Vector?
        var queryNorm: B.Vector?  // [headDim]
        var keyNorm: B.Vector?  // [headDim]
        var output: B.Matrix  // [hidden, q headDim]
        var outputBias: B.Vector?
        var postAttentionNorm: B.Vector  // [hidden]
        var gateUp: B.Matrix  // [2 intermediate, hidden], gated
        var gateUpBias: B.Vector?
        var down: B.Matrix  // [hidden, intermediate]
        var downBias: B.Vector?
        var window: Int?
    }

    package struct Weights {
        var embedding: B.Matrix  // [vocabulary, hidden]
        var layers: [Layer]
        var finalNorm: B.Vector  // [hidden]
        var head: B.Matrix  // [vocabulary, hidden]; the embedding itself when tied
        var rope: B.Vector  // [positions, rotaryDim]
    }

    /// Activations of one step. T is the step's token count.
    private struct Workspace {
        let x: B.Buffer  // [T, hidden], float32: the residual stream
        let partial: B.Buffer  // [T, hidden], float32: this rank's part of what is added to x; x itself for one rank
        let hidden: B.Buffer  // [T, hidden]
        let qkv: B.Buffer  // [T, (q + 2 kv) headDim], float32
        let queries: B.Buffer  // [T, q headDim]
        let attended: B.Buffer  // [T, q headDim]
        let activated: B.Buffer  // [T, intermediate]
        let logitInput: B.Buffer  // [slice, hidden]
        let logits: B.Buffer  // [slice, vocabulary], float32
        let allLogits: B.Buffer  // [slice, all ranks' vocabulary], float32, on rank 0
    }

    package let shard: Shard
    package let backend: B
    private let weights: Weights
    private let caches: [B.Cache]  // one per layer
    private let workspace: Workspace
    private let attentionScale: Float
    private let addToX: LinearEpilogue

    package init(
        shard: Shard, backend: B, weights: Weights, caches: [B.Cache], maxTokens: Int, maxLogitRows: Int
    ) throws(LLMError) {
        let config = shard.config
        self.shard = shard
        self.backend = backend
        self.weights = weights
        self.caches = caches
        attentionScale = config.attentionScale
        let queryWidth = config.queryWidth
        let qkvWidth = queryWidth + 2 * config.keyValueWidth
        let x = try backend.makeBuffer(rows: maxTokens, columns: config.hiddenSize, type: .float)
        addToX = backend.rankCount > 1 ? .store : .add
        let (logits, allLogits) = try backend.makeGathered(
            rows: maxLogitRows, columns: shard.vocabulary.whole, own: shard.vocabulary.own)
        workspace = Workspace(
            x: x,
            partial: backend.rankCount > 1
                ? try backend.makePartial(rows: maxTokens, columns: config.hiddenSize) : x,
            hidden: try backend.makeBuffer(rows: maxTokens, columns: config.hiddenSize, type: .compute),
            qkv: try backend.makeBuffer(rows: maxTokens, columns: qkvWidth, type: .float),
            queries: try backend.makeBuffer(rows: maxTokens, columns: queryWidth, type: .compute),
            attended: try backend.makeBuffer(rows: maxTokens, columns: queryWidth, type: .compute),
            activated: try backend.makeBuffer(rows: maxTokens, columns: config.intermediateSize, type: .compute),
            logitInput: try backend.makeBuffer(rows: maxLogitRows, columns: config.hiddenSize, type: .compute),
            logits: logits, allLogits: allLogits)
    }

    /// Runs the batch through all layers: writes its KV, leaves its hidden states in the workspace.
    package func forward(_ batch: Batch) throws(LLMError) {
        let config = shard.config
        let (b, w, rows, epsilon) = (backend, workspace, batch.tokenCount, config.rmsNormEpsilon)
        b.provide(caches, blockCount: batch.blockLimit)
        b.embed(batch, weights.embedding, firstID: shard.vocabulary.own.lowerBound, into: w.partial)
        try b.allReduce(w.partial, rows: rows, adds: false, into: w.x)
        for index in weights.layers.indices {
            let (layer, cache) = (weights.layers[index], caches[index])
            b.rmsNorm(w.x, rows: rows, weight: layer.inputNorm, epsilon: epsilon, into: w.hidden)
            b.linear(w.hidden, rows: rows, layer.qkv, bias: layer.qkvBias, epilogue: .store, into: w.qkv)
            b.ropeAndStore(
                w.qkv, batch, queryHeads: config.queryHeadCount, queryNorm: layer.queryNorm, keyNorm: layer.keyNorm,
                epsilon: epsilon, rope: weights.rope, rotaryDim: config.headDimension, into: w.queries, cache: cache)
            b.attention(
                w.queries, batch, cache: cache, queryHeads: config.queryHeadCount, scale: attentionScale,
                window: layer.window, into: w.attended)
            b.linear(w.attended, rows: rows, layer.output, bias: layer.outputBias, epilogue: addToX, into: w.partial)
            try b.allReduce(w.partial, rows: rows, adds: true, into: w.x)
            b.rmsNorm(w.x, rows: rows, weight: layer.postAttentionNorm, epsilon: epsilon, into: w.hidden)
            b.linear(
                w.hidden, rows: rows, layer.gateUp, bias: layer.gateUpBias, epilogue: .gatedSiLU, into: w.activated)
            b.linear(w.activated, rows: rows, layer.down, bias: layer.downBias, epilogue: addToX, into: w.partial)
            try b.allReduce(w.partial, rows: rows, adds: true, into: w.x)
        }
    }

    /// The logits of `count` rows of the batch just run, listed by number: row i of the result is row rows[i]. They are
    /// there on rank 0.
    package func logits(ofRows rows: UnsafePointer<Int32>, count: Int) throws(LLMError) -> B.Buffer {
        let w = workspace
        backend.rmsNorm(
            w.x, gathering: rows, count: count, weight: weights.finalNorm,
            epsilon: shard.config.rmsNormEpsilon, into: w.logitInput)
        backend.linear(w.logitInput, rows: count, weights.head, bias: nil, epilogue: .store, into: w.logits)
        try backend.gather(w.logits, rows: count, into: w.allLogits)
        return w.allLogits
    }
}

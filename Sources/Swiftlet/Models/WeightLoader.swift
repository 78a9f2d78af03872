// WeightLoader: from checkpoint tensors to the backend's packed matrices, by the names that the families share.
// Used once at start, on the engine thread.
//
// Invariant: every tensor of the checkpoint is used, known to be needless, or an error; of each, the shard's part is
// read, once.

package struct WeightLoader<B: Backend> {
    /// Where weights come from.
    package enum Source {
        case checkpoint(Checkpoint)
        /// `--load-format dummy`
        case random(seed: UInt64)
    }

    /// A matrix is filled by the shard's rows of these tensors, one below the other.
    private struct Part {
        var name: String
        var rows: Shard.Extent
        var part = MatrixPart.whole
    }

    let shard: Shard
    let backend: B
    let source: Source
    let quantization: WeightQuantization

    package init(
        shard: Shard, backend: B, source: Source, quantization: WeightQuantization = WeightQuantization()
    ) {
        self.shard = shard
        self.backend = backend
        self.source = source
        self.quantization = quantization
    }

    /// Loads everything. `positions` is the longest sequence that will be run.
    package func load(positions: Int) throws(LLMError) -> DecoderModel<B>.Weights {
        let (config, hidden, vocabulary) = (shard.config, shard.hidden, shard.vocabulary)
        let embedding = try matrix(
            [Part(name: "model.embed_tokens.weight", rows: vocabulary)], columns: hidden, quantization.head)
        var layers: [DecoderModel<B>.Layer] = []
        for index in 0..<config.layerCount { layers.append(try layer(index)) }
        let rope = RopeTable(config.rope, rotaryDimension: config.headDimension, positionCount: positions)
        let weights = DecoderModel<B>.Weights(
            embedding: embedding, layers: layers,
            finalNorm: try vector([Part(name: "model.norm.weight", rows: hidden)], dummy: 1),
            head: config.hasTiedHead
                ? embedding
                : try matrix([Part(name: "lm_head.weight", rows: vocabulary)], columns: hidden, quantization.head),
            rope: try backend.makeVector(rope.values))
        if case .checkpoint(let checkpoint) = source {
            try checkpoint.finish(unused: config.family.unusedTensors, hasTiedHead: config.hasTiedHead)
        }
        try backend.finishLoading()
        return weights
    }

    private func layer(_ index: Int) throws(LLMError) -> DecoderModel<B>.Layer {
        let (config, hidden, intermediate) = (shard.config, shard.hidden, shard.intermediate)
        let (queries, keys, head) = (shard.queries, shard.keyValues, Shard.Extent.all(shard.config.headDimension))
        let prefix = "model.layers.\(index)."
        func part(_ name: String, _ rows: Shard.Extent, _ part: MatrixPart = .whole) -> Part {
            Part(name: prefix + name, rows: rows, part: part)
        }
        func bias(_ isThere: Bool, _ parts: [Part]) throws(LLMError) -> B.Vector? {
            isThere ? try vector(parts, dummy: 0) : nil
        }
        /// Of a matrix whose columns are cut: the ranks' products are added up, so one of them brings it.
        func biasOnce(_ isThere: Bool, _ name: String) throws(LLMError) -> B.Vector? {
            let vector = try bias(isThere, [part(name, hidden)])
            return shard.rank == 0 ? vector : nil
        }
        func norm(_ name: String, _ width: Shard.Extent) throws(LLMError) -> B.Vector {
            try vector([part(name, width)], dummy: 1)
        }
        return DecoderModel<B>.Layer(
            inputNorm: try norm("input_layernorm.weight", hidden),
            qkv: try matrix(
                [
                    part("self_attn.q_proj.weight", queries), part("self_attn.k_proj.weight", keys),
                    part("self_attn.v_proj.weight", keys),
                ], columns: hidden, quantization.layers),
            qkvBias: try bias(
                config.qkvBias,
                [
                    part("self_attn.q_proj.bias", queries), part("self_attn.k_proj.bias", keys),
                    part("self_attn.v_proj.bias", keys),
                ]),
            queryNorm: config.hasQKNorm ? try norm("self_attn.q_norm.weight", head) : nil,
            keyNorm: config.hasQKNorm ? try norm("self_attn.k_norm.weight", head) : nil,
            output: try matrix([part("self_attn.o_proj.weight", hidden)], columns: queries, quantization.layers),
            outputBias: try biasOnce(config.outputBias, "self_attn.o_proj.bias"),
            postAttentionNorm: try norm("post_attention_layernorm.weight", hidden),
            gateUp: try matrix(
                [
                    part("mlp.gate_proj.weight", intermediate, .gate),
                    part("mlp.up_proj.weight", intermediate, .up),
                ], columns: hidden, quantization.layers),
            gateUpBias: try bias(
                config.mlpBias, [part("mlp.gate_proj.bias", intermediate), part("mlp.up_proj.bias", intermediate)]),
            down: try matrix([part("mlp.down_proj.weight", hidden)], columns: intermediate, quantization.layers),
            downBias: try biasOnce(config.mlpBias, "mlp.down_proj.bias"),
            window: config.slidingWindows[index])
    }

    private func matrix(
        _ parts: [Part], columns: Shard.Extent, _ quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> B.Matrix {
        let isGated = parts[0].part != .whole
        let rows = parts.reduce(0) { $0 + $1.rows.own.count }
        let matrix = try backend.makeMatrix(
            rows: rows, columns: columns.own.count, isGated: isGated, quantization: quantization)
        switch source {
        case .random(let seed):
            // As wide as a fresh model's weights (initializer_range 0.02), another stream for each matrix.
            let stream = parts[0].name.utf8.reduce(seed &+ UInt64(shard.rank)) {
                ($0 ^ UInt64($1)) &* 0x100_0000_01B3
            }
            backend.fillRandom(matrix, seed: stream, scale: 0.02 * 1.732)
        case .checkpoint(let checkpoint):
            var firstRow = 0
            for part in parts {
                let tensor = try checkpoint.take(part.name, shape: [part.rows.whole, columns.whole])
                let slice = Checkpoint.Slice(tensor, rows: part.rows.own, columns: columns.own)
                try backend.load(slice, into: matrix, part: part.part, firstRow: isGated ? 0 : firstRow)
                firstRow += part.rows.own.count
            }
        }
        return matrix
    }

    private func vector(_ parts: [Part], dummy: Float) throws(LLMError) -> B.Vector {
        switch source {
        case .random:
            return try backend.makeVector(Array(repeating: dummy, count: parts.reduce(0) { $0 + $1.rows.own.count }))
        case .checkpoint(let checkpoint):
            var slices: [Checkpoint.Slice] = []
            for part in parts {
                let tensor = try checkpoint.take(part.name, shape: [part.rows.whole])
                slices.append(Checkpoint.Slice(tensor, rows: part.rows.own))
            }
            return try backend.makeVector(from: slices)
        }
    }
}

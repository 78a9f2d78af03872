// WeightLoader: from checkpoint tensors to the backend's packed matrices, by the names that the families share.
// Used once at start, on the engine thread.
//
// Invariant: every tensor of the checkpoint is used, known to be needless, or an error; each is read once.

package struct WeightLoader<B: Backend> {
    /// Where weights come from.
    package enum Source {
        case checkpoint(Checkpoint)
        /// `--load-format dummy`
        case random(seed: UInt64)
    }

    /// A matrix is filled by these tensors, one below the other.
    struct Part {
        var name: String
        var rows: Int
        var part = MatrixPart.whole
    }

    let config: ModelConfig
    let backend: B
    let source: Source
    let quantization: WeightQuantization

    package init(
        config: ModelConfig, backend: B, source: Source, quantization: WeightQuantization = WeightQuantization()
    ) {
        self.config = config
        self.backend = backend
        self.source = source
        self.quantization = quantization
    }

    /// Loads everything. `positions` is the longest sequence that will be run.
    package func load(positions: Int) throws(LLMError) -> DecoderModel<B>.Weights {
        let (hidden, vocabulary) = (config.hiddenSize, config.vocabularySize)
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
            var unused = config.family.unusedTensors
            unused.suffixes += config.storedQuantization?.unusedSuffixes ?? []
            if config.storedQuantization != nil { checkpoint.passOverZeroBiases() }
            try checkpoint.finish(unused: unused, hasTiedHead: config.hasTiedHead)
        }
        try backend.finishLoading()
        return weights
    }

    private func layer(_ index: Int) throws(LLMError) -> DecoderModel<B>.Layer {
        let (hidden, queries, keys) = (config.hiddenSize, config.queryWidth, config.keyValueWidth)
        let intermediate = config.intermediateSize
        let prefix = "model.layers.\(index)."
        func part(_ name: String, _ rows: Int, _ part: MatrixPart = .whole) -> Part {
            Part(name: prefix + name, rows: rows, part: part)
        }
        func bias(_ isThere: Bool, _ parts: [Part]) throws(LLMError) -> B.Vector? {
            isThere ? try vector(parts, dummy: 0) : nil
        }
        func norm(_ name: String, _ width: Int) throws(LLMError) -> B.Vector {
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
            queryNorm: config.hasQKNorm ? try norm("self_attn.q_norm.weight", config.headDimension) : nil,
            keyNorm: config.hasQKNorm ? try norm("self_attn.k_norm.weight", config.headDimension) : nil,
            output: try matrix([part("self_attn.o_proj.weight", hidden)], columns: queries, quantization.layers),
            outputBias: try bias(config.outputBias, [part("self_attn.o_proj.bias", hidden)]),
            postAttentionNorm: try norm("post_attention_layernorm.weight", hidden),
            gateUp: try matrix(
                [
                    part("mlp.gate_proj.weight", intermediate, .gate),
                    part("mlp.up_proj.weight", intermediate, .up),
                ], columns: hidden, quantization.layers),
            gateUpBias: try bias(
                config.mlpBias, [part("mlp.gate_proj.bias", intermediate), part("mlp.up_proj.bias", intermediate)]),
            down: try matrix([part("mlp.down_proj.weight", hidden)], columns: intermediate, quantization.layers),
            downBias: try bias(config.mlpBias, [part("mlp.down_proj.bias", hidden)]),
            window: config.slidingWindows[index])
    }

    private func matrix(
        _ parts: [Part], columns: Int, _ quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> B.Matrix {
        if let matrix = try storedMatrix(parts, columns: columns, quantization) { return matrix }
        let isGated = parts[0].part != .whole
        let rows = parts.reduce(0) { $0 + $1.rows }
        let matrix = try backend.makeMatrix(
            rows: rows, columns: columns, isGated: isGated, quantization: quantization)
        switch source {
        case .random(let seed):
            fillRandom(matrix, name: parts[0].name, seed: seed)
        case .checkpoint(let checkpoint):
            var firstRow = 0
            for part in parts {
                let tensor = try checkpoint.take(part.name, shape: [part.rows, columns])
                try backend.load(tensor, into: matrix, part: part.part, firstRow: isGated ? 0 : firstRow)
                firstRow += part.rows
            }
        }
        return matrix
    }

    /// As wide as a fresh model's weights (initializer_range 0.02), another stream for each matrix.
    func fillRandom(_ matrix: B.Matrix, name: String, seed: UInt64) {
        let stream = name.utf8.reduce(seed) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        backend.fillRandom(matrix, seed: stream, scale: 0.02 * 1.732)
    }

    private func vector(_ parts: [Part], dummy: Float) throws(LLMError) -> B.Vector {
        switch source {
        case .random:
            return try backend.makeVector(Array(repeating: dummy, count: parts.reduce(0) { $0 + $1.rows }))
        case .checkpoint(let checkpoint):
            var tensors: [Checkpoint.Tensor] = []
            for part in parts { tensors.append(try checkpoint.take(part.name, shape: [part.rows])) }
            return try backend.makeVector(from: tensors)
        }
    }
}

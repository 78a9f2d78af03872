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
    struct Part {
        var name: String
        var rows: Shard.Extent
        var part = MatrixPart.whole
        /// Where its rows begin in the tensor, and how many that has, if they are not all.
        var firstRow = 0
        var tensorRows: Int?

        /// This rank's rows of the tensor.
        var ownRows: Range<Int> { firstRow + rows.own.lowerBound..<firstRow + rows.own.upperBound }
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

    /// The model as if it were this rank's part.
    var config: ModelConfig { shard.config }

    /// Loads everything. `positions` is the longest sequence that will be run.
    package func load(positions: Int) throws(LLMError) -> DecoderModel<B>.Weights {
        let (hidden, vocabulary) = (shard.hidden, shard.vocabulary)
        let embedding = try matrix(
            [Part(name: prefix + "embed_tokens.weight", rows: vocabulary)], columns: hidden, quantization.head)
        let rope = try ropeVector(config.rope, positions)
        let windowRope = try config.windowRope.map { (scaling) throws(LLMError) in
            try ropeVector(scaling, positions)
        }
        var layers: [DecoderModel<B>.Layer] = []
        for index in 0..<config.layerCount {
            let hasOwnRope = config.slidingWindows[index] != nil && windowRope != nil
            let turns = !config.layersWithoutRope.contains(index)
            layers.append(try layer(index, rope: turns ? hasOwnRope ? windowRope : rope : nil))
        }
        let weights = DecoderModel<B>.Weights(
            embedding: embedding, layers: layers,
            finalNorm: try norm(Part(name: prefix + "norm.weight", rows: hidden)),
            head: config.hasTiedHead
                ? embedding
                : try matrix([Part(name: headName, rows: vocabulary)], columns: hidden, quantization.head))
        if case .checkpoint(let checkpoint) = source {
            var unused = config.family.unusedTensors
            unused.suffixes += config.storedQuantization?.unusedSuffixes ?? []
            if config.storedQuantization != nil { checkpoint.passOverZeroBiases() }
            try checkpoint.finish(unused: unused, hasTiedHead: config.hasTiedHead)
        }
        try backend.finishLoading()
        return weights
    }

    /// What the names of all but the head begin with in this checkpoint.
    private var prefix: String {
        guard case .checkpoint(let checkpoint) = source else { return config.family.prefixes[0] }
        return config.family.prefix(in: checkpoint)
    }

    private var headName: String {
        let names = config.family.unusedTensors.heads
        guard case .checkpoint(let checkpoint) = source else { return names[0] }
        return names.first { checkpoint.contains($0) } ?? names[0]
    }

    private func ropeVector(_ scaling: RopeScaling, _ positions: Int) throws(LLMError) -> B.Vector {
        try backend.makeVector(
            RopeTable(scaling, rotaryDimension: config.rotaryDimension, positionCount: positions).values)
    }

    private func layer(_ index: Int, rope: B.Vector?) throws(LLMError) -> DecoderModel<B>.Layer {
        let (hidden, queries, keys, head) = (shard.hidden, shard.queries, shard.keyValues, shard.head)
        let prefix = prefix + "layers.\(index)."
        func part(_ name: String, _ rows: Shard.Extent, _ part: MatrixPart = .whole) -> Part {
            Part(name: prefix + name, rows: rows, part: part)
        }
        func bias(_ isThere: Bool, _ parts: [Part]) throws(LLMError) -> B.Vector? {
            isThere ? try vector(parts, dummy: 0) : nil
        }
        func norm(_ name: String?, _ width: Shard.Extent) throws(LLMError) -> B.Vector? {
            guard let name else { return nil }
            return try self.norm(part(name + ".weight", width))
        }
        let names = config.family.norms
        let isWide = config.family.isQKNormWide
        let queryNorm = config.hasQKNorm ? try norm("self_attn.q_norm", isWide ? queries : head) : nil
        let keyNorm = config.hasQKNorm ? try norm("self_attn.k_norm", isWide ? keys : head) : nil
        return DecoderModel<B>.Layer(
            inputNorm: try norm(names.attention, hidden),
            qkv: try matrix(
                config.family.fusesProjections
                    ? qkvParts(prefix)
                    : [
                        part("self_attn.q_proj.weight", queries), part("self_attn.k_proj.weight", keys),
                        part("self_attn.v_proj.weight", keys),
                    ], columns: hidden, quantization.layers),
            qkvBias: try bias(
                config.qkvBias,
                [
                    part("self_attn.q_proj.bias", queries), part("self_attn.k_proj.bias", keys),
                    part("self_attn.v_proj.bias", keys),
                ]),
            queryNorm: isWide ? nil : queryNorm, keyNorm: isWide ? nil : keyNorm,
            wideQueryNorm: isWide ? queryNorm : nil, wideKeyNorm: isWide ? keyNorm : nil, rope: rope,
            output: try matrix([part("self_attn.o_proj.weight", hidden)], columns: queries, quantization.layers),
            outputBias: try biasOnce(config.outputBias, part("self_attn.o_proj.bias", hidden)),
            attentionOutputNorm: try norm(names.attentionOutput, hidden),
            mlpNorm: try norm(names.mlp, hidden),
            feedForward: try feedForward(index),
            mlpOutputNorm: try norm(names.mlpOutput, hidden),
            window: config.slidingWindows[index])
    }

    private func feedForward(_ index: Int) throws(LLMError) -> DecoderModel<B>.FeedForward {
        let prefix = prefix + "layers.\(index).mlp."
        if let experts = config.experts, experts.layers[index] { return try mixture(experts, prefix) }
        let (hidden, intermediate) = (shard.hidden, shard.intermediate)
        func bias(_ names: [(String, rows: Shard.Extent)]) throws(LLMError) -> B.Vector? {
            guard config.mlpBias else { return nil }
            return try vector(names.map { Part(name: prefix + $0.0, rows: $0.rows) }, dummy: 0)
        }
        return .dense(
            DecoderModel<B>.MLP(
                gateUp: try matrix(gateUpParts(prefix), columns: hidden, quantization.layers),
                gateUpBias: try bias([("gate_proj.bias", intermediate), ("up_proj.bias", intermediate)]),
                down: try matrix(
                    [Part(name: prefix + "down_proj.weight", rows: hidden)], columns: intermediate,
                    quantization.layers),
                downBias: try biasOnce(config.mlpBias, Part(name: prefix + "down_proj.bias", rows: hidden))))
    }

    /// The bias of a matrix whose columns are cut: the ranks' products are added up, so one of them brings it.
    private func biasOnce(_ isThere: Bool, _ part: Part) throws(LLMError) -> B.Vector? {
        guard isThere else { return nil }
        let bias = try vector([part], dummy: 0)
        return shard.rank == 0 ? bias : nil
    }

    /// Of one tensor that has query, key and value rows.
    private func qkvParts(_ prefix: String) -> [Part] {
        let (name, queries, keys) = (prefix + "self_attn.qkv_proj.weight", shard.queries, shard.keyValues)
        let rows = queries.whole + 2 * keys.whole
        return [
            Part(name: name, rows: queries, tensorRows: rows),
            Part(name: name, rows: keys, firstRow: queries.whole, tensorRows: rows),
            Part(name: name, rows: keys, firstRow: queries.whole + keys.whole, tensorRows: rows),
        ]
    }

    private func gateUpParts(_ prefix: String) -> [Part] {
        let rows = shard.intermediate
        guard config.family.fusesProjections else {
            return [
                Part(name: prefix + "gate_proj.weight", rows: rows, part: .gate),
                Part(name: prefix + "up_proj.weight", rows: rows, part: .up),
            ]
        }
        let name = prefix + "gate_up_proj.weight"
        return [
            Part(name: name, rows: rows, part: .gate, tensorRows: 2 * rows.whole),
            Part(name: name, rows: rows, part: .up, firstRow: rows.whole, tensorRows: 2 * rows.whole),
        ]
    }

    func matrix(
        _ parts: [Part], columns: Shard.Extent, _ quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> B.Matrix {
        if let matrix = try storedMatrix(parts, columns: columns, quantization) { return matrix }
        let isGated = parts[0].part != .whole
        let rows = parts.reduce(0) { $0 + $1.rows.own.count }
        let matrix = try backend.makeMatrix(
            rows: rows, columns: columns.own.count, isGated: isGated, quantization: quantization)
        try fill(matrix, parts, columns: columns)
        return matrix
    }

    func fill(_ matrix: B.Matrix, _ parts: [Part], columns: Shard.Extent) throws(LLMError) {
        switch source {
        case .random(let seed):
            fillRandom(matrix, parts, columns: columns, seed: seed)
        case .checkpoint(let checkpoint):
            var firstRow = 0
            for part in parts {
                let tensor = try checkpoint.take(
                    part.name, shape: [part.tensorRows ?? part.rows.whole, columns.whole])
                try backend.load(
                    Checkpoint.Slice(tensor, rows: part.ownRows, columns: columns.own), into: matrix, part: part.part,
                    firstRow: part.part == .whole ? firstRow : 0)
                firstRow += part.rows.own.count
            }
        }
    }

    /// As wide as a fresh model's weights (initializer_range 0.02), another stream for each matrix. What all ranks have
    /// in full is the same on each of them.
    func fillRandom(_ matrix: B.Matrix, _ parts: [Part], columns: Shard.Extent, seed: UInt64) {
        let isShared = columns.isWhole && parts.allSatisfy(\.rows.isWhole)
        let own = isShared ? seed : seed &+ UInt64(shard.rank)
        let stream = parts[0].name.utf8.reduce(own) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        backend.fillRandom(matrix, seed: stream, scale: 0.02 * 1.732)
    }

    private func norm(_ part: Part) throws(LLMError) -> B.Vector {
        try vector([part], dummy: 1, offset: config.family.normsAddOne ? 1 : 0)
    }

    private func vector(_ parts: [Part], dummy: Float, offset: Float = 0) throws(LLMError) -> B.Vector {
        switch source {
        case .random:
            return try backend.makeVector(Array(repeating: dummy, count: parts.reduce(0) { $0 + $1.rows.own.count }))
        case .checkpoint(let checkpoint):
            var slices: [Checkpoint.Slice] = []
            for part in parts {
                let tensor = try checkpoint.take(part.name, shape: [part.rows.whole])
                slices.append(Checkpoint.Slice(tensor, rows: part.rows.own))
            }
            return try backend.makeVector(from: slices, adding: offset)
        }
    }
}

extension ModelFamily {
    /// What tensor names begin with in this checkpoint: the prefix under which there is an embedding.
    func prefix(in checkpoint: Checkpoint) -> String {
        prefixes.first { checkpoint.contains($0 + "embed_tokens.weight") } ?? prefixes[0]
    }
}

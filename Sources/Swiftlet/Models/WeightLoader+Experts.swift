// The experts of a layer: from the names that checkpoints give them to the backend's matrices.
// Part of WeightLoader. An expert's matrices are matrices like any other.

extension WeightLoader {
    /// A router and the experts it chooses from.
    func mixture(_ shape: MixtureOfExperts, _ prefix: String) throws(LLMError) -> DecoderModel<B>.FeedForward {
        let hidden = config.hiddenSize
        // A few rows that decide which others are read: they keep their type.
        let router = try matrix(
            [Part(name: prefix + "gate.weight", rows: shape.count)], columns: hidden, nil)
        let (gateUp, down): ([B.Matrix], [B.Matrix])
        if case .checkpoint(let checkpoint) = source, checkpoint.contains(prefix + "experts.gate_up_proj") {
            gateUp = try emptyMatrices(shape.count, rows: 2 * shape.intermediateSize, columns: hidden, isGated: true)
            down = try emptyMatrices(shape.count, rows: hidden, columns: shape.intermediateSize, isGated: false)
            try load(fused: prefix + "experts.", of: checkpoint, shape, gateUp: gateUp, down: down)
        } else {
            gateUp = try matrices(shape.count, columns: hidden) { expert in
                let name = prefix + "experts.\(expert)."
                return [
                    Part(name: name + "gate_proj.weight", rows: shape.intermediateSize, part: .gate),
                    Part(name: name + "up_proj.weight", rows: shape.intermediateSize, part: .up),
                ]
            }
            down = try matrices(shape.count, columns: shape.intermediateSize) { expert in
                [Part(name: prefix + "experts.\(expert).down_proj.weight", rows: hidden)]
            }
        }
        return .mixture(
            router: router,
            experts: try backend.makeExperts(gateUp: gateUp, down: down, shape, activation: config.activation))
    }

    private func emptyMatrices(_ count: Int, rows: Int, columns: Int, isGated: Bool) throws(LLMError) -> [B.Matrix] {
        try backend.makeMatrices(
            count: count, rows: rows, columns: columns, isGated: isGated, quantization: quantization.layers)
    }

    /// One matrix of each expert, from tensors of its own: as a quantised folder stores them, or plain.
    private func matrices(
        _ count: Int, columns: Int, _ parts: (Int) -> [Part]
    ) throws(LLMError) -> [B.Matrix] {
        let first = parts(0)
        if let stored = try storedMatrix(first, columns: columns, quantization.layers) {
            var all = [stored]
            for expert in 1..<count { all.append(try matrix(parts(expert), columns: columns, quantization.layers)) }
            return all
        }
        let rows = first.reduce(0) { $0 + $1.rows }
        let all = try emptyMatrices(count, rows: rows, columns: columns, isGated: first[0].part != .whole)
        for expert in 0..<count { try fill(all[expert], parts(expert), columns: columns) }
        return all
    }

    /// All experts in one tensor, as transformers keeps them in memory: gate above up.
    private func load(
        fused prefix: String, of checkpoint: Checkpoint, _ shape: MixtureOfExperts, gateUp: [B.Matrix],
        down: [B.Matrix]
    ) throws(LLMError) {
        let (hidden, width) = (config.hiddenSize, shape.intermediateSize)
        let allGateUp = try checkpoint.take(prefix + "gate_up_proj", shape: [shape.count, 2 * width, hidden])
        let allDown = try checkpoint.take(prefix + "down_proj", shape: [shape.count, hidden, width])
        for expert in 0..<shape.count {
            let both = allGateUp.matrix(expert)
            try backend.load(both.rows(0..<width), into: gateUp[expert], part: .gate, firstRow: 0)
            try backend.load(both.rows(width..<2 * width), into: gateUp[expert], part: .up, firstRow: 0)
            try backend.load(allDown.matrix(expert), into: down[expert], part: .whole, firstRow: 0)
        }
    }
}

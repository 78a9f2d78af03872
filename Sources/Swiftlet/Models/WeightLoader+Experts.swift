// The experts of a layer: from the names that checkpoints give them to the backend's matrices.
// Part of WeightLoader. An expert's matrices are matrices like any other.

extension WeightLoader {
    /// A router and the experts it chooses from.
    func mixture(_ shape: MixtureOfExperts, _ prefix: String) throws(LLMError) -> DecoderModel<B>.FeedForward {
        let (hidden, width) = (shard.hidden, shard.expertWidth)
        // A few rows that decide which others are read: they keep their type.
        let router = try matrix(
            [Part(name: prefix + "gate.weight", rows: .all(shape.count))], columns: hidden, nil)
        let (gateUp, down): ([B.Matrix], [B.Matrix])
        if case .checkpoint(let checkpoint) = source, checkpoint.contains(prefix + "experts.gate_up_proj") {
            let own = width.own.count
            gateUp = try emptyMatrices(shape.count, rows: 2 * own, columns: hidden.whole, isGated: true)
            down = try emptyMatrices(shape.count, rows: hidden.whole, columns: own, isGated: false)
            try load(fused: prefix + "experts.", of: checkpoint, shape, gateUp: gateUp, down: down)
        } else {
            gateUp = try matrices(shape.count, columns: hidden) { expert in
                let name = prefix + "experts.\(expert)."
                return [
                    Part(name: name + "gate_proj.weight", rows: width, part: .gate),
                    Part(name: name + "up_proj.weight", rows: width, part: .up),
                ]
            }
            down = try matrices(shape.count, columns: width) { expert in
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
        _ count: Int, columns: Shard.Extent, _ parts: (Int) -> [Part]
    ) throws(LLMError) -> [B.Matrix] {
        let first = parts(0)
        if let stored = try storedMatrix(first, columns: columns, quantization.layers) {
            var all = [stored]
            for expert in 1..<count { all.append(try matrix(parts(expert), columns: columns, quantization.layers)) }
            return all
        }
        let rows = first.reduce(0) { $0 + $1.rows.own.count }
        let all = try emptyMatrices(count, rows: rows, columns: columns.own.count, isGated: first[0].part != .whole)
        for expert in 0..<count { try fill(all[expert], parts(expert), columns: columns) }
        return all
    }

    /// All experts in one tensor, as transformers keeps them in memory: gate above up.
    private func load(
        fused prefix: String, of checkpoint: Checkpoint, _ shape: MixtureOfExperts, gateUp: [B.Matrix],
        down: [B.Matrix]
    ) throws(LLMError) {
        let (hidden, width, own) = (config.hiddenSize, shard.expertWidth.whole, shard.expertWidth.own)
        let allGateUp = try checkpoint.take(prefix + "gate_up_proj", shape: [shape.count, 2 * width, hidden])
        let allDown = try checkpoint.take(prefix + "down_proj", shape: [shape.count, hidden, width])
        for expert in 0..<shape.count {
            let both = allGateUp.matrix(expert)
            try backend.load(Checkpoint.Slice(both, rows: own), into: gateUp[expert], part: .gate, firstRow: 0)
            let up = width + own.lowerBound..<width + own.upperBound
            try backend.load(Checkpoint.Slice(both, rows: up), into: gateUp[expert], part: .up, firstRow: 0)
            let columns = Checkpoint.Slice(allDown.matrix(expert), rows: 0..<hidden, columns: own)
            try backend.load(columns, into: down[expert], part: .whole, firstRow: 0)
        }
    }
}

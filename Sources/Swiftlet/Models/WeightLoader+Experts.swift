// The experts of a layer: from the names that checkpoints give them to the backend's matrices.
// Part of WeightLoader. An expert's matrices are matrices like any other.

extension WeightLoader {
    /// A router and the experts it chooses from.
    func mixture(_ shape: MixtureOfExperts, _ prefix: String) throws(LLMError) -> DecoderModel<B>.FeedForward {
        let (hidden, width) = (shard.hidden, shard.expertWidth)
        // A few rows that decide which others are read: they keep their type.
        let router = try matrix(
            [Part(name: prefix + "gate.weight", rows: .all(shape.count))], columns: hidden, nil)
        let gateUp = try backend.makeMatrices(
            count: shape.count, rows: 2 * width.own.count, columns: hidden.whole, isGated: true,
            quantization: quantization.layers)
        let down = try backend.makeMatrices(
            count: shape.count, rows: hidden.whole, columns: width.own.count, isGated: false,
            quantization: quantization.layers)
        if case .checkpoint(let checkpoint) = source, checkpoint.contains(prefix + "experts.gate_up_proj") {
            try load(fused: prefix + "experts.", of: checkpoint, shape, gateUp: gateUp, down: down)
        } else {
            for expert in 0..<shape.count {
                let name = prefix + "experts.\(expert)."
                try fill(
                    gateUp[expert],
                    [
                        Part(name: name + "gate_proj.weight", rows: width, part: .gate),
                        Part(name: name + "up_proj.weight", rows: width, part: .up),
                    ], columns: hidden)
                try fill(
                    down[expert], [Part(name: name + "down_proj.weight", rows: hidden)],
                    columns: width)
            }
        }
        return .mixture(
            router: router,
            experts: try backend.makeExperts(gateUp: gateUp, down: down, shape, activation: config.activation))
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

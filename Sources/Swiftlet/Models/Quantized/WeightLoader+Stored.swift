// WeightLoader+Stored: finds the tensors of matrices that a checkpoint holds quantised and checks them against
// config.json, before any of their weights is read.
// Which matrices are quantised is seen by their tensors: one that has plain weights is loaded as such.
// Invariant: what the backend gets has the shapes and types that it assumes.

extension WeightLoader {
    /// A matrix that is stored quantised; nil when it is not.
    func storedMatrix(
        _ parts: [Part], columns: Shard.Extent, _ wanted: EngineConfig.Quantization?
    ) throws(LLMError) -> B.Matrix? {
        guard let stored = config.storedQuantization else { return nil }
        let isGated = parts[0].part != .whole
        let rows = parts.reduce(0) { $0 + $1.rows.own.count }
        switch source {
        case .random(let seed):
            guard let matrix = stored.dummyMatrix(module(of: parts[0])) else { return nil }
            let made = try backend.makeMatrix(
                rows: rows, columns: columns.own.count, isGated: isGated, stored: matrix)
            fillRandom(made, parts, columns: columns, seed: seed)
            return made
        case .checkpoint(let checkpoint):
            guard let storage = try storage(of: parts, in: checkpoint, stored) else { return nil }
            let reader = StoredReader(checkpoint: checkpoint, columns: columns.own, tensorColumns: columns.whole)
            let described = parts.map {
                StoredReader.Part(
                    module: module(of: $0), part: $0.part, rows: $0.ownRows, tensorRows: $0.tensorRows ?? $0.rows.whole)
            }
            let matrix =
                switch storage {
                case .int4(let int4): try reader.matrix(described, int4)
                case .bytes(let bytes): try reader.matrix(described, bytes, wanted)
                }
            return try backend.makeMatrix(rows: rows, columns: columns.own.count, isGated: isGated, stored: matrix)
        }
    }

    private func module(of part: Part) -> String {
        part.name.hasSuffix(".weight") ? String(part.name.dropLast(7)) : part.name
    }

    /// How these parts of one matrix are stored; nil: with plain weights.
    private func storage(
        of parts: [Part], in checkpoint: Checkpoint, _ config: QuantizationConfig
    ) throws(LLMError) -> QuantizationConfig.Storage? {
        var found: [(module: String, storage: QuantizationConfig.Storage?)] = []
        for part in parts {
            let module = module(of: part)
            let storage = config.scheme(of: module).flatMap { $0.isThere(module, checkpoint) ? $0 : nil }
            found.append((module, storage))
        }
        for other in found.dropFirst() where other.storage != found[0].storage {
            throw LLMError(
                .unsupportedModel,
                "\(checkpoint.name): \(found[0].module) is \(found[0].storage?.summary ?? "not quantised"), "
                    + "\(other.module) is \(other.storage?.summary ?? "not quantised"); they are one matrix here and "
                    + "must be alike")
        }
        return found[0].storage
    }
}

extension QuantizationConfig {
    /// A matrix for random weights: all projections of layers are quantised.
    fileprivate func dummyMatrix(_ module: String) -> StoredMatrix? {
        guard module.contains("layers."), module.hasSuffix("_proj"), let storage = scheme(of: module),
            !storage.isExpanded
        else {
            return nil
        }
        switch storage {
        case .int4(let int4):
            return StoredMatrix(
                format: .int4(groupSize: int4.groupSize, hasZeros: !int4.isSymmetric, scalesAreFloat16: false))
        case .bytes: return StoredMatrix(format: .int8)
        }
    }
}

extension QuantizationConfig.Storage {
    /// Whether a module's tensors are stored so.
    fileprivate func isThere(_ module: String, _ checkpoint: Checkpoint) -> Bool {
        switch self {
        case .int4(let int4): checkpoint.contains(module + (int4.layout == .packed ? ".weight_packed" : ".qweight"))
        case .bytes(let bytes):
            switch bytes.element {
            case .int8: checkpoint.type(of: module + ".weight") == .int8
            case .float8: checkpoint.type(of: module + ".weight") == .float8e4m3
            case .packedInt8: checkpoint.contains(module + ".weight_packed")
            }
        }
    }
}

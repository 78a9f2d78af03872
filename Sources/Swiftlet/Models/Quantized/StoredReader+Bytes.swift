// StoredReader+Bytes: the tensors of one matrix of weights of eight bits. See StoredReader.
// Invariant: as StoredReader's.

extension StoredReader {
    func matrix(
        _ parts: [Part], _ config: QuantizationConfig.Bytes, _ wanted: EngineConfig.Quantization?
    ) throws(LLMError) -> StoredMatrix {
        let stored = try self.parts(parts) { (part) throws(LLMError) in .bytes(try bytes(part, config)) }
        return StoredMatrix(format: config.roundsActivations ? .int8 : .expanded(wanted), parts: stored)
    }

    private func bytes(_ part: Part, _ config: QuantizationConfig.Bytes) throws(LLMError) -> StoredBytes {
        let (module, rows, columns) = (part.module, part.tensorRows, tensorColumns)
        let weights: Checkpoint.Tensor
        switch config.element {
        case .int8: weights = try take(module + ".weight", [rows, columns], [.int8])
        case .float8: weights = try take(module + ".weight", [rows, columns], [.float8e4m3])
        case .packedInt8:
            weights = try take(module + ".weight_packed", [rows, (columns + 3) / 4], [.int32])
            try checkShape(part)
        }
        try checkZeroPoint(module)
        let (scaleRows, scaleColumns) = try scaleBlock(part, config)
        let (down, along) = ((rows + scaleRows - 1) / scaleRows, (columns + scaleColumns - 1) / scaleColumns)
        let name = module + "." + config.scaleName
        // One number, or one a row, has no second dimension in some folders.
        let given = checkpoint.shape(of: name) ?? []
        let isFlat = along == 1 && (given == [down] || (down == 1 && given.isEmpty))
        let scales = try take(name, isFlat ? given : [down, along], Self.floats)
        return StoredBytes(
            tensor: weights, stride: config.element == .packedInt8 ? (columns + 3) / 4 * 4 : columns,
            element: config.element, scales: scales, scaleStride: along, scaleRows: scaleRows,
            scaleColumns: scaleColumns, firstRow: part.rows.lowerBound, firstColumn: self.columns.lowerBound)
    }

    /// How many rows and columns share a scale.
    private func scaleBlock(
        _ part: Part, _ config: QuantizationConfig.Bytes
    ) throws(LLMError) -> (rows: Int, columns: Int) {
        if let block = config.block { return (block[0], block[1]) }
        if config.groupSize > 0 { return (1, config.groupSize) }
        let shape = checkpoint.shape(of: part.module + "." + config.scaleName)
        // One for all, or one for each row.
        return shape.map { $0.reduce(1, *) == 1 } == true ? (part.tensorRows, tensorColumns) : (1, tensorColumns)
    }

    /// Symmetric weights may have zero points, which are zero.
    private func checkZeroPoint(_ module: String) throws(LLMError) {
        let name = module + ".weight_zero_point"
        guard let shape = checkpoint.shape(of: name), let type = checkpoint.type(of: name) else { return }
        let tensor = try take(name, shape, [type])
        guard tensor.withBytes({ $0.allSatisfy { $0 == 0 } }) else {
            throw unsupported("tensor \(name): zero points of weights of eight bits are not supported")
        }
    }
}

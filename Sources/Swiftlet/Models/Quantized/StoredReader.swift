// StoredReader: the tensors of one matrix of four-bit weights, taken from the checkpoint with the shapes that
// config.json and the format ask for. Used by WeightLoader+Stored; StoredReader+Bytes has those of eight bits.
// A matrix may be some rows and columns of larger tensors: of projections that are stored as one, or
// of one rank.
// Invariant: only scales' shapes, zero points and column orders are looked at; weights are not read.

struct StoredReader {
    /// What fills rows of the matrix: rows of a module's tensors.
    struct Part {
        var module: String
        var part: MatrixPart
        var rows: Range<Int>
        /// Of the tensors.
        var tensorRows: Int
    }

    let checkpoint: Checkpoint
    /// Of the tensors, those that the matrix has.
    let columns: Range<Int>
    let tensorColumns: Int

    static let floats: [Safetensors.ElementType] = [.float32, .float16, .bfloat16]

    func invalid(_ text: String) -> LLMError { LLMError(.invalidModel, "\(checkpoint.name): \(text)") }

    func unsupported(_ text: String) -> LLMError { LLMError(.unsupportedModel, "\(checkpoint.name): \(text)") }

    func take(
        _ name: String, _ shape: [Int], _ types: [Safetensors.ElementType]
    ) throws(LLMError) -> Checkpoint.Tensor {
        // The tensor of several projections is taken for each of them.
        try checkpoint.take(name, shape: shape, types: types)
    }

    /// The matrix's parts, each with its place: gate and up begin at the matrix's first row both.
    func parts(
        _ parts: [Part], _ read: (Part) throws(LLMError) -> StoredPart.Weights
    ) throws(LLMError) -> [StoredPart] {
        var (result, next) = ([StoredPart](), 0)
        for part in parts {
            let weights = try read(part)
            result.append(
                StoredPart(
                    part: part.part, firstRow: part.part == .whole ? next : 0, rows: part.rows.count, weights: weights))
            next += part.rows.count
        }
        return result
    }

    // MARK: - Four bits

    func matrix(_ parts: [Part], _ config: QuantizationConfig.Int4) throws(LLMError) -> StoredMatrix {
        guard config.groupSize == 0 || tensorColumns.isMultiple(of: config.groupSize) else {
            throw invalid(
                "the \(tensorColumns) columns of \(parts[0].module) are not a multiple of the group size "
                    + "\(config.groupSize)")
        }
        var orders: [[Int32]?] = []
        for part in parts { orders.append(try order(part, config)) }
        for (part, order) in zip(parts, orders) where order != orders[0] {
            throw unsupported(
                "\(parts[0].module) and \(part.module) are one matrix here, but order their columns differently "
                    + "(act-order)")
        }
        var (order, groupSize, group) = (
            orders[0].map { StoredMatrix.Order(columns: $0) }, config.groupSize, firstGroup(config)
        )
        if let whole = orders[0], columns.count < tensorColumns {
            order = ActivationOrder.cut(whole, groupSize: groupSize, to: columns)
            (groupSize, group) = (ActivationOrder.smallestGroup, 0)
        } else {
            try requireWholeGroups(parts[0].module, config)
            if config.layout == .awqGEMV && !group.isMultiple(of: 8) {
                // Its zero points come in words of eight groups, and the first group here is within one.
                let groups = group..<group + (columns.count + groupSize - 1) / groupSize
                order = StoredMatrix.Order(
                    columns: (0..<columns.count).map { Int32($0) }, groups: groups.map { Int32($0) })
                group = 0
            }
        }
        let stored = try self.parts(parts) { (part) throws(LLMError) in
            .int4(try int4(part, config, firstGroup: group))
        }
        let types = stored.map { $0.tensors[1].type }
        guard types.allSatisfy({ $0 == types[0] }) else {
            throw unsupported("the scales of \(parts[0].module) and its neighbours are of different types")
        }
        let hasZeros = stored.contains { part in
            if case .int4(let int4) = part.weights { return int4.zeros != nil }
            return false
        }
        return StoredMatrix(
            format: .int4(groupSize: groupSize, hasZeros: hasZeros, scalesAreFloat16: types[0] == .float16),
            parts: stored, order: order)
    }

    private func groupCount(_ config: QuantizationConfig.Int4) -> Int {
        config.groupSize == 0 ? 1 : tensorColumns / config.groupSize
    }

    /// The group of the matrix's first column.
    private func firstGroup(_ config: QuantizationConfig.Int4) -> Int {
        config.groupSize == 0 ? 0 : columns.lowerBound / config.groupSize
    }

    private func requireWholeGroups(_ module: String, _ config: QuantizationConfig.Int4) throws(LLMError) {
        let size = max(config.groupSize, 8)
        guard columns.lowerBound.isMultiple(of: size),
            columns.count.isMultiple(of: size) || columns.upperBound == tensorColumns
        else {
            throw unsupported(
                "columns \(columns) of \(module), which are a rank's, cut a group of \(size); use fewer ranks")
        }
    }

    private func requireWholeWords(_ count: Int, _ what: String, _ module: String) throws(LLMError) {
        guard count.isMultiple(of: 8) else {
            throw unsupported("the \(count) \(what) of \(module) are not a multiple of 8, which its integers come in")
        }
    }

    private func int4(
        _ part: Part, _ config: QuantizationConfig.Int4, firstGroup group: Int
    ) throws(LLMError) -> StoredInt4 {
        var stored =
            switch config.layout {
            case .awq, .gptq: try autoTensors(part, config)
            case .awqGEMV: try gemvTensors(part, config)
            case .packed: try packedTensors(part, config)
            }
        let row = part.rows.lowerBound
        (stored.weights.firstRow, stored.weights.firstColumn) = (row, columns.lowerBound)
        stored.zeros?.firstRow = row
        stored.zeros?.firstColumn = group
        stored.firstScale = row * stored.scaleRowStride + group * stored.scaleGroupStride
        for nibbles in [stored.weights, stored.zeros].compactMap(\.self) {
            let first = nibbles.isAlongRows ? nibbles.firstRow : nibbles.firstColumn
            guard first.isMultiple(of: 8) else {
                throw unsupported("rows \(part.rows) and columns \(columns) of \(part.module) begin within a word")
            }
        }
        return stored
    }

    /// AWQ and GPTQ, whose tensors are the matrix on its side: columns downward, rows along.
    private func autoTensors(_ part: Part, _ config: QuantizationConfig.Int4) throws(LLMError) -> StoredInt4 {
        let (module, rows, columns) = (part.module, part.tensorRows, tensorColumns)
        let (groups, isAWQ) = (groupCount(config), config.layout == .awq)
        try requireWholeWords(rows, "rows", module)
        if !isAWQ { try requireWholeWords(columns, "columns", module) }
        let weights = try take(module + ".qweight", isAWQ ? [columns, rows / 8] : [columns / 8, rows], [.int32])
        let scales = try take(module + ".scales", [groups, rows], Self.floats)
        var zeros: Checkpoint.Tensor?
        if !config.isSymmetric || checkpoint.contains(module + ".qzeros") {
            let tensor = try take(module + ".qzeros", [groups, rows / 8], [.int32])
            zeros = areAllEight(tensor, offset: config.zeroOffset) ? nil : tensor
        }
        return StoredInt4(
            weights: isAWQ
                ? Nibbles(
                    tensor: weights, rowStride: 1, columnStride: rows / 8, isAlongRows: true, isInterleaved: true)
                : Nibbles(tensor: weights, rowStride: 1, columnStride: rows),
            zeros: zeros.map {
                Nibbles(
                    tensor: $0, rowStride: 1, columnStride: rows / 8, isAlongRows: true, isInterleaved: isAWQ)
            },
            zeroOffset: config.zeroOffset, scales: scales, scaleRowStride: 1, scaleGroupStride: rows)
    }

    /// AWQ for matrix times vector: rows downward, groups padded to whole words, or more when they are small.
    private func gemvTensors(_ part: Part, _ config: QuantizationConfig.Int4) throws(LLMError) -> StoredInt4 {
        let (module, rows, columns, groups) = (part.module, part.tensorRows, tensorColumns, groupCount(config))
        try requireWholeWords(columns, "columns", module)
        let multiple = [32: 4, 64: 2][config.groupSize] ?? 1
        let width = ((groups + 7) / 8 + multiple - 1) / multiple * multiple
        let weights = try take(module + ".qweight", [rows, columns / 8], [.int32])
        let scales = try take(module + ".scales", [rows, 8 * width], Self.floats)
        let zeros = try take(module + ".qzeros", [rows, width], [.int32])
        return StoredInt4(
            weights: Nibbles(tensor: weights, rowStride: columns / 8, columnStride: 1),
            zeros: Nibbles(tensor: zeros, rowStride: width, columnStride: 1), zeroOffset: 0, scales: scales,
            scaleRowStride: 8 * width, scaleGroupStride: 1)
    }

    /// compressed-tensors.
    private func packedTensors(_ part: Part, _ config: QuantizationConfig.Int4) throws(LLMError) -> StoredInt4 {
        let (module, rows, groups) = (part.module, part.tensorRows, groupCount(config))
        let words = (tensorColumns + 7) / 8
        let weights = try take(module + ".weight_packed", [rows, words], [.int32])
        let scales = try take(module + ".weight_scale", [rows, groups], Self.floats)
        try checkShape(part)
        var zeros: Checkpoint.Tensor?
        if !config.isSymmetric {
            let tensor = try take(module + ".weight_zero_point", [(rows + 7) / 8, groups], [.int32])
            zeros = areAllEight(tensor, offset: 0) ? nil : tensor
        }
        return StoredInt4(
            weights: Nibbles(tensor: weights, rowStride: words, columnStride: 1),
            zeros: zeros.map { Nibbles(tensor: $0, rowStride: groups, columnStride: 1, isAlongRows: true) },
            zeroOffset: 0, scales: scales, scaleRowStride: groups, scaleGroupStride: 1)
    }

    /// The shape that compressed-tensors keeps beside packed weights.
    func checkShape(_ part: Part) throws(LLMError) {
        let name = part.module + ".weight_shape"
        guard checkpoint.contains(name) else { return }
        let tensor = try take(name, [2], [.int64, .int32])
        let isWide = tensor.type == .int64
        let shape = tensor.withBytes { bytes in
            (0..<2).map { index in
                isWide
                    ? Int(truncatingIfNeeded: bytes.loadUnaligned(fromByteOffset: 8 * index, as: Int64.self))
                    : Int(bytes.loadUnaligned(fromByteOffset: 4 * index, as: Int32.self))
            }
        }
        guard shape == [part.tensorRows, tensorColumns] else {
            throw invalid(
                "tensor \(name) says \(shape); config.json asks for \([part.tensorRows, tensorColumns])")
        }
    }

    private func order(_ part: Part, _ config: QuantizationConfig.Int4) throws(LLMError) -> [Int32]? {
        let name = part.module + (config.layout == .packed ? ".weight_g_idx" : ".g_idx")
        guard config.hasOrder || checkpoint.contains(name) else { return nil }
        let tensor = try take(name, [tensorColumns], [.int32])
        // Without act-order the tensor may lie there, and means nothing.
        guard config.hasOrder else { return nil }
        return try ActivationOrder.order(of: tensor, groupSize: config.groupSize)
    }

    private func areAllEight(_ zeros: Checkpoint.Tensor, offset: Int) -> Bool {
        let word = UInt32(8 - offset) * 0x1111_1111
        return zeros.withBytes { bytes in
            (0..<zeros.elementCount).allSatisfy {
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)) == word
            }
        }
    }
}

// CPUStoredLoads: the matrices whose weights are stored quantised, until all of them are packed at once.
// Owned by the CPUBackend while it loads.
//
// Invariant: tensors and matrices are kept until the kernels are done with their memory.

import CSwiftletKernels

struct CPUStoredLoads {
    private var loads: [(stored: StoredMatrix, matrix: CPUMatrix)] = []

    mutating func add(_ stored: StoredMatrix, into matrix: CPUMatrix) {
        if !stored.parts.isEmpty { loads.append((stored, matrix)) }
    }

    /// Packs all of them. False when there is no memory for it.
    mutating func pack(_ cpu: OpaquePointer) throws(LLMError) -> Bool {
        defer { loads = [] }
        var int4 = Sources<swiftlet_int4_source>()
        var bytes = Sources<swiftlet_bytes_source>()
        for load in loads {
            let tensors = load.stored.parts.flatMap(\.tensors)
            let mappings = tensors.filter(\.isMapped).map { tensor in
                tensor.withBytes { swiftlet_mapping(bytes: $0.baseAddress, count: $0.count) }
            }
            var int4Sources: [swiftlet_int4_source] = []
            var byteSources: [swiftlet_bytes_source] = []
            for part in load.stored.parts {
                switch part.weights {
                case .int4(let weights): int4Sources.append(try weights.source(part, load.matrix))
                case .bytes(let weights): byteSources.append(try weights.source(part))
                }
            }
            if !int4Sources.isEmpty { int4.add(load.matrix, int4Sources, mappings) }
            if !byteSources.isEmpty { bytes.add(load.matrix, byteSources, mappings) }
        }
        return withExtendedLifetime(loads) {
            let isInt4Done = int4.withRuns { runs in
                let packs = runs.map {
                    swiftlet_int4_pack(
                        matrix: $0.matrix, sources: $0.sources, mappings: $0.mappings, source_count: $0.sourceCount,
                        mapping_count: $0.mappingCount)
                }
                return swiftlet_pack_int4(cpu, packs, Int32(packs.count))
            }
            let areBytesDone = bytes.withRuns { runs in
                let packs = runs.map {
                    swiftlet_bytes_pack(
                        matrix: $0.matrix, sources: $0.sources, mappings: $0.mappings, source_count: $0.sourceCount,
                        mapping_count: $0.mappingCount)
                }
                return swiftlet_pack_bytes(cpu, packs, Int32(packs.count))
            }
            return isInt4Done && areBytesDone
        }
    }
}

/// Sources and mappings of many matrices, one after the other.
private struct Sources<Source> {
    struct Run {
        var matrix: swiftlet_matrix
        var sources: UnsafePointer<Source>?
        var mappings: UnsafePointer<swiftlet_mapping>?
        var sourceCount: Int32
        var mappingCount: Int32
    }

    private var matrices: [(matrix: swiftlet_matrix, sources: Range<Int>, mappings: Range<Int>)] = []
    private var sources: [Source] = []
    private var mappings: [swiftlet_mapping] = []

    mutating func add(_ matrix: CPUMatrix, _ added: [Source], _ mapped: [swiftlet_mapping]) {
        matrices.append(
            (
                matrix.value, sources.count..<sources.count + added.count,
                mappings.count..<mappings.count + mapped.count
            ))
        sources += added
        mappings += mapped
    }

    func withRuns(_ body: ([Run]) -> Bool) -> Bool {
        sources.withUnsafeBufferPointer { sources in
            mappings.withUnsafeBufferPointer { mappings in
                body(
                    matrices.map {
                        Run(
                            matrix: $0.matrix,
                            sources: sources.baseAddress.map { [at = $0.sources.lowerBound] in $0 + at },
                            mappings: mappings.baseAddress.map { [at = $0.mappings.lowerBound] in $0 + at },
                            sourceCount: Int32($0.sources.count), mappingCount: Int32($0.mappings.count))
                    })
            }
        }
    }
}

extension StoredMatrix.Format {
    /// Of what is not expanded.
    var kernels: (swiftlet_weights, swiftlet_groups) {
        switch self {
        case .int4(let groupSize, let hasZeros, let scalesAreFloat16):
            let groups = swiftlet_groups(
                columns: Int32(groupSize), has_zeros: hasZeros, scales_are_f16: scalesAreFloat16)
            return (SWIFTLET_WEIGHTS_INT4, groups)
        case .int8: return (SWIFTLET_WEIGHTS_INT8, CPUMatrix.ownGroups)
        case .expanded: preconditionFailure("expanded weights are packed as others are")
        }
    }
}

extension MatrixPart {
    /// What the kernels call it.
    var kernelPart: swiftlet_part {
        switch self {
        case .whole: SWIFTLET_PART_WHOLE
        case .gate: SWIFTLET_PART_GATE
        case .up: SWIFTLET_PART_UP
        }
    }
}

extension Nibbles {
    fileprivate var kernelNibbles: swiftlet_nibbles {
        let (down, along) = isAlongRows ? (firstRow / 8, firstColumn) : (firstRow, firstColumn / 8)
        return swiftlet_nibbles(
            words: tensor.withBytes { $0.baseAddress.map { $0 + 4 * (down * rowStride + along * columnStride) } },
            row_stride: rowStride, column_stride: columnStride,
            along_rows: isAlongRows,
            shifts: isInterleaved ? (0, 16, 4, 20, 8, 24, 12, 28) : (0, 4, 8, 12, 16, 20, 24, 28))
    }
}

extension StoredInt4 {
    fileprivate func source(
        _ part: StoredPart, _ matrix: CPUMatrix
    ) throws(LLMError) -> swiftlet_int4_source {
        let type = try scales.kernelSource()
        let firstScale = firstScale * (type == SWIFTLET_SOURCE_F32 ? 4 : 2)
        return swiftlet_int4_source(
            weights: weights.kernelNibbles, zeros: zeros?.kernelNibbles ?? swiftlet_nibbles(),
            zero_offset: Int32(zeroOffset), scales: scales.withBytes { $0.baseAddress.map { $0 + firstScale } },
            scale_type: type, scale_row_stride: scaleRowStride,
            scale_group_stride: scaleGroupStride, order: matrix.columnOrder, groups: matrix.groupOrder,
            part: part.part.kernelPart,
            first_row: Int32(part.firstRow), rows: Int32(part.rows))
    }
}

extension StoredBytes {
    fileprivate func source(_ part: StoredPart) throws(LLMError) -> swiftlet_bytes_source {
        let type =
            switch element {
            case .int8: SWIFTLET_BYTES_INT8
            case .packedInt8: SWIFTLET_BYTES_UINT8
            case .float8: SWIFTLET_BYTES_E4M3
            }
        return swiftlet_bytes_source(
            bytes: tensor.withBytes { $0.baseAddress.map { $0 + firstRow * stride + firstColumn } }, stride: stride,
            type: type,
            scales: scales.withBytes { $0.baseAddress }, scale_type: try scales.kernelSource(),
            scale_stride: scaleStride, scale_rows: Int32(scaleRows), scale_columns: Int32(scaleColumns),
            scale_first_row: Int32(firstRow), scale_first_column: Int32(firstColumn), part: part.part.kernelPart,
            first_row: Int32(part.firstRow), rows: Int32(part.rows))
    }
}

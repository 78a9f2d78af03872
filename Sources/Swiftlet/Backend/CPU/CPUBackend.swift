// CPUBackend: Backend on the C kernels. Owned by the engine thread.
//
// Invariant: the files of this folder are the only ones that hand pointers to the kernels; every size they are given
// comes from the owners' own fields.

package import CSwiftletKernels

package final class CPUBackend: HostLogits {
    package typealias Matrix = CPUMatrix
    package typealias Vector = CPUVector
    package typealias Buffer = CPUBuffer
    package typealias Experts = CPUExperts
    package typealias Cache = CPUCache

    package let level: swiftlet_level
    package let threadCount: Int
    package let dtype: swiftlet_dtype
    private let kvCacheType: EngineConfig.KVCacheType
    let cpu: OpaquePointer
    /// To the other ranks; nil when there is one only.
    let link: RankLink?
    /// Of rank 0: the other ranks' threads.
    private let others: RankThreads?
    private var storedLoads = CPUStoredLoads()
    private var pendingLoads: [(slice: Checkpoint.Slice, matrix: CPUMatrix, pack: swiftlet_pack)] = []
    let kernelRows: UnsafeMutableBufferPointer<swiftlet_sample_row>  // for sample()

    /// - Parameters:
    ///   - threads: Of all ranks of this process together, at least one for each of them.
    ///   - isPinned: Bind each thread to a core, if they take all cores of this process. (With fewer, two engines would
    ///     be bound to the same ones.)
    ///   - share: Of the process's cores.
    ///   - link: To the other ranks.
    ///   - others: The other ranks' threads, which end with this backend.
    /// - Throws: `invalidConfiguration` when the level is unknown or not supported by this machine.
    package init(
        level name: String?, threads: Int, isPinned: Bool, share: ProcessShare = ProcessShare(), dtype: swiftlet_dtype,
        kvCacheType: EngineConfig.KVCacheType = .automatic, link: RankLink? = nil, others: RankThreads? = nil
    ) throws(LLMError) {
        level = try Self.level(named: name)
        let own = link?.threads(of: threads) ?? 0..<threads
        threadCount = own.count
        self.dtype = dtype
        self.kvCacheType = kvCacheType
        self.link = link
        self.others = others
        let places = isPinned ? Self.places(Platform.cores(), share, own, of: threads) : nil
        guard let cpu = swiftlet_cpu_create(level, Int32(own.count), places) else {
            throw LLMError(.outOfMemory, "\(own.count) threads can't be started; use fewer (--threads)")
        }
        if let link, !link.spins { swiftlet_cpu_park(cpu) }
        // Rank 0's thread is the engine's, from which the runtime may start others.
        if let link, link.hasOwnThread, let place = places?.first { swiftlet_bind_this_thread(place.core) }
        self.cpu = cpu
        kernelRows = .allocate(capacity: 64)
        kernelRows.initialize(repeating: swiftlet_sample_row())
    }

    deinit {
        link?.end()
        others?.join()
        kernelRows.deallocate()
        swiftlet_cpu_destroy(cpu)
    }

    package var levelName: String { String(cString: swiftlet_level_name(level)) }

    /// All levels that this machine has, best first.
    package static var supportedLevels: [swiftlet_level] {
        [
            SWIFTLET_LEVEL_AVX512BF16, SWIFTLET_LEVEL_AVX512VNNI, SWIFTLET_LEVEL_AVX512, SWIFTLET_LEVEL_AVX2VNNI,
            SWIFTLET_LEVEL_AVX2, SWIFTLET_LEVEL_NEONBF16, SWIFTLET_LEVEL_NEONDOT, SWIFTLET_LEVEL_NEON,
            SWIFTLET_LEVEL_PORTABLE,
        ].filter { swiftlet_level_supported($0) }
    }

    /// Their names.
    static var supportedLevelNames: [String] { supportedLevels.map { String(cString: swiftlet_level_name($0)) } }

    private static func level(named name: String?) throws(LLMError) -> swiftlet_level {
        guard let name else { return supportedLevels[0] }
        for level in supportedLevels where String(cString: swiftlet_level_name(level)) == name { return level }
        let names = supportedLevels.map { String(cString: swiftlet_level_name($0)) }.joined(separator: ", ")
        throw LLMError(.invalidConfiguration, "cpu-level \(name) is not available here; this machine has \(names)")
    }

    static func format(_ quantization: EngineConfig.Quantization?) -> swiftlet_weights {
        switch quantization {
        case nil: SWIFTLET_WEIGHTS_NATIVE
        case .int8: SWIFTLET_WEIGHTS_INT8
        case .int4: SWIFTLET_WEIGHTS_INT4
        }
    }

    // MARK: - Load

    package func makeMatrix(
        rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> CPUMatrix {
        try CPUMatrix(
            rows: rows, columns: columns, dtype: dtype, format: Self.format(quantization), isGated: isGated)
    }

    package func makeMatrix(
        rows: Int, columns: Int, isGated: Bool, stored: StoredMatrix
    ) throws(LLMError) -> CPUMatrix {
        if case .expanded(let quantization) = stored.format {
            let matrix = try makeMatrix(rows: rows, columns: columns, isGated: isGated, quantization: quantization)
            storedLoads.add(stored, into: matrix)
            return matrix
        }
        let (format, groups) = stored.format.kernels
        let matrix = try CPUMatrix(
            rows: rows, columns: stored.order?.columns.count ?? columns, dtype: dtype, format: format, isGated: isGated,
            groups: groups, order: stored.order)
        storedLoads.add(stored, into: matrix)
        return matrix
    }

    package func load(
        _ slice: Checkpoint.Slice, into matrix: CPUMatrix, part: MatrixPart, firstRow: Int
    ) throws(LLMError) {
        let (tensor, rows) = (slice.tensor, slice.rows.count)
        let columns = tensor.shape[1]
        precondition(slice.columns.count == Int(matrix.value.columns) && firstRow + rows <= Int(matrix.value.rows))
        let source = try tensor.kernelSource()
        let pack = swiftlet_pack(
            matrix: matrix.value, source: nil, source_stride: columns, source_columns: Int32(columns),
            first_column: Int32(slice.columns.lowerBound), type: source, part: part.kernelPart,
            first_row: Int32(firstRow), rows: Int32(rows), first_item: 0, mapped: tensor.isMapped)
        pendingLoads.append((slice, matrix, pack))
    }

    /// Packs everything at once: then no thread waits at the end of a tensor.
    package func finishLoading() throws(LLMError) {
        let isDone = withExtendedLifetime(pendingLoads) {
            // The tensors keep their files mapped, so their bytes stay where they are.
            let packs = pendingLoads.map { load in
                var pack = load.pack
                pack.source = load.slice.firstRow
                return pack
            }
            return swiftlet_pack_all(cpu, packs, Int32(packs.count))
        }
        pendingLoads = []
        let areStoredDone = try storedLoads.pack(cpu)
        guard isDone && areStoredDone else { throw LLMError(.outOfMemory, "no memory is left to load weights with") }
    }

    package func fillRandom(_ matrix: CPUMatrix, seed: UInt64, scale: Float) {
        withUnsafePointer(to: matrix.value) { swiftlet_fill_random(cpu, $0, seed, scale) }
    }

    package func makeVector(from slices: [Checkpoint.Slice], adding offset: Float) throws(LLMError) -> CPUVector {
        CPUVector(try Self.values(of: slices, adding: offset))
    }

    /// Parts of several tensors, one after the other, as float32, with `offset` added to each.
    static func values(of slices: [Checkpoint.Slice], adding offset: Float) throws(LLMError) -> [Float] {
        var values: [Float] = []
        for slice in slices {
            let source = try slice.tensor.kernelSource()
            values += [Float](unsafeUninitializedCapacity: slice.elementCount) { buffer, count in
                count = slice.elementCount
                withExtendedLifetime(slice) {
                    swiftlet_convert_to_float(slice.firstRow, source, count, buffer.baseAddress)
                }
            }
        }
        if offset != 0 { for index in values.indices { values[index] += offset } }
        return values
    }

    package func makeVector(_ values: [Float]) -> CPUVector { CPUVector(values) }

    package func makeBuffer(rows: Int, columns: Int, type: ElementType) throws(LLMError) -> CPUBuffer {
        try CPUBuffer(rows: rows, columns: columns, dtype: type == .float ? SWIFTLET_FLOAT32 : dtype)
    }

    package func makeCache(
        blockCount: Int, blockSize: Int, keyValueHeads: Int, headDim: Int, queryGroup: Int, skippedQueryHeads: Int
    ) throws(LLMError) -> CPUCache {
        try CPUCache(
            blockCount: blockCount, blockSize: blockSize, keyValueHeads: keyValueHeads, headDim: headDim, dtype: dtype,
            format: kvCacheType.format, queryGroup: queryGroup, skippedQueryHeads: skippedQueryHeads)
    }

    package func provide(_ caches: [CPUCache], blockCount: Int) {
        guard let cache = caches.first, cache.providedBlocks < blockCount else { return }
        let provided = cache.providedBlocks * cache.blockBytes
        let end = cache.endOfPages(of: blockCount)
        withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: caches.count) { memory in
            for (index, cache) in caches.enumerated() { memory.initializeElement(at: index, to: cache.memory) }
            swiftlet_provide(cpu, memory.baseAddress, Int32(caches.count), provided, end)
        }
        for cache in caches { cache.providedBlocks = end / cache.blockBytes }
    }

    // MARK: - Forward

    package func embed(_ batch: Batch, _ table: CPUMatrix, firstID: Int, scale: Float?, into x: CPUBuffer) {
        let scale = scale.map { dtype == SWIFTLET_BFLOAT16 ? Self.roundedToBFloat16($0) : $0 } ?? 1
        withUnsafePointer(to: table.value) {
            swiftlet_embed(cpu, $0, Int32(firstID), batch.ids, Int32(batch.tokenCount), scale, x.floats, x.stride)
        }
    }

    /// To nearest, ties to even.
    private static func roundedToBFloat16(_ value: Float) -> Float {
        let bits = value.bitPattern
        return Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
    }

    package func rmsNorm(_ x: CPUBuffer, rows: Int, weight: CPUVector?, epsilon: Float, into out: CPUBuffer) {
        rmsNorm(x, indices: nil, count: rows, weight: weight, epsilon: epsilon, into: out)
    }

    package func rmsNorm(_ x: CPUBuffer, rows: Int, columns: Range<Int>, weight: CPUVector, epsilon: Float) {
        precondition(columns.upperBound <= x.columns)
        let first = x.floats + columns.lowerBound
        swiftlet_rms_norm(
            cpu, first, x.stride, nil, Int32(rows), Int32(columns.count), weight.values, epsilon, SWIFTLET_FLOAT32,
            first, x.stride)
    }

    package func addNormed(_ x: CPUBuffer, rows: Int, weight: CPUVector, epsilon: Float, to out: CPUBuffer) {
        swiftlet_add_normed(
            cpu, x.floats, x.stride, Int32(rows), Int32(x.columns), weight.values, epsilon, out.floats, out.stride)
    }

    package func rmsNorm(
        _ x: CPUBuffer, logitRowsOf batch: Batch, from first: Int, count: Int, weight: CPUVector, epsilon: Float,
        into out: CPUBuffer
    ) {
        rmsNorm(x, indices: batch.logitRows + first, count: count, weight: weight, epsilon: epsilon, into: out)
    }

    private func rmsNorm(
        _ x: CPUBuffer, indices: UnsafePointer<Int32>?, count: Int, weight: CPUVector?, epsilon: Float,
        into out: CPUBuffer
    ) {
        swiftlet_rms_norm(
            cpu, x.floats, x.stride, indices, Int32(count), Int32(x.columns), weight?.values, epsilon, out.dtype,
            out.memory, out.stride)
    }

    package func linear(
        _ x: CPUBuffer, rows: Int, _ matrix: CPUMatrix, bias: CPUVector?, epilogue: LinearEpilogue,
        into out: CPUBuffer
    ) {
        let kind =
            switch epilogue {
            case .store: out.dtype == SWIFTLET_FLOAT32 ? SWIFTLET_STORE_FLOAT : SWIFTLET_STORE
            case .add: SWIFTLET_ADD_FLOAT
            case .gatedSiLU: SWIFTLET_GATED_SILU
            case .gatedGELU: SWIFTLET_GATED_GELU
            case .storeCapped: SWIFTLET_STORE_FLOAT
            }
        withUnsafePointer(to: matrix.value) {
            if let order = matrix.columnOrder {
                var limit: Float = 0
                if case .storeCapped(let cap) = epilogue { limit = cap }
                return swiftlet_linear_ordered(
                    cpu, $0, order, x.memory, x.stride, Int32(rows), bias?.values, kind, limit, out.memory, out.stride)
            }
            if case .storeCapped(let cap) = epilogue {
                swiftlet_linear_capped(
                    cpu, $0, x.memory, x.stride, Int32(rows), bias?.values, cap, out.floats, out.stride)
            } else {
                swiftlet_linear(
                    cpu, $0, x.memory, x.stride, Int32(rows), bias?.values, kind, out.memory, out.stride)
            }
        }
    }

    package func ropeAndStore(
        _ qkv: CPUBuffer, _ batch: Batch, queryHeads: Int, queryNorm: CPUVector?, keyNorm: CPUVector?, epsilon: Float,
        rope: CPUVector?, rotaryDim: Int, into queries: CPUBuffer, cache: CPUCache
    ) {
        withUnsafePointers(cache.value, paged(batch)) { cache, batch in
            swiftlet_rope_and_store(
                cpu, cache, batch, qkv.floats, qkv.stride, Int32(queryHeads), queryNorm?.values, keyNorm?.values,
                epsilon, rope?.values, rope == nil ? 0 : Int32(rotaryDim), queries.memory, queries.stride)
        }
    }

    package func attention(
        _ queries: CPUBuffer, _ batch: Batch, cache: CPUCache, queryHeads: Int, scale: Float, softCap: Float?,
        window: Int?, into out: CPUBuffer
    ) {
        withUnsafePointers(cache.value, paged(batch)) { cache, batch in
            swiftlet_attention(
                cpu, cache, batch, queries.memory, queries.stride, Int32(queryHeads), scale, softCap ?? 0,
                Int32(window ?? 0), out.memory, out.stride)
        }
    }

    private func paged(_ batch: Batch) -> swiftlet_paged_batch {
        swiftlet_paged_batch(
            tokens: Int32(batch.tokenCount), sequences: Int32(batch.sequenceCount), query_offsets: batch.queryOffsets,
            context_lengths: batch.contextLengths, block_tables: batch.blockTables,
            block_table_stride: Int32(batch.tableStride))
    }

    private func withUnsafePointers<A, B>(
        _ a: A, _ b: B, _ body: (UnsafePointer<A>, UnsafePointer<B>) -> Void
    ) {
        withUnsafePointer(to: a) { a in withUnsafePointer(to: b) { b in body(a, b) } }
    }
}

extension Checkpoint.Slice {
    /// Of the tensor, from its first column on; good as long as the slice lives.
    fileprivate var firstRow: UnsafeRawPointer? {
        let rowBytes = (tensor.shape.count > 1 ? tensor.shape[1] : 1) * tensor.type.bitCount / 8
        return tensor.withBytes { $0.baseAddress.map { $0 + rows.lowerBound * rowBytes } }
    }
}

extension Checkpoint.Tensor {
    /// What the kernels call this tensor's type.
    func kernelSource() throws(LLMError) -> swiftlet_source {
        switch type {
        case .float32: SWIFTLET_SOURCE_F32
        case .bfloat16: SWIFTLET_SOURCE_BF16
        case .float16: SWIFTLET_SOURCE_F16
        default:
            throw LLMError(
                .unsupportedModel, "tensor \(name) has type \(type.rawValue); supported are F32, F16 and BF16")
        }
    }
}

// What the tests of rotary embedding and attention share: random requests, a paged cache to run them in, and
// the cache's layout read back from its definition, independently of the kernels.
//
// Owner: AttentionTests, AttentionInvarianceTests, RopeTests. Invariant: a request's data is a function of the
// case's seed and the request's index alone, whatever steps it is run in.

import CSwiftletKernels

let attentionLevels = supportedLevels

/// A small seeded generator (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// About normal: the sum of four uniform values.
    mutating func normal() -> Float {
        let bits = next()
        let sum = (0..<4).reduce(0) { $0 + Int((bits >> (16 * $1)) & 0xFFFF) }
        return (Float(sum) / 65536 - 2) * 1.732
    }
}

/// One random shape with its requests.
struct AttentionCase: CustomStringConvertible {
    var level: swiftlet_level
    var dtype: swiftlet_dtype
    var format = SWIFTLET_KV_NATIVE
    var headDim = 64
    var kvHeads = 2
    var group = 2
    var blockSize = 64
    var window = 0
    var rotaryDim = 64
    var normed = true
    var scale: Float = 0.125
    /// Of the scores; 0: none.
    var cap: Float = 0
    var lengths = [100]
    var seed: UInt64 = 1

    var queryHeads: Int { kvHeads * group }
    var columns: Int { (queryHeads + 2 * kvHeads) * headDim }
    var isHalf: Bool { dtype == SWIFTLET_BFLOAT16 }
    var isInt8: Bool { format == SWIFTLET_KV_INT8 }
    var unit: Int { isHalf ? 2 : 1 }
    var elementBytes: Int { isHalf ? 2 : 4 }

    var description: String {
        "\(String(cString: swiftlet_level_name(level))) \(isHalf ? "bf16" : "f32")\(isInt8 ? " int8" : "") headDim \(headDim) "
            + "kvHeads \(kvHeads) group \(group) block \(blockSize) window \(window) rotary \(rotaryDim) "
            + "normed \(normed) scale \(scale) cap \(cap) lengths \(lengths) seed \(seed)"
    }

    /// A shape drawn from `seed`; `lengths` and so on may be changed afterwards.
    static func random(seed: UInt64, level: swiftlet_level, dtype: swiftlet_dtype, longest: Int) -> AttentionCase {
        var random = SeededGenerator(seed)
        var drawn = AttentionCase(level: level, dtype: dtype)
        drawn.seed = seed
        drawn.format = seed % 3 == 0 ? SWIFTLET_KV_INT8 : SWIFTLET_KV_NATIVE
        drawn.headDim = [8, 16, 24, 40, 64, 80, 96, 128, 192, 256].randomElement(using: &random)!
        drawn.kvHeads = Int.random(in: 1...3, using: &random)
        drawn.group = [1, 2, 3, 4, 5, 7, 8, 16].randomElement(using: &random)!
        drawn.blockSize = [16, 64, 256].randomElement(using: &random)!
        drawn.window = [0, 0, 1, 17, 64, 100].randomElement(using: &random)!
        drawn.rotaryDim = [drawn.headDim, drawn.headDim, drawn.headDim / 2, drawn.headDim / 4 * 3, 0].randomElement(
            using: &random)!
        drawn.normed = Bool.random(using: &random)
        // The larger scale makes the running maximum move.
        drawn.scale = [1, 8].randomElement(using: &random)! / Float(drawn.headDim).squareRoot()
        drawn.cap = [0, 0, 3].randomElement(using: &random)!
        drawn.lengths = (0..<Int.random(in: 1...3, using: &random)).map { _ in
            Int.random(in: 1...longest, using: &random)
        }
        return drawn
    }

    /// The projections [length][columns] of request `index`.
    func projections(of index: Int) -> [Float] {
        var random = SeededGenerator(seed &* 1000 &+ UInt64(index))
        return (0..<lengths[index] * columns).map { _ in random.normal() }
    }

    /// Cosines and sines [positions][rotaryDim], random angles.
    func rope() -> [Float] {
        var random = SeededGenerator(seed &+ 77)
        var table: [Float] = []
        for _ in 0..<lengths.max()! {
            let cosines = (0..<rotaryDim / 2).map { _ in Float.random(in: -1...1, using: &random) }
            table += cosines
            table += cosines.map { (1 - $0 * $0).squareRoot() * (Bool.random(using: &random) ? 1 : -1) }
        }
        return table
    }

    /// Norm weights [headDim]: queries' for 0, keys' for 1.
    func norm(_ which: UInt64) -> [Float] {
        var random = SeededGenerator(seed &+ 99 &+ which)
        return (0..<headDim).map { _ in Float.random(in: 0.5...1.5, using: &random) }
    }
}

/// A part of a step: the next `count` tokens of a request.
struct Chunk {
    var request: Int
    var count: Int
}

/// What stands in the pool before anything is written.
enum PoolContents {
    case zero
    case nan
    case finite(UInt64)
}

/// A case's requests run in steps over a cache of shuffled blocks. Keeps the outputs, bit for bit.
final class PagedRun {
    let shape: AttentionCase
    var projections: [[Float]]
    var done: [Int]
    var queries: [[UInt8]]  // per request: [length][queryHeads * headDim] elements
    var outputs: [[UInt8]]  // the same
    var contextTables: [[Int32]]

    private let cpu: OpaquePointer
    private let pool: UnsafeMutablePointer<UInt32>
    private let poolBytes: Int
    private let rope: [Float]
    private let norms: [[Float]]

    init(_ shape: AttentionCase, threads: Int32 = 1, contents: PoolContents = .zero, shuffle: UInt64 = 0) {
        self.shape = shape
        cpu = swiftlet_cpu_create(shape.level, threads, nil)!
        projections = shape.lengths.indices.map { shape.projections(of: $0) }
        rope = shape.rope()
        norms = [shape.norm(0), shape.norm(1)]
        done = shape.lengths.map { _ in 0 }
        queries = shape.lengths.map { [UInt8](repeating: 0, count: $0 * shape.queryHeads * shape.headDim * 4) }
        outputs = queries
        var random = SeededGenerator(shuffle)
        let needed = shape.lengths.map { ($0 + shape.blockSize - 1) / shape.blockSize }
        let blockCount = needed.reduce(0, +) + 2
        var free = (0..<Int32(blockCount)).shuffled(using: &random)
        let tableWidth = needed.max()! + 1
        contextTables = needed.map { count in
            defer { free.removeFirst(count) }
            return Array(free.prefix(count)) + [Int32](repeating: -1, count: tableWidth - count)
        }
        var shapeOnly = Self.layer(shape, at: nil)
        poolBytes = blockCount * swiftlet_kv_block_bytes(&shapeOnly)
        pool = swiftlet_allocate(poolBytes)!.assumingMemoryBound(to: UInt32.self)
        fill(contents)
    }

    deinit {
        swiftlet_release(pool, poolBytes)
        swiftlet_cpu_destroy(cpu)
    }

    func fill(_ contents: PoolContents) {
        switch contents {
        case .zero: break
        case .nan: for i in 0..<poolBytes / 4 { pool[i] = 0xFFFF_FFFF }
        case .finite(let seed):
            var random = SeededGenerator(seed)
            for i in 0..<poolBytes / 4 { pool[i] = UInt32(truncatingIfNeeded: random.next()) & 0xFE7F_FE7F }
        }
    }

    /// One step: the parts in this order, each request at most once.
    func step(_ parts: [Chunk], attends: Bool = true) {
        let tokens = parts.reduce(0) { $0 + $1.count }
        let width = shape.queryHeads * shape.headDim
        var qkv: [Float] = []
        var offsets: [Int32] = [0]
        var tables: [Int32] = []
        for part in parts {
            let first = done[part.request] * shape.columns
            qkv += projections[part.request][first..<first + part.count * shape.columns]
            offsets.append(offsets.last! + Int32(part.count))
            tables += contextTables[part.request]
            done[part.request] += part.count
        }
        let contexts = parts.map { Int32(done[$0.request]) }
        var q = [UInt8](repeating: 0xEE, count: max(1, tokens * width * shape.elementBytes))
        var out = q
        var layer = Self.layer(shape, at: pool)
        offsets.withUnsafeBufferPointer { offsets in
            contexts.withUnsafeBufferPointer { contexts in
                tables.withUnsafeBufferPointer { tables in
                    var batch = swiftlet_paged_batch(
                        tokens: Int32(tokens), sequences: Int32(parts.count), query_offsets: offsets.baseAddress,
                        context_lengths: contexts.baseAddress, block_tables: tables.baseAddress,
                        block_table_stride: Int32(contextTables[0].count))
                    swiftlet_rope_and_store(
                        cpu, &layer, &batch, qkv, shape.columns, Int32(shape.queryHeads),
                        shape.normed ? norms[0] : nil, shape.normed ? norms[1] : nil, 1e-6, rope,
                        Int32(shape.rotaryDim), &q, width)
                    guard attends else { return }
                    swiftlet_attention(
                        cpu, &layer, &batch, q, width, Int32(shape.queryHeads), shape.scale, shape.cap,
                        Int32(shape.window), &out, width)
                }
            }
        }
        keep(q, out, parts)
    }

    private func keep(_ q: [UInt8], _ out: [UInt8], _ parts: [Chunk]) {
        let row = shape.queryHeads * shape.headDim * shape.elementBytes
        var first = 0
        for part in parts {
            let to = (done[part.request] - part.count) * row
            queries[part.request].replaceSubrange(to..<to + part.count * row, with: q[first..<first + part.count * row])
            outputs[part.request].replaceSubrange(
                to..<to + part.count * row, with: out[first..<first + part.count * row])
            first += part.count * row
        }
    }

    private static func layer(_ shape: AttentionCase, at base: UnsafeMutablePointer<UInt32>?) -> swiftlet_kv_layer {
        swiftlet_kv_layer(
            base: base, block_size: Int32(shape.blockSize), kv_heads: Int32(shape.kvHeads),
            head_dim: Int32(shape.headDim), dtype: shape.dtype, format: shape.format,
            group: Int32(shape.queryHeads / shape.kvHeads), skipped: 0)
    }

    // --- Reading back, from the documented layout ---------------------------------------------------------------

    func element(_ bytes: [UInt8], _ index: Int) -> Double {
        bytes.withUnsafeBytes {
            shape.isHalf
                ? Double(Float(bitPattern: UInt32($0.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)) << 16))
                : Double($0.loadUnaligned(fromByteOffset: 4 * index, as: Float.self))
        }
    }

    /// Where a block's keys, values and scales of both begin, in bytes, for one KV head.
    private func block(_ request: Int, _ head: Int, _ position: Int) -> (keys: Int, values: Int, scales: Int) {
        let wordBytes = shape.isInt8 ? shape.unit : 4
        let keyBytes = shape.blockSize * shape.headDim / shape.unit * wordBytes
        let valueBytes = shape.blockSize / shape.unit * valueRow * wordBytes
        let bytes = keyBytes + valueBytes + (shape.isInt8 ? 2 * shape.blockSize * 4 : 0)
        let keys = (Int(contextTables[request][position / shape.blockSize]) * shape.kvHeads + head) * bytes
        return (keys, keys + keyBytes, keys + keyBytes + valueBytes)
    }

    private var valueRow: Int { (shape.headDim + 15) / 16 * 16 }

    /// Element `half` of word `word` of what begins at a byte: with eight-bit integers an unscaled one.
    private func element(_ start: Int, word: Int, half: Int) -> Float {
        let bytes = UnsafeRawPointer(pool) + start
        if shape.isInt8 { return Float(bytes.load(fromByteOffset: word * shape.unit + half, as: Int8.self)) }
        let word = bytes.load(fromByteOffset: 4 * word, as: UInt32.self)
        return Float(bitPattern: !shape.isHalf ? word : half == 0 ? word << 16 : word & 0xFFFF_0000)
    }

    /// The scale of a slot's keys or values; 1 where there are none.
    func scale(_ request: Int, head: Int, position: Int, ofValues: Bool) -> Float {
        guard shape.isInt8 else { return 1 }
        let slot = position % shape.blockSize + (ofValues ? shape.blockSize : 0)
        let at = block(request, head, position).scales + 4 * slot
        return (UnsafeRawPointer(pool) + at).load(as: Float.self)
    }

    func key(_ request: Int, head: Int, position: Int, dim: Int) -> Float {
        let slot = position % shape.blockSize
        let word = slot / 16 * (shape.headDim / shape.unit) * 16 + dim / shape.unit * 16 + slot % 16
        return scale(request, head: head, position: position, ofValues: false)
            * element(block(request, head, position).keys, word: word, half: dim % shape.unit)
    }

    func cachedValue(_ request: Int, head: Int, position: Int, dim: Int) -> Float {
        let slot = position % shape.blockSize
        return scale(request, head: head, position: position, ofValues: true)
            * element(
                block(request, head, position).values, word: slot / shape.unit * valueRow + dim, half: slot % shape.unit
            )
    }
}

// CUDABackend: what several ranks do together, each on a GPU of its own. What is added up and what is gathered goes from
// GPU to GPU on the rank's stream, and is recorded in graphs with everything else.
//
// Invariant: all ranks issue these for the same buckets of rows in the same order; nothing of them waits on the host.

extension CUDABackend {
    package var rankCount: Int { device.ranks?.count ?? 1 }

    package func fail(_ error: LLMError) {
        device.fail(error)
        device.ranks?.fail(error)
    }

    package func broadcast(_ batch: Batch) throws(LLMError) -> Bool {
        guard let ranks = device.ranks else { return true }
        // A GPU that has failed is noticed by waiting for it, and nobody else would tell the others.
        try device.synchronize()
        return try ranks.broadcast(batch)
    }

    func giveUpGraphs() { device.withoutWaiting { graphs = [:] } }

    // MARK: - Sums

    package func allReduce(_ partial: CUDABuffer, rows: Int, adds: Bool, into out: CUDABuffer) throws(LLMError) {
        guard let ranks = device.ranks else { return }
        precondition(partial.type == .float && out.type == .float && partial.columns == out.columns)
        precondition(rows <= partial.rows && rows <= out.rows)
        let (source, count) = (partial.memory.address, rows * partial.columns)
        let target = adds ? source : out.memory.address
        try device.issue { (stream) throws(LLMError) in
            try ranks.sum(source, into: target, count: count, on: stream)
        }
        if adds { finish(source, rows, nil, .add, out, first: 0) }
    }

    // MARK: - Logits

    package func makeGathered(
        rows: Int, columns: Int, own: Range<Int>
    ) throws(LLMError) -> (own: CUDABuffer, all: CUDABuffer) {
        let ends = try device.ranks?.link.allOf(own.upperBound) ?? [columns]
        let rank = device.ranks?.rank ?? 0
        func buffer(_ columns: Int, room: Int = 0, hasMirror: Bool = false) throws(LLMError) -> CUDABuffer {
            try CUDABuffer(
                device, rows: rows, columns: columns, type: .float, size: 4, room: room, hasMirror: hasMirror)
        }
        guard rank == 0 else {
            let mine = try buffer(own.count)
            return (mine, mine)
        }
        let all = try buffer(columns, hasMirror: true)
        logits = all
        guard ends.count > 1 else { return (all, all) }
        // This rank's part and, behind it, those of the others.
        let parts = try buffer(own.count, room: 4 * rows * columns)
        gathered = try CUDAGathered(device, ends: ends)
        return (parts, all)
    }

    package func gather(_ own: CUDABuffer, rows: Int, into all: CUDABuffer) throws(LLMError) {
        guard let ranks = device.ranks else { return }
        let source = own.memory.address
        guard let gathered else {
            return try device.issue { (stream) throws(LLMError) in
                try ranks.send(source, count: rows * own.columns, on: stream)
            }
        }
        try device.issue { (stream) throws(LLMError) in
            try ranks.receive(on: stream) { rank in
                let columns = gathered.columns(of: rank)
                return (source + UInt64(4 * rows * columns.lowerBound), rows * columns.count)
            }
        }
        device.launch(
            kernels.gatherColumns, grid: ((all.columns + 255) / 256, rows, 1), block: 256, source,
            gathered.memory.address, Int32(gathered.ends.count), Int32(rows), Int32(all.columns), all.memory.address)
    }
}

/// Which columns of the logits each rank has.
final class CUDAGathered {
    let ends: [Int]
    let memory: DeviceMemory  // [ranks]: the same, int

    init(_ device: CUDADevice, ends: [Int]) throws(LLMError) {
        self.ends = ends
        memory = try DeviceMemory(device, byteCount: 4 * ends.count, for: "the ranks' columns")
        try device.copy(ends.map { Int32($0) }, to: memory.address, byteCount: 4 * ends.count)
    }

    func columns(of rank: Int) -> Range<Int> { (rank == 0 ? 0 : ends[rank - 1])..<ends[rank] }
}

// CPUBackend: what several ranks do together. The ranks of a process read each other's memory; those of several
// processes get copies. Either way a sum is made by the same code in the order of the ranks.
//
// Invariant: all ranks call these in the same order, whatever they compute in between.

import CSwiftletKernels

extension CPUBackend {
    package var rankCount: Int { link?.count ?? 1 }
    package var rank: Int { link?.rank ?? 0 }

    /// The way to other processes.
    var process: MPIRank? {
        if case .processes(let process) = link { process } else { nil }
    }

    package func fail(_ error: LLMError) { link?.fail(error) }

    package func broadcast(_ batch: Batch) throws(LLMError) -> Bool {
        switch link {
        case nil: return true
        case .threads(let link):
            let shown = try link.show(UnsafeMutableRawPointer(batch.words.baseAddress))!
            if link.rank != 0 { batch.copy(from: shown.assumingMemoryBound(to: Int32.self)) }
            return true
        case .processes(let link): return try link.broadcast(batch)
        }
    }

    /// The smallest of what the ranks have; all of them have come this far then.
    package func minimum(_ value: Int) throws(LLMError) -> Int { try link?.minimum(value) ?? value }

    // MARK: - Sums

    package func makePartial(rows: Int, columns: Int) throws(LLMError) -> CPUBuffer {
        switch link {
        case nil: return try CPUBuffer(rows: rows, columns: columns, dtype: SWIFTLET_FLOAT32)
        case .threads(let link):
            return try CPUBuffer(partialRows: rows, columns: columns) { memory throws(LLMError) in
                try link.exchange(memory)
            }
        case .processes(let link):
            link.reserve(rows * CPUBuffer.stride(columns, MemoryLayout<Float>.size))
            return try CPUBuffer(partialRows: rows, columns: columns) { memory in
                Array(repeating: memory, count: link.count)
            }
        }
    }

    package func allReduce(_ partial: CPUBuffer, rows: Int, adds: Bool, into out: CPUBuffer) throws(LLMError) {
        guard let link, let partials = partial.partials else { return }
        let parts = partials.current
        var count = link.count
        switch link {
        case .threads(let link): try link.meet()
        case .processes(let link):
            count = try link.gatherPartials(partial.floats, rows * partial.stride, parts: parts) {
                count, floats, total in
                swiftlet_sum(cpu, parts, Int32(count), 16, Int32(floats / 16), 16, false, total, 16)
            }
        }
        swiftlet_sum(
            cpu, parts, Int32(count), partial.stride, Int32(rows), Int32(partial.columns), adds, out.floats, out.stride)
        partial.turn()
    }

    // MARK: - Norms over what several ranks have

    package func squareSums(_ x: CPUBuffer, rows: Int, columns: Range<Int>, into sums: CPUBuffer, column: Int) {
        precondition(columns.upperBound <= x.columns && column < sums.columns)
        swiftlet_square_sums(
            cpu, x.floats + columns.lowerBound, x.stride, Int32(rows), Int32(columns.count), sums.floats + column,
            sums.stride)
    }

    package func rmsNorm(
        _ x: CPUBuffer, rows: Int, columns: Range<Int>, squares: CPUBuffer, column: Int, width: Int, weight: CPUVector,
        epsilon: Float
    ) {
        precondition(columns.upperBound <= x.columns && column < squares.columns)
        swiftlet_scale_to_norm(
            cpu, x.floats + columns.lowerBound, x.stride, Int32(rows), Int32(columns.count), squares.floats + column,
            squares.stride, Int32(width), weight.values, epsilon)
    }

    // MARK: - Logits

    package func makeGathered(
        rows: Int, columns: Int, own: Range<Int>
    ) throws(LLMError) -> (own: CPUBuffer, all: CPUBuffer) {
        switch link {
        case nil:
            let all = try CPUBuffer(rows: rows, columns: columns, dtype: SWIFTLET_FLOAT32)
            return (all, all)
        case .threads(let link):
            // Rank 0's memory is written by all: while it chooses tokens by some rows, the others compute the next ones.
            let all = link.rank == 0 ? try CPUBuffer(alternatingRows: rows, columns: columns) : nil
            let stride = CPUBuffer.stride(columns, MemoryLayout<Float>.size)
            let first = try link.exchange(all?.memory)[0]!.assumingMemoryBound(to: Float.self) + own.lowerBound
            let mine = CPUBuffer(
                columns: own.count, at: first, rows: rows, stride: stride, toOther: rows * stride)
            all?.turn()
            return (mine, all ?? mine)
        case .processes(let link):
            let ends = try link.allOf(own.upperBound)
            guard link.rank == 0 else {
                let mine = try CPUBuffer(rows: rows, columns: own.count, dtype: SWIFTLET_FLOAT32)
                return (mine, mine)
            }
            let all = try CPUBuffer(rows: rows, columns: columns, dtype: SWIFTLET_FLOAT32)
            all.gathered = try CPUGathered(ends: ends, rows: rows)
            return (CPUBuffer(columns: own.count, at: all.floats, rows: rows, stride: all.stride), all)
        }
    }

    package func gather(_ own: CPUBuffer, rows: Int, into all: CPUBuffer) throws(LLMError) {
        switch link {
        case nil: break
        case .threads(let link):
            try link.meet()
            own.turn()
            if own !== all { all.turn() }
        case .processes(let link):
            guard let gathered = all.gathered else {
                return try link.gather(own.floats, rows * own.stride, into: nil, counts: [], starts: [])
            }
            gathered.lay(out: rows)
            try link.gather(
                nil, 0, into: gathered.incoming, counts: gathered.counts, starts: gathered.starts)
            gathered.copy(rows, to: all)
        }
    }
}

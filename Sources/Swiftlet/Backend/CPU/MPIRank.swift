// MPIRank: one of several processes, on one machine or many, that mpirun or srun started. Used by its engine's thread.
//
// MPI adds in an order of its own choosing, so sums are not left to it: the ranks' partials are carried to where they
// are added up in the order of the ranks, by the same code as in one process. Small ones go to every rank; of large ones
// each rank adds up a slice for all, which is fewer bytes.
// Invariant: all ranks make the same calls in the same order with the same counts.

import CSwiftletKernels

package final class MPIRank {
    /// Words of a batch that cross in one broadcast; a larger one takes a second. A batch of 256 decodes has fewer, as
    /// long as their contexts have a few blocks.
    private static let message = 4096
    /// Bytes of a partial from which on each rank adds up a slice.
    private static let sliced = 32 << 10

    package let rank: Int
    package let count: Int
    /// Processes on this machine, which share its memory.
    package let neighbours: Int
    private let mpi: MPILibrary
    private var hasEnded = false
    private var incoming: [Float] = []  // [ranks] of partials or slices
    private var sizes: [Int32]  // [ranks]
    private var starts: [Int32]  // [ranks]
    private var ownSizes: [Int32]  // [ranks]
    private var ownStarts: [Int32]  // [ranks]

    /// Initialises MPI, once in a process.
    ///
    /// - Throws: `invalidConfiguration` when Open MPI is not there.
    package init() throws(LLMError) {
        let mpi = try MPILibrary()
        var provided: Int32 = 0
        try Self.check(mpi, mpi.initThread(nil, nil, 1, &provided), "MPI_Init_thread")  // MPI_THREAD_FUNNELED
        // Whoever leaves without a proper end takes the others along, under any launcher.
        swiftlet_at_exit(unsafeBitCast(mpi.abort, to: UnsafeMutableRawPointer.self), mpi.world)
        try Self.check(mpi, mpi.setErrorHandler(mpi.world, mpi.errorsReturn), "MPI_Comm_set_errhandler")
        var (number, size, near): (Int32, Int32, Int32) = (0, 0, 0)
        var machine: MPILibrary.Handle?
        try Self.check(mpi, mpi.rank(mpi.world, &number), "MPI_Comm_rank")
        try Self.check(mpi, mpi.size(mpi.world, &size), "MPI_Comm_size")
        // 0: MPI_COMM_TYPE_SHARED.
        try Self.check(mpi, mpi.splitType(mpi.world, 0, number, mpi.noInfo, &machine), "MPI_Comm_split_type")
        try Self.check(mpi, mpi.size(machine!, &near), "MPI_Comm_size")
        self.mpi = mpi
        rank = Int(number)
        count = Int(size)
        neighbours = Int(near)
        let zeros = [Int32](repeating: 0, count: Int(size))
        (sizes, starts, ownSizes, ownStarts) = (zeros, zeros, zeros, zeros)
    }

    private static func check(_ mpi: MPILibrary, _ result: Int32, _ call: String) throws(LLMError) {
        guard result != 0 else { return }
        var text = [CChar](repeating: 0, count: 512)  // MPI_MAX_ERROR_STRING is 256
        var length: Int32 = 0
        _ = mpi.errorText(result, &text, &length)
        let message = String(decoding: text.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        throw LLMError(.engineFailed, "\(call) failed: \(message)")
    }

    private func check(_ result: Int32, _ call: String) throws(LLMError) { try Self.check(mpi, result, call) }

    /// The proper end: rank 0 tells the others, and all leave MPI together.
    package func end() {
        guard !hasEnded else { return }
        hasEnded = true
        if rank == 0 {
            var nothing = [Int32](repeating: 0, count: Self.message)
            guard (try? broadcastFirst(&nothing, Self.message)) != nil else { return }
        }
        if mpi.finalize() == 0 { swiftlet_at_exit(nil, nil) }
    }

    /// This rank can't go on: MPI ends all others when this process ends, and nothing more is said to them.
    package func fail() { hasEnded = true }

    /// The smallest of what the ranks have.
    package func minimum(_ value: Int) throws(LLMError) -> Int {
        var (own, least) = (Int64(value), Int64(0))
        try check(mpi.allReduce(&own, &least, 1, mpi.int64, mpi.minimum, mpi.world), "MPI_Allreduce")
        return Int(least)
    }

    /// What all ranks give here, in their order.
    package func allOf(_ value: Int) throws(LLMError) -> [Int] {
        var own = Int64(value)
        var all = [Int64](repeating: 0, count: count)
        try check(mpi.allGather(&own, 1, mpi.int64, &all, 1, mpi.int64, mpi.world), "MPI_Allgather")
        return all.map { Int($0) }
    }

    // MARK: - The batch

    /// Makes rank 0's batch everybody's. False on the other ranks when there will be no more.
    package func broadcast(_ batch: Batch) throws(LLMError) -> Bool {
        let words = batch.words
        let first = min(Self.message, words.count)
        try broadcastFirst(words.baseAddress!, first)
        guard batch.tokenCount > 0 else { return false }
        let rest = batch.contents.count - first
        if rest > 0 {
            try check(
                mpi.broadcast(words.baseAddress! + first, Int32(rest), mpi.int32, 0, mpi.world), "MPI_Bcast")
        }
        return true
    }

    /// A step may be long in coming: MPI's own waiting would take a core all the while.
    private func broadcastFirst(_ words: UnsafeMutablePointer<Int32>, _ count: Int) throws(LLMError) {
        var request: MPILibrary.Handle?
        try check(mpi.startBroadcast(words, Int32(count), mpi.int32, 0, mpi.world, &request), "MPI_Ibcast")
        let start = Platform.monotonicSeconds()
        while true {
            var isDone: Int32 = 0
            try check(mpi.test(&request, &isDone, nil), "MPI_Test")
            if isDone != 0 { return }
            let waited = Platform.monotonicSeconds() - start
            if waited > 0.002 { Platform.sleep(microseconds: waited > 1 ? 1000 : 50) }
        }
    }

    // MARK: - Sums

    /// Room for what sums of this size need.
    package func reserve(_ floats: Int) {
        let needed = (count + 1) * (floats + count * 16)
        if incoming.count < needed { incoming = Array(repeating: 0, count: needed) }
    }

    /// Calls `sum` with the partials of all ranks, each `floats` long, or with their sum alone.
    package func gatherPartials(
        _ own: UnsafeMutablePointer<Float>, _ floats: Int, parts: UnsafeMutablePointer<UnsafePointer<Float>?>,
        add: (_ count: Int, _ floats: Int, _ into: UnsafeMutablePointer<Float>) -> Void
    ) throws(LLMError) -> Int {
        try incoming.withUnsafeMutableBufferPointer {
            (area: inout UnsafeMutableBufferPointer<Float>) throws(LLMError) -> Int in
            let memory = area.baseAddress!
            guard count > 2, floats * 4 >= Self.sliced else {
                try check(
                    mpi.allGather(own, Int32(floats), mpi.float, memory, Int32(floats), mpi.float, mpi.world),
                    "MPI_Allgather")
                for rank in 0..<count { parts[rank] = UnsafePointer(memory + rank * floats) }
                return count
            }
            // Slice r of every rank's partial to rank r; of the sums, all slices to everybody.
            let slice = ((floats + count - 1) / count + 15) / 16 * 16
            for rank in 0..<count {
                ownStarts[rank] = Int32(min(floats, rank * slice))
                ownSizes[rank] = Int32(min(floats, (rank + 1) * slice)) - ownStarts[rank]
            }
            let mine = Int(ownSizes[rank])
            for rank in 0..<count {
                sizes[rank] = Int32(mine)
                starts[rank] = Int32(rank * mine)
            }
            try check(
                mpi.allToAllVariable(
                    own, ownSizes, ownStarts, mpi.float, memory, sizes, starts, mpi.float, mpi.world),
                "MPI_Alltoallv")
            for rank in 0..<count { parts[rank] = UnsafePointer(memory + rank * mine) }
            let total = memory + count * mine
            if mine > 0 { add(count, mine, total + Int(ownStarts[rank])) }
            try check(
                mpi.allGatherVariable(
                    mpi.inPlace, 0, mpi.float, total, ownSizes, ownStarts, mpi.float, mpi.world),
                "MPI_Allgatherv")
            parts[0] = UnsafePointer(total)
            return 1
        }
    }

    // MARK: - Logits

    /// Brings what the other ranks have to rank 0, one after the other. `floats` counts this rank's; rank 0 gives room
    /// for all and the counts of each, of which its own is nothing.
    package func gather(
        _ own: UnsafeMutablePointer<Float>?, _ floats: Int, into all: UnsafeMutablePointer<Float>?, counts: [Int32],
        starts: [Int32]
    ) throws(LLMError) {
        try check(
            mpi.gatherVariable(
                rank == 0 ? mpi.inPlace : UnsafeMutableRawPointer(own), Int32(floats), mpi.float, all, counts, starts,
                mpi.float, 0, mpi.world), "MPI_Gatherv")
    }
}

// MPIRank: one of a replica's processes, on one machine or many, that mpirun or srun started. Used by its engine's
// thread.
//
// MPI adds in an order of its own choosing, so sums are not left to it: the ranks' partials are carried to where they
// are added up in the order of the ranks, by the same code as in one process. Small ones go to every rank; of large ones
// each rank adds up a slice for all, which is fewer bytes. They are plain messages between pairs: faster than MPI's
// gathering over shared memory, and unlike it they can be given up when the other one has died.
// Invariant: all ranks make the same calls in the same order with the same counts.

package final class MPIRank {
    /// Words of a batch that cross in one broadcast; a larger one takes a second. A batch of 256 decodes has fewer, as
    /// long as their contexts have a few blocks.
    private static let message = 4096
    /// Bytes of a partial from which on each rank adds up a slice.
    private static let sliced = 32 << 10
    private static let tag: Int32 = 1
    /// Seconds of waiting without a pause.
    private static let spinning = 0.002

    package let rank: Int
    package let count: Int
    package let world: MPIWorld
    /// Whether this machine has cores for all of its processes: who waits for another then doesn't take one from it.
    package let spins: Bool
    private let communicator: MPILibrary.Handle
    private let transfers: UnsafeMutablePointer<MPILibrary.Handle?>  // [2 ranks], those under way; receives first
    private var transferCount = 0
    private var receiveCount = 0
    private var incoming: [Float] = []  // [ranks] of partials or slices
    private let head: UnsafeMutablePointer<Int32>  // [message]: of a batch that is smaller
    private var hasEnded = false

    /// - Parameter threads: Of this process.
    package init(_ world: MPIWorld, threads: Int) {
        self.world = world
        rank = world.rankInReplica
        count = world.rankCount
        spins = world.hasCores(for: threads)
        communicator = world.replica.handle
        transfers = .allocate(capacity: 2 * count)
        transfers.initialize(repeating: nil, count: 2 * count)
        head = .allocate(capacity: Self.message)
        head.initialize(repeating: 0, count: Self.message)
    }

    deinit {
        transfers.deallocate()
        head.deallocate()
    }

    /// The proper end: rank 0 tells the others, and all leave.
    package func end() {
        tellEnd()
        leave()
    }

    /// Rank 0 tells the others that there will be no more batches.
    package func tellEnd() {
        guard !hasEnded, rank == 0 else { return }
        head.update(repeating: 0, count: Self.message)
        if (try? broadcast(head, Self.message)) == nil { hasEnded = true }
    }

    /// Waits for all others to come to their end.
    package func leave() {
        guard !hasEnded else { return }
        hasEnded = true
        if world.replicaCount == 1 { world.finish() }
    }

    /// This rank can't go on: MPI ends all others when this process ends, and nothing more is said to them.
    package func fail() { hasEnded = true }

    // MARK: - Messages

    private func send(_ bytes: UnsafeRawBufferPointer, to other: Int) throws(LLMError) {
        guard !bytes.isEmpty else { return }
        let result = world.mpi.startSend(
            bytes.baseAddress, Int32(bytes.count), world.mpi.byte, Int32(other), Self.tag, communicator,
            transfers + transferCount)
        try world.mpi.check(result, "MPI_Isend")
        transferCount += 1
    }

    private func receive(_ bytes: UnsafeMutableRawBufferPointer, from other: Int) throws(LLMError) {
        guard !bytes.isEmpty else { return }
        let result = world.mpi.startReceive(
            bytes.baseAddress, Int32(bytes.count), world.mpi.byte, Int32(other), Self.tag, communicator,
            transfers + transferCount)
        try world.mpi.check(result, "MPI_Irecv")
        transferCount += 1
        receiveCount = transferCount
    }

    /// Waits for all that is under way. A step may be long in coming: MPI's own waiting would take a core all the while,
    /// and never end when another process has died.
    private func wait(_ call: String) throws(LLMError) {
        defer { (transferCount, receiveCount) = (0, 0) }
        var start: Double?
        while try !areDone(call) {
            do throws(LLMError) {
                try world.check()
            } catch {
                giveUp()
                throw error
            }
            let now = Platform.monotonicSeconds()
            let waited = now - (start ?? now)
            start = start ?? now
            if waited > Self.spinning || !spins { Platform.sleep(microseconds: waited > 1 ? 1000 : spins ? 50 : 10) }
        }
    }

    private func areDone(_ call: String) throws(LLMError) -> Bool {
        var isDone: Int32 = 0
        try world.mpi.check(world.mpi.testAll(Int32(transferCount), transfers, &isDone, nil), call)
        return isDone != 0
    }

    /// Their memory will be freed: what the living have begun comes to its end, what the dead should send or take never
    /// does.
    private func giveUp() {
        for index in 0..<receiveCount where transfers[index] != nil { _ = world.mpi.cancel(transfers + index) }
        for _ in 0..<1000 where (try? areDone("MPI_Testall")) == false { Platform.sleep(microseconds: 1000) }
    }

    /// Gives every other rank a part of something and gets one from each, at once.
    private func exchange(
        _ outgoing: (_ rank: Int) -> UnsafeBufferPointer<Float>,
        _ incoming: (_ rank: Int) -> UnsafeMutableBufferPointer<Float>
    ) throws(LLMError) {
        for other in 0..<count where other != rank {
            try receive(UnsafeMutableRawBufferPointer(incoming(other)), from: other)
        }
        // Each begins with its neighbour, so that not all send to the same one.
        for step in 1..<max(1, count) {
            let other = (rank + step) % count
            try send(UnsafeRawBufferPointer(outgoing(other)), to: other)
        }
        try wait("MPI_Testall")
    }

    /// What all ranks give here, in their order.
    package func allOf(_ value: Int) throws(LLMError) -> [Int] {
        var all = [Int](repeating: value, count: count)
        try all.withUnsafeMutableBufferPointer { (all: inout UnsafeMutableBufferPointer<Int>) throws(LLMError) in
            let width = MemoryLayout<Int>.size
            let bytes = UnsafeMutableRawBufferPointer(all)
            for other in 0..<count where other != rank {
                try receive(
                    UnsafeMutableRawBufferPointer(rebasing: bytes[other * width..<(other + 1) * width]), from: other)
            }
            let own = UnsafeRawBufferPointer(rebasing: bytes[rank * width..<(rank + 1) * width])
            for other in 0..<count where other != rank { try send(own, to: other) }
            try wait("MPI_Testall")
        }
        return all
    }

    // MARK: - The batch

    /// Makes rank 0's batch everybody's. False on the other ranks when there will be no more.
    package func broadcast(_ batch: Batch) throws(LLMError) -> Bool {
        let words = batch.words
        guard words.count >= Self.message else { return try broadcastSmall(batch) }
        try broadcast(words.baseAddress!, Self.message)
        guard batch.tokenCount > 0 else { return false }
        let rest = batch.contents.count - Self.message
        if rest > 0 { try broadcast(words.baseAddress! + Self.message, rest) }
        return true
    }

    /// Of an engine whose largest batch is smaller than a message, which has the same length at the end too.
    private func broadcastSmall(_ batch: Batch) throws(LLMError) -> Bool {
        let contents = batch.contents
        if rank == 0 { head.update(from: contents.baseAddress!, count: contents.count) }
        try broadcast(head, Self.message)
        guard head[0] > 0 else { return false }
        if rank != 0 { batch.copy(from: head) }
        return true
    }

    /// Rank 0's words become everybody's.
    package func share(_ words: inout [Int32]) throws(LLMError) {
        try words.withUnsafeMutableBufferPointer { (words: inout UnsafeMutableBufferPointer<Int32>) throws(LLMError) in
            try broadcast(words.baseAddress!, words.count)
        }
    }

    private func broadcast(_ words: UnsafeMutablePointer<Int32>, _ count: Int) throws(LLMError) {
        let result = world.mpi.startBroadcast(words, Int32(count), world.mpi.int32, 0, communicator, transfers)
        try world.mpi.check(result, "MPI_Ibcast")
        transferCount = 1
        try wait("MPI_Ibcast")
    }

    // MARK: - Sums

    /// Room for what sums of this size need.
    package func reserve(_ floats: Int) {
        let needed = (count + 1) * (floats + count * 16)
        if incoming.count < needed { incoming = Array(repeating: 0, count: needed) }
    }

    /// Calls `add` with the partials of all ranks, or gives their sum alone.
    ///
    /// - Returns: How many there are in `parts` to be added up, each `floats` long.
    package func gatherPartials(
        _ own: UnsafeMutablePointer<Float>, _ floats: Int, parts: UnsafeMutablePointer<UnsafePointer<Float>?>,
        add: (_ count: Int, _ floats: Int, _ into: UnsafeMutablePointer<Float>) -> Void
    ) throws(LLMError) -> Int {
        try incoming.withUnsafeMutableBufferPointer {
            (area: inout UnsafeMutableBufferPointer<Float>) throws(LLMError) -> Int in
            let memory = area.baseAddress!
            guard count > 2, floats * 4 >= Self.sliced else {
                try exchange {
                    _ in
                    UnsafeBufferPointer(start: own, count: floats)
                } _: {
                    UnsafeMutableBufferPointer(start: memory + $0 * floats, count: floats)
                }
                for other in 0..<count { parts[other] = UnsafePointer(other == rank ? own : memory + other * floats) }
                return count
            }
            // Slice r of every rank's partial to rank r; of the sums, all slices to everybody.
            let slice = ((floats + count - 1) / count + 15) / 16 * 16
            func slices(_ other: Int, of all: UnsafeMutablePointer<Float>) -> UnsafeMutableBufferPointer<Float> {
                let start = min(floats, other * slice)
                return UnsafeMutableBufferPointer(start: all + start, count: min(floats, start + slice) - start)
            }
            let mine = slices(rank, of: own)
            try exchange {
                UnsafeBufferPointer(slices($0, of: own))
            } _: {
                UnsafeMutableBufferPointer(start: memory + $0 * slice, count: mine.count)
            }
            for other in 0..<count {
                parts[other] = UnsafePointer(other == rank ? mine.baseAddress! : memory + other * slice)
            }
            let total = memory + count * slice
            if !mine.isEmpty { add(count, mine.count, total + (mine.baseAddress! - own)) }
            try exchange { _ in
                UnsafeBufferPointer(slices(rank, of: total))
            } _: {
                slices($0, of: total)
            }
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
        if rank == 0 {
            for other in 1..<max(1, count) {
                let place = UnsafeMutableBufferPointer(start: all! + Int(starts[other]), count: Int(counts[other]))
                try receive(UnsafeMutableRawBufferPointer(place), from: other)
            }
        } else {
            try send(UnsafeRawBufferPointer(UnsafeBufferPointer(start: own, count: floats)), to: 0)
        }
        try wait("MPI_Testall")
    }
}

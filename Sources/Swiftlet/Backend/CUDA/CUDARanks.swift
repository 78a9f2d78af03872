// CUDARanks: a GPU's way to the GPUs of the other ranks. Batches, numbers and errors go from host to host, between threads
// or by MPI; what the model adds up goes from GPU to GPU by NCCL, on the rank's own stream. Kept by the rank's CUDADevice,
// used by its thread only.
//
// A collective that one rank never comes to has no end on the others. So nobody waits for a stream without looking after
// the ranks, and whoever is told of a failure aborts its own communicator, which ends what its stream is stuck in.
// Invariant: a rank that leaves the group has closed its communicator before it waits for the others to leave.

package final class CUDARanks {
    let link: RankLink
    private let communicator: NCCLCommunicator
    private let others: RankThreads?
    /// Graphs with collectives in them have to be gone before their communicator is.
    var dropGraphs: () -> Void = {}
    /// Whether all ranks wait for batches.
    private var isReady = false
    private var hasFailed = false

    /// Seconds of waiting without a pause: longer than most steps.
    private static var spinning: Double { 0.02 }
    /// Seconds that collectives have to be aborted, and then a stream to end.
    static var patience: Double { 30 }
    /// CUDA_ERROR_NOT_READY.
    private static var notReady: CUDADriver.Status { 600 }

    /// Joins the other ranks, each of which comes to it. This thread's device is current.
    ///
    /// - Parameter others: Of rank 0: the other ranks' threads, which end with it.
    /// - Throws: `invalidConfiguration` where there is no NCCL.
    init(_ link: RankLink, _ libraries: CUDALibraries, others: RankThreads? = nil) throws(LLMError) {
        let nccl = try NCCL(libraries)
        var id = link.rank == 0 ? try nccl.makeID() : [Int32](repeating: 0, count: NCCL.idWords)
        // All ranks have come this far then: nobody joins in vain.
        try link.share(&id)
        self.link = link
        self.others = others
        communicator = try NCCLCommunicator(nccl, id: id, rank: link.rank, of: link.count)
        if case .threads(let thread) = link { thread.beforeLeaving = { [weak self] in self?.close() } }
    }

    var rank: Int { link.rank }
    var count: Int { link.count }

    // MARK: - From host to host

    func begin() { isReady = true }

    /// Makes rank 0's batch everybody's. False on the other ranks when there will be no more.
    func broadcast(_ batch: Batch) throws(LLMError) -> Bool {
        switch link {
        case .threads(let link):
            guard let shown = try link.show(UnsafeMutableRawPointer(batch.words.baseAddress)) else { return false }
            if link.rank != 0 { batch.copy(from: shown.assumingMemoryBound(to: Int32.self)) }
            // Rank 0 may fill it anew before it has waited for anything else.
            try link.meet()
            return true
        case .processes(let link): return try link.broadcast(batch)
        }
    }

    /// Asks again and again whether a GPU is done with something, and looks after the other ranks meanwhile.
    ///
    /// - Returns: What it answered at last.
    /// - Throws: What another rank failed with; this one has failed too then.
    func wait(_ ask: () -> CUDADriver.Status) throws(LLMError) -> CUDADriver.Status {
        var start: Double?
        while true {
            let status = ask()
            // What is still there after a failure was ended by it.
            guard status == Self.notReady else { return status }
            let now = Platform.monotonicSeconds()
            let waited = now - (start ?? now)
            start = start ?? now
            if !link.spins || waited > Self.spinning { Platform.sleep(microseconds: 50) }
            guard !hasFailed else {
                if waited > Self.patience { return status }
                continue
            }
            do throws(LLMError) {
                try link.check()
                try communicator.check()
            } catch {
                fail(error)
                throw error
            }
        }
    }

    // MARK: - From GPU to GPU

    /// `target` becomes the sum of all ranks' `source` on each of them; they may be the same memory.
    func sum(_ source: UInt64, into target: UInt64, count: Int, on stream: CUDADriver.Handle) throws(LLMError) {
        try communicator.sum(source, into: target, count: count, on: stream)
    }

    func send(_ source: UInt64, count: Int, on stream: CUDADriver.Handle) throws(LLMError) {
        try communicator.send(source, count: count, to: 0, on: stream)
    }

    /// Receives a part of every other rank, on rank 0.
    func receive(
        on stream: CUDADriver.Handle, _ part: (_ rank: Int) -> (target: UInt64, count: Int)
    ) throws(LLMError) {
        try communicator.receive(from: 1..<count, on: stream, part)
    }

    // MARK: - Ends

    /// Tells the others that this rank can't go on, and gives up what it has begun with them.
    func fail(_ error: LLMError) {
        guard !hasFailed else { return }
        hasFailed = true
        switch link {
        // It closes the communicator between the two.
        case .threads(let link): link.fail(error)
        case .processes(let link):
            close()
            link.fail()
        }
    }

    private func close() {
        dropGraphs()
        communicator.abort()
    }

    /// The proper end, with nothing under way: rank 0 tells the others. It waits for them, and for the threads of those that
    /// have failed; not before the ranks were ready.
    func end() {
        guard isReady || hasFailed else { return }
        if isReady && !hasFailed {
            switch link {
            case .threads(let link): if link.rank == 0 { _ = try? link.show(nil) }
            case .processes(let link): link.tellEnd()
            }
            dropGraphs()
            // Each rank waits in it for the others.
            communicator.destroy()
            switch link {
            case .threads(let link): link.leave()
            case .processes(let link): link.leave()
            }
        }
        isReady = false
        join()
    }

    /// Of rank 0: waits until the other ranks' threads have ended.
    func join() { others?.join() }
}

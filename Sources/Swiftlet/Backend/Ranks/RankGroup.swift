// RankGroup: the ranks of one process, a thread each. They meet, and between two meetings they may read what the others
// wrote before the first one. RankThreads starts all but rank 0's thread, which is the engine's.
//
// A rank that fails breaks the group: every other one is told at its next meeting. No rank frees what the others read
// before all have left.
// Invariant: memory that is shared is written by one rank, and read by others only after a meeting.

import CSwiftletKernels
import Synchronization

/// What the threads share. Its pointer is to memory of the C target, which is made for that.
package final class RankGroup: @unchecked Sendable {
    package let count: Int
    fileprivate let ranks: OpaquePointer
    private let failure = Mutex<LLMError?>(nil)

    /// - Parameter threadCount: Of all ranks together.
    package init(count: Int, threadCount: Int) throws(LLMError) {
        guard let ranks = swiftlet_ranks_create(Int32(count), Int32(threadCount)) else {
            throw LLMError(.outOfMemory, "no memory is left for \(count) ranks")
        }
        self.count = count
        self.ranks = ranks
    }

    deinit { swiftlet_ranks_destroy(ranks) }

    /// Every meeting fails from now on; the first one's error is everybody's.
    fileprivate func fail(_ error: LLMError) {
        failure.withLock { if $0 == nil { $0 = error } }
        swiftlet_ranks_break(ranks)
    }

    fileprivate var error: LLMError {
        failure.withLock { $0 } ?? LLMError(.engineFailed, "the other ranks have ended")
    }

    /// Throws the first one's error when a rank has failed.
    fileprivate func check() throws(LLMError) {
        if let error = failure.withLock({ $0 }) { throw error }
    }
}

/// One rank's end of a group. Used by its own thread only.
package final class ThreadRank {
    package let group: RankGroup
    package let rank: Int
    /// What this rank has to do once before it waits for the others to leave.
    package var beforeLeaving: () -> Void = {}
    private var hasLeft = false

    package init(_ group: RankGroup, _ rank: Int) {
        self.group = group
        self.rank = rank
    }

    package var count: Int { group.count }
    /// What ranks show each other: written before a meeting, read after it, and not written again before the next.
    private var slots: UnsafeMutablePointer<UnsafeMutableRawPointer?> { swiftlet_ranks_slots(group.ranks) }

    /// Whether there are cores enough for waiting threads to spin.
    package var spins: Bool { swiftlet_ranks_spin(group.ranks) }

    /// Waits for all ranks.
    package func meet() throws(LLMError) {
        guard !swiftlet_ranks_meet(group.ranks) else { return }
        leave()
        throw group.error
    }

    /// Throws when another rank has failed, without waiting for any.
    package func check() throws(LLMError) { try group.check() }

    /// Tells the others that this rank can't go on, and waits until nobody uses its memory.
    package func fail(_ error: LLMError) {
        group.fail(error)
        leave()
    }

    /// Waits until all ranks have come to it: nobody uses another one's memory any more.
    package func leave() {
        guard !hasLeft else { return }
        hasLeft = true
        beforeLeaving()
        swiftlet_ranks_leave(group.ranks, true)
    }

    /// What all ranks give here, in their order.
    package func exchange(_ pointer: UnsafeMutableRawPointer?) throws(LLMError) -> [UnsafeMutableRawPointer?] {
        slots[rank] = pointer
        try meet()
        let all = (0..<count).map { slots[$0] }
        try meet()
        return all
    }

    /// Rank 0 shows something that the others look at, for as long as they don't come to their next meeting.
    package func show(_ pointer: UnsafeMutableRawPointer?) throws(LLMError) -> UnsafeMutableRawPointer? {
        if rank == 0 { slots[0] = pointer }
        try meet()
        return slots[0]
    }
}

/// The threads of ranks 1 and up.
package final class RankThreads {
    private var threads: [Deferred<Void>]

    /// Runs `body` on a thread for each rank but 0. When it throws, or a thread can't be started, all ranks fail with
    /// that error.
    package init(_ group: RankGroup, _ body: @escaping @Sendable (ThreadRank) throws(LLMError) -> Void) {
        var threads: [Deferred<Void>] = []
        var failure: LLMError?
        for number in 1..<group.count {
            do throws(LLMError) {
                if let failure { throw failure }
                let thread = try Deferred { () throws(LLMError) in
                    let rank = ThreadRank(group, number)
                    do throws(LLMError) { try body(rank) } catch { rank.fail(error) }
                    rank.leave()
                }
                threads.append(thread)
            } catch {
                // Nobody is to wait for a thread that never started.
                failure = error
                group.fail(error)
                swiftlet_ranks_leave(group.ranks, false)
            }
        }
        self.threads = threads
    }

    /// Waits until all of them have ended, however often.
    package func join() {
        for thread in threads { try? thread.value() }
        threads = []
    }
}

// RankLink: a CPU backend's way to the other ranks: threads of this process, or processes under MPI. Owned by the
// backend, used by its thread only.
// Invariant: both ways add up the same numbers in the same order.

package enum RankLink {
    case threads(ThreadRank)
    case processes(MPIRank)

    package var rank: Int {
        switch self {
        case .threads(let link): link.rank
        case .processes(let link): link.rank
        }
    }

    package var count: Int {
        switch self {
        case .threads(let link): link.count
        case .processes(let link): link.count
        }
    }

    /// Of a process's threads, those that are this rank's.
    func threads(of total: Int) -> Range<Int> {
        guard case .threads = self else { return 0..<total }
        return total * rank / count..<total * (rank + 1) / count
    }

    /// Whether there are cores enough for waiting threads to spin.
    var spins: Bool {
        switch self {
        case .threads(let link): link.spins
        case .processes(let link): link.spins
        }
    }

    /// Whether its thread was started for it.
    var hasOwnThread: Bool {
        if case .threads(let link) = self { link.rank > 0 } else { false }
    }

    func fail(_ error: LLMError) {
        switch self {
        case .threads(let link): link.fail(error)
        case .processes(let link): link.fail()
        }
    }

    /// Ends the other ranks, if this is rank 0.
    func end() {
        switch self {
        case .threads(let link) where link.rank == 0:
            link.fail(LLMError(.engineFailed, "the engine was shut down"))
        case .threads: break
        case .processes(let link): link.end()
        }
    }

    /// The smallest of what the ranks have.
    package func minimum(_ value: Int) throws(LLMError) -> Int {
        switch self {
        case .threads(let link):
            let all = try link.exchange(UnsafeMutableRawPointer(bitPattern: value))
            return all.reduce(value) { min($0, Int(bitPattern: $1)) }
        case .processes(let link): return try link.allOf(value).min()!
        }
    }
}

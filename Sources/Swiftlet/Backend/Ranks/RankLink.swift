// RankLink: a backend's way to the other ranks: threads of this process, or processes under MPI. Owned by the backend,
// used by its thread only. What GPUs tell each other goes by NCCL beside it.
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

    /// What all ranks give here, in their order.
    package func allOf(_ value: Int) throws(LLMError) -> [Int] {
        switch self {
        case .threads(let link):
            try link.exchange(UnsafeMutableRawPointer(bitPattern: value)).map { Int(bitPattern: $0) }
        case .processes(let link): try link.allOf(value)
        }
    }

    /// The smallest of what the ranks have.
    package func minimum(_ value: Int) throws(LLMError) -> Int { try allOf(value).min()! }

    /// Throws when another rank is known to have failed, without waiting for any.
    func check() throws(LLMError) {
        switch self {
        case .threads(let link): try link.check()
        case .processes(let link): try link.world.check()
        }
    }

    /// Rank 0's words become everybody's.
    func share(_ words: inout [Int32]) throws(LLMError) {
        switch self {
        case .threads(let link):
            try words.withUnsafeMutableBufferPointer {
                (own: inout UnsafeMutableBufferPointer<Int32>) throws(LLMError) in
                let shown = try link.show(own.baseAddress)!
                if link.rank != 0 {
                    UnsafeMutableRawBufferPointer(own).copyMemory(from: .init(start: shown, count: 4 * own.count))
                }
                try link.meet()
            }
        case .processes(let link): try link.share(&words)
        }
    }
}

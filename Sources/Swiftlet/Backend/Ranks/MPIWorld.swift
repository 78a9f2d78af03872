// MPIWorld: the processes that mpirun or srun started together, as one of them sees them: which part of which replica
// it is, and who is still there. A thread of its own starts MPI, carries messages, and ends MPI.
//
// Every process says twice a second that it is there, all others to the first one and that one to all. MPI itself tells
// nobody of a process that has died: over shared memory those who wait for it wait forever. So nobody waits inside MPI,
// and who has not been heard of for some seconds is lost, and its replica with it.
// Invariant: whatever happens to a process, every other one that needs it is told in bounded time.

import Dispatch
package import Logging
import CSwiftletKernels
import Synchronization

package final class MPIWorld: Sendable {
    /// Seconds without a word from a process until it is lost.
    private static let patience = 5.0
    private static let secondsBetweenBeats = 0.5

    /// Of all processes.
    package let rank: Int
    package let count: Int
    /// Of a replica: neighbours in the order of all processes.
    package let rankCount: Int
    package let replicaCount: Int
    /// Processes on this machine, which share its memory.
    package let neighbours: Int
    /// Among these.
    package let rankOnMachine: Int
    let mpi: MPILibrary
    let post: Communicator
    let replica: Communicator
    private let logger: Logger
    private let isBroken = Atomic<Bool>(false)
    let state: Mutex<State>
    private let hasEnded = DispatchSemaphore(value: 0)
    /// What the first process asks this one for, until it has no more.
    let requests: AsyncThrowingStream<[UInt8], any Error>
    private let requestsIn: AsyncThrowingStream<[UInt8], any Error>.Continuation

    /// MPI's handle of a group of processes, for any thread.
    struct Communicator: @unchecked Sendable {
        let handle: MPILibrary.Handle
    }

    struct State {
        typealias Asked = (replica: Int, answer: CheckedContinuation<[UInt8], any Error>)

        var outgoing: [MPIPost.Message] = []
        var asked: [Int: Asked] = [:]
        var nextID = 0
        /// Why a replica can't go on. But for the first process, which looks after all: only this process's.
        var lost: [Int: LLMError] = [:]
        var isEnding = false
        var isLeaving = false
        /// Those who wait for the first process to let them go.
        var done: Set<Int> = []
    }

    /// Starts MPI, once in a process.
    ///
    /// - Parameters:
    ///   - ranks: Processes of a replica.
    ///   - logger: Is told what is lost.
    /// - Throws: `invalidConfiguration` when Open MPI is not there, or another number of processes.
    package static func start(ranks: Int, replicas: Int, logger: Logger) throws(LLMError) -> MPIWorld {
        try Deferred { () throws(LLMError) in
            try MPIWorld(ranks: ranks, replicas: replicas, logger)
        } after: {
            $0.run()
        }.value()
    }

    private init(ranks: Int, replicas: Int, _ logger: Logger) throws(LLMError) {
        mpi = try MPILibrary()
        try mpi.start()
        // Whoever leaves without a proper end takes the others along, under any launcher.
        swiftlet_at_exit(unsafeBitCast(mpi.abort, to: UnsafeMutableRawPointer.self), mpi.world)
        (rank, count) = try mpi.place(in: mpi.world)
        guard count == ranks * replicas else {
            throw LLMError(
                .invalidConfiguration,
                "\(count) processes were started together; tensor-parallel-size \(ranks) times data-parallel-size \(replicas) is \(ranks * replicas)"
            )
        }
        post = Communicator(handle: try mpi.duplicateWorld())
        replica = Communicator(handle: try mpi.part(group: rank / ranks, rank: rank))
        (rankOnMachine, neighbours) = try mpi.place(in: try mpi.machine(rank: rank))
        // A replica that fails leaves the others alone.
        if replicas > 1 && rank > 0 { swiftlet_at_exit(nil, nil) }
        rankCount = ranks
        replicaCount = replicas
        state = Mutex(State())
        self.logger = logger
        (requests, requestsIn) = AsyncThrowingStream.makeStream()
    }

    /// This process's replica, and its place in it.
    package var ownReplica: Int { rank / rankCount }
    package var rankInReplica: Int { rank % rankCount }

    /// Cores for this process. Launchers bind a process to its own; where one did not, those of a machine share them.
    package var coreCount: Int { max(1, Platform.coreCount() / (Platform.isBound ? 1 : neighbours)) }

    /// An engine's configuration in this process.
    package func config(_ config: EngineConfig) -> EngineConfig {
        var config = config
        config.world = self
        if rankCount > 1 {
            config.rankPlacement = .processes
        } else if config.device != .cuda {
            config.threads = config.threads ?? coreCount
            config.processShare.memory = Platform.availableMemory().map { $0 / neighbours }
        }
        return config
    }

    /// Whether this machine has cores for all of its processes, with so many threads each.
    func hasCores(for threads: Int) -> Bool {
        threads * (Platform.isBound ? 1 : neighbours) <= Platform.coreCount()
    }

    /// Throws when this process's replica has lost a process.
    func check() throws(LLMError) {
        guard isBroken.load(ordering: .relaxed) else { return }
        throw state.withLock { $0.lost[ownReplica]! }
    }

    // MARK: - The thread

    private func run() {
        var post = MPIPost(mpi, self.post.handle)
        var silence = [Double](repeating: 0, count: rank == 0 ? count : 1)
        var (last, beat) = (Platform.monotonicSeconds(), 0.0)
        while true {
            for message in post.received() {
                if message.peer < silence.count { silence[message.peer] = 0 }
                receive(message)
            }
            let now = Platform.monotonicSeconds()
            if now - beat > Self.secondsBetweenBeats {
                beat = now
                for peer in watchers { post.send(MPIPost.Message(kind: .beat, peer: peer)) }
            }
            // Time in which this process itself was stopped doesn't count.
            let passed = min(0.1, now - last)
            last = now
            for peer in silence.indices where peer != rank {
                silence[peer] += passed
                if silence[peer] > Self.patience { lose(peer) }
            }
            let (outgoing, isLeaving) = takeOutgoing()
            for message in outgoing { post.send(message) }
            if isLeaving { return endMPI(&post) }
            Platform.sleep(microseconds: replicaCount > 1 ? 1000 : 20_000)
        }
    }

    /// Who wants to know that this process is there.
    private var watchers: Range<Int> { rank == 0 ? 1..<count : 0..<1 }

    private func takeOutgoing() -> ([MPIPost.Message], isLeaving: Bool) {
        state.withLock { state in
            defer { state.outgoing.removeAll() }
            return (state.outgoing, state.isLeaving)
        }
    }

    private func receive(_ message: MPIPost.Message) {
        switch message.kind {
        case .beat: break
        case .request: requestsIn.yield(message.bytes)
        case .answer: answered(message.bytes)
        case .end: requestsIn.finish()
        case .bye:
            state.withLock { state in
                state.done.insert(message.peer)
                letAllGo(&state)
            }
        case .leave: state.withLock { $0.isLeaving = true }
        case .loss: fail("process \(rank) of \(count) was told that another one of its replica has ended")
        }
    }

    // MARK: - Losses

    private func lose(_ peer: Int) {
        let message = "process \(peer) of \(count) has not been heard of for \(Int(Self.patience)) seconds"
        guard rank == 0 else { return fail(message) }
        let replica = peer / rankCount
        guard state.withLock({ $0.lost[replica] == nil }) else { return }
        let left = replicaCount > 1 ? "; replica \(replica + 1) of \(replicaCount) is lost" : ""
        logger.error("\(message)\(left)")
        let error = LLMError(.engineFailed, message)
        let asked = state.withLock { state in
            state.lost[replica] = error
            for member in replica * rankCount..<(replica + 1) * rankCount where member != peer && member != 0 {
                state.outgoing.append(MPIPost.Message(kind: .loss, peer: member))
            }
            let asked = state.asked.filter { $0.value.replica == replica }
            for id in asked.keys { state.asked[id] = nil }
            letAllGo(&state)
            return asked.values
        }
        if replica == 0 { isBroken.store(true, ordering: .relaxed) }
        for (_, answer) in asked { answer.resume(throwing: error) }
    }

    /// This process's replica, which is not the first one's, or the first process is lost.
    private func fail(_ message: String) {
        let error = LLMError(.engineFailed, message)
        state.withLock { $0.lost[ownReplica] = $0.lost[ownReplica] ?? error }
        isBroken.store(true, ordering: .relaxed)
        requestsIn.finish(throwing: error)
        hasEnded.signal()
    }

    // MARK: - The end

    /// The proper end: when all have come to it, the first process tells the others, and they leave MPI together. When
    /// one is lost nobody can: the others just end, and the first one ends whatever is left.
    package func finish() {
        let waits = state.withLock { state in
            guard !state.isEnding else { return false }
            state.isEnding = true
            if rank > 0 {
                state.outgoing.append(MPIPost.Message(kind: .bye, peer: 0))
            } else {
                for replica in 1..<max(1, replicaCount) {
                    state.outgoing.append(MPIPost.Message(kind: .end, peer: replica * rankCount))
                }
                letAllGo(&state)
            }
            return rank == 0 || state.lost.isEmpty
        }
        if waits { _ = hasEnded.wait(timeout: .now() + 60) }
    }

    private func letAllGo(_ state: inout State) {
        let living = (1..<max(1, count)).filter { state.lost[$0 / rankCount] == nil }
        guard rank == 0, state.isEnding, !state.isLeaving, state.done.isSuperset(of: living) else { return }
        let kind = state.lost.isEmpty ? MPIPost.Kind.leave : .loss
        state.outgoing += living.map { MPIPost.Message(kind: kind, peer: $0) }
        state.isLeaving = true
    }

    /// The same for a task.
    package func leave() async {
        await withCheckedContinuation { done in
            DispatchQueue.global().async {
                self.finish()
                done.resume()
            }
        }
    }

    private func endMPI(_ post: inout MPIPost) {
        let isWhole = state.withLock { $0.lost.isEmpty }
        // What goes to the dead is never taken.
        for _ in 0..<(isWhole ? 5000 : 50) where !post.hasSentAll() { Platform.sleep(microseconds: 1000) }
        if isWhole && mpi.finalize() == 0 { swiftlet_at_exit(nil, nil) }
        hasEnded.signal()
    }
}

extension MPIWorld: Hashable {
    package static func == (left: MPIWorld, right: MPIWorld) -> Bool { left === right }
    package func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

// MPIPost: messages of any length between the processes of a launcher, none of which is waited for. Owned by the thread
// of an MPIWorld.
// Invariant: memory that MPI may still read or write is not freed, also when the other process has died.

struct MPIPost: ~Copyable {
    enum Kind: Int32, Sendable {
        /// Its sender is there.
        case beat = 1
        /// From the first process: something to do, and what came of it.
        case request, answer
        /// From the first process: there will be no more requests.
        case end
        /// To the first process: its sender is done; and the answer to all, who may leave now.
        case bye, leave
        /// From the first process: the receiver's replica has lost a process.
        case loss
    }

    struct Message: Sendable {
        var kind: Kind
        /// Where it goes, or comes from.
        var peer: Int
        var bytes: [UInt8] = []
    }

    private struct Transfer {
        var kind: Kind
        var peer: Int
        var memory: UnsafeMutableRawBufferPointer
        var request: MPILibrary.Handle?
    }

    private let mpi: MPILibrary
    private let communicator: MPILibrary.Handle
    private var sends: [Transfer] = []
    private var receives: [Transfer] = []
    private var status = [Int32](repeating: 0, count: MPILibrary.statusWords)

    init(_ mpi: MPILibrary, _ communicator: MPILibrary.Handle) {
        self.mpi = mpi
        self.communicator = communicator
    }

    /// Whether MPI has all messages.
    mutating func hasSentAll() -> Bool {
        for transfer in Self.finished(&sends, mpi) { transfer.memory.deallocate() }
        return sends.isEmpty
    }

    mutating func send(_ message: Message) {
        // Nobody takes them: one that waits is enough.
        if message.kind == .beat, !hasSentAll(), sends.contains(where: { $0.kind == .beat && $0.peer == message.peer })
        {
            return
        }
        var transfer = Transfer(
            kind: message.kind, peer: message.peer, memory: .allocate(byteCount: message.bytes.count + 1, alignment: 1))
        transfer.memory.copyBytes(from: message.bytes)
        let result = mpi.startSend(
            transfer.memory.baseAddress, Int32(message.bytes.count), mpi.byte, Int32(message.peer),
            message.kind.rawValue,
            communicator, &transfer.request)
        if result == 0 { sends.append(transfer) }
    }

    /// What has come by now.
    mutating func received() -> [Message] {
        while let transfer = next() { receives.append(transfer) }
        return Self.finished(&receives, mpi).map { transfer in
            defer { transfer.memory.deallocate() }
            return Message(kind: transfer.kind, peer: transfer.peer, bytes: Array(transfer.memory.dropLast()))
        }
    }

    /// Starts to receive the next one, if there is one.
    private mutating func next() -> Transfer? {
        var (hasCome, length): (Int32, Int32) = (0, 0)
        guard mpi.probe(mpi.any, mpi.any, communicator, &hasCome, &status) == 0, hasCome != 0,
            let kind = Kind(rawValue: status[1]), mpi.receivedCount(&status, mpi.byte, &length) == 0
        else { return nil }
        var transfer = Transfer(
            kind: kind, peer: Int(status[0]), memory: .allocate(byteCount: Int(length) + 1, alignment: 1))
        let result = mpi.startReceive(
            transfer.memory.baseAddress, length, mpi.byte, status[0], status[1], communicator, &transfer.request)
        return result == 0 ? transfer : nil
    }

    /// Takes those out that are done. (Of one that failed, with a process that has died, nothing is known.)
    private static func finished(_ transfers: inout [Transfer], _ mpi: MPILibrary) -> [Transfer] {
        var done: [Transfer] = []
        transfers = transfers.compactMap { transfer in
            var transfer = transfer
            var isDone: Int32 = 0
            guard mpi.testAll(1, &transfer.request, &isDone, nil) == 0 else { return nil }
            if isDone == 0 { return transfer }
            done.append(transfer)
            return nil
        }
        return done
    }
}

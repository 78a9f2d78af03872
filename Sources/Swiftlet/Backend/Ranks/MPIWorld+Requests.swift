// MPIWorld: what the first process asks the replicas of the others for.
// Invariant: everything that is asked for is answered once: with the answer, or with the loss of the replica.

import Synchronization

extension MPIWorld {
    private static let idBytes = 8

    /// Has a replica answer a request.
    ///
    /// - Throws: `engineFailed` when the replica is lost.
    package func ask(_ replica: Int, _ request: [UInt8]) async throws -> [UInt8] {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { answer in
                let error: (any Error)? = state.withLock { state in
                    if let lost = state.lost[replica] { return lost }
                    if Task.isCancelled { return CancellationError() }
                    state.asked[id] = (replica, answer)
                    send(.request, to: replica * rankCount, id, request, &state)
                    return nil
                }
                if let error { answer.resume(throwing: error) }
            }
        } onCancel: {
            take(id)?.resume(throwing: CancellationError())
        }
    }

    /// Answers what the first process asks for, until it asks for nothing more.
    ///
    /// - Throws: What `answer` throws, or `engineFailed` when the first process or one of this replica is lost.
    package func serve(_ answer: @escaping @Sendable ([UInt8]) async throws -> [UInt8]) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for try await message in requests {
                group.addTask {
                    let bytes = try await answer(Array(message.dropFirst(Self.idBytes)))
                    guard bytes.count < Int(Int32.max) - Self.idBytes else {
                        throw LLMError(.inputOutput, "an answer of \(bytes.count) bytes is too long for MPI")
                    }
                    self.state.withLock { self.send(.answer, to: 0, Self.id(of: message), bytes, &$0) }
                }
            }
        }
    }

    func answered(_ message: [UInt8]) {
        take(Self.id(of: message))?.resume(returning: Array(message.dropFirst(Self.idBytes)))
    }

    private func take(_ id: Int) -> CheckedContinuation<[UInt8], any Error>? {
        state.withLock { $0.asked.removeValue(forKey: id)?.answer }
    }

    private func send(_ kind: MPIPost.Kind, to peer: Int, _ id: Int, _ bytes: [UInt8], _ state: inout State) {
        let head = (0..<Self.idBytes).map { UInt8(truncatingIfNeeded: id >> (8 * $0)) }
        state.outgoing.append(MPIPost.Message(kind: kind, peer: peer, bytes: head + bytes))
    }

    private static func id(of message: [UInt8]) -> Int {
        message.prefix(idBytes).reversed().reduce(0) { $0 << 8 | Int($1) }
    }
}

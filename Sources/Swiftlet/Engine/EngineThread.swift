// EngineThread: the one thread that owns an engine, and the mailbox through which everyone else reaches it.
//
// Invariant: nothing of the engine leaves its thread. The thread knows the Mailbox but never the public handle, so
// that dropping the handle can stop it.

import Dispatch
import Synchronization

/// What callers post, and what they may look at.
package final class Mailbox: Sendable {
    package enum Command: Sendable {
        case submit(Submission)
        case abort(Int)
        case stop
    }

    private struct State {
        var commands: [Command] = []
        /// Why nothing is accepted any more.
        var closed: LLMError?
        var statistics = EngineStatistics()
        var nextRequestID = 0
        var onExit: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())
    private let mail = DispatchSemaphore(value: 0)

    package init() {}

    package func post(_ command: Command) {
        let closed = state.withLock { state in
            if state.closed == nil { state.commands.append(command) }
            return state.closed
        }
        if let closed {
            if case .submit(let submission) = command { submission.sink.finish(throwing: closed) }
        } else {
            mail.signal()
        }
    }

    package func makeRequestID() -> Int {
        state.withLock { state in
            state.nextRequestID += 1
            return state.nextRequestID
        }
    }

    package var isOpen: Bool { state.withLock { $0.closed == nil } }
    package var statistics: EngineStatistics { state.withLock { $0.statistics } }

    /// Runs `body` when the thread has ended; at once when it has already.
    package func whenClosed(_ body: @escaping @Sendable () -> Void) {
        let isClosed = state.withLock { state in
            if state.closed == nil { state.onExit.append(body) }
            return state.closed != nil
        }
        if isClosed { body() }
    }

    // MARK: - The engine's side

    /// All commands since the last call; waits for one if asked to.
    fileprivate func take(waiting: Bool) -> [Command] {
        if waiting { mail.wait() }
        // One command may have signalled several times; an empty take is harmless.
        return state.withLock { state in
            guard !state.commands.isEmpty else { return [] }
            defer { state.commands = [] }
            return state.commands
        }
    }

    fileprivate func publish(_ statistics: EngineStatistics) { state.withLock { $0.statistics = statistics } }

    fileprivate func close(_ error: LLMError) -> (left: [Command], onExit: [@Sendable () -> Void]) {
        state.withLock { state in
            state.closed = error
            state.statistics.runningSequences = 0
            state.statistics.waitingSequences = 0
            state.statistics.usedBlocks = 0
            defer { (state.commands, state.onExit) = ([], []) }
            return (state.commands, state.onExit)
        }
    }
}

package enum EngineThread {
    /// Starts the thread, makes the engine on it, reports what `makeEngine` returned besides, and runs the engine until
    /// it is told to stop.
    package static func start<B: Backend, Info: Sendable>(
        _ mailbox: Mailbox, maxQueuedRequests: Int?,
        makeEngine: @escaping @Sendable () throws(LLMError) -> (Engine<B>, Info)
    ) async throws -> Info {
        try await withCheckedThrowingContinuation { (ready: CheckedContinuation<Info, any Error>) in
            do {
                try Platform.startThread {
                    let end: LLMError
                    do throws(LLMError) {
                        let (engine, info) = try makeEngine()
                        ready.resume(returning: info)
                        end = run(engine, mailbox, maxQueuedRequests)
                    } catch {
                        ready.resume(throwing: error)
                        end = error
                    }
                    // The engine is gone by now: its memory is free when shutdown() returns.
                    let (left, onExit) = mailbox.close(end)
                    for case .submit(let submission) in left { submission.sink.finish(throwing: end) }
                    for body in onExit { body() }
                }
            } catch {
                ready.resume(throwing: error)
            }
        }
    }

    /// Returns why it ended.
    private static func run<B: Backend>(
        _ engine: Engine<B>, _ mailbox: Mailbox, _ maxQueuedRequests: Int?
    ) -> LLMError {
        mailbox.publish(engine.statistics)
        var end: LLMError?
        while true {
            for command in mailbox.take(waiting: !engine.hasWork) {
                switch command {
                case .submit(let submission): accept(submission, engine, maxQueuedRequests)
                case .abort(let id): engine.abort(id)
                // Whatever was posted behind it must end as well.
                case .stop: end = LLMError(.engineFailed, "the engine was shut down")
                }
            }
            if end == nil {
                do throws(LLMError) { try engine.step() } catch { end = error }
            }
            if let end { engine.failAll(end) }
            // Requests may have been aborted since the last step.
            mailbox.publish(engine.statistics)
            if let end { return end }
        }
    }

    private static func accept<B: Backend>(_ submission: Submission, _ engine: Engine<B>, _ maxQueued: Int?) {
        let scheduler = engine.scheduler
        if let maxQueued {
            // Those who find a place in the next step do not count as waiting.
            let places = scheduler.maxSequences - scheduler.running.count
            guard scheduler.waitingRequestCount < maxQueued + places else {
                let message = "\(maxQueued) requests are waiting already (max-queued-requests); try again later"
                submission.sink.finish(throwing: LLMError(.queueFull, message))
                return
            }
        }
        submission.sink.accept()
        engine.submit(submission)
    }
}

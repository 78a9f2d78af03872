#if Server
// ServerState: what the requests of a server share: whether new ones are taken, those that run, the bytes of their bodies.
//
// Invariant: what was added is taken out again by the one who added it, however its request ends.

import Synchronization

final class ServerState: Sendable {
    private struct State {
        var isDraining = false
        var nextRun = 0
        var runs: [Int: GenerationRun] = [:]
        var bodyBytes = 0
    }
    private let state = Mutex(State())

    /// Whether the server has been told to stop.
    var isDraining: Bool { state.withLock { $0.isDraining } }

    /// From here on no request is taken.
    func drain() { state.withLock { $0.isDraining = true } }

    /// Requests that run.
    var runCount: Int { state.withLock { $0.runs.count } }

    /// Notes a run, so that it can be ended; the number is for ``remove(_:)``.
    fileprivate func add(_ run: GenerationRun) -> Int {
        state.withLock { state in
            state.nextRun += 1
            state.runs[state.nextRun] = run
            return state.nextRun
        }
    }

    fileprivate func remove(_ run: Int) { state.withLock { _ = $0.runs.removeValue(forKey: run) } }

    /// Ends all runs.
    func cancelAll(_ error: APIError) {
        for run in state.withLock({ Array($0.runs.values) }) { run.cancel(error) }
    }

    /// Takes bytes of the budget for bodies; false when they are not there.
    func take(_ count: Int, limit: Int) -> Bool {
        state.withLock { state in
            guard state.bodyBytes + count <= limit else { return false }
            state.bodyBytes += count
            return true
        }
    }

    func giveBack(_ count: Int) { state.withLock { $0.bodyBytes -= count } }
}

/// A run that its server knows of, as long as someone holds this. An answer that is never written lets go of it too.
final class KnownRun: Sendable {
    let run: GenerationRun
    private let state: ServerState
    private let number: Int

    init(_ run: GenerationRun, _ state: ServerState) {
        self.run = run
        self.state = state
        number = state.add(run)
    }

    deinit { state.remove(number) }
}
#endif

#if Server
// LoadGenerator: sends the requests of a load when they are due, a limited number at a time.
// Invariant: requests go out in their order, none before its time, and each one that is due as soon as there is a place.

import AsyncHTTPClient
import Swiftlet
import Synchronization

/// How far a load is, for a bar.
final class LoadProgress: Sendable {
    let done = Atomic(0)
    let failed = Atomic(0)
    let chunks = Atomic(0)
}

/// Who is next.
private final class Turn: Sendable {
    private let count = Atomic(0)

    func next() -> Int { count.wrappingAdd(1, ordering: .relaxed).oldValue }
}

struct LoadGenerator: Sendable {
    let endpoint: ServedEndpoint
    let http: HTTPClient
    let keepsText: Bool

    /// Runs a load to its end.
    ///
    /// - Returns: What became of each request, and the seconds from the start to the end of the last one.
    /// - Throws: `CancellationError`; what goes wrong with a request is in its result.
    func run(
        _ bodies: [[UInt8]], load: ServedLoad, seed: UInt64, progress: LoadProgress = LoadProgress()
    ) async throws -> (requests: [ServedRequest], seconds: Double) {
        let requests = try bodies.map { try endpoint.request($0) }
        let arrivals = Arrivals.times(
            count: requests.count, rate: load.rate, burstiness: load.burstiness, seed: seed)
        let turn = Turn()
        let origin = Platform.monotonicSeconds()
        let start = ContinuousClock.now
        let results = try await withThrowingTaskGroup(of: [(Int, ServedRequest)].self) { group in
            for _ in 0..<min(requests.count, load.concurrency ?? requests.count) {
                group.addTask {
                    var results: [(Int, ServedRequest)] = []
                    while true {
                        let index = turn.next()
                        guard index < requests.count else { return results }
                        if arrivals[index] > 0 {
                            try await Task.sleep(
                                until: start + .seconds(arrivals[index]), tolerance: .zero, clock: .continuous)
                        }
                        let result = try await endpoint.send(
                            requests[index], over: http, origin: origin, keepsText: keepsText)
                        progress.note(result)
                        results.append((index, result))
                    }
                }
            }
            var all: [ServedRequest?] = Array(repeating: nil, count: requests.count)
            for try await results in group {
                for (index, result) in results { all[index] = result }
            }
            return all.compactMap { $0 }
        }
        return (results, Platform.monotonicSeconds() - origin)
    }
}

extension LoadProgress {
    fileprivate func note(_ result: ServedRequest) {
        chunks.wrappingAdd(result.outputTokens ?? result.chunks.count, ordering: .relaxed)
        if result.failure != nil { failed.wrappingAdd(1, ordering: .relaxed) }
        done.wrappingAdd(1, ordering: .relaxed)
    }
}
#endif

// BenchMeasurement: runs requests all at once and times them: all of it as a client of the library sees it, single tokens
// when the engine hands them out. (A client whose task finds no free core sees many at once.)
// Invariant: the clock runs from before the first request is given to the engine until the last one has ended,
// and every request has produced all the tokens that were asked for.

package import Swiftlet

package struct BenchMeasurement: Sendable {
    /// Wall clock around everything.
    package var seconds = 0.0
    package var inputTokens = 0
    package var outputTokens = 0
    /// From the start to each request's first token, waiting for a place in the batch included.
    package var firstTokenSeconds: [Double] = []
    /// Of each request: the mean time from one token to the next one.
    package var tokenSeconds: [Double] = []
    /// Tokens a second while every request was generating; nil when there was no such time.
    package var decodeRate: Double?
    /// What the engine counted meanwhile.
    package var preemptions = 0
    package var prefixCacheHits = 0
    package var steps = 0
    /// What the machine could do around this run.
    package var limits: MachineLimits?

    package init() {}

    package var outputRate: Double { Double(outputTokens) / seconds }
    package var totalRate: Double { Double(inputTokens + outputTokens) / seconds }
    package var requestRate: Double { Double(firstTokenSeconds.count) / seconds }

    private struct Times: Sendable {
        /// Of each token.
        var tokens: [Duration] = []
        var promptTokens = 0
    }

    /// Runs the requests together.
    ///
    /// - Throws: ``LLMError``; `CancellationError` when the task was cancelled.
    package static func measure(_ requests: [Request], on llm: LLM) async throws -> BenchMeasurement {
        let before = llm.statistics
        let clock = ContinuousClock()
        let (start, moment) = (clock.now, Platform.monotonicSeconds())
        let streams = requests.map { llm.stream($0) }
        var measurement = BenchMeasurement()
        var all: [Times] = []
        try await withThrowingTaskGroup(of: Times.self) { group in
            for (stream, request) in zip(streams, requests) {
                group.addTask { try await read(stream, from: moment, expecting: request.params?.maxTokens) }
            }
            for try await times in group { all.append(times) }
        }
        measurement.seconds = (clock.now - start).inSeconds
        for times in all { measurement.add(times) }
        measurement.decodeRate = decodeRate(all.map(\.tokens))
        let after = await statistics(of: llm, having: before.generatedTokens + measurement.outputTokens)
        measurement.preemptions = after.preemptions - before.preemptions
        measurement.prefixCacheHits = after.prefixCacheHits - before.prefixCacheHits
        measurement.steps = after.steps - before.steps
        return measurement
    }

    private static func read(
        _ stream: TokenStream, from start: Double, expecting expected: Int?
    ) async throws -> Times {
        var times = Times()
        for try await delta in stream where !delta.tokenIDs.isEmpty {
            let time = Duration.seconds(delta.moment.seconds - start)
            for _ in delta.tokenIDs { times.tokens.append(time) }
            times.promptTokens = delta.usage.promptTokens
        }
        try Task.checkCancellation()
        guard expected == nil || times.tokens.count == expected else {
            throw LLMError(.engineFailed, "a request ended after \(times.tokens.count) of \(expected ?? 0) tokens")
        }
        return times
    }

    private mutating func add(_ times: Times) {
        inputTokens += times.promptTokens
        outputTokens += times.tokens.count
        guard let first = times.tokens.first, let last = times.tokens.last else { return }
        firstTokenSeconds.append(first.inSeconds)
        if times.tokens.count > 1 {
            tokenSeconds.append((last - first).inSeconds / Double(times.tokens.count - 1))
        }
    }

    /// Tokens a second from the last request's first token to the first request's last one. Prompts are read before
    /// and requests have ended after it.
    ///
    /// - Parameter times: of each request, when its tokens came.
    package static func decodeRate(_ times: [[Duration]]) -> Double? {
        guard let start = times.compactMap(\.first).max(), let end = times.compactMap(\.last).min(), end > start
        else { return nil }
        // A step's tokens are not read at one instant: both ends move to where no step's tokens are expected.
        let steps = times.map { $0.count { $0 > start && $0 <= end } }.max() ?? 1
        let shift = (end - start) / (4 * max(1, steps))
        let tokens = times.reduce(0) { $0 + $1.count { $0 > start + shift && $0 <= end + shift } }
        return Double(tokens) / (end - start).inSeconds
    }

    /// The engine publishes a step's counts after its tokens: waits until the last step's are there.
    private static func statistics(of llm: LLM, having tokens: Int) async -> EngineStatistics {
        for _ in 0..<200 where llm.statistics.generatedTokens < tokens {
            try? await Task.sleep(for: .milliseconds(1))
        }
        return llm.statistics
    }
}

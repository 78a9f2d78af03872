#if Server
// ServedMeasurement: the requests of one load as numbers, defined as vLLM's `bench serve` defines them.
// Invariant: only requests that ended well count, in rates and in times; the others are counted with their reasons.

/// A time that is measured of every request.
package enum ServedMetric: String, CaseIterable, Sendable {
    case ttft, tpot, itl, e2el

    package var title: String {
        switch self {
        case .ttft: "Time to First Token"
        case .tpot: "Time per Output Token (excl. 1st token)"
        case .itl: "Inter-token Latency"
        case .e2el: "End-to-end Latency"
        }
    }
}

package struct ServedMeasurement: Sendable {
    package let load: ServedLoad
    /// From the first request's time to the last one's end.
    package let seconds: Double
    package let requests: [ServedRequest]
    /// Where output tokens are counted.
    package let counter: Counter
    package let inputTokens: Int
    package let outputTokens: Int
    private let outputCounts: [Int]

    /// Who knows how many tokens an answer has.
    package enum Counter: String, Sendable {
        /// The server says so.
        case usage
        /// It does not, but its tokenizer is here.
        case tokenizer
        /// Nobody: the pieces of the stream are counted.
        case chunks
    }

    /// - Parameters:
    ///   - promptTokens: Of a request whose server does not say, by its place.
    ///   - count: The tokens of a text; nil where nobody can tell.
    package init(
        _ load: ServedLoad, _ requests: [ServedRequest], seconds: Double, promptTokens: (Int) -> Int,
        count: (([UInt8]) -> Int)? = nil
    ) {
        self.load = load
        self.requests = requests
        self.seconds = seconds
        let completed = requests.enumerated().filter { $1.failure == nil }
        inputTokens = completed.reduce(0) { $0 + ($1.element.inputTokens ?? promptTokens($1.offset)) }
        let isCounted = completed.allSatisfy { $1.outputTokens != nil }
        counter = isCounted ? .usage : count != nil ? .tokenizer : .chunks
        outputCounts = completed.map { $1.outputTokens ?? count?($1.text) ?? $1.chunks.count }
        outputTokens = outputCounts.reduce(0, +)
    }

    package var completed: [ServedRequest] { requests.filter { $0.failure == nil } }
    package var failedCount: Int { requests.count - outputCounts.count }

    /// Reasons, the most frequent first.
    package var failures: [(reason: String, count: Int)] {
        var counts: [String: Int] = [:]
        for request in requests {
            if let reason = request.failure { counts[reason, default: 0] += 1 }
        }
        return counts.map { (reason: $0.key, count: $0.value) }
            .sorted { ($1.count, $0.reason) < ($0.count, $1.reason) }
    }

    package var requestRate: Double { Double(outputCounts.count) / seconds }
    package var outputRate: Double { Double(outputTokens) / seconds }
    package var totalRate: Double { Double(inputTokens + outputTokens) / seconds }

    /// Tokens in each piece of the streams; nil without any.
    package var tokensPerChunk: Double? {
        let chunks = completed.reduce(0) { $0 + $1.chunks.count }
        return chunks > 0 ? Double(outputTokens) / Double(chunks) : nil
    }

    /// A metric's values, in seconds.
    package func summary(_ metric: ServedMetric) -> Summary {
        let completed = completed
        switch metric {
        case .ttft: return Summary(completed.map(\.firstTokenSeconds))
        case .tpot:
            return Summary(
                zip(completed, outputCounts).compactMap { request, count in
                    count > 1 ? (request.seconds - request.firstTokenSeconds) / Double(count - 1) : nil
                })
        case .itl: return Summary(completed.flatMap(\.gaps))
        case .e2el: return Summary(completed.map(\.seconds))
        }
    }

    /// Output tokens of the requests that ended well, in their order.
    package var outputLengths: [Int] { outputCounts }
}
#endif

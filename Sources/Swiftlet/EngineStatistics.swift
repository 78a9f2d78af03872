// EngineStatistics: a snapshot of what an engine has done and is doing, for progress lines and metrics.
// Written by the engine thread after each step, read from anywhere.

/// Counters and gauges of an engine.
public struct EngineStatistics: Sendable, Hashable {
    /// Sequences in the batch (`num_requests_running`).
    public var runningSequences = 0
    /// Sequences that wait for blocks or a place (`num_requests_waiting`).
    public var waitingSequences = 0
    /// KV blocks in the pool.
    public var blockCount = 0
    /// Blocks that a live sequence holds (`kv_cache_usage_perc` is their share).
    public var usedBlocks = 0
    /// Prompt tokens computed, recomputation after preemption included (`prompt_tokens_total`).
    public var prefillTokens = 0
    /// Tokens generated (`generation_tokens_total`).
    public var generatedTokens = 0
    /// Prompt tokens looked up in the prefix cache (`prefix_cache_queries_total`).
    public var prefixCacheQueries = 0
    /// Of these, tokens found (`prefix_cache_hits_total`).
    public var prefixCacheHits = 0
    /// Sequences that lost their blocks to older ones (`num_preemptions_total`).
    public var preemptions = 0
    /// Choices that ended by stop, length and abort (`request_success_total`).
    public var finishedByStop = 0
    public var finishedByLength = 0
    public var aborted = 0
    /// Steps run.
    public var steps = 0
    /// Seconds spent in steps.
    public var stepSeconds = 0.0
    /// From a request's arrival to its first token (`time_to_first_token_seconds`).
    public var timeToFirstToken = Histogram(.firstToken)
    /// Between two tokens of a choice (`inter_token_latency_seconds`).
    public var interTokenLatency = Histogram(.betweenTokens)
    /// From a request's arrival to its last token (`e2e_request_latency_seconds`).
    public var requestLatency = Histogram(.request)
    /// From a request's arrival to its first step (`request_queue_time_seconds`).
    public var queueTime = Histogram(.request)
    /// From its first step to its first token (`request_prefill_time_seconds`).
    public var prefillTime = Histogram(.request)
    /// From its first token to its last one (`request_decode_time_seconds`).
    public var decodeTime = Histogram(.request)
    /// Tokens in a step (`iteration_tokens_total`).
    public var iterationTokens = Histogram(.tokens)

    public init() {}
}

/// How often values fell into each of a few ranges. vLLM's bounds, so that its dashboards fit.
public struct Histogram: Sendable, Hashable {
    /// What is counted, which decides the bounds.
    package enum Kind: Sendable {
        case firstToken, betweenTokens, request, tokens

        static let firstTokenBounds = [
            0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
            2560,
        ]
        static let betweenTokensBounds = [
            0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
        ]
        static let requestBounds = [
            0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
        ]
        static let tokensBounds = [1.0, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384]
    }

    private let kind: Kind
    /// By bound; the last one in use is of values above all bounds. In place, so that a step allocates nothing.
    private var counts = SIMD32<UInt64>()
    /// All values added up.
    public private(set) var sum = 0.0

    package init(_ kind: Kind) { self.kind = kind }

    /// The upper ends of the ranges, each included; one more range has no end.
    public var bounds: [Double] {
        switch kind {
        case .firstToken: Kind.firstTokenBounds
        case .betweenTokens: Kind.betweenTokensBounds
        case .request: Kind.requestBounds
        case .tokens: Kind.tokensBounds
        }
    }

    /// How many values were at most each bound, and how many there were.
    public var cumulativeCounts: [UInt64] {
        var total: UInt64 = 0
        return (0...bounds.count).map { index in
            total += counts[index]
            return total
        }
    }

    package mutating func record(_ value: Double) {
        let bounds = bounds
        counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
        sum += value
    }
}

/// When a request came, began and got its tokens, in monotonic seconds.
package struct RequestTimes: Sendable, Hashable {
    package var arrival = Platform.monotonicSeconds()
    package var start = 0.0
    package var firstToken = 0.0
    package var lastToken = 0.0
}

extension EngineStatistics {
    /// A step begins that has this sequence; only its first one counts.
    mutating func recordAdmission(_ times: inout RequestTimes, _ now: Double) {
        guard times.start == 0 else { return }
        times.start = now
        queueTime.record(now - times.arrival)
    }

    /// The sequence got a token.
    mutating func recordToken(_ times: inout RequestTimes, _ now: Double) {
        if times.firstToken == 0 {
            times.firstToken = now
            timeToFirstToken.record(now - times.arrival)
            prefillTime.record(now - times.start)
        } else {
            interTokenLatency.record(now - times.lastToken)
        }
        times.lastToken = now
    }

    /// The sequence got its last token.
    mutating func recordEnd(_ times: RequestTimes) {
        requestLatency.record(times.lastToken - times.arrival)
        decodeTime.record(times.lastToken - times.firstToken)
    }
}

// Metrics: EngineStatistics as Prometheus text, under vLLM's names.

import Swiftlet

struct Metrics: Sendable {
    private let prefix: String
    private let labels: String
    private var lines = ""

    init(_ prefix: String, model: String) {
        self.prefix = prefix
        let escaped = model.reduce(into: "") { text, character in
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.append(character)
            }
        }
        labels = "engine=\"0\",model_name=\"\(escaped)\""
    }

    /// All metrics.
    func text(_ statistics: EngineStatistics) -> String {
        var writer = self
        writer.gauge("num_requests_running", "Sequences in the batch.", Double(statistics.runningSequences))
        writer.gauge("num_requests_waiting", "Sequences that wait.", Double(statistics.waitingSequences))
        let share = statistics.blockCount == 0 ? 0 : Double(statistics.usedBlocks) / Double(statistics.blockCount)
        writer.gauge("kv_cache_usage_perc", "Share of the KV blocks that live sequences hold, 1 being all.", share)
        writer.counter("prompt_tokens", "Prompt tokens computed.", statistics.prefillTokens)
        writer.counter("generation_tokens", "Tokens generated.", statistics.generatedTokens)
        writer.counter("prefix_cache_queries", "Prompt tokens looked up.", statistics.prefixCacheQueries)
        writer.counter("prefix_cache_hits", "Prompt tokens found.", statistics.prefixCacheHits)
        writer.counter("num_preemptions", "Sequences that gave way.", statistics.preemptions)
        writer.head("request_success_total", "counter", "Choices that ended, by reason.")
        for (reason, count) in [
            ("stop", statistics.finishedByStop), ("length", statistics.finishedByLength),
            ("abort", statistics.aborted),
        ] {
            writer.line("request_success_total", extra: ",finished_reason=\"\(reason)\"", "\(count)")
        }
        writer.histogram(
            "time_to_first_token_seconds", "Arrival to first token.", statistics.timeToFirstToken)
        writer.histogram(
            "inter_token_latency_seconds", "One token to the next.", statistics.interTokenLatency)
        writer.histogram("e2e_request_latency_seconds", "Arrival to last token.", statistics.requestLatency)
        writer.histogram("request_queue_time_seconds", "Arrival to first step.", statistics.queueTime)
        writer.histogram("request_prefill_time_seconds", "First step to first token.", statistics.prefillTime)
        writer.histogram("request_decode_time_seconds", "First token to last token.", statistics.decodeTime)
        writer.histogram("iteration_tokens_total", "Tokens in a step.", statistics.iterationTokens)
        return writer.lines
    }

    private mutating func head(_ name: String, _ type: String, _ help: String) {
        lines += "# HELP \(prefix)\(name) \(help)\n# TYPE \(prefix)\(name) \(type)\n"
    }

    private mutating func line(_ name: String, extra: String = "", _ value: String) {
        lines += "\(prefix)\(name){\(labels)\(extra)} \(value)\n"
    }

    private mutating func gauge(_ name: String, _ help: String, _ value: Double) {
        head(name, "gauge", help)
        line(name, "\(value)")
    }

    private mutating func counter(_ name: String, _ help: String, _ value: Int) {
        head(name + "_total", "counter", help)
        line(name + "_total", "\(value)")
    }

    private mutating func histogram(_ name: String, _ help: String, _ histogram: Histogram) {
        head(name, "histogram", help)
        let counts = histogram.cumulativeCounts
        for (bound, count) in zip(histogram.bounds, counts) {
            line(name + "_bucket", extra: ",le=\"\(bound)\"", "\(count)")
        }
        line(name + "_bucket", extra: ",le=\"+Inf\"", "\(counts.last ?? 0)")
        line(name + "_sum", "\(histogram.sum)")
        line(name + "_count", "\(counts.last ?? 0)")
    }
}

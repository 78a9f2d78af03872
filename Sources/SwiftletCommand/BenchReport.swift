// What the two measurements report, as text and as members of a JSON object with vLLM's names and this project's.
// Invariant: of several runs the headline is the median, and the spread is said beside it.

import Swiftlet
package import SwiftletJSON

package struct BenchThroughputReport: Sendable {
    package let workload: BenchWorkload
    package let runs: [BenchMeasurement]
    package let limit: BenchLimit

    package init(workload: BenchWorkload, runs: [BenchMeasurement], limit: BenchLimit) {
        self.workload = workload
        self.runs = runs
        self.limit = limit
    }

    private func summary(_ value: (BenchMeasurement) -> Double) -> Summary { Summary(runs.map(value)) }
    private var firstTokens: Summary { Summary(runs.flatMap(\.firstTokenSeconds)) }
    private var betweenTokens: Summary { Summary(runs.flatMap(\.tokenSeconds)) }
    private var decodeRates: Summary { Summary(runs.compactMap(\.decodeRate)) }
    private func total(_ count: (BenchMeasurement) -> Int) -> Int { runs.reduce(0) { $0 + count($1) } }

    package func text(peakMemory: Int?) -> String {
        let count = Format.count(workload.prompts.count, "request")
        var text = Format.line(
            "workload",
            "\(workload.dataset.rawValue), \(count): \(Format.count(workload.inputTokens, "token")) in, "
                + "\(Format.count(workload.outputTokens)) out")
        text += Format.line("time", Self.describe(summary(\.seconds)) { Format.seconds($0) })
        text += Format.line("output", Self.describe(summary(\.outputRate)) { Format.number($0) + " tok/s" })
        text += Format.line("total", Self.describe(summary(\.totalRate)) { Format.number($0) + " tok/s" })
        text += Format.line("requests", Self.describe(summary(\.requestRate)) { Format.number($0) + " requests/s" })
        text += Format.line("first token", Format.durations(firstTokens) + " (with the wait for a place)")
        text += Format.line("each token", Format.durations(betweenTokens))
        text += Format.decodeLine(decodeRates)
        text += limit.text
        if let peakMemory { text += Format.line("peak memory", Format.bytes(peakMemory)) }
        text += Format.line("preemptions", Format.count(total(\.preemptions)))
        text += Format.line("prefix hits", Format.count(total(\.prefixCacheHits), "token"))
        return text
    }

    /// The median, and of several runs what they spread over.
    private static func describe(_ summary: Summary, _ format: (Double) -> String) -> String {
        guard let median = summary.median, let least = summary.minimum, let most = summary.maximum else { return "-" }
        guard summary.count > 1 else { return format(median) }
        let deviation = (summary.standardDeviation ?? 0) / median * 100
        return "\(format(median)) (median of \(summary.count); \(format(least)) to \(format(most)), "
            + "deviation \(Format.number(deviation)) %)"
    }

    package func writeMembers(to json: inout JSONWriter) {
        json.member("dataset", workload.dataset.rawValue)
        json.member("num_requests", workload.prompts.count)
        json.member("input_tokens", workload.inputTokens)
        json.member("output_tokens", workload.outputTokens)
        json.member("total_num_tokens", workload.inputTokens + workload.outputTokens)
        json.member("repeats", runs.count)
        json.member("elapsed_time", summary(\.seconds).median)
        json.member("requests_per_second", summary(\.requestRate).median)
        json.member("tokens_per_second", summary(\.totalRate).median)
        json.member("output_tokens_per_second", summary(\.outputRate).median)
        json.member("output_tokens_per_second_spread", summary(\.outputRate), percentiles: [])
        json.member("time_to_first_token_seconds", firstTokens)
        json.member("time_per_output_token_seconds", betweenTokens)
        json.member("decode_tokens_per_second", decodeRates.median)
        limit.writeMember(to: &json)
        json.member("preemptions", total(\.preemptions))
        json.member("prefix_cache_hit_tokens", total(\.prefixCacheHits))
        json.member("steps", total(\.steps))
        json.key("runs")
        json.array(runs) { json, run in
            json.object { json in
                json.member("elapsed_time", run.seconds)
                json.member("output_tokens_per_second", run.outputRate)
                json.member("steps", run.steps)
                json.member("preemptions", run.preemptions)
            }
        }
    }
}

package struct BenchLatencyReport: Sendable {
    package static let percentiles = [10, 25, 50, 75, 90, 99]

    package let workload: BenchWorkload
    package let runs: [BenchMeasurement]
    package let limit: BenchLimit

    package init(workload: BenchWorkload, runs: [BenchMeasurement], limit: BenchLimit) {
        self.workload = workload
        self.runs = runs
        self.limit = limit
    }

    private var latencies: Summary { Summary(runs.map(\.seconds)) }
    private var firstTokens: Summary { Summary(runs.flatMap(\.firstTokenSeconds)) }
    private var betweenTokens: Summary { Summary(runs.flatMap(\.tokenSeconds)) }
    private var decodeRates: Summary { Summary(runs.compactMap(\.decodeRate)) }

    package func text(peakMemory: Int?) -> String {
        let lengths = "\(workload.prompts[0].count) tokens in, \(workload.outputLengths[0]) out"
        var text = Format.line("workload", "batch of \(workload.prompts.count), each \(lengths)")
        let deviation = latencies.standardDeviation.map { ", deviation \(Format.seconds($0))" } ?? ""
        text += Format.line(
            "latency",
            "mean \(Format.seconds(latencies.mean)) of \(Format.count(latencies.count, "iteration"))\(deviation)")
        for percent in Self.percentiles {
            text += Format.line("  \(percent) %", Format.seconds(latencies.percentile(Double(percent))))
        }
        text += Format.line("first token", Format.durations(firstTokens))
        text += Format.line("each token", Format.durations(betweenTokens))
        text += Format.decodeLine(decodeRates)
        text += limit.text
        if let peakMemory { text += Format.line("peak memory", Format.bytes(peakMemory)) }
        return text
    }

    package func writeMembers(to json: inout JSONWriter) {
        json.member("batch_size", workload.prompts.count)
        json.member("input_len", workload.prompts[0].count)
        json.member("output_len", workload.outputLengths[0])
        json.member("avg_latency", latencies.mean)
        json.member("latency_standard_deviation", latencies.standardDeviation)
        json.key("latencies")
        json.array(runs) { $0.double($1.seconds) }
        json.key("percentiles")
        json.object { json in
            for percent in Self.percentiles { json.member("\(percent)", latencies.percentile(Double(percent))) }
        }
        json.member("time_to_first_token_seconds", firstTokens)
        json.member("time_per_output_token_seconds", betweenTokens)
        json.member("decode_tokens_per_second", decodeRates.median)
        limit.writeMember(to: &json)
    }
}

extension Format {
    /// Of runs in which there was a time when every request was generating.
    fileprivate static func decodeLine(_ rates: Summary) -> String {
        rates.median.map { line("decode", number($0) + " tok/s while all requests generate") } ?? ""
    }
}

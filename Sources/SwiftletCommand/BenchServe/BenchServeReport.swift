#if Server
// BenchServeReport: a load's measurement as vLLM's `bench serve` prints and writes it, and a sweep as a table.
// Invariant: failed requests are said wherever there are any.

package import SwiftletJSON

package struct BenchServeReport: Sendable {
    package var metrics: [ServedMetric]
    package var percents: [Double]

    package init(metrics: [ServedMetric], percents: [Double]) {
        self.metrics = metrics
        self.percents = percents
    }

    private static let width = 50

    // MARK: - One load

    package func text(_ measurement: ServedMeasurement) -> String {
        let load = measurement.load
        var text = Self.rule("=", " Serving Benchmark Result ")
        text += Self.line("Successful requests:", Format.count(measurement.completed.count))
        text += Self.line("Failed requests:", Format.count(measurement.failedCount))
        text += failures(measurement)
        if let concurrency = load.concurrency {
            text += Self.line("Maximum request concurrency:", Format.count(concurrency))
        }
        if load.rate.isFinite { text += Self.line("Request rate configured (RPS):", Self.number(load.rate)) }
        text += Self.line("Benchmark duration (s):", Self.number(measurement.seconds))
        text += Self.line("Total input tokens:", Format.count(measurement.inputTokens))
        text += Self.line("Total generated tokens:", Format.count(measurement.outputTokens) + note(measurement))
        text += Self.line("Request throughput (req/s):", Self.number(measurement.requestRate))
        text += Self.line("Output token throughput (tok/s):", Self.number(measurement.outputRate))
        text += Self.line("Total token throughput (tok/s):", Self.number(measurement.totalRate))
        if let tokens = measurement.tokensPerChunk, !(0.99...1.01).contains(tokens) {
            text += Self.line("Tokens per chunk:", Self.number(tokens))
        }
        // Nothing but failures has no times.
        for metric in metrics where !measurement.completed.isEmpty {
            let name = metric.rawValue.uppercased()
            let summary = measurement.summary(metric)
            text += Self.rule("-", metric.title)
            text += Self.line("Mean \(name) (ms):", Self.milliseconds(summary.mean))
            text += Self.line("Median \(name) (ms):", Self.milliseconds(summary.median))
            text += Self.line("Std \(name) (ms):", Self.milliseconds(summary.standardDeviation))
            for percent in percents {
                let value = Self.milliseconds(summary.percentile(percent))
                text += Self.line("P\(PercentileList.name(percent)) \(name) (ms):", value)
            }
        }
        return text + Self.rule("=", "")
    }

    /// A line for each reason.
    package func failures(_ measurement: ServedMeasurement) -> String {
        measurement.failures.map { "  \(Format.count($0.count)) × \($0.reason)\n" }.joined()
    }

    private func note(_ measurement: ServedMeasurement) -> String {
        switch measurement.counter {
        case .usage: ""
        case .tokenizer: " (counted by the tokenizer: the server does not)"
        case .chunks: " (chunks: the server does not count tokens)"
        }
    }

    private static func rule(_ mark: String, _ title: String) -> String {
        let rest = max(0, width - title.count)
        return String(repeating: mark, count: rest / 2) + title + String(repeating: mark, count: rest - rest / 2) + "\n"
    }

    private static func line(_ label: String, _ value: String) -> String {
        label + String(repeating: " ", count: max(1, 41 - label.count)) + value + "\n"
    }

    /// To two places, as vLLM prints them.
    private static func number(_ value: Double) -> String {
        value.isFinite && abs(value) < 1e12 ? Format.ratio(value) : "-"
    }

    private static func milliseconds(_ value: Double?) -> String { value.map { number($0 * 1000) } ?? "-" }

    // MARK: - Several

    /// The first line of a sweep's table.
    package var header: String {
        var columns = ["load", "ok", "failed", "req/s", "out tok/s"]
        for metric in metrics {
            columns.append("\(metric.rawValue.uppercased()) p50")
            if let percent = percents.max() { columns.append("p\(PercentileList.name(percent))") }
        }
        return row(columns)
    }

    /// A load's line; times are in milliseconds.
    package func row(_ measurement: ServedMeasurement) -> String {
        var columns = [
            measurement.load.description, "\(measurement.completed.count)", "\(measurement.failedCount)",
            Format.number(measurement.requestRate), Format.number(measurement.outputRate),
        ]
        for metric in metrics {
            let summary = measurement.summary(metric)
            columns.append(summary.median.map { Format.number($0 * 1000) } ?? "-")
            if let percent = percents.max() {
                columns.append(summary.percentile(percent).map { Format.number($0 * 1000) } ?? "-")
            }
        }
        return row(columns)
    }

    private func row(_ columns: [String]) -> String {
        var line = columns[0] + String(repeating: " ", count: max(1, 18 - columns[0].count))
        for column in columns.dropFirst() {
            line += " " + String(repeating: " ", count: max(0, 9 - column.count)) + column
        }
        return line + "\n"
    }

    // MARK: - JSON

    /// vLLM's members of one load's result.
    package func writeMembers(_ measurement: ServedMeasurement, detailed: Bool, to json: inout JSONWriter) {
        let load = measurement.load
        json.key("request_rate")
        if load.rate.isFinite { json.double(load.rate) } else { json.string("inf") }
        json.member("burstiness", load.burstiness)
        json.member("max_concurrency", load.concurrency)
        json.member("duration", measurement.seconds)
        json.member("completed", measurement.completed.count)
        json.member("failed", measurement.failedCount)
        json.key("failures")
        json.object { json in
            for (reason, count) in measurement.failures { json.member(reason, count) }
        }
        json.member("total_input_tokens", measurement.inputTokens)
        json.member("total_output_tokens", measurement.outputTokens)
        json.member("output_tokens_counted_by", measurement.counter.rawValue)
        json.member("request_throughput", measurement.requestRate)
        json.member("output_throughput", measurement.outputRate)
        json.member("total_token_throughput", measurement.totalRate)
        json.member("tokens_per_chunk", measurement.tokensPerChunk)
        for metric in metrics {
            let (summary, name) = (measurement.summary(metric), metric.rawValue)
            func write(_ statistic: String, _ value: Double?) {
                json.member("\(statistic)_\(name)_ms", value.map { $0 * 1000 })
            }
            write("mean", summary.mean)
            write("median", summary.median)
            write("std", summary.standardDeviation)
            for percent in percents { write("p" + PercentileList.name(percent), summary.percentile(percent)) }
        }
        if detailed { writeDetails(measurement, to: &json) }
    }

    /// Of each request that ended well, in seconds.
    private func writeDetails(_ measurement: ServedMeasurement, to json: inout JSONWriter) {
        let completed = measurement.completed
        json.key("output_lens")
        json.array(measurement.outputLengths) { $0.int($1) }
        json.key("start_times")
        json.array(completed) { $0.double($1.start) }
        json.key("ttfts")
        json.array(completed) { $0.double($1.firstTokenSeconds) }
        json.key("itls")
        json.array(completed) { json, request in json.array(request.gaps) { $0.double($1) } }
        json.key("errors")
        json.array(measurement.requests.compactMap(\.failure)) { $0.string($1) }
    }
}
#endif

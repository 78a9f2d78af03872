// TraceRecorder: what each step did and when, as a Chrome trace (load it in ui.perfetto.dev or chrome://tracing).
// Owned by the engine thread. Spans and counters are kept as numbers and become text when a buffer is full or the
// engine ends.
//
// Invariant: the file is a valid trace after every flush but for the closing bracket, which viewers do not need.

package final class TraceRecorder {
    private struct Span {
        var name: StaticString
        /// Rows or tokens, as the name has it.
        var rows: Int32
        var start: Int64  // nanoseconds
        var end: Int64
    }

    private let file: OutputFile
    private let origin = ContinuousClock.now
    private var spans: [Span] = []
    private var samples: [(time: Int64, statistics: EngineStatistics, batchTokens: Int)] = []
    private static let capacity = 1 << 16
    private var isFirstEvent = true

    /// - Throws: ``LLMError`` when the file can't be made.
    package init(path: String) throws(LLMError) {
        file = try OutputFile(creating: path)
        spans.reserveCapacity(Self.capacity)
        samples.reserveCapacity(Self.capacity / 16)
        file.write("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [")
    }

    deinit {
        flush()
        file.write("\n]}\n")
    }

    /// Nanoseconds since the recorder was made.
    package var now: Int64 {
        let elapsed = (ContinuousClock.now - origin).components
        return elapsed.seconds * 1_000_000_000 + elapsed.attoseconds / 1_000_000_000
    }

    /// Something that began at `start` and ends now.
    package func record(_ name: StaticString, from start: Int64, rows: Int) {
        if spans.count == Self.capacity { flush() }
        spans.append(Span(name: name, rows: Int32(clamping: rows), start: start, end: now))
    }

    /// The counters after a step.
    package func record(_ statistics: EngineStatistics, batchTokens: Int) {
        if samples.count == Self.capacity / 16 { flush() }
        samples.append((now, statistics, batchTokens))
    }

    private func flush() {
        var text = ""
        for span in spans {
            text += isFirstEvent ? "\n" : ",\n"
            isFirstEvent = false
            text += """
                {"name": "\(span.name)", "ph": "X", "pid": 1, "tid": 1, "ts": \(Self.microseconds(span.start)), \
                "dur": \(Self.microseconds(span.end - span.start)), "args": {"rows": \(span.rows)}}
                """
        }
        for sample in samples {
            text += isFirstEvent ? "\n" : ",\n"
            isFirstEvent = false
            let (time, statistics) = (Self.microseconds(sample.time), sample.statistics)
            text += """
                {"name": "batch", "ph": "C", "pid": 1, "ts": \(time), "args": {"tokens": \(sample.batchTokens), \
                "running": \(statistics.runningSequences), "waiting": \(statistics.waitingSequences)}},
                {"name": "blocks used", "ph": "C", "pid": 1, "ts": \(time), "args": {"blocks": \(statistics.usedBlocks)}},
                {"name": "totals", "ph": "C", "pid": 1, "ts": \(time), "args": {"prefix cache hits": \
                \(statistics.prefixCacheHits), "preemptions": \(statistics.preemptions)}}
                """
        }
        spans.removeAll(keepingCapacity: true)
        samples.removeAll(keepingCapacity: true)
        file.write(text)
    }

    /// Nanoseconds as the format's microseconds, to three places.
    private static func microseconds(_ nanoseconds: Int64) -> String {
        let rest = String(nanoseconds % 1000)
        return "\(nanoseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }
}

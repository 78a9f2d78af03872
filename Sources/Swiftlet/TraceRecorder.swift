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
    private let origin = Platform.monotonicNanoseconds()
    private var spans: [Span] = []
    private var samples: [(time: Int64, statistics: EngineStatistics, batchTokens: Int)] = []
    private static let capacity = 1 << 16
    private var text: [UInt8] = []
    private var isFirstEvent = true

    /// - Throws: ``LLMError`` when the file can't be made.
    package init(path: String) throws(LLMError) {
        file = try OutputFile(creating: path)
        spans.reserveCapacity(Self.capacity)
        samples.reserveCapacity(Self.capacity / 16)
        file.write(Array("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [".utf8))
    }

    deinit {
        flush()
        file.write(Array("\n]}\n".utf8))
    }

    /// Nanoseconds since the recorder was made.
    package var now: Int64 {
        Platform.monotonicNanoseconds() - origin
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

    /// Writes digit by digit: making strings of a small model's spans would take as long as its steps.
    private func flush() {
        text.removeAll(keepingCapacity: true)
        for span in spans {
            begin(span.name, "X", at: span.start)
            append(", \"tid\": 1, \"dur\": ")
            appendMicroseconds(span.end - span.start)
            append(", \"args\": {\"rows\": ")
            append(Int64(span.rows))
            append("}}")
        }
        for sample in samples { append(sample.statistics, sample.batchTokens, at: sample.time) }
        spans.removeAll(keepingCapacity: true)
        samples.removeAll(keepingCapacity: true)
        file.write(text)
    }

    private func append(_ statistics: EngineStatistics, _ batchTokens: Int, at time: Int64) {
        func counter(_ name: StaticString, _ values: (name: StaticString, value: Int)...) {
            begin(name, "C", at: time)
            append(", \"args\": {")
            for (index, value) in values.enumerated() {
                append(index == 0 ? "\"" : ", \"")
                append(value.name)
                append("\": ")
                append(Int64(value.value))
            }
            append("}}")
        }
        counter(
            "batch", ("tokens", batchTokens), ("running", statistics.runningSequences),
            ("waiting", statistics.waitingSequences))
        counter("blocks used", ("blocks", statistics.usedBlocks))
        counter(
            "totals", ("prefix cache hits", statistics.prefixCacheHits), ("preemptions", statistics.preemptions))
    }

    private func begin(_ name: StaticString, _ phase: StaticString, at time: Int64) {
        append(isFirstEvent ? "\n{\"name\": \"" : ",\n{\"name\": \"")
        isFirstEvent = false
        append(name)
        append("\", \"ph\": \"")
        append(phase)
        append("\", \"pid\": 1, \"ts\": ")
        appendMicroseconds(time)
    }

    private func append(_ piece: StaticString) {
        text.append(contentsOf: UnsafeBufferPointer(start: piece.utf8Start, count: piece.utf8CodeUnitCount))
    }

    private func append(_ number: Int64) {
        let start = text.count
        var rest = number.magnitude
        repeat {
            text.append(UInt8(ascii: "0") + UInt8(rest % 10))
            rest /= 10
        } while rest > 0
        if number < 0 { text.append(UInt8(ascii: "-")) }
        text[start...].reverse()
    }

    /// Nanoseconds as the format's microseconds, to three places.
    private func appendMicroseconds(_ nanoseconds: Int64) {
        append(nanoseconds / 1000)
        text.append(UInt8(ascii: "."))
        for unit: Int64 in [100, 10, 1] { text.append(UInt8(ascii: "0") + UInt8(nanoseconds / unit % 10)) }
    }
}

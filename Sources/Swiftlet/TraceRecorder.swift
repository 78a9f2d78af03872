// TraceRecorder: what each step did and when, as a Chrome trace (load it in ui.perfetto.dev or chrome://tracing).
// Owned by the engine thread. A step leaves records of 24 bytes; they go to an unnamed file whenever a buffer is
// full, and become text when the engine ends: making text of a small model's steps takes as long as the steps.
//
// Time is counted in ticks of the processor, and told in nanoseconds at the end, by the clock at both ends.
//
// Invariant: watching changes no result, and a record costs one look at the clock.

import CSwiftletKernels
package import Logging

/// What a record is about: a span of time, or the value of a counter from then on.
package enum TraceEvent: UInt8, CaseIterable {
    case schedule, forwardAndSample, deliver
    case embed, rmsNorm, addNormed, linear, linearAdd, linearSiLU, linearGELU, ropeAndStore, attention, sample
    case batchTokens, running, waiting, blocksUsed, prefixCacheHits, preemptions

    static let firstCounter = batchTokens

    var name: StaticString {
        switch self {
        case .schedule: "schedule"
        case .forwardAndSample: "forward and sample"
        case .deliver: "detokenise and deliver"
        case .embed: "embed"
        case .rmsNorm: "rmsNorm"
        case .addNormed: "rmsNorm + add"
        case .linear: "linear"
        case .linearAdd: "linear + add"
        case .linearSiLU: "linear + SiLU"
        case .linearGELU: "linear + GELU"
        case .ropeAndStore: "ropeAndStore"
        case .attention: "attention"
        case .sample: "sample"
        case .batchTokens: "batch tokens"
        case .running: "running sequences"
        case .waiting: "waiting sequences"
        case .blocksUsed: "blocks used"
        case .prefixCacheHits: "prefix cache hits"
        case .preemptions: "preemptions"
        }
    }
}

package final class TraceRecorder {
    fileprivate struct Record {
        var start: UInt64  // ticks
        var end: UInt64
        /// Rows of a span, value of a counter.
        var value: Int32
        var event: UInt8
    }

    /// Little enough to stay in the L2 cache.
    private static let capacity = 1 << 13
    private let file: OutputFile
    private let spool: SpoolFile
    private let origin = (ticks: swiftlet_ticks(), nanoseconds: Platform.monotonicNanoseconds())
    private let records = UnsafeMutableBufferPointer<Record>.allocate(capacity: TraceRecorder.capacity)
    private var count = 0
    private var counters = [Int](repeating: -1, count: TraceEvent.allCases.count)  // by event
    /// Private, so that its accesses need no check at run time.
    private var newest: UInt64 = 0
    /// The end of the newest span.
    package var last: UInt64 { newest }

    private let logger: Logger
    private let path: String

    /// - Throws: ``LLMError`` when the file can't be made.
    package init(path: String, logger: Logger) throws(LLMError) {
        self.path = path
        self.logger = logger
        file = try OutputFile(creating: path)
        spool = try SpoolFile(beside: path)
        records.initialize(repeating: Record(start: 0, end: 0, value: 0, event: 0))
    }

    deinit {
        writeTrace()
        if let failure = spool.failure ?? file.failure {
            logger.error("the trace is not complete: \(path) can't be written: \(failure)")
        }
        records.deallocate()
    }

    /// The next span begins now.
    @discardableResult
    package func mark() -> UInt64 {
        newest = swiftlet_ticks()
        return newest
    }

    /// What ran since the span before this one ended: within a step nothing else runs between operations.
    package func record(_ event: TraceEvent, rows: Int) { record(event, from: newest, rows: rows) }

    /// Something that began at `start` and ends now.
    package func record(_ event: TraceEvent, from start: UInt64, rows: Int) {
        newest = swiftlet_ticks()
        append(Record(start: start, end: newest, value: Int32(truncatingIfNeeded: rows), event: event.rawValue))
    }

    /// The counters after a step; each is recorded when it changes.
    package func record(_ statistics: EngineStatistics, batchTokens: Int) {
        count(.batchTokens, batchTokens)
        count(.running, statistics.runningSequences)
        count(.waiting, statistics.waitingSequences)
        count(.blocksUsed, statistics.usedBlocks)
        count(.prefixCacheHits, statistics.prefixCacheHits)
        count(.preemptions, statistics.preemptions)
    }

    private func count(_ event: TraceEvent, _ value: Int) {
        guard counters[Int(event.rawValue)] != value else { return }
        counters[Int(event.rawValue)] = value
        append(Record(start: newest, end: newest, value: Int32(truncatingIfNeeded: value), event: event.rawValue))
    }

    private func append(_ record: Record) {
        if count == Self.capacity { spill() }
        records[count] = record
        count += 1
    }

    private func spill() {
        spool.write(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(records)[..<byteCount]))
        count = 0
    }

    private var byteCount: Int { count * MemoryLayout<Record>.stride }

    // MARK: - Text

    private func writeTrace() {
        let ticks = swiftlet_ticks() &- origin.ticks
        let nanoseconds = Platform.monotonicNanoseconds() - origin.nanoseconds
        var text = TraceText(origin: origin.ticks, nanosecondsPerTick: Double(nanoseconds) / Double(max(ticks, 1)))
        text.append("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [")
        if count > 0 { spill() }
        spool.rewind()
        while true {
            let bytes = spool.read(into: UnsafeMutableRawBufferPointer(records))
            if bytes == 0 { break }
            for record in records[..<(bytes / MemoryLayout<Record>.stride)] { text.append(record) }
            file.write(text.bytes)
            text.bytes.removeAll(keepingCapacity: true)
        }
        text.append("\n]}\n")
        file.write(text.bytes)
    }
}

/// Records as JSON, digit by digit.
private struct TraceText {
    let origin: UInt64
    let nanosecondsPerTick: Double
    var bytes: [UInt8] = []
    private var isFirst = true

    init(origin: UInt64, nanosecondsPerTick: Double) {
        self.origin = origin
        self.nanosecondsPerTick = nanosecondsPerTick
    }

    mutating func append(_ record: TraceRecorder.Record) {
        let event = TraceEvent(rawValue: record.event)!
        append(isFirst ? "\n{\"name\": \"" : ",\n{\"name\": \"")
        isFirst = false
        append(event.name)
        let isCounter = event.rawValue >= TraceEvent.firstCounter.rawValue
        append(isCounter ? "\", \"ph\": \"C\", \"pid\": 1, \"ts\": " : "\", \"ph\": \"X\", \"pid\": 1, \"ts\": ")
        let start = nanoseconds(record.start)
        appendMicroseconds(start)
        if !isCounter {
            append(", \"tid\": 1, \"dur\": ")
            appendMicroseconds(nanoseconds(record.end) - start)
        }
        append(isCounter ? ", \"args\": {\"value\": " : ", \"args\": {\"rows\": ")
        append(Int64(record.value))
        append("}}")
    }

    mutating func append(_ piece: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: piece.utf8Start, count: piece.utf8CodeUnitCount))
    }

    private mutating func append(_ number: Int64) {
        let start = bytes.count
        var rest = number.magnitude
        repeat {
            bytes.append(UInt8(ascii: "0") + UInt8(rest % 10))
            rest /= 10
        } while rest > 0
        if number < 0 { bytes.append(UInt8(ascii: "-")) }
        bytes[start...].reverse()
    }

    private func nanoseconds(_ ticks: UInt64) -> Int64 { Int64(Double(ticks &- origin) * nanosecondsPerTick) }

    /// Nanoseconds as the format's microseconds, to three places.
    private mutating func appendMicroseconds(_ nanoseconds: Int64) {
        append(nanoseconds / 1000)
        bytes.append(UInt8(ascii: "."))
        for unit: Int64 in [100, 10, 1] { bytes.append(UInt8(ascii: "0") + UInt8(nanoseconds / unit % 10)) }
    }
}

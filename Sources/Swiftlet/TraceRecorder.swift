// TraceRecorder: what each step did and when, as a Chrome trace (load it in ui.perfetto.dev or chrome://tracing).
// Owned by the engine thread. A small model's step is 70 us and has 50 records, so a record is one word of 4 bytes: what
// it is, and the ticks of the processor since the record before. Words go to an unnamed file a block at a time, and
// become text when the engine ends (TraceText): making text of a small model's steps takes as long as the steps.
//
// Time is told in nanoseconds at the end, by the clock at both ends.
//
// Invariant: watching changes no result, and a record costs one look at the clock.

import CSwiftletKernels
package import Logging

/// What a record is about: a span of time, or the value of a counter from then on. 32 at most: it is 5 bits of a word.
package enum TraceEvent: UInt8, CaseIterable, Comparable {
    // Of the recorder itself: nothing more in this block; the clock, whole; a span begins; the rows of what follows.
    case end, clock, begin, rows
    case schedule, forwardAndSample, deliver
    case embed, rmsNorm, addNormed, linear, linearAdd, linearSiLU, linearGELU, mixtureOfExperts, ropeAndStore,
        attention, allReduce, gather, sample
    case batchTokens, running, waiting, blocksUsed, prefixCacheHits, preemptions

    static let firstCounter = batchTokens

    /// Words that follow the first one.
    var extraWords: Int { self == .clock || self == .forwardAndSample || self >= .firstCounter ? 2 : 0 }

    var name: StaticString {
        switch self {
        case .end, .clock, .begin, .rows: ""
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
        case .mixtureOfExperts: "mixture of experts"
        case .ropeAndStore: "ropeAndStore"
        case .attention: "attention"
        case .allReduce: "allReduce"
        case .gather: "gather logits"
        case .sample: "sample"
        case .batchTokens: "batch tokens"
        case .running: "running sequences"
        case .waiting: "waiting sequences"
        case .blocksUsed: "blocks used"
        case .prefixCacheHits: "prefix cache hits"
        case .preemptions: "preemptions"
        }
    }

    package static func < (a: TraceEvent, b: TraceEvent) -> Bool { a.rawValue < b.rawValue }
}

package final class TraceRecorder {
    /// Little enough to stay in the L2 cache.
    package static let blockWords = 1 << 14
    /// A word is 5 bits of event below 27 bits of ticks or of rows.
    static let eventBits: UInt32 = 5
    private static let ticksLimit: UInt64 = 1 << 27
    /// More than any call below appends: the clock with the widest record behind it.
    private static let reserve = 8

    private let file: OutputFile
    private let spool: SpoolFile
    private let origin = (ticks: swiftlet_ticks(), nanoseconds: Platform.monotonicNanoseconds())
    private let words = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: TraceRecorder.blockWords)
    private var count = 0
    private var counters = [Int](repeating: -1, count: TraceEvent.allCases.count)  // by event
    /// When the newest record was made.
    private var newest: UInt64
    private var rows = -1

    private let logger: Logger
    private let path: String

    /// - Throws: ``LLMError`` when the file can't be made.
    package init(path: String, logger: Logger) throws(LLMError) {
        self.path = path
        self.logger = logger
        file = try OutputFile(creating: path)
        spool = try SpoolFile(beside: path)
        newest = origin.ticks
        words.initialize(repeating: 0)
    }

    deinit {
        writeTrace()
        if let failure = spool.failure ?? file.failure {
            logger.error("the trace is not complete: \(path) can't be written: \(failure)")
        }
        words.deallocate()
    }

    /// The next span begins now.
    package func mark() { append(.begin) }

    /// What ran since the span before this one ended, which is now: within a step nothing else runs between operations.
    @inline(__always)
    @discardableResult
    package func record(_ event: TraceEvent, rows: Int) -> UInt64 {
        if rows != self.rows { append(rows: rows) }
        append(event)
        return newest
    }

    /// The step's forward pass and sampling, which began at `start` and end now.
    package func recordForward(from start: UInt64, rows: Int) {
        record(.forwardAndSample, rows: rows)
        append(wide: newest &- start)
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
        append(event)
        append(wide: UInt64(bitPattern: Int64(value)))
    }

    // MARK: - Words

    @inline(__always)
    private func append(_ event: TraceEvent) {
        let now = swiftlet_ticks()
        if count > Self.blockWords - Self.reserve { spill() }
        if now &- newest >= Self.ticksLimit { appendClock(now) }
        words[count] = UInt32(truncatingIfNeeded: now &- newest) << Self.eventBits | UInt32(event.rawValue)
        count += 1
        newest = now
    }

    /// For what took longer than a word can say, tens of milliseconds.
    @inline(never)
    private func appendClock(_ now: UInt64) {
        words[count] = UInt32(TraceEvent.clock.rawValue)
        count += 1
        append(wide: now)
        newest = now
    }

    @inline(never)
    private func append(rows: Int) {
        if count > Self.blockWords - Self.reserve { spill() }
        self.rows = rows
        words[count] = UInt32(truncatingIfNeeded: rows) << Self.eventBits | UInt32(TraceEvent.rows.rawValue)
        count += 1
    }

    private func append(wide value: UInt64) {
        words[count] = UInt32(truncatingIfNeeded: value)
        words[count + 1] = UInt32(truncatingIfNeeded: value >> 32)
        count += 2
    }

    @inline(never)
    private func spill() {
        words[count] = UInt32(TraceEvent.end.rawValue)
        spool.write(UnsafeRawBufferPointer(words))
        count = 0
    }

    private func writeTrace() {
        let ticks = swiftlet_ticks() &- origin.ticks
        let nanoseconds = Platform.monotonicNanoseconds() - origin.nanoseconds
        var text = TraceText(origin: origin.ticks, nanosecondsPerTick: Double(nanoseconds) / Double(max(ticks, 1)))
        spill()
        spool.rewind()
        while spool.read(into: UnsafeMutableRawBufferPointer(words)) == words.count * MemoryLayout<UInt32>.stride {
            text.append(block: UnsafeBufferPointer(words))
            file.write(text.bytes)
            text.bytes.removeAll(keepingCapacity: true)
        }
        text.end()
        file.write(text.bytes)
    }
}

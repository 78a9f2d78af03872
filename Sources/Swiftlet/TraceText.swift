// TraceText: the words of a TraceRecorder as JSON, digit by digit.
// Owned by the recorder, when the engine has ended. Invariant: it follows the recorder's clock: each record's time is
// that of the one before plus what the word says.

struct TraceText {
    private let origin: UInt64
    private let nanosecondsPerTick: Double
    var bytes: [UInt8] = []
    private var isFirst = true
    /// The time of the newest record, where the next span begins.
    private var clock: UInt64
    private var rows: Int64 = 0

    init(origin: UInt64, nanosecondsPerTick: Double) {
        self.origin = origin
        self.nanosecondsPerTick = nanosecondsPerTick
        clock = origin
        append("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [")
    }

    mutating func end() { append("\n]}\n") }

    /// The records of a block, up to its `end`.
    mutating func append(block words: UnsafeBufferPointer<UInt32>) {
        var index = 0
        var start = clock
        while let event = TraceEvent(rawValue: UInt8(words[index] & (1 << TraceRecorder.eventBits - 1))), event != .end
        {
            let field = words[index] >> TraceRecorder.eventBits
            index += 1
            let wide = event.extraWords == 0 ? 0 : UInt64(words[index]) | UInt64(words[index + 1]) << 32
            index += event.extraWords
            switch event {
            case .clock: clock = wide
            case .rows: rows = Int64(field)
            default:
                clock &+= UInt64(field)
                if event == .forwardAndSample { start = clock &- wide }
                if event >= .firstCounter {
                    append(counter: event, Int64(bitPattern: wide))
                } else if event != .begin {
                    append(span: event, from: start)
                }
                start = clock
            }
        }
    }

    private mutating func append(span event: TraceEvent, from start: UInt64) {
        append("\", \"ph\": \"X\"", of: event, at: start)
        append(", \"tid\": 1, \"dur\": ")
        appendMicroseconds(nanoseconds(clock) - nanoseconds(start))
        append(", \"args\": {\"rows\": ")
        append(rows)
        append("}}")
    }

    private mutating func append(counter event: TraceEvent, _ value: Int64) {
        append("\", \"ph\": \"C\"", of: event, at: clock)
        append(", \"args\": {\"value\": ")
        append(value)
        append("}}")
    }

    private mutating func append(_ kind: StaticString, of event: TraceEvent, at time: UInt64) {
        append(isFirst ? "\n{\"name\": \"" : ",\n{\"name\": \"")
        isFirst = false
        append(event.name)
        append(kind)
        append(", \"pid\": 1, \"ts\": ")
        appendMicroseconds(nanoseconds(time))
    }

    private mutating func append(_ piece: StaticString) {
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

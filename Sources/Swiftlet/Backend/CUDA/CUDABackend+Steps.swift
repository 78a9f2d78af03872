// CUDABackend: a step's input on the device, the buckets that steps are padded to, and the graphs of those that come
// back.
//
// A decode of n sequences runs as one of the next bucket's size: rows behind the last one belong to no sequence and are
// written nowhere that is read. So a handful of graphs serves every batch, and a graph serves every context length.
// Invariant: a graph is recorded when its launches have run once before, when nothing is left to load or to choose.

extension CUDABackend {
    /// What is being launched.
    struct Step {
        var rows = 0
        var sequences = 0
        /// Each sequence has one row.
        var isDecode = false
    }

    enum GraphKey: Hashable {
        case layers(rows: Int)
        case logits(rows: Int)
    }

    package func run(
        _ part: StepPart, of batch: Batch, _ body: (_ rows: Int) throws(LLMError) -> Void
    ) throws(LLMError) {
        try device.throwFailure()
        switch part {
        case .layers:
            try input.upload(batch)
            let isDecode = batch.tokenCount == batch.sequenceCount
            let rows =
                isDecode
                ? Buckets.rows(for: batch.tokenCount, upTo: limits.sequences)
                : Buckets.promptRows(for: batch.tokenCount, upTo: limits.tokens)
            step = Step(rows: rows, sequences: isDecode ? rows : batch.sequenceCount, isDecode: isDecode)
            try run(.layers(rows: rows), isRecorded: records(part, isDecode: isDecode)) { () throws(LLMError) in
                device.launch(
                    kernels.stepRows, grid: ((rows + 255) / 256, 1, 1), block: 256, input.words, Int32(rows),
                    input.sequences, input.positions, input.slots)
                try body(rows)
            }
        case .logits(let listed):
            logits?.mirror?.invalidate()
            let rows = Buckets.rows(for: listed.count, upTo: limits.logitRows)
            // Later slices belong to prompts that are scored.
            let isRecorded = records(part, isDecode: step.isDecode) && listed.lowerBound == 0
            try run(.logits(rows: rows), isRecorded: isRecorded) { () throws(LLMError) in try body(rows) }
        }
        try device.throwFailure()
    }

    private func run(
        _ key: GraphKey, isRecorded: Bool, _ body: () throws(LLMError) -> Void
    ) throws(LLMError) {
        guard isRecorded else { return try body() }
        if let graph = graphs[key] { return try graph.launch() }
        try body()
        try device.throwFailure()
        graphs[key] = try device.record(body)
    }

    /// Forgets all graphs: the memory that they use is going to change.
    package func dropGraphs() { graphs = [:] }

    /// How many graphs there are.
    package var graphCount: Int { graphs.count }
}

/// How many rows a step is padded to.
package enum Buckets {
    /// 1, 2, 4, 8, 16, then steps of 16 up to the most there can be, whatever that is.
    package static func rows(for count: Int, upTo most: Int) -> Int {
        let padded = count <= 16 ? [1, 2, 4, 8, 16].first { $0 >= count }! : (count + 15) / 16 * 16
        return min(padded, most)
    }

    /// Prompts are as long as they are: coarser, so that products have few shapes.
    static func promptRows(for count: Int, upTo most: Int) -> Int {
        count <= 64 ? rows(for: count, upTo: most) : min((count + 63) / 64 * 64, most)
    }

    /// All of them.
    package static func all(upTo most: Int) -> [Int] {
        var (buckets, count) = ([Int](), 1)
        while count <= most {
            buckets.append(rows(for: count, upTo: most))
            count = buckets.last! + 1
        }
        return buckets
    }
}

/// A step's batch on the device, and where each of its rows stands, which the device finds out itself.
final class CUDAStepInput {
    private let device: CUDADevice
    private let block: DeviceMemory  // [words]
    private let rows: DeviceMemory  // [3, rows]: sequences, positions, slots
    private let rowCount: Int
    /// By turns: while one is on its way, the next step fills the other.
    private let first: PinnedMemory
    private let second: PinnedMemory
    private let sent: [CUDADevice.Handle]  // events
    private var turn = 0

    init(_ device: CUDADevice, words: Int, rows: Int) throws(LLMError) {
        self.device = device
        rowCount = rows
        block = try DeviceMemory(device, byteCount: 4 * words, for: "a step's input")
        self.rows = try DeviceMemory(device, byteCount: 12 * rows, for: "a step's rows")
        first = try PinnedMemory(device, byteCount: 4 * words)
        second = try PinnedMemory(device, byteCount: 4 * words)
        var events: [CUDADevice.Handle] = []
        for _ in 0..<2 {
            var event: CUDADevice.Handle?
            // Nobody asks when it was.
            try device.check(device.driver.createEvent(&event, 2), "making an event")
            if let event { events.append(event) }
        }
        sent = events
    }

    deinit { for event in sent { _ = device.driver.destroyEvent(event) } }

    var words: UInt64 { block.address }
    var sequences: UInt64 { rows.address }
    var positions: UInt64 { rows.address + UInt64(4 * rowCount) }
    var slots: UInt64 { rows.address + UInt64(8 * rowCount) }

    func upload(_ batch: Batch) throws(LLMError) {
        let bytes = UnsafeRawBufferPointer(batch.contents)
        precondition(bytes.count <= block.byteCount && batch.tokenCount <= rowCount, "a batch of another engine")
        turn = 1 - turn
        // The copy before last.
        try device.await(sent[turn])
        let pinned = turn == 0 ? first.bytes : second.bytes
        pinned.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        try device.startCopy(pinned, to: block.address, byteCount: bytes.count)
        try device.check(device.driver.recordEvent(sent[turn], device.stream), "noting a step's input")
    }
}

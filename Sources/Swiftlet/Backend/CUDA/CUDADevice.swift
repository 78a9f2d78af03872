// CUDADevice: one GPU: its context, one stream on which everything happens in order, launches, copies, graphs.
// Owned by the thread that made it, and kept by everything that has memory on it.
//
// Invariant: all calls come from that thread, whose current context it is. Every status is looked at: a call throws, or
// (a launch, which has nobody to throw to) leaves its error in `failure`, after which nothing is launched any more.

package final class CUDADevice {
    typealias Handle = CUDADriver.Handle

    let driver: CUDADriver
    let ordinal: Int32
    let description: CUDADescription
    let stream: Handle
    private let context: Handle
    /// The GPUs of other ranks, if there are any.
    var ranks: CUDARanks?
    /// What went wrong in a launch.
    private(set) var failure: LLMError?
    /// Whether something was begun that nobody has waited for.
    fileprivate var isBusy = false
    /// Waits for each launch, so that its time is its own.
    var isSynchronous = false
    private let slots: UnsafeMutablePointer<UInt64>  // [maxArguments]
    private let arguments: UnsafeMutablePointer<Handle?>  // [maxArguments], to each slot
    private static var maxArguments: Int { 24 }

    /// - Parameter ordinal: Which of the GPUs that the driver shows.
    /// - Throws: `invalidConfiguration` when there is no such GPU or no driver.
    package init(_ libraries: CUDALibraries, ordinal: Int = 0) throws(LLMError) {
        driver = try CUDADriver(libraries)
        try driver.check(driver.initialize(0), "cuInit")
        description = try CUDADescription(driver, ordinal: ordinal)
        var device: Int32 = 0
        try driver.check(driver.device(&device, Int32(ordinal)), "opening GPU \(ordinal)")
        var (context, stream): (Handle?, Handle?) = (nil, nil)
        try driver.check(driver.retainContext(&context, device), "making a context on GPU \(ordinal)")
        guard let context else { throw LLMError(.engineFailed, "the GPU: no context was made") }
        let status = driver.setContext(context)
        // It shall not wait for the default stream, which nobody uses.
        let created = status == 0 ? driver.createStream(&stream, 1) : status
        guard created == 0, let stream else {
            _ = driver.releaseContext(device)
            throw driver.error(created, "making a stream")
        }
        self.ordinal = device
        self.context = context
        self.stream = stream
        slots = .allocate(capacity: Self.maxArguments)
        slots.initialize(repeating: 0, count: Self.maxArguments)
        arguments = .allocate(capacity: Self.maxArguments)
        for index in 0..<Self.maxArguments {
            (arguments + index).initialize(to: UnsafeMutableRawPointer(slots + index))
        }
    }

    deinit {
        _ = driver.synchronize(stream)
        _ = driver.destroyStream(stream)
        _ = driver.releaseContext(ordinal)
        slots.deallocate()
        arguments.deallocate()
    }

    func check(_ status: CUDADriver.Status, _ what: @autoclosure () -> String) throws(LLMError) {
        try driver.check(status, what())
    }

    /// Throws what a launch left behind. The device can't be used any more then.
    func throwFailure() throws(LLMError) { if let failure { throw failure } }

    func fail(_ error: LLMError) { if failure == nil { failure = error } }

    /// - Throws: Also when another rank has failed: then what is under way may never end.
    func synchronize() throws(LLMError) {
        try throwFailure()
        try awaitStream()
        isBusy = false
    }

    private func awaitStream() throws(LLMError) {
        let status = try ranks?.wait { driver.query(stream) } ?? driver.synchronize(stream)
        try check(status, "waiting for it")
    }

    func await(_ event: Handle) throws(LLMError) {
        let status = try ranks?.wait { driver.queryEvent(event) } ?? driver.awaitEvent(event)
        try check(status, "waiting for an event")
    }

    /// Waits until nothing uses its memory any more, whatever became of it.
    func settle() {
        // The first wait may end by another rank's failure, whereupon what has no end is aborted.
        if isBusy && (try? awaitStream()) == nil { try? awaitStream() }
        isBusy = false
    }

    /// Nobody waits for what has been begun while `body` runs.
    func withoutWaiting(_ body: () -> Void) {
        let wasBusy = isBusy
        isBusy = false
        body()
        isBusy = wasBusy
    }

    /// Bytes that are free on the GPU, whoever uses the others, and those that it has.
    func memory() throws(LLMError) -> (free: Int, total: Int) {
        var (free, total) = (0, 0)
        try check(driver.memoryInfo(&free, &total), "asking for its memory")
        return (free, total)
    }

    // MARK: - Copies

    /// From host memory that may be used again at once. It waits: where a GPU reads the host's pages by itself, it may do
    /// so later than the driver's call returns.
    func copy(_ source: UnsafeRawPointer, to address: UInt64, byteCount: Int) throws(LLMError) {
        try startCopy(source, to: address, byteCount: byteCount)
        try synchronize()
    }

    /// From host memory that stays as it is until the stream has come to it.
    func startCopy(_ source: UnsafeRawPointer, to address: UInt64, byteCount: Int) throws(LLMError) {
        guard byteCount > 0 else { return }
        isBusy = true
        try check(driver.copyIn(address, source, byteCount, stream), "copying to it")
    }

    func clear(_ address: UInt64, byteCount: Int) throws(LLMError) {
        isBusy = true
        try check(driver.fill(address, 0, byteCount, stream), "clearing its memory")
    }

    /// Returns when the bytes are there.
    func copy(_ address: UInt64, to target: UnsafeMutableRawPointer, byteCount: Int) throws(LLMError) {
        try throwFailure()
        isBusy = true
        try check(driver.copyOut(target, address, byteCount, stream), "copying from it")
        try synchronize()
    }

    // MARK: - Launches

    /// Starts a kernel. Arguments are 64-bit addresses and counts, Int32 and Float, as the kernel declares them.
    func launch<each Argument: BitwiseCopyable>(
        _ kernel: Handle, grid: (Int, Int, Int), block: Int, shared: Int = 0, _ values: repeat each Argument
    ) {
        guard failure == nil, grid.0 > 0, grid.1 > 0, grid.2 > 0 else { return }
        var count = 0
        repeat add(each values, &count)
        isBusy = true
        let status = driver.launch(
            kernel, UInt32(grid.0), UInt32(grid.1), UInt32(grid.2), UInt32(block), 1, 1, UInt32(shared), stream,
            arguments, nil)
        do throws(LLMError) {
            try check(status, "starting a kernel")
            if isSynchronous { try awaitStream() }
        } catch {
            fail(error)
        }
    }

    /// Has a library put something on the stream.
    func issue(_ body: (Handle) throws(LLMError) -> Void) throws(LLMError) {
        try throwFailure()
        isBusy = true
        try body(stream)
        if isSynchronous { try awaitStream() }
    }

    private func add<Argument: BitwiseCopyable>(_ value: Argument, _ count: inout Int) {
        precondition(count < Self.maxArguments && MemoryLayout<Argument>.size <= 8)
        UnsafeMutableRawPointer(slots + count).storeBytes(of: value, as: Argument.self)
        count += 1
    }

    // MARK: - Graphs

    /// Records what `body` launches instead of running it. Nothing in it may allocate, wait or copy from pageable memory.
    func record(_ body: () throws(LLMError) -> Void) throws(LLMError) -> CUDAGraph {
        try throwFailure()
        // Of this thread alone: another engine's thread may do as it likes meanwhile.
        try check(driver.beginCapture(stream, 1), "beginning a graph")
        var failed: LLMError?
        do throws(LLMError) {
            try body()
            try throwFailure()
        } catch {
            failed = error
        }
        var graph: Handle?
        let status = driver.endCapture(stream, &graph)
        defer { if let graph { _ = driver.destroyGraph(graph) } }
        if let failed { throw failed }
        try check(status, "ending a graph")
        guard let graph else { throw LLMError(.engineFailed, "the GPU: no graph was recorded") }
        return try CUDAGraph(self, graph)
    }

    /// Seconds that `body`'s launches take, once they run.
    func seconds(_ body: () throws(LLMError) -> Void) throws(LLMError) -> Double {
        var (start, end): (Handle?, Handle?) = (nil, nil)
        defer { for event in [start, end] { if let event { _ = driver.destroyEvent(event) } } }
        try check(driver.createEvent(&start, 0), "making an event")
        try check(driver.createEvent(&end, 0), "making an event")
        try check(driver.recordEvent(start!, stream), "taking the time")
        try body()
        try check(driver.recordEvent(end!, stream), "taking the time")
        try synchronize()
        var milliseconds: Float = 0
        try check(driver.elapsed(&milliseconds, start!, end!), "taking the time")
        return Double(milliseconds) / 1000
    }
}

/// Launches that are played back as one. It must not outlive the memory that they use.
final class CUDAGraph {
    private let device: CUDADevice
    private let executable: CUDADevice.Handle

    fileprivate init(_ device: CUDADevice, _ graph: CUDADevice.Handle) throws(LLMError) {
        var executable: CUDADevice.Handle?
        try device.check(device.driver.instantiate(&executable, graph, 0), "making a graph of its launches")
        guard let executable else { throw LLMError(.engineFailed, "the GPU: no graph was made") }
        self.device = device
        self.executable = executable
    }

    deinit {
        device.settle()
        _ = device.driver.destroyExecutable(executable)
    }

    func launch() throws(LLMError) {
        try device.throwFailure()
        device.isBusy = true
        try device.check(device.driver.launchGraph(executable, device.stream), "starting a graph")
    }
}

// NCCL: the functions of NVIDIA's library that several GPUs need to work on one model, opened at run time; and the owner
// of a rank's communicator.
// Invariant: names and types are those of NCCL 2.10 and later; the numbers are those of nccl.h.

import CSwiftletCUDA

package struct NCCL: Sendable {
    package typealias Handle = UnsafeMutableRawPointer
    package typealias Status = Int32

    package let version: @Sendable @convention(c) (UnsafeMutablePointer<Int32>) -> Status
    private let uniqueID: @Sendable @convention(c) (UnsafeMutableRawPointer) -> Status
    private let errorString: @Sendable @convention(c) (Status) -> UnsafePointer<CChar>?
    /// The address of ncclCommInitRank, which takes a structure by value.
    private let initRank: UInt
    fileprivate let destroy: @Sendable @convention(c) (Handle) -> Status
    fileprivate let abort: @Sendable @convention(c) (Handle) -> Status
    fileprivate let asyncError: @Sendable @convention(c) (Handle, UnsafeMutablePointer<Status>) -> Status
    fileprivate let allReduce: @Sendable @convention(c) (UInt64, UInt64, Int, Int32, Int32, Handle, Handle) -> Status
    fileprivate let send: @Sendable @convention(c) (UInt64, Int, Int32, Int32, Handle, Handle) -> Status
    fileprivate let receive: @Sendable @convention(c) (UInt64, Int, Int32, Int32, Handle, Handle) -> Status
    fileprivate let groupStart: @Sendable @convention(c) () -> Status
    fileprivate let groupEnd: @Sendable @convention(c) () -> Status

    fileprivate static var float32: Int32 { 7 }
    fileprivate static var sum: Int32 { 0 }
    /// An operation that is not done yet.
    fileprivate static var inProgress: Status { 7 }
    /// Words of a unique id.
    package static var idWords: Int { 32 }

    package init(_ libraries: CUDALibraries) throws(LLMError) {
        version = try libraries.function(.collectives, "ncclGetVersion")
        uniqueID = try libraries.function(.collectives, "ncclGetUniqueId")
        errorString = try libraries.function(.collectives, "ncclGetErrorString")
        initRank = UInt(bitPattern: try libraries.address(.collectives, "ncclCommInitRank"))
        destroy = try libraries.function(.collectives, "ncclCommDestroy")
        abort = try libraries.function(.collectives, "ncclCommAbort")
        asyncError = try libraries.function(.collectives, "ncclCommGetAsyncError")
        allReduce = try libraries.function(.collectives, "ncclAllReduce")
        send = try libraries.function(.collectives, "ncclSend")
        receive = try libraries.function(.collectives, "ncclRecv")
        groupStart = try libraries.function(.collectives, "ncclGroupStart")
        groupEnd = try libraries.function(.collectives, "ncclGroupEnd")
    }

    package func check(_ status: Status, _ what: @autoclosure () -> String) throws(LLMError) {
        guard status != 0 else { return }
        let reason = errorString(status).map { String(cString: $0) } ?? "status \(status)"
        throw LLMError(.engineFailed, "NCCL: \(what()) failed (\(reason); NCCL_DEBUG=WARN says more)")
    }

    /// What makes ranks that are given it one group.
    package func makeID() throws(LLMError) -> [Int32] {
        var words = [Int32](repeating: 0, count: Self.idWords)
        try check(words.withUnsafeMutableBytes { uniqueID($0.baseAddress!) }, "making a unique id")
        return words
    }

    /// Waits for all ranks of the group. Each has its own GPU current on its thread.
    package func join(_ id: [Int32], rank: Int, of count: Int) throws(LLMError) -> Handle {
        var handle: Handle?
        let status = id.withUnsafeBytes {
            swiftlet_nccl_init_rank(
                UnsafeMutableRawPointer(bitPattern: initRank)!, &handle, Int32(count),
                $0.baseAddress!.assumingMemoryBound(to: CChar.self), Int32(rank))
        }
        try check(status, "joining rank \(rank) of \(count)")
        guard let handle else { throw LLMError(.engineFailed, "NCCL: rank \(rank) of \(count) was given nothing") }
        return handle
    }
}

/// A rank's end of a group of GPUs; used by its thread only. All ranks issue the same operations in the same order.
final class NCCLCommunicator {
    private let nccl: NCCL
    private let rank: Int
    private var handle: NCCL.Handle?

    init(_ nccl: NCCL, id: [Int32], rank: Int, of count: Int) throws(LLMError) {
        self.nccl = nccl
        self.rank = rank
        handle = try nccl.join(id, rank: rank, of: count)
    }

    deinit { abort() }

    private func open() throws(LLMError) -> NCCL.Handle {
        guard let handle else { throw LLMError(.engineFailed, "NCCL: rank \(rank) has left the others") }
        return handle
    }

    /// Throws what the library has found out since.
    func check() throws(LLMError) {
        var status: NCCL.Status = 0
        try nccl.check(nccl.asyncError(try open(), &status), "asking for errors")
        if status != NCCL.inProgress { try nccl.check(status, "an operation of rank \(rank)") }
    }

    /// `target` becomes the sum of all ranks' `source`; they may be the same.
    func sum(
        _ source: UInt64, into target: UInt64, count: Int, on stream: CUDADriver.Handle
    ) throws(LLMError) {
        let status = nccl.allReduce(source, target, count, NCCL.float32, NCCL.sum, try open(), stream)
        try nccl.check(status, "a sum of \(count) floats")
    }

    func send(_ source: UInt64, count: Int, to rank: Int, on stream: CUDADriver.Handle) throws(LLMError) {
        let status = nccl.send(source, count, NCCL.float32, Int32(rank), try open(), stream)
        try nccl.check(status, "sending \(count) floats")
    }

    /// Receives from several ranks at once: `count` floats of each, to `target`.
    func receive(
        from ranks: Range<Int>, on stream: CUDADriver.Handle, _ part: (_ rank: Int) -> (target: UInt64, count: Int)
    ) throws(LLMError) {
        let handle = try open()
        try nccl.check(nccl.groupStart(), "beginning to receive")
        var failed: NCCL.Status = 0
        for rank in ranks where failed == 0 {
            let (target, count) = part(rank)
            failed = nccl.receive(target, count, NCCL.float32, Int32(rank), handle, stream)
        }
        let ended = nccl.groupEnd()
        try nccl.check(failed != 0 ? failed : ended, "receiving from \(ranks.count) ranks")
    }

    /// The proper end, when nothing is under way: every rank comes to it.
    func destroy() {
        if let handle { _ = nccl.destroy(handle) }
        handle = nil
    }

    /// Ends whatever is under way. The stream comes to its end then. With a GPU that has failed for good it may not return:
    /// it has a thread of its own, which is left behind then.
    func abort() {
        guard let handle else { return }
        self.handle = nil
        let (abort, address) = (nccl.abort, UInt(bitPattern: handle))
        _ = Platform.attempt(seconds: CUDARanks.patience) { _ = abort(NCCL.Handle(bitPattern: address)!) }
    }
}

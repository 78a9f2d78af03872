// Emulated GPUs seen from outside of an engine: who opens which, and what others have of their memory.

import CSwiftletCUDAEmulator
import Swiftlet
import Synchronization

/// A driver that notes which GPUs are opened.
enum RecordedContexts {
    static let ordinals = Mutex<Set<Int32>>([])

    static let libraries = CUDALibraries { name in
        name == "cuDevicePrimaryCtxRetain"
            ? unsafeBitCast(retain, to: UnsafeMutableRawPointer.self) : swiftlet_emulated_symbol(name)
    }

    private typealias Retain = @convention(c) (UnsafeMutableRawPointer?, Int32) -> Int32

    private static let retain: Retain = { context, device in
        _ = RecordedContexts.ordinals.withLock { $0.insert(device) }
        return unsafeBitCast(swiftlet_emulated_symbol("cuDevicePrimaryCtxRetain"), to: Retain.self)(context, device)
    }
}

/// What another process has of a GPU.
struct HeldMemory {
    private let ordinal: Int32
    private var context: UnsafeMutableRawPointer?
    private var address: UInt64 = 0

    struct Failed: Error {}

    private static func function<Function>(_ name: String) -> Function {
        unsafeBitCast(swiftlet_emulated_symbol(name), to: Function.self)
    }

    init(ordinal: Int32, byteCount: Int) throws {
        self.ordinal = ordinal
        let initialize: @convention(c) (UInt32) -> Int32 = Self.function("cuInit")
        let retain: @convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>, Int32) -> Int32 =
            Self.function("cuDevicePrimaryCtxRetain")
        let allocate: @convention(c) (UnsafeMutablePointer<UInt64>, Int) -> Int32 = Self.function("cuMemAlloc_v2")
        guard initialize(0) == 0, retain(&context, ordinal) == 0, use(context) == 0, allocate(&address, byteCount) == 0
        else { throw Failed() }
        _ = use(nil)
    }

    private func use(_ context: UnsafeMutableRawPointer?) -> Int32 {
        let use: @convention(c) (UnsafeMutableRawPointer?) -> Int32 = Self.function("cuCtxSetCurrent")
        return use(context)
    }

    func release() {
        let free: @convention(c) (UInt64) -> Int32 = Self.function("cuMemFree_v2")
        let release: @convention(c) (Int32) -> Int32 = Self.function("cuDevicePrimaryCtxRelease_v2")
        _ = use(context)
        _ = free(address)
        _ = release(ordinal)
        _ = use(nil)
    }
}

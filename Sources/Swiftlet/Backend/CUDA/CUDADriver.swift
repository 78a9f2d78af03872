// CUDADriver: the functions of the CUDA driver that the backend calls, with the types that cuda.h gives them.
// A Sendable value; who calls them, and on which thread, is up to CUDADevice.
// Invariant: names and types are those of CUDA 11.4 and later, which all newer drivers have.

struct CUDADriver: Sendable {
    typealias Handle = UnsafeMutableRawPointer
    typealias Address = UInt64
    typealias Status = Int32
    typealias Out<Value> = UnsafeMutablePointer<Value>

    let initialize: @Sendable @convention(c) (UInt32) -> Status
    let driverVersion: @Sendable @convention(c) (Out<Int32>) -> Status
    let errorName: @Sendable @convention(c) (Status, Out<UnsafePointer<CChar>?>) -> Status
    let errorString: @Sendable @convention(c) (Status, Out<UnsafePointer<CChar>?>) -> Status

    let deviceCount: @Sendable @convention(c) (Out<Int32>) -> Status
    let device: @Sendable @convention(c) (Out<Int32>, Int32) -> Status
    let deviceName: @Sendable @convention(c) (Out<CChar>, Int32, Int32) -> Status
    let deviceAttribute: @Sendable @convention(c) (Out<Int32>, Int32, Int32) -> Status
    let deviceMemory: @Sendable @convention(c) (Out<Int>, Int32) -> Status
    let retainContext: @Sendable @convention(c) (Out<Handle?>, Int32) -> Status
    let releaseContext: @Sendable @convention(c) (Int32) -> Status
    let setContext: @Sendable @convention(c) (Handle?) -> Status

    let memoryInfo: @Sendable @convention(c) (Out<Int>, Out<Int>) -> Status
    let allocate: @Sendable @convention(c) (Out<Address>, Int) -> Status
    let free: @Sendable @convention(c) (Address) -> Status
    let allocateHost: @Sendable @convention(c) (Out<Handle?>, Int, UInt32) -> Status
    let freeHost: @Sendable @convention(c) (Handle) -> Status
    let copyIn: @Sendable @convention(c) (Address, UnsafeRawPointer, Int, Handle) -> Status
    let copyOut: @Sendable @convention(c) (Handle, Address, Int, Handle) -> Status
    let fill: @Sendable @convention(c) (Address, UInt8, Int, Handle) -> Status

    let createStream: @Sendable @convention(c) (Out<Handle?>, UInt32) -> Status
    let destroyStream: @Sendable @convention(c) (Handle) -> Status
    let synchronize: @Sendable @convention(c) (Handle) -> Status
    let query: @Sendable @convention(c) (Handle) -> Status
    let beginCapture: @Sendable @convention(c) (Handle, Int32) -> Status
    let endCapture: @Sendable @convention(c) (Handle, Out<Handle?>) -> Status
    let instantiate: @Sendable @convention(c) (Out<Handle?>, Handle, UInt64) -> Status
    let destroyGraph: @Sendable @convention(c) (Handle) -> Status
    let launchGraph: @Sendable @convention(c) (Handle, Handle) -> Status
    let destroyExecutable: @Sendable @convention(c) (Handle) -> Status

    let createEvent: @Sendable @convention(c) (Out<Handle?>, UInt32) -> Status
    let destroyEvent: @Sendable @convention(c) (Handle) -> Status
    let recordEvent: @Sendable @convention(c) (Handle, Handle) -> Status
    let awaitEvent: @Sendable @convention(c) (Handle) -> Status
    let queryEvent: @Sendable @convention(c) (Handle) -> Status
    let elapsed: @Sendable @convention(c) (Out<Float>, Handle, Handle) -> Status

    let loadModule: @Sendable @convention(c) (Out<Handle?>, UnsafeRawPointer) -> Status
    let unloadModule: @Sendable @convention(c) (Handle) -> Status
    let function: @Sendable @convention(c) (Out<Handle?>, Handle, UnsafePointer<CChar>) -> Status
    let launch:
        @Sendable @convention(c) (
            Handle, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle, UnsafeMutablePointer<Handle?>?,
            UnsafeMutablePointer<Handle?>?
        ) -> Status

    init(_ libraries: CUDALibraries) throws(LLMError) {
        initialize = try libraries.function(.driver, "cuInit")
        driverVersion = try libraries.function(.driver, "cuDriverGetVersion")
        errorName = try libraries.function(.driver, "cuGetErrorName")
        errorString = try libraries.function(.driver, "cuGetErrorString")
        deviceCount = try libraries.function(.driver, "cuDeviceGetCount")
        device = try libraries.function(.driver, "cuDeviceGet")
        deviceName = try libraries.function(.driver, "cuDeviceGetName")
        deviceAttribute = try libraries.function(.driver, "cuDeviceGetAttribute")
        deviceMemory = try libraries.function(.driver, "cuDeviceTotalMem_v2")
        retainContext = try libraries.function(.driver, "cuDevicePrimaryCtxRetain")
        releaseContext = try libraries.function(.driver, "cuDevicePrimaryCtxRelease_v2")
        setContext = try libraries.function(.driver, "cuCtxSetCurrent")
        memoryInfo = try libraries.function(.driver, "cuMemGetInfo_v2")
        allocate = try libraries.function(.driver, "cuMemAlloc_v2")
        free = try libraries.function(.driver, "cuMemFree_v2")
        allocateHost = try libraries.function(.driver, "cuMemHostAlloc")
        freeHost = try libraries.function(.driver, "cuMemFreeHost")
        copyIn = try libraries.function(.driver, "cuMemcpyHtoDAsync_v2")
        copyOut = try libraries.function(.driver, "cuMemcpyDtoHAsync_v2")
        fill = try libraries.function(.driver, "cuMemsetD8Async")
        createStream = try libraries.function(.driver, "cuStreamCreate")
        destroyStream = try libraries.function(.driver, "cuStreamDestroy_v2")
        synchronize = try libraries.function(.driver, "cuStreamSynchronize")
        query = try libraries.function(.driver, "cuStreamQuery")
        beginCapture = try libraries.function(.driver, "cuStreamBeginCapture_v2")
        endCapture = try libraries.function(.driver, "cuStreamEndCapture")
        instantiate = try libraries.function(.driver, "cuGraphInstantiateWithFlags")
        destroyGraph = try libraries.function(.driver, "cuGraphDestroy")
        launchGraph = try libraries.function(.driver, "cuGraphLaunch")
        destroyExecutable = try libraries.function(.driver, "cuGraphExecDestroy")
        createEvent = try libraries.function(.driver, "cuEventCreate")
        destroyEvent = try libraries.function(.driver, "cuEventDestroy_v2")
        recordEvent = try libraries.function(.driver, "cuEventRecord")
        awaitEvent = try libraries.function(.driver, "cuEventSynchronize")
        queryEvent = try libraries.function(.driver, "cuEventQuery")
        elapsed = try libraries.function(.driver, "cuEventElapsedTime")
        loadModule = try libraries.function(.driver, "cuModuleLoadData")
        unloadModule = try libraries.function(.driver, "cuModuleUnload")
        function = try libraries.function(.driver, "cuModuleGetFunction")
        launch = try libraries.function(.driver, "cuLaunchKernel")
    }

    /// - Throws: `outOfMemory` for that, `engineFailed` for anything else; nothing for 0.
    func check(_ status: Status, _ what: @autoclosure () -> String) throws(LLMError) {
        if status != 0 { throw error(status, what()) }
    }

    func error(_ status: Status, _ what: String) -> LLMError {
        var (name, text): (UnsafePointer<CChar>?, UnsafePointer<CChar>?) = (nil, nil)
        let named = errorName(status, &name) == 0 ? name.map { String(cString: $0) } : nil
        let told = errorString(status, &text) == 0 ? text.map { String(cString: $0) } : nil
        let reason = [named ?? "error \(status)", told].compactMap(\.self).joined(separator: ": ")
        return LLMError(status == 2 ? .outOfMemory : .engineFailed, "the GPU: \(what) failed (\(reason))")
    }
}

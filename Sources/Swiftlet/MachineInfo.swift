// MachineInfo: what a bug report or a measurement has to say about the machine: system, processor, kernels, memory.
// A value, taken when it is asked for.
// Invariant: limits of affinity mask and cgroups are reported beside what the hardware has, never instead of it.

/// The machine that this process runs on, and what of it the process may use.
public struct MachineInfo: Sendable, Hashable {
    /// `Debian GNU/Linux 12 (bookworm)`.
    public var operatingSystem: String?
    /// `Linux 6.1.0 x86_64`.
    public var kernel: String?
    /// What the processor calls itself.
    public var processor: String?
    /// Processors that run at all.
    public var onlineProcessors: Int
    /// The affinity mask as a list, such as `0-3,8`.
    public var affinity: String?
    /// Processors' worth of time that the cgroups allow; nil: no limit.
    public var processorQuota: Double?
    /// Processors that this process may use, which is what an engine's threads default to.
    public var usableProcessors: Int
    /// Levels of the compute kernels that run here, best first.
    public var kernelLevels: [String]
    /// Bytes in the machine.
    public var totalMemory: Int?
    /// Bytes that the cgroups allow; nil: no limit.
    public var memoryLimit: Int?
    /// Bytes that this process can still take, cgroup limits included.
    public var availableMemory: Int?

    /// Looks at the machine.
    public init() {
        let groups = ControlGroups()
        operatingSystem = Platform.operatingSystem()
        kernel = Platform.kernel()
        processor = Platform.processorModel()
        onlineProcessors = Platform.onlineProcessorCount()
        affinity = Platform.affinity()
        processorQuota = groups.processorQuota()
        usableProcessors = Platform.coreCount(cgroups: groups)
        kernelLevels = CPUBackend.supportedLevelNames
        totalMemory = Platform.totalMemory()
        memoryLimit = groups.memoryLimit()
        availableMemory = Platform.availableMemory(cgroups: groups)
    }
}

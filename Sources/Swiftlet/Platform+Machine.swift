// Platform: what describes the machine to a reader of a bug report or of a measurement, and the process's peak memory.
// Asked for by MachineInfo and by measurements, never by a step.
// Invariant: what can't be found out is nil; nothing here fails.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

extension Platform {
    /// `Linux 6.1.0 x86_64`
    static func kernel() -> String? {
        var names = utsname()
        guard uname(&names) == 0 else { return nil }
        return [text(names.sysname), text(names.release), text(names.machine)].joined(separator: " ")
    }

    /// The C string in a tuple of characters.
    private static func text<Characters>(_ characters: Characters) -> String {
        withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// The distribution's own name.
    static func operatingSystem(release: String = "/etc/os-release") -> String? {
        #if canImport(Darwin)
        return systemText("kern.osproductversion").map { "macOS " + $0 }
        #else
        let name = field("PRETTY_NAME=", of: release) ?? field("NAME=", of: release)
        return name.map { $0.filter { $0 != "\"" } }
        #endif
    }

    /// What the processor calls itself.
    static func processorModel(information: String = "/proc/cpuinfo") -> String? {
        #if canImport(Darwin)
        return systemText("machdep.cpu.brand_string")
        #else
        guard let rest = field("model name", of: information), let colon = rest.firstIndex(of: ":") else {
            return nil
        }
        return String(rest[rest.index(after: colon)...].drop { $0 == " " })
        #endif
    }

    /// Processors that run at all, whoever may use them.
    static func onlineProcessorCount() -> Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    /// The affinity mask as a list, `0-3,8`; nil where there is none.
    static func affinity(status: String = "/proc/self/status") -> String? { field("Cpus_allowed_list:", of: status) }

    /// Bytes of memory in the machine.
    static func totalMemory() -> Int? {
        let (pages, size) = (Int(sysconf(Int32(_SC_PHYS_PAGES))), Int(sysconf(Int32(_SC_PAGESIZE))))
        let (bytes, overflow) = pages.multipliedReportingOverflow(by: size)
        return pages > 0 && size > 0 && !overflow ? bytes : nil
    }

    /// Bytes of the largest cache; 32 MiB where the system does not say.
    package static func lastCacheSize(caches: String = "/sys/devices/system/cpu/cpu0/cache") -> Int {
        let units: [UInt8: Int] = [UInt8(ascii: "K"): 1 << 10, UInt8(ascii: "M"): 1 << 20]
        let sizes = (0..<8).compactMap { index -> Int? in
            guard let text = try? readFile("\(caches)/index\(index)/size", limit: 64) else { return nil }
            let digits = text.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            guard let count = Int(String(decoding: digits, as: UTF8.self)), count < 1 << 30 else { return nil }
            return count * (text.dropFirst(digits.count).first.flatMap { units[$0] } ?? 1)
        }
        return sizes.max() ?? 32 << 20
    }

    /// The most memory that this process ever had resident, in bytes.
    package static func peakMemory() -> Int? {
        #if canImport(Darwin)
        var usage = rusage()
        return getrusage(RUSAGE_SELF, &usage) == 0 ? Int(usage.ru_maxrss) : nil
        #else
        // ru_maxrss outlives exec and so shows the parent's peak when that was higher; VmHWM does not.
        return field("VmHWM:", of: "/proc/self/status")?.split(separator: " ").first
            .flatMap { Int($0) }.map { $0 * 1024 }
        #endif
    }

    /// Lets `peakMemory()` begin anew from what is resident now, where the system can do that.
    static func resetPeakMemory() {
        guard let file = fopen("/proc/self/clear_refs", "w") else { return }
        fputs("5", file)
        fclose(file)
    }

    #if canImport(Darwin)
    private static func systemText(_ name: String) -> String? {
        var size = 0
        guard sysctlbyname(name, nil, &size, nil, 0) == 0, size > 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: size)
        guard sysctlbyname(name, &bytes, &size, nil, 0) == 0 else { return nil }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    #endif
}

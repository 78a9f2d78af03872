// Platform: every call to the operating system that the engine makes, in one file behind `canImport`.
// Files are opened read-only and must be regular (a FIFO or a device named like a model file is refused, never
// waited for). What this process may use is asked of the affinity mask and of the cgroups, v2 and v1, up to the
// root: a container's limit is the machine, as far as the engine is concerned.
// Invariant: nothing here keeps state; a MappedFile owns its mapping and unmaps it when it goes.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#else
#error("Swiftlet supports Linux and macOS")
#endif

package enum Platform {
    // The library functions that differ in nothing but the module they come from.
    package static func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
    package static func logarithm(_ value: Double) -> Double { log(value) }

    /// A variable of the environment; nil when it is not set.
    package static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// Sets a variable of the environment for libraries that are opened later, unless the user has set it.
    static func setEnvironmentDefault(_ name: String, _ value: String) { _ = setenv(name, value, 0) }

    // MARK: Files

    /// Names in a directory, sorted, without `.` and `..`; nil if it can't be read.
    package static func listDirectory(_ path: String) -> [String]? {
        guard let directory = opendir(path) else { return nil }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    package enum FileKind: Sendable { case missing, regular, directory, other }

    /// What is at `path`, links followed. `missing` also stands for what this process may not see.
    package static func kind(of path: String) -> FileKind {
        var status = stat()
        guard stat(path, &status) == 0 else { return .missing }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return .regular
        case S_IFDIR: return .directory
        default: return .other
        }
    }

    /// The whole of a small file. Files of `/proc` say that they are empty, so the size is found by reading.
    package static func readFile(_ path: String, limit: Int) throws(LLMError) -> [UInt8] {
        let file = try OpenFile(path)
        guard file.byteCount <= limit else {
            throw LLMError(.invalidModel, "\(path) has \(file.byteCount) bytes; at most \(limit) are read")
        }
        var contents = [UInt8](repeating: 0, count: max(file.byteCount + 1, 4096))
        var filled = 0
        while true {
            if filled == contents.count {
                contents.append(contentsOf: repeatElement(0, count: contents.count))
            }
            let count = contents.withUnsafeMutableBytes { bytes in
                read(file.descriptor, bytes.baseAddress! + filled, bytes.count - filled)
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw LLMError(.inputOutput, "\(path) can't be read: \(errorText())") }
            guard count > 0 else { break }
            filled += count
            guard filled <= limit else {
                throw LLMError(.invalidModel, "\(path) has more than \(limit) bytes, the most that is read")
            }
        }
        contents.removeSubrange(filled...)
        return contents
    }

    fileprivate static func errorText() -> String { String(cString: strerror(errno)) }

    // MARK: Processors and memory

    /// Cores that this process may use: those of the affinity mask, and no more than the cgroup's time quota pays for.
    package static func coreCount(
        status: String = "/proc/self/status", system: String = "/sys/devices/system",
        cgroups: ControlGroups = ControlGroups()
    ) -> Int {
        let count = cores(status: status, system: system).count
        guard let quota = cgroups.processorQuota() else { return count }
        return min(count, max(1, Int(quota.rounded(.up))))
    }

    /// What follows `label` on its line of a file of /proc.
    static func field(_ label: String, of path: String) -> String? {
        guard let bytes = try? readFile(path, limit: 1 << 22) else { return nil }
        let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(label) }
        return line.map { String($0.dropFirst(label.count).drop { $0 == " " || $0 == "\t" }) }
    }

    /// Bytes that can still be allocated without pushing this machine, or this process's cgroup, into swap or the
    /// OOM killer. nil where it can't be found out.
    package static func availableMemory(
        memoryInformation: String = "/proc/meminfo", cgroups: ControlGroups = ControlGroups()
    ) -> Int? {
        #if canImport(Darwin)
        // Free and inactive pages are what macOS hands out before it compresses or swaps.
        var statistics = vm_statistics64()
        var count = mach_msg_type_number_t(MemoryLayout<vm_statistics64>.size / MemoryLayout<integer_t>.size)
        let result = withUnsafeMutablePointer(to: &statistics) { pointer in
            pointer.withMemoryRebound(to: integer_t.self, capacity: Int(count)) {
                host_statistics64(mach_host_self(), HOST_VM_INFO64, $0, &count)
            }
        }
        guard result == KERN_SUCCESS else { return nil }
        return (Int(statistics.free_count) + Int(statistics.inactive_count)) * Int(getpagesize())
        #else
        let kibibytes = field("MemAvailable:", of: memoryInformation)?.split(separator: " ").first
        let machine = kibibytes.flatMap { Int($0) }.map { $0 * 1024 }
        guard let limit = cgroups.availableMemory() else { return machine }
        return min(machine ?? limit, limit)
        #endif
    }
}

/// A regular file, open for reading, closed at the end of its life.
private struct OpenFile: ~Copyable {
    let descriptor: Int32
    let byteCount: Int

    init(_ path: String) throws(LLMError) {
        // O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw LLMError(.inputOutput, "\(path) can't be opened: \(Platform.errorText())") }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size >= 0 else {
            close(descriptor)
            throw LLMError(.inputOutput, "\(path) is not a regular file")
        }
        self.descriptor = descriptor
        byteCount = Int(status.st_size)
    }

    deinit { close(descriptor) }
}

/// A file mapped into memory, read-only. The file must not be truncated while it is mapped: the system answers
/// a read past the new end with SIGBUS, which no check made here can prevent.
package struct MappedFile: ~Copyable {
    /// The file's bytes; the pointer is good as long as this value lives.
    package let bytes: UnsafeRawBufferPointer

    package init(_ path: String) throws(LLMError) {
        let file = try OpenFile(path)
        guard file.byteCount > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let address = mmap(nil, file.byteCount, PROT_READ, MAP_PRIVATE, file.descriptor, 0)
        guard let address, address != MAP_FAILED else {
            throw LLMError(.inputOutput, "\(path) can't be mapped into memory: \(Platform.errorText())")
        }
        bytes = UnsafeRawBufferPointer(start: address, count: file.byteCount)
    }

    deinit {
        if let address = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: address), bytes.count) }
    }
}

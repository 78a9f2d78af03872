// Platform: a file that the engine itself writes (traces) and a clock for it, behind `canImport` like everything that asks the system.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

extension Platform {
    /// Nanoseconds on a clock that never goes back.
    static func monotonicNanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// The same in seconds.
    package static func monotonicSeconds() -> Double { Double(monotonicNanoseconds()) * 1e-9 }

    /// Seconds since 1970, for people and protocols.
    package static func unixSeconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int(time.tv_sec)
    }
}

/// A new file, written to from one thread, closed at the end of its life. A write that fails ends the writing: a trace
/// must not end the run that it watches.
final class OutputFile {
    private let descriptor: Int32
    /// What the system said when a write failed.
    private(set) var failure: String?

    /// - Throws: ``LLMError`` when it can't be created.
    init(creating path: String) throws(LLMError) {
        descriptor = try Platform.create(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC)
    }

    deinit { close(descriptor) }

    func write(_ text: [UInt8]) {
        if failure == nil { failure = text.withUnsafeBytes { Platform.writeAll($0, to: descriptor) } }
    }
}

/// A file without a name, beside another one: what is written to it is read back once, and gone when the process is.
final class SpoolFile {
    private let descriptor: Int32
    /// What the system said when a write failed.
    private(set) var failure: String?

    /// - Throws: ``LLMError`` when it can't be created.
    init(beside path: String) throws(LLMError) {
        let name = "\(path).\(getpid()).spool"
        descriptor = try Platform.create(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC)
        unlink(name)
    }

    deinit { close(descriptor) }

    func write(_ bytes: UnsafeRawBufferPointer) {
        if failure == nil { failure = Platform.writeAll(bytes, to: descriptor) }
    }

    func rewind() { lseek(descriptor, 0, SEEK_SET) }

    /// How many bytes there were: fewer than fit only at the end, none behind it.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        Platform.readAll(into: buffer, from: descriptor)
    }
}

extension Platform {
    fileprivate static func create(_ path: String, _ flags: Int32) throws(LLMError) -> Int32 {
        #if canImport(Darwin)
        let descriptor = Darwin.open(path, flags, 0o644)
        #elseif canImport(Musl)
        let descriptor = Musl.open(path, flags, 0o644)
        #else
        let descriptor = Glibc.open(path, flags, 0o644)
        #endif
        guard descriptor >= 0 else {
            throw LLMError(.inputOutput, "\(path) can't be written: \(String(cString: strerror(errno)))")
        }
        return descriptor
    }

    /// How many bytes there were: fewer than fit only at the end, or when something failed.
    static func readAll(into buffer: UnsafeMutableRawBufferPointer, from descriptor: Int32) -> Int {
        var done = 0
        while done < buffer.count {
            #if canImport(Darwin)
            let count = Darwin.read(descriptor, buffer.baseAddress! + done, buffer.count - done)
            #elseif canImport(Musl)
            let count = Musl.read(descriptor, buffer.baseAddress! + done, buffer.count - done)
            #else
            let count = Glibc.read(descriptor, buffer.baseAddress! + done, buffer.count - done)
            #endif
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            done += count
        }
        return done
    }

    /// What the system said when something could not be written.
    static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> String? {
        var done = 0
        while done < bytes.count {
            #if canImport(Darwin)
            let count = Darwin.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
            #elseif canImport(Musl)
            let count = Musl.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
            #else
            let count = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
            #endif
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return String(cString: strerror(errno)) }
            done += count
        }
        return nil
    }
}

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
}

/// A new file, written to from one thread, closed at the end of its life. A write that fails ends the writing: a trace
/// must not end the run that it watches.
final class OutputFile {
    private let descriptor: Int32
    private var isBroken = false

    /// - Throws: ``LLMError`` when it can't be created.
    init(creating path: String) throws(LLMError) {
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw LLMError(.inputOutput, "\(path) can't be written: \(String(cString: strerror(errno)))")
        }
    }

    deinit { close(descriptor) }

    func write(_ text: [UInt8]) {
        text.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count && !isBroken {
                #if canImport(Darwin)
                    let count = Darwin.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
                #elseif canImport(Musl)
                    let count = Musl.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
                #else
                    let count = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
                #endif
                if count < 0 && errno == EINTR { continue }
                if count <= 0 { isBroken = true } else { done += count }
            }
        }
    }
}

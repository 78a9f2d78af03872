// File: an open file and the few system calls that the command makes on it.
// With Interrupts and Terminal, the only file of the command that calls the C library.
// Invariant: a failed call becomes an LLMError that names the file; nothing is retried but EINTR.

package import Swiftlet

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// An open file, closed with its last reference (the standard streams stay open).
package final class File: Sendable {
    package enum Mode: Sendable {
        case read
        /// A file that must not exist yet; it can be read back.
        case createNew
        /// A file that must exist, to look at or lock.
        case update
        /// A file that is made if it is not there; it can be read, and what is written goes to its end.
        case append
    }

    /// Tells whether two paths are the same file.
    package struct Identity: Hashable, Sendable {
        var device: UInt64
        var node: UInt64
    }

    package static let standardInput = File(0, name: "standard input")
    package static let standardOutput = File(1, name: "standard output")
    package static let standardError = File(2, name: "standard error")

    /// How messages call the file: its path.
    package let name: String
    private let descriptor: Int32
    private let closes: Bool

    private init(_ descriptor: Int32, name: String) {
        self.descriptor = descriptor
        self.name = name
        closes = false
    }

    package init(_ path: String, _ mode: Mode) throws(LLMError) {
        let flags =
            switch mode {
            case .read: O_RDONLY
            case .createNew: O_RDWR | O_CREAT | O_EXCL
            case .update: O_RDWR
            case .append: O_RDWR | O_CREAT | O_APPEND
            }
        descriptor = open(path, flags | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw File.failure("open", path) }
        name = path
        closes = true
    }

    deinit {
        if closes { close(descriptor) }
    }

    // MARK: Reading and writing

    /// Reads what is there, at most `buffer.count` bytes; 0 at the end.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(LLMError) -> Int {
        try retrying("read") { systemRead(descriptor, buffer) }
    }

    /// Reads exactly `buffer.count` bytes from `offset`.
    package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(LLMError) {
        var done = 0
        while done < buffer.count {
            let count = try retrying("read") {
                pread(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
            }
            if count == 0 { throw LLMError(.inputOutput, "\(name) is shorter than what was written to it") }
            done += count
        }
    }

    /// Writes all of `bytes`: one call, unless the system takes them in parts.
    package func write(_ bytes: [UInt8]) throws(LLMError) {
        var done = 0
        while done < bytes.count {
            done += try retrying("write") {
                bytes.withUnsafeBytes { systemWrite(descriptor, UnsafeRawBufferPointer(rebasing: $0[done...])) }
            }
        }
    }

    /// Waits until there is something to read, or for `milliseconds`.
    package func waitForInput(milliseconds: Int32) -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, milliseconds) > 0
    }

    /// Returns once the contents are on the disk.
    package func synchronize() throws(LLMError) {
        _ = try retrying("sync") { Int(fsync(descriptor)) }
    }

    /// Cuts the file off behind its first `size` bytes.
    package func truncate(to size: Int) throws(LLMError) {
        _ = try retrying("cut") { Int(ftruncate(descriptor, off_t(size))) }
    }

    /// Takes the lock that keeps a second run off this file; false when another one holds it.
    package func tryLock() -> Bool { flock(descriptor, LOCK_EX | LOCK_NB) == 0 }

    private func retrying(_ action: String, _ call: () -> Int) throws(LLMError) -> Int {
        while true {
            let result = call()
            if result >= 0 { return result }
            if errno != EINTR { throw File.failure(action, name) }
        }
    }

    // MARK: Facts

    package var isTerminal: Bool { isatty(descriptor) == 1 }

    private var status: stat? {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? status : nil
    }

    package var isRegular: Bool { status.map { $0.st_mode & S_IFMT == S_IFREG } ?? false }
    package var isDirectory: Bool { status.map { $0.st_mode & S_IFMT == S_IFDIR } ?? false }
    /// Bytes in a regular file; nil for pipes and terminals.
    package var size: Int? { isRegular ? status.map { Int($0.st_size) } : nil }
    package var identity: Identity? {
        status.map { Identity(device: UInt64($0.st_dev), node: UInt64($0.st_ino)) }
    }

    /// What lies at a path; nil when nothing does that can be read.
    package static func identity(of path: String) -> Identity? { (try? File(path, .read))?.identity }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
    package static func isWritableDirectory(_ path: String) -> Bool { access(path, W_OK | X_OK) == 0 }

    // MARK: Names

    package static func rename(_ old: String, to new: String) throws(LLMError) {
        if systemRename(old, new) != 0 { throw failure("rename", old) }
    }

    package static func remove(_ path: String) { _ = unlink(path) }

    /// Makes `contents` a file's, through a file beside it that is on the disk before it takes the name.
    package static func replace(_ path: String, with contents: [UInt8]) throws(LLMError) {
        let new = "\(path).new-\(processIdentifier)"
        remove(new)
        do {
            let file = try File(new, .createNew)
            try file.write(contents)
            try file.synchronize()
            try rename(new, to: path)
        } catch {
            remove(new)
            throw error
        }
        // The file is in place; that the folder can't be synchronised (some file systems refuse) takes nothing away.
        try? File(directory(of: path), .read).synchronize()
    }

    /// The folder that holds `path`.
    package static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    package static var processIdentifier: Int { Int(getpid()) }

    private static func failure(_ action: String, _ path: String) -> LLMError {
        let code = errno
        // A reader that went away is no error of ours: end as an ordinary filter does.
        if code == EPIPE { exit(128 + SIGPIPE) }
        return LLMError(.inputOutput, "can't \(action) \(path): \(String(cString: strerror(code)))")
    }
}

// The C functions whose names the class's own members hide.
private func systemRead(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
    read(descriptor, buffer.baseAddress!, buffer.count)
}
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    write(descriptor, bytes.baseAddress!, bytes.count)
}
private func systemRename(_ old: String, _ new: String) -> Int32 { rename(old, new) }

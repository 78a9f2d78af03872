// CacheFile: the calls to the operating system that filling the cache takes; the only file of this target with any.
// Invariant: a file that is written is never reached through a link in its last part.

#if Server
import Swiftlet

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A file of the cache that is open to be written or locked; closed at the end of its life.
final class CacheFile: Sendable {
    let path: String
    private let descriptor: Int32

    private init(_ path: String, flags: Int32) throws(LLMError) {
        self.path = path
        descriptor = open(path, flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0o666)
        guard descriptor >= 0 else { throw CacheFile.failure("written", path) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw LLMError(.inputOutput, "\(path) is in the way: it is not a file")
        }
    }

    deinit { close(descriptor) }

    /// Opens what an earlier download left, or a new file.
    static func partial(_ path: String) throws(LLMError) -> CacheFile { try CacheFile(path, flags: O_RDWR) }

    /// Opens a file that is there only to be locked; nil when another one has it locked, or has just removed it.
    ///
    /// The lock is flock's, on the same file that Hugging Face's tools lock, so that they wait for us and we for them.
    static func lock(_ path: String) throws(LLMError) -> CacheFile? {
        let file = try CacheFile(path, flags: O_RDWR)
        while flock(file.descriptor, LOCK_EX | LOCK_NB) != 0 {
            switch errno {
            case EINTR: continue
            case EWOULDBLOCK: return nil
            // A file system without locks: two downloads may do the same work, but neither can spoil it, since both
            // write the same bytes to the same places and check them.
            default: return file
            }
        }
        var status = stat()
        guard fstat(file.descriptor, &status) == 0, status.st_nlink > 0 else { return nil }
        return file
    }

    // MARK: Contents

    var size: Int {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? Int(status.st_size) : 0
    }

    func truncate() throws(LLMError) {
        guard ftruncate(descriptor, 0) == 0 else { throw CacheFile.failure("written", path) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(LLMError) {
        var done = 0
        while done < bytes.count {
            let count = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw CacheFile.failure("written", path) }
            done += count
        }
    }

    /// Reads what is there, at most `buffer.count` bytes; 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(LLMError) -> Int {
        while true {
            let count = pread(descriptor, buffer.baseAddress!, buffer.count, off_t(offset))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw CacheFile.failure("read", path) }
            return count
        }
    }

    /// Returns once the contents are on the disk.
    func synchronize() throws(LLMError) {
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw CacheFile.failure("written", path) }
    }

    private static func failure(_ action: String, _ path: String) -> LLMError {
        let code = errno
        if code == ENOSPC || code == EDQUOT { return diskFull(path) }
        return LLMError(.inputOutput, "\(path) can't be \(action): \(String(cString: strerror(code)))")
    }

    /// What the system says of an error's number.
    static func text(ofError number: Int32) -> String { String(cString: strerror(number)) }

    static func diskFull(_ path: String) -> LLMError {
        LLMError(.inputOutput, "no space is left for \(path); make room, or set HF_HOME to a folder on another disk")
    }
}

/// What is done with names in the cache.
enum CacheFolder {
    /// Makes a folder and those above it.
    static func make(_ path: String) throws(LLMError) {
        if Platform.kind(of: path) == .directory { return }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            let above = String(path[..<slash])
            if !above.isEmpty { try make(above) }
        }
        guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
            throw LLMError(.inputOutput, "the folder \(path) can't be made: \(String(cString: strerror(errno)))")
        }
        guard Platform.kind(of: path) == .directory else {
            throw LLMError(.inputOutput, "\(path) is in the way: it is not a folder")
        }
    }

    /// Whether a path is a link, whatever it leads to.
    static func isLink(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    /// What a link says; nil where there is none.
    static func target(of path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { readlink(path, $0.baseAddress!, $0.count) }
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// Bytes of a regular file, links followed; nil where there is none.
    static func size(of path: String) -> Int? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int(status.st_size)
    }

    /// Bytes that may still be written where a folder is; nil where that can't be found out.
    static func freeBytes(at path: String) -> Int? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        let (bytes, overflow) = Int(clamping: status.f_bavail).multipliedReportingOverflow(
            by: Int(clamping: status.f_frsize))
        return overflow ? Int.max : bytes
    }

    static func rename(_ old: String, to new: String) throws(LLMError) {
        guard systemRename(old, new) == 0 else {
            throw LLMError(.inputOutput, "\(old) can't be renamed: \(String(cString: strerror(errno)))")
        }
    }

    static func remove(_ path: String) { _ = unlink(path) }

    /// Puts a link in place of whatever has its name. Nobody ever finds the name missing.
    static func link(_ path: String, to target: String) throws(LLMError) {
        let new = temporaryName(path)
        guard symlink(target, new) == 0 else {
            let code = errno
            if code == ENOSPC || code == EDQUOT { throw CacheFile.diskFull(path) }
            throw LLMError(.inputOutput, "the link \(path) can't be made: \(String(cString: strerror(code)))")
        }
        do {
            try rename(new, to: path)
        } catch {
            remove(new)
            throw error
        }
    }

    /// Makes a text the contents of a file. Nobody ever finds half of it.
    static func replace(_ path: String, with text: String) throws(LLMError) {
        let new = temporaryName(path)
        do {
            let file = try CacheFile.partial(new)
            let bytes = Array(text.utf8)
            try bytes.span.bytes.withUnsafeBytes { (bytes) throws(LLMError) in try file.write(bytes, at: 0) }
            try file.synchronize()
            try rename(new, to: path)
        } catch {
            remove(new)
            throw error
        }
    }

    private static func temporaryName(_ path: String) -> String {
        "\(path).\(String(UInt32.random(in: .min ... .max), radix: 16)).tmp"
    }
}

// The C function whose name the enumeration's own member hides.
private func systemRename(_ old: String, _ new: String) -> Int32 { rename(old, new) }
#endif

// Platform: a folder that nobody but its owner can write to, for files that this process will trust later: machine code.
//
// Invariant: what is read was written by this user into a folder that was this user's alone, and a file is either whole
// or not there.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A folder of mode 0700 that belongs to this process's user. Held open: what is done goes to the folder that was
/// checked, whatever its path leads to by then.
package final class PrivateFolder: Sendable {
    package let path: String
    private let descriptor: Int32

    /// Makes it if need be, with the folders above it.
    ///
    /// - Throws: `inputOutput` when it can't be made, belongs to somebody else or lets others write.
    package init(_ path: String) throws(LLMError) {
        var made = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            made += "/" + part
            // Whatever it can't make shows in what follows.
            mkdir(made, 0o700)
        }
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw Self.error("\(path) can't be opened or made") }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            close(descriptor)
            throw Self.error("\(path) can't be looked at")
        }
        guard status.st_uid == geteuid(), status.st_mode & 0o077 == 0 else {
            close(descriptor)
            throw LLMError(
                .inputOutput,
                "\(path) has to belong to this user and be closed to others (mode 0700): code is kept there")
        }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    private static func error(_ what: String) -> LLMError {
        LLMError(.inputOutput, "\(what): \(String(cString: strerror(errno)))")
    }

    /// A file's bytes; nil when there is none, it is not this user's alone, or it has more than `limit`.
    package func read(_ name: String, limit: Int) -> [UInt8]? {
        let file = openat(descriptor, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(),
            status.st_mode & 0o022 == 0, status.st_size > 0, Int(status.st_size) <= limit
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let count = bytes.withUnsafeMutableBytes { Platform.readAll(into: $0, from: file) }
        return count == bytes.count ? bytes : nil
    }

    /// Writes a file as a whole: under another name, to the disk, and then under its own.
    ///
    /// - Throws: `inputOutput`; nothing of the file is left then.
    package func write(_ bytes: [UInt8], to name: String) throws(LLMError) {
        let temporary = ".\(name).\(getpid()).\(UInt32.random(in: .min ... .max))"
        let file = openat(descriptor, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw Self.error("\(path)/\(temporary) can't be made") }
        var failed = bytes.withUnsafeBytes { Platform.writeAll($0, to: file) }
        if failed == nil && fsync(file) != 0 { failed = String(cString: strerror(errno)) }
        close(file)
        if failed == nil && renameat(descriptor, temporary, descriptor, name) != 0 {
            failed = String(cString: strerror(errno))
        }
        guard let failed else { return }
        unlinkat(descriptor, temporary, 0)
        throw LLMError(.inputOutput, "\(path)/\(name) can't be written: \(failed)")
    }

    package func remove(_ name: String) { unlinkat(descriptor, name, 0) }

    /// Names, sizes and times of last change of its files, oldest first.
    package func files() -> [(name: String, byteCount: Int, seconds: Int)] {
        (Platform.listDirectory(path) ?? []).compactMap { name in
            var status = stat()
            guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0, status.st_mode & S_IFMT == S_IFREG
            else { return nil }
            #if canImport(Darwin)
            let seconds = Int(status.st_mtimespec.tv_sec)
            #else
            let seconds = Int(status.st_mtim.tv_sec)
            #endif
            return (name, Int(status.st_size), seconds)
        }.sorted { ($0.seconds, $0.name) < ($1.seconds, $1.name) }
    }
}

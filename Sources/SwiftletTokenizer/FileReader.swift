// Reads a whole file with plain libc calls.
// Owned by Tokenizer's file initializer.
// Invariant: never reads more than the limit, whatever the file's size claims to be.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

enum FileReader {
    static let maximumByteCount = 256 << 20

    static func read(_ path: String) throws(TokenizerError) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw TokenizerError("cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw TokenizerError("\(path) is not a regular file")
        }
        guard status.st_size <= maximumByteCount else {
            throw TokenizerError("\(path) is larger than the limit of \(maximumByteCount) bytes")
        }
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
            while count < buffer.count {
                let got = Self.readSome(file, into: UnsafeMutableRawBufferPointer(buffer), from: count)
                failed = got < 0
                if got <= 0 { return }
                count += got
            }
        }
        if failed { throw TokenizerError("cannot read \(path): \(String(cString: strerror(errno)))") }
        return bytes
    }

    /// One read that starts again when a signal interrupts it.
    private static func readSome(_ file: Int32, into buffer: UnsafeMutableRawBufferPointer, from start: Int) -> Int {
        while true {
            #if canImport(Glibc)
            let got = Glibc.read(file, buffer.baseAddress! + start, buffer.count - start)
            #elseif canImport(Musl)
            let got = Musl.read(file, buffer.baseAddress! + start, buffer.count - start)
            #else
            let got = Darwin.read(file, buffer.baseAddress! + start, buffer.count - start)
            #endif
            if got >= 0 || errno != EINTR { return got }
        }
    }
}

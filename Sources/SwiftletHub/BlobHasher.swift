// BlobHasher: the checksum of a file, computed while it comes.
// Invariant: what went in is what was written, in order, from the first byte.

#if Server
import Crypto

struct BlobHasher {
    private enum State {
        case sha256(SHA256)
        case git(Insecure.SHA1)
    }
    private var state: State

    /// - Parameter size: Of the whole file; git's checksum begins with it.
    init(for id: BlobID, size: Int) {
        switch id {
        case .sha256: state = .sha256(SHA256())
        case .git:
            // SHA-1 because that is what git has; nobody's safety rests on it: these files come from the hub itself.
            var hash = Insecure.SHA1()
            hash.update(data: Array("blob \(size)\0".utf8))
            state = .git(hash)
        }
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        switch state {
        case .sha256(var hash):
            hash.update(bufferPointer: bytes)
            state = .sha256(hash)
        case .git(var hash):
            hash.update(bufferPointer: bytes)
            state = .git(hash)
        }
    }

    func finalize() -> String {
        switch state {
        case .sha256(let hash): Self.hex(hash.finalize())
        case .git(let hash): Self.hex(hash.finalize())
        }
    }

    private static func hex(_ digest: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in digest { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        return String(decoding: text, as: UTF8.self)
    }
}
#endif

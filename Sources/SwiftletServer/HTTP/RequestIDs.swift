// RequestIDs: what a request is called in logs, headers and answers.

package enum RequestIDs {
    private static let digits = Array("0123456789abcdef".utf8)

    /// A new id: 32 hexadecimal digits.
    package static func make() -> String {
        var random = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(32)
        for _ in 0..<2 {
            var bits = random.next()
            for _ in 0..<16 {
                bytes.append(digits[Int(bits & 15)])
                bits >>= 4
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// An id from outside, if it is one that can go into logs and headers as it is.
    static func accepted(_ id: String?) -> String? {
        guard let id, (1...128).contains(id.utf8.count) else { return nil }
        let isPlain = id.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || "-_.:".utf8.contains(byte)
        }
        return isPlain ? id : nil
    }
}

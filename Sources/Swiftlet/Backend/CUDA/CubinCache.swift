// CubinCache: compiled kernels on disk, so that a second start does not compile, and which algorithms products take. A file
// is named by a hash of its key and holds the whole key: what is read was made of exactly the same source and options,
// whatever its name says.
//
// It is code, so the folder is this user's alone (PrivateFolder). Invariant: a file that is not whole, not this user's
// or of another key is as good as none; a cache that can't be written costs time and nothing else.

package struct CubinCache: Sendable {
    /// What a piece of code was made of.
    package struct Key: Sendable {
        let bytes: [UInt8]
        private let kind: String

        /// - Parameters:
        ///   - parts: Versions, options, names.
        ///   - texts: Sources.
        ///   - kind: Of a file: what its name ends with.
        package init(_ parts: [String], _ texts: [String], kind: String = "cubin") {
            self.kind = kind
            var bytes: [UInt8] = []
            for text in parts + texts {
                // With their lengths no two lists are written alike.
                bytes += Array("\(text.utf8.count):".utf8) + Array(text.utf8)
            }
            self.bytes = bytes
        }

        /// What its file is called.
        package var name: String {
            let hash = CubinCache.hash(bytes)
            func hex(_ word: UInt64) -> String {
                let digits = String(word, radix: 16)
                return String(repeating: "0", count: 16 - digits.count) + digits
            }
            return hex(UInt64(hash >> 64)) + hex(UInt64(truncatingIfNeeded: hash)) + "." + kind
        }
    }

    private static var magic: [UInt8] { Array("swiftlet cubin 1\n".utf8) }
    private static var mostFileBytes: Int { 64 << 20 }
    /// All files together; the oldest go first.
    private let mostBytes: Int
    private let folder: PrivateFolder

    /// - Throws: `inputOutput` when the folder can't be trusted.
    package init(_ path: String, mostBytes: Int = 256 << 20) throws(LLMError) {
        folder = try PrivateFolder(path)
        self.mostBytes = mostBytes
    }

    /// `cuda` in SWIFTLET_CACHE, else `swiftlet/cuda` in XDG_CACHE_HOME or ~/.cache; nil where there is no home either.
    package static func path(environment: (String) -> String? = { Platform.environment($0) }) -> String? {
        func folder(_ variable: String) -> String? { environment(variable).flatMap { $0.isEmpty ? nil : $0 } }
        if let own = folder("SWIFTLET_CACHE") { return own + "/cuda" }
        let caches = folder("XDG_CACHE_HOME") ?? folder("HOME").map { $0 + "/.cache" }
        return caches.map { $0 + "/swiftlet/cuda" }
    }

    /// The code of this key, if it is there.
    package func read(_ key: Key) -> [UInt8]? {
        guard let file = folder.read(key.name, limit: Self.mostFileBytes) else { return nil }
        // magic, length of the key, length of the code, key, code, hash of the code
        let head = Self.magic.count + 16
        guard file.count >= head + 16, Array(file.prefix(Self.magic.count)) == Self.magic else { return nil }
        let keyCount = Self.number(file, at: Self.magic.count)
        let codeCount = Self.number(file, at: Self.magic.count + 8)
        let rest = UInt64(file.count - head - 16)
        guard keyCount <= rest, codeCount == rest - keyCount, keyCount == UInt64(key.bytes.count) else { return nil }
        let middle = head + key.bytes.count
        guard file[head..<middle].elementsEqual(key.bytes) else { return nil }
        let code = Array(file[middle..<file.count - 16])
        let hash = Self.hash(code)
        guard Self.number(file, at: file.count - 16) == UInt64(truncatingIfNeeded: hash),
            Self.number(file, at: file.count - 8) == UInt64(hash >> 64)
        else { return nil }
        return code
    }

    /// Keeps the code, if there is room and the disk is willing.
    package func write(_ code: [UInt8], _ key: Key) {
        let hash = Self.hash(code)
        var file = Self.magic
        for number in [UInt64(key.bytes.count), UInt64(code.count)] { Self.append(number, to: &file) }
        file += key.bytes
        file += code
        Self.append(UInt64(truncatingIfNeeded: hash), to: &file)
        Self.append(UInt64(hash >> 64), to: &file)
        guard file.count <= min(Self.mostFileBytes, mostBytes) else { return }
        makeRoom(for: file.count)
        try? folder.write(file, to: key.name)
    }

    private func makeRoom(for bytes: Int) {
        let files = folder.files().filter { $0.name.hasSuffix(".cubin") || $0.name.hasSuffix(".algorithms") }
        var total = files.reduce(bytes) { $0 + $1.byteCount }
        for file in files where total > mostBytes {
            folder.remove(file.name)
            total -= file.byteCount
        }
    }

    // MARK: - Numbers

    private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
        for place in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: number >> (8 * UInt64(place)))) }
    }

    private static func number(_ bytes: [UInt8], at offset: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1)) }
    }

    /// FNV-1a of 128 bits: finds damage and names files; it is no defence against anyone.
    private static func hash(_ bytes: [UInt8]) -> UInt128 {
        bytes.reduce(0x6C62_272E_07BB_0142_62B8_2175_6295_C58D) { hash, byte in
            (hash ^ UInt128(byte)) &* 0x0000_0000_0100_0000_0000_0000_0000_013B
        }
    }
}

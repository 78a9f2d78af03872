// What tests of several targets share: a seeded generator, mutations of a text, reading files, the shared folder.
// Invariant: nothing here knows a path of a particular machine.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// SplitMix64: small, seeded, the same on every machine.
package struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

/// Changes a few bytes of a seed text: flips, overwrites, deletions, insertions, repeats of what is there.
package func mutated(_ seed: [UInt8], using random: inout SeededGenerator) -> [UInt8] {
    var bytes = seed
    for _ in 0..<Int.random(in: 1...6, using: &random) where !bytes.isEmpty {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 2: bytes.remove(at: place)
        case 3: bytes.insert(Array("\"\\{}[],:0-9eu".utf8).randomElement(using: &random) ?? 0, at: place)
        case 4:
            let end = min(bytes.count, place + Int.random(in: 1...40, using: &random))
            bytes.insert(contentsOf: bytes[place..<end], at: Int.random(in: 0...bytes.count, using: &random))
        default: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...40, using: &random)))
        }
    }
    return bytes
}

/// Reads a whole file, or nil.
package func readFile(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "rb") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes.append(contentsOf: chunk[..<count]) }
    return bytes
}

package enum TestFiles {
    /// The package's own folder.
    package static let package = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    /// The folder of reference outputs: SWIFTLET_SHARED, or `shared` beside the package.
    package static let golden: String? = {
        if let shared = getenv("SWIFTLET_SHARED") { return String(cString: shared) + "/golden" }
        let folder = package + "/../shared/golden"
        return access(folder, F_OK) == 0 ? folder : nil
    }()

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}

// What the tests of this target share: a seeded generator, the golden folder, reading files.
// Owned by this test target.
// Invariant: nothing here knows a path of a particular machine.

import SwiftletJSON

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// SplitMix64: small, seeded, the same on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

/// Changes a few bytes of a seed text: flips, overwrites, deletions, insertions, repeats of what is there.
func mutated(_ seed: [UInt8], using random: inout SeededGenerator) -> [UInt8] {
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
func readFile(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "rb") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes.append(contentsOf: chunk[..<count]) }
    return bytes
}

/// The folder of reference outputs: SWIFTLET_SHARED, or `shared` beside the package.
enum Golden {
    static let folder: String? = {
        if let shared = getenv("SWIFTLET_SHARED") { return String(cString: shared) + "/golden" }
        var parts = #filePath.split(separator: "/").map(String.init)
        while !parts.isEmpty {
            parts.removeLast()
            let root = "/" + parts.joined(separator: "/")
            if access(root + "/Package.swift", F_OK) == 0 {
                let folder = root + "/../shared/golden"
                return access(folder, F_OK) == 0 ? folder : nil
            }
        }
        return nil
    }()

    static var isPresent: Bool { folder.map { access($0 + "/tokenizers", F_OK) == 0 } ?? false }

    /// Names of the folders with a real tokenizer.json and its outputs.
    static let tokenizers = [
        "qwen3", "llama3", "gpt2", "llama2", "mistral-v0.3", "phi-3-mini", "phi-4", "pythia", "deepseek-v4",
    ]
    /// Names of the tiny checkpoints, each with a tokenizer.json.
    static let models = [
        "qwen3-tied", "qwen2", "llama3", "mistral-sliding", "qwen3-moe", "gemma3", "stories260K", "babyllama-105",
    ]

    static func tokenizerPath(_ name: String) -> String { (folder ?? "") + "/tokenizers/\(name)/tokenizer.json" }

    /// The lines of a tokenizer's golden.jsonl.
    static func lines(_ name: String) throws -> [JSONValue] {
        let bytes = readFile((folder ?? "") + "/tokenizers/\(name)/golden.jsonl") ?? []
        return try bytes.split(separator: UInt8(ascii: "\n")).map { try JSONDocument(parsing: Array($0)).root }
    }
}

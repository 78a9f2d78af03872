// What the loader's tests share: safetensors files made by hand, temporary directories, a seeded generator, and the
// folder of golden data. Nothing here is read by the engine.

import Foundation
import Swiftlet
import Testing

/// SplitMix64: the same numbers from the same seed on every machine.
struct LoaderRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

enum LoaderFixtures {
    struct Entry {
        var name: String
        var dtype: String
        var shape: [Int]
        var bytes: [UInt8]

        init(_ name: String, _ dtype: String, _ shape: [Int], _ bytes: [UInt8]) {
            (self.name, self.dtype, self.shape, self.bytes) = (name, dtype, shape, bytes)
        }

        /// float32 elements 0, 1, 2, …
        init(counting name: String, _ shape: [Int]) {
            let count = shape.reduce(1, *)
            let bytes = (0..<count).flatMap { index in
                withUnsafeBytes(of: Float(index).bitPattern.littleEndian) { Array($0) }
            }
            self.init(name, "F32", shape, bytes)
        }
    }

    /// A file from a header and its data, whatever they say.
    static func file(header: String, data: [UInt8] = []) -> [UInt8] {
        let text = Array(header.utf8)
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text + data
    }

    /// A well-formed file.
    static func file(_ entries: [Entry], metadata: Bool = false) -> [UInt8] {
        var offset = 0
        var members = metadata ? [#""__metadata__":{"format":"pt"}"#] : []
        for entry in entries {
            let end = offset + entry.bytes.count
            members.append(
                #""\#(entry.name)":{"dtype":"\#(entry.dtype)","shape":\#(entry.shape),"#
                    + #""data_offsets":[\#(offset),\#(end)]}"#)
            offset = end
        }
        // Writers pad the header with spaces, so that the data is aligned.
        var header = "{" + members.joined(separator: ",") + "}"
        while header.utf8.count % 8 != 0 { header += " " }
        return file(header: header, data: entries.flatMap(\.bytes))
    }

    static func open(_ bytes: [UInt8], _ body: (Safetensors) throws -> Void) throws {
        try bytes.withUnsafeBytes { try body(Safetensors(bytes: $0, name: "test.safetensors")) }
    }

    static func message(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch {
            return (error as? LLMError)?.message
        }
    }

    static func code(_ body: () throws -> Void) -> LLMError.Code? {
        do {
            try body()
            return nil
        } catch {
            return (error as? LLMError)?.code
        }
    }

    /// Runs `body` with an empty directory that is removed afterwards.
    static func withDirectory<R>(_ body: (_ path: String) throws -> R) throws -> R {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("swiftlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: url) }
        return try body(url.path)
    }

    static func write(_ bytes: [UInt8], _ path: String) throws {
        try FileManager.default.createDirectory(
            at: URL(fileURLWithPath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    static func write(_ text: String, _ path: String) throws { try write(Array(text.utf8), path) }

    /// The package's directory.
    static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Golden models, or nil on machines that don't have them.
    static let goldenModels: URL? = {
        let shared =
            ProcessInfo.processInfo.environment["SWIFTLET_SHARED"].map { URL(fileURLWithPath: $0) }
            ?? package.deletingLastPathComponent().appendingPathComponent("shared")
        let models = shared.appendingPathComponent("golden/models")
        return FileManager.default.fileExists(atPath: models.path) ? models : nil
    }()

    /// Bytes with a few random changes: flipped bits, cut, repeated or swapped pieces, numbers blown up.
    static func mutated(_ original: [UInt8], using random: inout LoaderRandom) -> [UInt8] {
        var bytes = original
        let tokens = ["\"", "{", "}", "[", "]", ",", ":", "-1", "9223372036854775807", "1e308", "null", "\\u0000", "0"]
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let position = Int.random(in: 0..<bytes.count, using: &random)
            let length = min(Int.random(in: 1...12, using: &random), bytes.count - position)
            let piece = position..<position + length
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes.removeSubrange(piece)
            case 2: bytes.insert(contentsOf: Array(bytes[piece]), at: position)
            case 3: bytes.replaceSubrange(piece, with: Array(tokens.randomElement(using: &random)!.utf8))
            case 4: bytes.removeSubrange(position...)
            default: bytes[position] = UInt8.random(in: 0...255, using: &random)
            }
        }
        return bytes
    }
}

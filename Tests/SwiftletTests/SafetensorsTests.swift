// Safetensors: what is read is what was written, and everything that lies is refused with a message that says how.

import Foundation
import Swiftlet
import SwiftletTestSupport
import Testing

@Suite struct SafetensorsTests {
    typealias Entry = LoaderFixtures.Entry

    private func refusal(_ bytes: [UInt8]) -> String? {
        LoaderFixtures.message { try LoaderFixtures.open(bytes) { _ in } }
    }

    private func refusal(header: String, data: Int = 0) -> String? {
        refusal(LoaderFixtures.file(header: header, data: [UInt8](repeating: 0, count: data)))
    }

    @Test func readsTensors() throws {
        let file = LoaderFixtures.file(
            [
                Entry(counting: "a", [2, 3]), Entry("empty", "F32", [0, 5], []), Entry("b", "BF16", [2], [1, 2, 3, 4]),
                Entry("scalar", "F16", [], [7, 8]), Entry("four", "F4", [4], [1, 2]),
            ], metadata: true)
        try LoaderFixtures.open(file) { tensors in
            #expect(Set(tensors.tensors.keys) == ["a", "b", "empty", "scalar", "four"])
            let a = try #require(tensors.tensors["a"])
            #expect(a.shape == [2, 3] && a.type == .float32)
            let values = tensors.withBytes(of: a) { bytes in
                (0..<6).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
            }
            #expect(values == [0, 1, 2, 3, 4, 5])
            #expect(tensors.withBytes(of: try #require(tensors.tensors["b"])) { Array($0) } == [1, 2, 3, 4])
            #expect(tensors.withBytes(of: try #require(tensors.tensors["scalar"])) { Array($0) } == [7, 8])
            #expect(tensors.withBytes(of: try #require(tensors.tensors["empty"])) { $0.count } == 0)
        }
    }

    @Test func acceptsAFileWithoutTensors() throws {
        try LoaderFixtures.open(LoaderFixtures.file(header: "{}")) { #expect($0.tensors.isEmpty) }
    }

    @Test func mapsAndUnmapsFiles() throws {
        try LoaderFixtures.withDirectory { directory in
            let path = directory + "/model.safetensors"
            try LoaderFixtures.write(LoaderFixtures.file([Entry(counting: "a", [1000])]), path)
            for _ in 0..<2000 {
                let tensors = try Safetensors(path: path)
                let last = tensors.withBytes(of: try #require(tensors.tensors["a"])) { bytes in
                    bytes.loadUnaligned(fromByteOffset: 999 * 4, as: Float.self)
                }
                #expect(last == 999)
            }
            #if os(Linux)
            // Not one of the 2,000 mappings is left.
            let maps = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8)
            #expect(!maps.contains(directory))
            #endif
        }
    }

    @Test func everyTruncationIsAnError() throws {
        let file = LoaderFixtures.file([Entry(counting: "a", [4]), Entry(counting: "b", [3])])
        try LoaderFixtures.withDirectory { directory in
            for count in 0..<file.count {
                let cut = Array(file.prefix(count))
                #expect(refusal(cut) != nil, "\(count) of \(file.count) bytes were accepted")
                guard count % 16 == 0 else { continue }
                try LoaderFixtures.write(cut, directory + "/cut")
                #expect(LoaderFixtures.code { _ = try Safetensors(path: directory + "/cut") } == .invalidModel)
            }
        }
        #expect(
            refusal([1, 2, 3])
                == "test.safetensors: the file has 3 bytes and is no safetensors file; it may be truncated")
        #expect(
            refusal(Array(file.prefix(40)))?.hasSuffix("but the file has 40 in all; it is truncated") == true)
        #expect(
            refusal(Array(file.dropLast()))
                == "test.safetensors: tensor b ends at byte 28 of the data, which has 27; the file is truncated or lies"
        )
    }

    @Test func absurdHeaderLengthsAreRefused() {
        let huge = [UInt8](repeating: 0xFF, count: 8) + [UInt8](repeating: 0, count: 100)
        #expect(refusal(huge)?.contains("claims 18446744073709551615 bytes; at most 100000000") == true)
        #expect(refusal(header: "not json")?.contains("not valid JSON") == true)
        #expect(refusal(header: "[1, 2]")?.contains("not a JSON object") == true)
        #expect(refusal(header: String(repeating: "[", count: 100_000))?.contains("not valid JSON") == true)
    }

    @Test(arguments: [
        (#"{"a":{"shape":[1],"data_offsets":[0,4]}}"#, "tensor a has no dtype"),
        (#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, "tensor a has the unknown dtype F33"),
        (#"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#, "tensor a has no shape of non-negative integers"),
        (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, "tensor a has no shape of non-negative integers"),
        (#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#, "tensor a has no shape of non-negative"),
        (#"{"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}"#, "tensor a has no shape of non-negative integers"),
        (#"{"a":{"dtype":"F32","shape":[1]}}"#, "tensor a has no data_offsets"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, "tensor a has no data_offsets"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, "tensor a has no data_offsets"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}"#, "tensor a has no data_offsets"),
        (
            #"{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}"#,
            "tensor a ends at byte 36 of the data, which has 8"
        ),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[9223372036854775803,9223372036854775807]}}"#,
            "ends at byte 9223372036854775807"
        ),
        (
            #"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#,
            "tensor a has the absurd shape [4294967296, 4294967296]"
        ),
        (
            #"{"a":{"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,8]}}"#,
            "tensor a has the absurd shape [9223372036854775807]"
        ),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#,
            "tensor a of shape [1] and dtype F32 needs 4 bytes; its data_offsets give 8"
        ),
        (#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#, "tensor a has the absurd shape [3]"),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            "tensor b overlaps tensor a"
        ),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
            "overlaps"
        ),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, "4 bytes before tensor a belong to no tensor"),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            "4 bytes at the end of the file belong to no tensor"
        ),
        (#"{}"#, "8 bytes at the end of the file belong to no tensor"),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
            "not valid JSON"
        ),
        (#"{"a":[1]}"#, "tensor a has no dtype"),
    ])
    func liesAreRefused(header: String, expected: String) {
        let message = refusal(header: header, data: 8)
        #expect(
            message?.hasPrefix("test.safetensors: ") == true && message?.contains(expected) == true,
            "\(message ?? "accepted")")
    }

    @Test func filesThatCantBeReadAreErrors() throws {
        try LoaderFixtures.withDirectory { directory in
            let missing = LoaderFixtures.message { _ = try Safetensors(path: directory + "/none") }
            #expect(missing == "\(directory)/none can't be opened: No such file or directory")
            let folder = LoaderFixtures.message { _ = try Safetensors(path: directory) }
            #expect(folder == "\(directory) is not a regular file")
            let fifo = directory + "/fifo"
            #expect(mkfifo(fifo, 0o600) == 0)
            // Would wait for a writer for ever if it were simply opened.
            #expect(LoaderFixtures.message { _ = try Safetensors(path: fifo) } == "\(fifo) is not a regular file")
            try LoaderFixtures.write([], directory + "/empty")
            #expect(LoaderFixtures.code { _ = try Safetensors(path: directory + "/empty") } == .invalidModel)
        }
    }

    /// Mutated files: an error or tensors that can be read to the last byte.
    @Test(.timeLimit(.minutes(FuzzRun.limitInMinutes))) func mutatedFilesNeverCrash() throws {
        let entries = [
            Entry(counting: "model.layers.0.self_attn.q_proj.weight", [4, 3]), Entry("empty", "BF16", [0], []),
            Entry("b", "BF16", [2, 2], [1, 2, 3, 4, 5, 6, 7, 8]), Entry("c", "U8", [3], [1, 2, 3]),
        ]
        let original = LoaderFixtures.file(entries, metadata: true)
        let headerEnd = 8 + Int(original[0]) + Int(original[1]) << 8
        let run = FuzzRun(seconds: 5, seed: 20_261_123)
        var random = LoaderRandom(seed: run.seed)
        var (accepted, refused) = (0, 0)
        while run.goesOn {
            for _ in 0..<200 {
                var bytes = LoaderFixtures.mutated(original, using: &random)
                if Bool.random(using: &random) {
                    // Keep the length right, so that what is mutated is reached.
                    let header = LoaderFixtures.mutated(Array(original[8..<headerEnd]), using: &random)
                    bytes = LoaderFixtures.file(
                        header: String(decoding: header, as: UTF8.self), data: Array(original[headerEnd...]))
                }
                do {
                    try LoaderFixtures.open(bytes) { file in
                        for description in file.tensors.values {
                            let sum = file.withBytes(of: description) { $0.reduce(0) { $0 &+ Int($1) } }
                            try #require(sum >= 0, "seed \(run.seed)")
                        }
                    }
                    accepted += 1
                } catch let error as LLMError {
                    try #require(error.code == .invalidModel, "seed \(run.seed)")
                    refused += 1
                }
            }
        }
        #expect(accepted > 0 && refused > 1000, "accepted \(accepted), refused \(refused)")
    }
}

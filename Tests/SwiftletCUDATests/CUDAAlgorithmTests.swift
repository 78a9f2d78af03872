// Which algorithms products take is kept on disk: a second start does not try them again, and a wrong entry breaks nothing.

import CSwiftletCUDAEmulator
import Swiftlet
import SwiftletTestSupport
import SwiftletTokenizer
import Synchronization
import Testing

/// The emulated libraries, with cublasLt's proposals counted.
private enum CountingLibrary {
    static let proposals = Atomic<Int>(0)

    static let libraries = CUDALibraries { name in
        name == "cublasLtMatmulAlgoGetHeuristic"
            ? unsafeBitCast(propose, to: UnsafeMutableRawPointer.self) : swiftlet_emulated_symbol(name)
    }

    private typealias Pointer = UnsafeMutableRawPointer
    private typealias Propose =
        @convention(c) (
            Pointer?, Pointer?, Pointer?, Pointer?, Pointer?, Pointer?, Pointer?, Int32, Pointer?, Pointer?
        ) -> Int32

    private static let propose: Propose = { a, b, c, d, e, f, g, count, results, found in
        CountingLibrary.proposals.add(1, ordering: .relaxed)
        let real = unsafeBitCast(swiftlet_emulated_symbol("cublasLtMatmulAlgoGetHeuristic"), to: Propose.self)
        return real(a, b, c, d, e, f, g, count, results, found)
    }
}

extension CUDATests {
    @Suite("Algorithms on disk", .serialized)
    struct AlgorithmTests {
        private let folder: TemporaryFolder
        private let model: String
        private let kernels: String

        init() throws {
            folder = try TemporaryFolder()
            model = try Emulated.writeModel(in: folder)
            kernels = folder.path + "/kernels"
        }

        /// The tokens of a few decodes of 16 rows, and how often the library was asked for algorithms.
        private func run() throws -> (tokens: [[TokenID]], proposals: Int) {
            CountingLibrary.proposals.store(0, ordering: .relaxed)
            let config = Emulated.small(.float32, sequences: 12, dummySeed: 6)
            let (engine, loaded) = try Emulated.loader(model, config, cubins: kernels).load(CountingLibrary.libraries)
            let requests = (0..<12).map { (prompt: prompt(2, seed: UInt64($0)), params: SamplingParams.greedy(3)) }
            let tokens = try Driven(engine, loaded).outputs(requests).map { $0.tokens[0] }
            return (tokens, CountingLibrary.proposals.load(ordering: .relaxed))
        }

        private var files: [String] {
            (Platform.listDirectory(kernels) ?? []).filter { $0.hasSuffix(".algorithms") }.map { kernels + "/" + $0 }
        }

        @Test("A second start takes those of the first; damaged and impossible ones are tried anew")
        func kept() throws {
            let first = try run()
            let file = try #require(files.first)
            let kept = try #require(readFile(file))
            let second = try run()
            #expect(files.count == 1 && first.proposals > second.proposals && second.tokens == first.tokens)

            // Damage, which the hash shows: nothing of it is used.
            var damaged = kept
            damaged[damaged.count / 2] ^= 1
            try write(damaged, file)
            #expect(try run() == first)
            #expect(try run() == second)

            // A whole file of algorithms that the library does not have.
            try write(foreign(kept), file)
            #expect(try run() == first)
            #expect(try run() == second)
        }

        /// The same entries with other algorithms: those of the emulated library are numbered 1 and 2. The file: 17 bytes,
        /// the lengths of key and entries, these, and a hash of the entries (FNV-1a).
        private func foreign(_ file: [UInt8]) -> [UInt8] {
            let keyCount = Int(file[17]) + Int(file[18]) << 8
            let begin = 17 + 16 + keyCount
            var entries = Array(file[begin..<file.count - 16])
            for at in stride(from: 40, to: entries.count, by: 104) { entries[at] = 77 }
            let hash: UInt128 = entries.reduce(0x6C62_272E_07BB_0142_62B8_2175_6295_C58D) {
                ($0 ^ UInt128($1)) &* 0x0000_0000_0100_0000_0000_0000_0000_013B
            }
            return file[..<begin] + entries + (0..<16).map { UInt8(truncatingIfNeeded: hash >> (8 * UInt128($0))) }
        }

        private func write(_ bytes: [UInt8], _ path: String) throws {
            let folder = try PrivateFolder(kernels)
            try folder.write(bytes, to: String(path.split(separator: "/").last!))
        }
    }
}

private func == (a: (tokens: [[TokenID]], proposals: Int), b: (tokens: [[TokenID]], proposals: Int)) -> Bool {
    a.tokens == b.tokens && a.proposals == b.proposals
}

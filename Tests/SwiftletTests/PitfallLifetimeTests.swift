// The pitfalls of engines that come and go, and of slow paths that nobody mentions. Each test is named after its number.

import CSwiftletKernels
import Foundation
import Logging
import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Pitfalls: life and start", .serialized)
struct PitfallLifetimeTests {
    let folder = DummyModel.folder(DummyModel.qwen3)

    static func config(threads: Int = 3) -> EngineConfig {
        EngineConfig(
            dtype: .float32, blockSize: 16, kvCache: .blocks(64), threads: threads, seed: 1, loadFormat: .dummy)
    }

    struct Footprint {
        var threads = 0
        var files = 0
        var mappings = 0
        var residentMebibytes = 0

        static var now: Footprint {
            func count(_ path: String) -> Int { Platform.listDirectory(path)?.count ?? 0 }
            func text(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
            let status = text("/proc/self/status").split(separator: "\n")
            let resident = status.first { $0.hasPrefix("VmRSS:") }?.split(separator: " ").dropLast().last
            return Footprint(
                threads: count("/proc/self/task"), files: count("/proc/self/fd"),
                mappings: text("/proc/self/maps").split(separator: "\n").count,
                residentMebibytes: (resident.flatMap { Int($0) } ?? 0) >> 10)
        }
    }

    @Test(
        "A28: a hundred engines come and go and leave nothing",
        .enabled(if: Platform.listDirectory("/proc/self/task") != nil, "counting needs /proc"))
    func a28HundredEngines() async throws {
        // Weights of 6 MiB each, so that a hundred of them are seen.
        let config = DummyModel.qwen3.replacing("\"vocab_size\": 331", with: "\"vocab_size\": 20000")
        let folder = DummyModel.folder(config)
        let params = SamplingParams(temperature: 0, maxTokens: 2, ignoreEOS: true)
        func oneEngine(_ index: Int) async throws {
            let llm = try await LLM.quiet(folder.path, Self.config())
            let output = try await llm.generate([.tokens([1, 2, 3])], params)[0]
            #expect(output.tokenIDs.count == 2)
            // By shutdown, by dropping an idle engine, and by dropping one that works.
            if index % 3 == 0 { await llm.shutdown() }
            if index % 3 == 1 { _ = llm.stream(.tokens([4, 5]), SamplingParams(maxTokens: 400)) }
        }
        for index in 0..<3 { try await oneEngine(index) }
        let before = Footprint.now
        for index in 0..<100 { try await oneEngine(index) }
        // Other tests run at the same time with engines of their own: a few, not hundreds.
        var after = Footprint.now
        for _ in 0..<500 where after.threads > before.threads + 40 || after.mappings > before.mappings + 150 {
            try await Task.sleep(for: .milliseconds(10))
            after = Footprint.now
        }
        #expect(after.threads <= before.threads + 40, "\(before) \(after)")
        #expect(after.files <= before.files + 40, "\(before) \(after)")
        #expect(after.mappings <= before.mappings + 150, "\(before) \(after)")
        #expect(after.residentMebibytes <= before.residentMebibytes + 350, "\(before) \(after)")
    }

    @Test("A28: the handle is released by its last owner, and shutdown returns however often it is called")
    func a28Release() async throws {
        weak var released: LLM?
        do {
            let llm = try await LLM.quiet(folder.path, Self.config(threads: 1))
            released = llm
            // A stream keeps its engine alive on its own.
            var iterator = llm.stream(.tokens([1, 2]), SamplingParams(temperature: 0, maxTokens: 3, ignoreEOS: true))
                .makeAsyncIterator()
            #expect(try await iterator.next() != nil)
        }
        #expect(released == nil)
        let llm = try await LLM.endless()
        let stream = llm.stream(.tokens([1, 2]), .endless)
        async let first: Void = llm.shutdown()
        async let second: Void = llm.shutdown()
        _ = await (first, second)
        await llm.shutdown()
        #expect(llm.statistics.usedBlocks == 0 && llm.statistics.runningSequences == 0)
        let error = await #expect(throws: LLMError.self) { try await stream.collect() }
        #expect(error?.code == .engineFailed)
    }

    @Test("A stream outlives the handle that made it")
    func streamOutlivesHandle() async throws {
        let stream: TokenStream
        do {
            let llm = try await LLM.quiet(folder.path, Self.config(threads: 1))
            stream = llm.stream(.tokens([1, 2]), SamplingParams(temperature: 0, maxTokens: 300, ignoreEOS: true))
        }
        #expect(try await stream.collect().tokenIDs.count == 300)
    }

    @Test("A32: one line at start names kernels, threads and KV cache, and slow levels are warned of")
    func a32StartIsSaid() async throws {
        let levels = CPUBackend.supportedLevels.map { String(cString: swiftlet_level_name($0)) }
        for level in levels {
            for dtype in [EngineConfig.DataType.float32, .bfloat16] {
                let recorder = LogRecorder()
                var config = Self.config(threads: 2)
                (config.cpuLevel, config.dtype) = (level, dtype)
                let llm = try await LLM(folder.path, config: config, logger: recorder.logger)
                let info = recorder.messages(.info)
                #expect(info == [llm.summary])
                for part in ["qwen3", dtype.rawValue, "kernels \(level),", "2 threads", "KV cache 1024 tokens"] {
                    #expect(llm.summary.contains(part), "\(llm.summary) lacks \(part)")
                }
                let warnings = recorder.messages(.warning).filter { !$0.contains("tokenizer.json") }
                let isEmulated = dtype == .bfloat16 && level != "avx512bf16"
                let isSlow = level == "portable" || isEmulated && level != levels.first
                #expect(warnings.count == (isSlow ? 1 : 0))
                #expect(warnings.allSatisfy { $0.contains(level) })
                await llm.shutdown()
            }
        }
    }
}

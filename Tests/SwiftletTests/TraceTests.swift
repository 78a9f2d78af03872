// A trace is a valid Chrome trace of what ran, and watching changes nothing.

import Logging
import Swiftlet
import SwiftletJSON
import SwiftletTokenizer
import Testing

@Suite("Trace", .serialized)
struct TraceTests {
    @Test("A traced run gives the same tokens and a valid trace of every step")
    func tracedRun() async throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/trace.json"
        var config = EngineConfig(maxBatchedTokens: 32, kvCache: .blocks(16), threads: 2, seed: 1)
        let prompts: [Prompt] = ["Once upon a time", .tokens((0..<100).map { TokenID($0) })]
        let params = SamplingParams(temperature: 0.7, seed: 3, maxTokens: 12, ignoreEOS: true)

        let plain = try await LLM.quiet(nil, config)
        let expected = try await plain.generate(prompts, params)
        await plain.shutdown()
        config.traceFile = path
        let traced = try await LLM.quiet(nil, config)
        #expect(try await traced.generate(prompts, params).map(\.choices) == expected.map(\.choices))
        let steps = traced.statistics.steps
        await traced.shutdown()

        let events = try Array(Shared.json(path)["traceEvents"]!.elements)
        func count(_ name: String) -> Int { events.count { $0["name"]?.string == name } }
        #expect(count("schedule") >= steps && count("forward and sample") >= steps && count("embed") >= steps)
        #expect(count("batch tokens") >= 2 && count("blocks used") >= 2 && count("running sequences") >= 2)
        #expect(count("attention") == 5 * count("embed") && count("linear") >= 5 * count("embed"))
        for event in events where event["ph"]?.string == "X" { #expect(event["dur"]!.double! >= 0) }
    }

    @Test("Records over many blocks and a pause longer than a word can say come out whole and in order")
    func manyRecords() async throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/trace.json"
        let count = 3 * TraceRecorder.blockWords
        try await Self.record(count, to: path)
        let events = try Array(Shared.json(path)["traceEvents"]!.elements)
        let spans = events.filter { $0["ph"]?.string == "X" }
        #expect(spans.count == count + 1)
        #expect(spans.dropLast().enumerated().allSatisfy { $1["args"]!["rows"]!.double == Double($0 / 7) })
        #expect(spans.last!["dur"]!.double! >= 200_000 && spans.last!["args"]!["rows"]!.double == Double(1 << 20))
        let times = events.map { $0["ts"]!.double! }
        #expect(times == times.sorted())
        #expect(events.contains { $0["args"]!["value"]?.double == Double(1 << 40) })
    }

    private static func record(_ count: Int, to path: String) async throws {
        let recorder = try TraceRecorder(path: path, logger: Logger(label: "test"))
        recorder.mark()
        for index in 0..<count { recorder.record(.linear, rows: index / 7) }
        try await Task.sleep(for: .milliseconds(200))
        recorder.record(.attention, rows: 1 << 20)
        var statistics = EngineStatistics()
        statistics.prefixCacheHits = 1 << 40
        recorder.record(statistics, batchTokens: 5)
    }

    @Test("A trace that can't be written is refused before anything is loaded")
    func unwritable() async {
        let config = EngineConfig(kvCache: .blocks(16), traceFile: "/nonexistent/trace.json")
        await #expect(throws: LLMError.self) { try await LLM.quiet(nil, config) }
    }
}

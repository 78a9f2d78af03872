// A trace is a valid Chrome trace of what ran, and watching changes nothing.

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

    @Test("A trace that can't be written is refused before anything is loaded")
    func unwritable() async {
        let config = EngineConfig(kvCache: .blocks(16), traceFile: "/nonexistent/trace.json")
        await #expect(throws: LLMError.self) { try await LLM.quiet(nil, config) }
    }
}

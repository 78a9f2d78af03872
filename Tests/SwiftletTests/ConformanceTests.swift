// The forward pass and the engine against Hugging Face transformers, on tiny checkpoints that the repository keeps, so
// that a clone with nothing beside it checks them too. Shapes are those that kernels get wrong: odd vocabularies, seven
// query heads to one key head, heads of 24 and 40, windows, stretched rope, biases, shards, float16.
// Made by Tools/conformance/make_models.py --fixtures; its larger matrix of shapes is run by Tools/conformance/compare.py.

import CSwiftletKernels
import Foundation
import Swiftlet
import SwiftletJSON
import Testing

@Suite("Conformance with transformers", .serialized)
struct ConformanceTests {
    static let names = [
        "tiny-qwen3-7to1-d24", "tiny-qwen2-f16", "tiny-llama-yarn", "tiny-llama-linear-biases", "tiny-mistral-window",
        "tiny-qwen3-window-types", "tiny-gemma2", "tiny-gemma3-vision", "tiny-phi3-longrope", "tiny-smollm3",
        "tiny-olmo2", "tiny-olmo3", "tiny-qwen3-moe-mixed", "tiny-qwen3-moe-fused",
    ]

    @Test("float32 logits within 1e-4, at every level, in one chunk and in many", arguments: names)
    func float32Logits(name: String) throws {
        let cases = try Self.cases(name)
        for level in CPUBackend.supportedLevels {
            let harness = try ModelHarness(Self.folder(name), level: String(cString: swiftlet_level_name(level)))
            for testCase in cases {
                let (prompt, expected) = (testCase["prompt_ids"]!.ids, testCase["last_logits"]!.floats)
                #expect(relativeDistance(harness.lastLogits(prompt), expected) < 1e-4)
                #expect(relativeDistance(harness.lastLogits(prompt, chunk: 13), expected) < 1e-4)
            }
        }
    }

    @Test("bfloat16 logits within 3e-2, at every level", arguments: names)
    func bfloat16Logits(name: String) throws {
        let cases = try Self.cases(name)
        for level in CPUBackend.supportedLevels {
            let harness = try ModelHarness(
                Self.folder(name), dtype: SWIFTLET_BFLOAT16, level: String(cString: swiftlet_level_name(level)))
            for testCase in cases {
                let logits = harness.lastLogits(testCase["prompt_ids"]!.ids)
                #expect(relativeDistance(logits, testCase["last_logits"]!.floats) < 3e-2)
            }
        }
    }

    @Test("prompt logprobs within 1e-3 and greedy ids, through the engine", arguments: names)
    func engine(name: String) async throws {
        let cases = try Self.cases(name)
        let llm = try await LLM(
            Self.folder(name), config: EngineConfig(dtype: .float32, kvCache: .bytes(16 << 20), threads: 2))
        let outputs = try await llm.generate(
            cases.map { Prompt.tokens($0["prompt_ids"]!.ids) },
            SamplingParams(temperature: 0, maxTokens: 8, ignoreEOS: true, promptLogprobs: 0))
        var compared = 0
        for (testCase, output) in zip(cases, outputs) {
            let expected = testCase["prompt_logprobs"]!.floats
            let actual = try #require(output.promptLogprobs)
            #expect(actual.count == expected.count + 1)
            let differences = try zip(actual.dropFirst(), expected).map { abs(try #require($0).logprob - $1) }
            #expect(differences.allSatisfy { $0 < 1e-3 })
            for (step, token) in testCase["greedy"]!.elements.enumerated() {
                guard token["margin"]!.double! > 1e-3 else { break }
                #expect(output.tokenIDs[step] == Int32(token["id"]!.int!))
                compared += 1
            }
        }
        #expect(compared > 8)
        await llm.shutdown()
    }

    static func folder(_ name: String) -> String {
        LoaderFixtures.package.appendingPathComponent("Tests/Fixtures/models/\(name)").path
    }

    static func cases(_ name: String) throws -> [JSONValue] {
        let cases = try Array(#require(Shared.json(folder(name) + "/golden.json")["cases"]).elements)
        try #require(cases.count == 3)
        return cases
    }
}

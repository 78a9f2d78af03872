// A29, with whole models: what config.json says about rotary positions changes the logits or is refused, and a folder
// whose tensors are not the model's is refused by the tensor's name.

import Swiftlet
import Testing

@Suite("Pitfalls: loading")
struct PitfallLoadTests {
    static func config(_ ropeScaling: String) -> String {
        DummyModel.qwen3.replacing("\"vocab_size\"", with: "\"rope_scaling\": \(ropeScaling), \"vocab_size\"")
    }

    static let prompt = (0..<60).map { Int32($0 * 5 % 331) }

    @Test(
        "A29: a rope scaling is applied",
        arguments: [
            #"{"rope_type": "linear", "factor": 4.0}"#, #"{"type": "linear", "factor": 2.0}"#,
            #"{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}"#,
            #"""
            {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
             "original_max_position_embeddings": 64}
            """#,
        ])
    func a29RopeScaling(scaling: String) throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let plain = try ModelHarness(folder.path, dummySeed: 1).lastLogits(Self.prompt)
        let neutral = DummyModel.folder(Self.config("null"))
        #expect(try ModelHarness(neutral.path, dummySeed: 1).lastLogits(Self.prompt) == plain)
        let scaled = DummyModel.folder(Self.config(scaling))
        let logits = try ModelHarness(scaled.path, dummySeed: 1).lastLogits(Self.prompt)
        #expect(relativeDistance(logits, plain) > 1e-3 && logits.allSatisfy(\.isFinite))
    }

    @Test("A29: what is not understood is refused by name")
    func a29Unknown() async throws {
        let dummy = EngineConfig(loadFormat: .dummy)
        for (config, part) in [
            (Self.config(#"{"rope_type": "spiral", "factor": 2.0}"#), "spiral"),
            (DummyModel.qwen3.replacing("Qwen3ForCausalLM", with: "Qwen9ForCausalLM"), "Qwen9ForCausalLM"),
        ] {
            let folder = DummyModel.folder(config)
            let error = await #expect(throws: LLMError.self) { try await LLM.quiet(folder.path, dummy) }
            #expect(error?.code == .unsupportedModel && error?.message.contains(part) == true)
        }
        // No weights where weights are asked for.
        let folder = DummyModel.folder(DummyModel.qwen3)
        let error = await #expect(throws: LLMError.self) { try await LLM.quiet(folder.path, EngineConfig()) }
        #expect(error?.code == .invalidModel && error?.message.contains("safetensors") == true)
    }
}

// A folder of a test's own, gone when the test is.

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

package final class TemporaryFolder: Sendable {
    package let path: String

    package init() throws {
        path = FileManager.default.temporaryDirectory.path + "/swiftlet-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Makes a folder, and those above it, inside of this one.
    package func makeFolder(_ name: String) throws {
        try FileManager.default.createDirectory(atPath: path + "/" + name, withIntermediateDirectories: true)
    }

    /// Writes a file and gives its path.
    @discardableResult
    package func write(_ bytes: [UInt8], _ name: String) throws -> String {
        try Data(bytes).write(to: URL(filePath: path + "/" + name))
        return path + "/" + name
    }

    @discardableResult
    package func write(_ text: String, _ name: String) throws -> String { try write(Array(text.utf8), name) }

    /// A file's text; nil when it is not there.
    package func read(_ name: String) -> String? {
        (try? Data(contentsOf: URL(filePath: path + "/" + name))).map { String(decoding: $0, as: UTF8.self) }
    }

    package var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    /// A folder with the configuration of a small model, for `--load-format dummy`.
    package func writeModel() throws -> String {
        let model = path + "/model"
        try FileManager.default.createDirectory(atPath: model, withIntermediateDirectories: true)
        try write(
            """
            {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 64,
             "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
             "head_dim": 16, "vocab_size": 512, "max_position_embeddings": 65536, "rms_norm_eps": 1e-6,
             "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu", "torch_dtype": "float32",
             "eos_token_id": 1}
            """, "model/config.json")
        return model
    }
}

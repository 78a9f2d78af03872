// What the tests of this target share: the reference outputs of tokenizers.
// Owned by this test target.
// Invariant: nothing here knows a path of a particular machine.

import SwiftletJSON
import SwiftletTestSupport

/// The folder of reference outputs.
enum Golden {
    static let folder = TestFiles.golden

    static var isPresent: Bool { folder.map { TestFiles.exists($0 + "/tokenizers") } ?? false }

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

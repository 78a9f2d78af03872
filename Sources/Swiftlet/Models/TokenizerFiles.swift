// Where a model's tokenizer is read from, and what is said when it is there in another project's format only.
// Nothing else of the model is looked at: neither its config.json nor its weights.
// Invariant: only tokenizer.json is read.

package import SwiftletTokenizer

package enum TokenizerFiles {
    /// The tokenizer of a model's folder, a `tokenizer.json` itself, or (nil) the demo model's.
    package static func load(_ path: String?) throws(LLMError) -> Tokenizer {
        guard let path else {
            guard let json = try ModelLoader.demoModel.data("tokenizer.json") else {
                throw LLMError(.invalidModel, "the demo model has no tokenizer")
            }
            return try named("the demo model") { try Tokenizer(json: json) }
        }
        switch Platform.kind(of: path) {
        case .missing:
            guard HubModelID(path) != nil,
                let folder = try ModelFiles.folder(of: path, revision: nil, needsWeights: false)
            else { throw LLMError(.inputOutput, "\(path) does not exist; give a folder with tokenizer.json") }
            return try load(folder)
        case .directory: break
        case .regular, .other:
            return try named(path) { try Tokenizer(contentsOf: path) }
        }
        let file = path.hasSuffix("/") ? path + "tokenizer.json" : path + "/tokenizer.json"
        guard Platform.kind(of: file) != .missing else {
            throw LLMError(
                .invalidModel,
                foreignFormat(in: path) ?? "\(path) has no tokenizer.json, the only kind of tokenizer that is read")
        }
        return try named(path) { try Tokenizer(contentsOf: file) }
    }

    private static func named(
        _ path: String, _ load: () throws -> Tokenizer
    ) throws(LLMError) -> Tokenizer {
        do {
            return try load()
        } catch {
            throw LLMError(.invalidModel, "tokenizer of \(path): \(error)")
        }
    }

    /// What to say of a folder whose tokenizer is in another format only; nil when it has none at all.
    package static func foreignFormat(in path: String) -> String? {
        let files = (Platform.listDirectory(path) ?? []).sorted()
        let formats: [(kind: String, isOne: (String) -> Bool)] = [
            ("sentencepiece", { ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model"].contains($0) }),
            ("tiktoken", { $0.hasSuffix(".tiktoken") }),
            ("Tekken", { $0 == "tekken.json" }),
            ("separate lists of tokens and merges", { $0 == "vocab.json" || $0 == "merges.txt" || $0 == "vocab.txt" }),
        ]
        for format in formats {
            guard let file = files.first(where: format.isOne) else { continue }
            return """
                \(path) has no tokenizer.json; found \(file) (\(format.kind)), which is not read. Most models have a \
                tokenizer.json on their page; else make one with transformers: python3 -c "from transformers import \
                AutoTokenizer; AutoTokenizer.from_pretrained('\(path)').save_pretrained('\(path)')"
                """
        }
        return nil
    }
}

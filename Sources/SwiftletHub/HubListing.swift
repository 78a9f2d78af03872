// HubListing: what the hub says a revision consists of, and which of its files running the model takes.
// Everything in it is a stranger's word: names are taken only if they are ones that are looked for.
// Invariant: the path of a RemoteFile is a plain name, or one in the folder of chat templates; its checksum is hex.

#if Server
package import Swiftlet
import SwiftletJSON
import SwiftletTemplate

/// The checksum of a file, which also names it in the cache.
package enum BlobID: Sendable, Hashable {
    /// Of the contents: files of Git LFS, which all large ones are.
    case sha256(String)
    /// What git calls a file: SHA-1 of a header with the size and of the contents.
    case git(String)

    package var hex: String {
        switch self {
        case .sha256(let hex), .git(let hex): hex
        }
    }

    /// A checksum as the hub writes it, with quotes and mark of weakness where it is an `ETag`.
    package init?(_ text: String) {
        var text = Substring(text)
        if text.hasPrefix("W/") { text = text.dropFirst(2) }
        if text.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") { text = text.dropFirst().dropLast() }
        let isHex = text.utf8.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
        guard isHex else { return nil }
        switch text.utf8.count {
        case 64: self = .sha256(String(text))
        case 40: self = .git(String(text))
        default: return nil
        }
    }
}

/// A file of a model on the hub.
package struct RemoteFile: Sendable, Hashable {
    package var path: String
    package var size: Int
    package var id: BlobID

    /// More is no file of a model, and sums of sizes must not overflow.
    package static let maxSize = 1 << 46

    package init(path: String, size: Int, id: BlobID) {
        self.path = path
        self.size = size
        self.id = id
    }
}

package struct HubListing: Sendable {
    /// A file as it is listed: older hubs say no more than its name.
    package struct Entry: Sendable {
        package var path: String
        package var size: Int?
        package var id: BlobID?
    }

    package let commit: String
    private let entries: [String: Entry]

    /// Reads the answer to `/api/models/OWNER/NAME/revision/REVISION?blobs=true`.
    ///
    /// - Throws: ``LLMError``: `downloadFailed` for what is no JSON, as half of an answer is not; `invalidModel` for
    ///   what makes no sense.
    package init(_ bytes: [UInt8], maxFiles: Int) throws(LLMError) {
        func wrong(_ what: String) -> LLMError { LLMError(.invalidModel, "the hub's list of files \(what)") }
        let root: JSONValue
        do {
            root = try JSONDocument(parsing: bytes, maximumDepth: 64).root
        } catch {
            throw LLMError(.downloadFailed, "the hub's list of files is not valid JSON: \(error)")
        }
        guard let commit = root["sha"]?.string, HubCache.isCommit(commit) else { throw wrong("names no commit") }
        guard let siblings = root["siblings"], siblings.kind == .array else { throw wrong("has no files") }
        guard siblings.count <= maxFiles else {
            throw wrong("has \(siblings.count) files; at most \(maxFiles) are read")
        }
        var entries: [String: Entry] = [:]
        for sibling in siblings.elements {
            guard let path = sibling["rfilename"]?.string else { throw wrong("has a file without a name") }
            let large = sibling["lfs"].flatMap { $0.kind == .object ? $0 : nil }
            let hash = large?["sha256"]?.string ?? large?["oid"]?.string ?? sibling["blobId"]?.string
            let size = large?["size"]?.int ?? sibling["size"]?.int
            if let size, !(0...RemoteFile.maxSize).contains(size) { throw wrong("has a file of \(size) bytes") }
            entries[path] = Entry(path: path, size: size, id: hash.flatMap { BlobID($0) })
        }
        self.commit = commit
        self.entries = entries
    }

    package func entry(_ path: String) -> Entry? { entries[path] }

    // MARK: What is needed

    /// Files by name that describe a model, its text and its formats.
    private static let names: Set<String> = [
        "config.json", "generation_config.json", "quantize_config.json", "quant_config.json", "tokenizer.json",
        "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
        "merges.txt",
        "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json", "chat_template.jinja",
        "chat_template.json", "model.safetensors.index.json",
    ]

    /// All files but the weights, sorted. Names that lead elsewhere are none that are looked for.
    package var smallFiles: [Entry] {
        entries.values.filter { entry in
            let parts = entry.path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            guard parts.allSatisfy({ Self.isSafe($0) }) else { return false }
            switch parts.count {
            case 1: return Self.names.contains(parts[0]) || parts[0].hasSuffix(".tiktoken")
            case 2: return parts[0] == ModelTemplates.additionalFolder && parts[1].hasSuffix(".jinja")
            default: return false
            }
        }.sorted { $0.path < $1.path }
    }

    /// Whether a part of a path is a file's name and nothing else, on any system.
    package static func isSafe(_ part: String) -> Bool {
        ModelFiles.isPlainName(part) && !part.hasPrefix(".")
            && part.unicodeScalars.allSatisfy { scalar in
                scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value) && scalar != "\\" && scalar != ":"
            }
    }

    /// How the weights are stored.
    package enum Weights: Sendable, Hashable {
        case single(String)
        case sharded(index: String)
    }

    /// Where the weights are, by the rule by which they are loaded.
    ///
    /// - Throws: ``LLMError`` for a model that has none as safetensors; it names what there is instead.
    package func weights(of model: HubModelID) throws(LLMError) -> Weights {
        if entries["model.safetensors"] != nil { return .single("model.safetensors") }
        if entries["model.safetensors.index.json"] != nil { return .sharded(index: "model.safetensors.index.json") }
        func first(_ suffixes: [String]) -> String? {
            entries.keys.sorted().first { name in suffixes.contains { name.hasSuffix($0) } }
        }
        let what: String
        if let file = first([".bin", ".pt", ".pth", ".ckpt", ".pkl"]) {
            what =
                "its weights are pickles (\(Text.plain(file))), which can hold any program and are not read; look for a "
                + "conversion to safetensors"
        } else if let file = first([".gguf"]) {
            what =
                "its weights are GGUF (\(Text.plain(file))), which is not supported; look for the model that it was "
                + "made from"
        } else if let file = first([".safetensors"]) {
            what =
                "it has \(Text.plain(file)), but neither model.safetensors nor model.safetensors.index.json: it is an "
                + "adapter, or not in the layout of transformers"
        } else {
            what = "it has no weights"
        }
        throw LLMError(.unsupportedModel, "\(model) can't be used: \(what)")
    }
}
#endif

// HubCache: the folders in which Hugging Face's tools keep what they download, so that nothing is downloaded twice:
//     CACHE/models--OWNER--NAME/refs/REVISION holds a COMMIT, and
//     CACHE/models--OWNER--NAME/snapshots/COMMIT/FILE is a link to ../../blobs/HASH.
// Here it is only looked into, without a network; SwiftletHub fills it.
// Invariant: no id, revision or commit that passed the checks here leads out of the cache.

/// The name of a model on the hub, `OWNER/NAME`.
package struct HubModelID: Sendable, Hashable, CustomStringConvertible {
    package let owner: String
    package let name: String

    /// nil for what the hub would not take for a name: what has other characters than letters, digits, `-`, `_` and
    /// `.`, begins or ends with `-` or `.`, contains `--` or `..`, ends in `.git`, or is longer than 96 in a part.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ Self.isPart($0) }), !text.hasSuffix(".git") else { return nil }
        owner = String(parts[0])
        name = String(parts[1])
    }

    private static func isPart(_ part: Substring) -> Bool {
        let characters = part.utf8
        guard (1...96).contains(characters.count), !part.contains("--"), !part.contains("..") else { return false }
        func isWord(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        return characters.allSatisfy { isWord($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }
            && characters.first.map(isWord) == true && characters.last.map(isWord) == true
    }

    package var description: String { "\(owner)/\(name)" }
    /// What its folder in the cache is called.
    package var folderName: String { "models--\(owner)--\(name)" }
}

package struct HubCache: Sendable {
    /// The branch that is meant when none is named.
    package static let defaultRevision = "main"

    /// The folder that holds a folder for each model.
    package let path: String

    package init(path: String) { self.path = path }

    /// The cache of an environment, found as Hugging Face's own tools find it: `HF_HUB_CACHE`, else `hub` in `HF_HOME`,
    /// else `huggingface/hub` in `XDG_CACHE_HOME` or in `~/.cache`. nil when there is no home either.
    package init?(environment: (String) -> String?) {
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
            guard let value = environment(name), !value.isEmpty else { continue }
            guard let path = Self.expanded(value, environment) else { return nil }
            self.init(path: path)
            return
        }
        guard let home = Self.home(environment) else { return nil }
        self.init(path: home + "/hub")
    }

    /// The cache of this process.
    package static var ofProcess: HubCache? { HubCache(environment: Platform.environment) }

    /// The folder of all that Hugging Face's tools keep, the token among it.
    package static func home(_ environment: (String) -> String?) -> String? {
        if let home = environment("HF_HOME"), !home.isEmpty { return expanded(home, environment) }
        if let cache = environment("XDG_CACHE_HOME"), !cache.isEmpty {
            return expanded(cache, environment).map { $0 + "/huggingface" }
        }
        return expanded("~/.cache/huggingface", environment)
    }

    /// A path without the `~` in front of it, and without a slash at its end.
    package static func expanded(_ path: String, _ environment: (String) -> String?) -> String? {
        var path = path
        if path == "~" || path.hasPrefix("~/") {
            guard let home = environment("HOME"), !home.isEmpty else { return nil }
            path = home + path.dropFirst()
        }
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    // MARK: Places

    package func folder(of model: HubModelID) -> String { path + "/" + model.folderName }

    /// Where the files of a commit lie.
    package func snapshot(_ commit: String, of model: HubModelID) -> String {
        folder(of: model) + "/snapshots/" + commit
    }

    /// Where the commit of a branch or tag is written down.
    package func reference(_ revision: String, of model: HubModelID) -> String {
        folder(of: model) + "/refs/" + revision
    }

    /// Whether a revision is a commit: 40 lower-case hexadecimal digits.
    package static func isCommit(_ revision: String) -> Bool {
        revision.utf8.count == 40
            && revision.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }

    /// Whether a text can be a branch, tag or commit, by git's rules and so that its file stays in `refs`.
    package static func isRevision(_ revision: String) -> Bool {
        guard (1...200).contains(revision.utf8.count), !revision.contains("..") else { return false }
        let hasOnlyAllowed = revision.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !"~^:?*[\\\"'".utf8.contains($0) }
        let parts = revision.split(separator: "/", omittingEmptySubsequences: false)
        return hasOnlyAllowed
            && parts.allSatisfy { !$0.isEmpty && !$0.hasPrefix(".") && !$0.hasPrefix("-") && !$0.hasSuffix(".lock") }
    }

    // MARK: Looking up

    /// The folder with the files of a revision, as far as they are there; nil when none is.
    package func snapshot(of model: HubModelID, revision: String) -> String? {
        guard Self.isRevision(revision) else { return nil }
        var commit = revision
        if !Self.isCommit(revision) {
            guard let bytes = try? Platform.readFile(reference(revision, of: model), limit: 4096) else { return nil }
            commit = String(String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace })
            guard Self.isCommit(commit) else { return nil }
        }
        let folder = snapshot(commit, of: model)
        return Platform.kind(of: folder) == .directory ? folder : nil
    }

    /// What a folder lacks of what loading needs, by name; nil when it is whole. Tools that read single files leave
    /// such folders.
    package static func missingFile(in folder: String, needsWeights: Bool) -> String? {
        func isThere(_ file: String) -> Bool { Platform.kind(of: "\(folder)/\(file)") == .regular }
        guard isThere("config.json") else { return "config.json" }
        guard needsWeights, !isThere("model.safetensors") else { return nil }
        let index = "model.safetensors.index.json"
        guard isThere(index) else { return "model.safetensors" }
        guard let bytes = try? Platform.readFile("\(folder)/\(index)", limit: ModelFiles.Limits.config),
            let locations = try? Checkpoint.locations(bytes, file: index)
        else { return index }
        return Set(locations.values).sorted().first { !isThere($0) }
    }
}

extension ModelFiles {
    /// The model that a caller named: a folder, a model of the hub that is in the cache, or (nil) the demo model. A
    /// folder of the name wins.
    package init(_ model: String?, _ config: EngineConfig) throws(LLMError) {
        let folder = try Self.folder(
            of: model, revision: config.revision, needsWeights: config.loadFormat != .dummy)
        guard let folder else {
            guard ModelLoader.hasDemoWeights || config.loadFormat == .dummy else {
                throw LLMError(
                    .invalidConfiguration,
                    "this build has no demo model (trait WithoutDemoModel): name a model (--model), or use --load-format dummy"
                )
            }
            self = ModelLoader.demoModel
            return
        }
        try self.init(directory: folder)
    }

    /// The folder of a named model, from the cache where it is no folder itself; nil for nil.
    package static func folder(
        of model: String?, revision: String?, needsWeights: Bool, cache: HubCache? = .ofProcess
    ) throws(LLMError) -> String? {
        let id = model.flatMap { HubModelID($0) }
        guard let model, let id, Platform.kind(of: model) == .missing else {
            if let revision {
                throw LLMError(
                    .invalidConfiguration,
                    "revision is \(revision), but \(model ?? "the demo model") is not a model of the hub")
            }
            return model
        }
        let revision = revision ?? HubCache.defaultRevision
        guard HubCache.isRevision(revision) else {
            throw LLMError(.invalidConfiguration, "revision is \(revision), which is no branch, tag or commit")
        }
        let pull =
            "`swiftlet pull \(id)\(revision == HubCache.defaultRevision ? "" : " --revision \(revision)")`"
        guard let cache, let folder = cache.snapshot(of: id, revision: revision) else {
            throw LLMError(
                .inputOutput,
                "\(model) is not a folder, and the hub's cache\(cache.map { " \($0.path)" } ?? "") has no model of that "
                    + "name; \(pull) downloads it")
        }
        if let file = HubCache.missingFile(in: folder, needsWeights: needsWeights) {
            throw LLMError(.inputOutput, "\(model) is in the hub's cache without its \(file); \(pull) completes it")
        }
        return folder
    }
}

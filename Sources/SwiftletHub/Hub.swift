// Hub: the public door to downloads. A model comes into the cache that Hugging Face's own tools use, whole or not at all.
// Invariant: a revision's reference and links appear after the last file was checked.

#if Server
public import Logging
import Swiftlet

/// Models of the Hugging Face hub.
///
///     let folder = try await Hub.pull("Qwen/Qwen3-0.6B") { print($0.bytes, "of", $0.totalBytes) }
///     let llm = try await LLM(folder)                  // and from then on LLM("Qwen/Qwen3-0.6B"), without a network
///
/// `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME`, `HF_HUB_CACHE`, `XDG_CACHE_HOME` and `HF_HUB_OFFLINE` mean
/// what they mean to Hugging Face's own tools.
public enum Hub {
    /// Which files of a model are wanted.
    public enum Contents: Sendable, Hashable {
        /// All that running the model takes: configuration, tokenizer, chat templates, safetensors weights.
        case model
        /// The same without the weights: to tokenise, or to measure with random weights.
        case withoutWeights
    }

    /// How far a download is. Counts include what was there before.
    public struct Progress: Sendable, Hashable {
        /// Bytes that are there.
        public var bytes = 0
        /// Bytes in all; grows once, when the list of the weights' files was read.
        public var totalBytes = 0
        /// Files that are there and checked.
        public var files = 0
        /// Files in all.
        public var totalFiles = 0
        /// Bytes that came over the network since the start.
        public var transferredBytes = 0

        public init() {}
    }

    /// Downloads a model into the cache, as far as it is not there yet.
    ///
    /// Every file's size and checksum are compared with what the hub announced. What a broken download leaves is used
    /// by the next one. Only safetensors are taken as weights: a model that has none is refused, and so is one that
    /// this engine can't run, before its weights are downloaded.
    ///
    /// - Parameters:
    ///   - model: `OWNER/NAME`.
    ///   - revision: Branch, tag or commit; nil is `main`.
    ///   - contents: Which files are wanted.
    ///   - logger: Gets a line for each retry.
    ///   - progress: Called often and from any task, at least once for each MiB and each file; must be quick.
    /// - Returns: The folder with the model's files.
    /// - Throws: ``LLMError`` with the codes `downloadFailed` (network, hub, wrong contents), `unsupportedModel`,
    ///   `invalidModel`, `invalidConfiguration` (names, environment) and `inputOutput` (disk); `CancellationError`.
    @discardableResult
    public static func pull(
        _ model: String, revision: String? = nil, contents: Contents = .model,
        logger: Logger = Logger(label: "swiftlet"), progress: (@Sendable (Progress) -> Void)? = nil
    ) async throws -> String {
        try await pull(
            model, revision: revision, contents: contents, settings: HubSettings(environment: Platform.environment),
            logger: logger, progress: progress)
    }

    /// The same with an environment and limits of the caller's.
    package static func pull(
        _ model: String, revision: String? = nil, contents: Contents = .model, settings: HubSettings,
        logger: Logger = Logger(label: "swiftlet"), progress: (@Sendable (Progress) -> Void)? = nil
    ) async throws -> String {
        guard let id = HubModelID(model) else {
            throw LLMError(
                .invalidConfiguration,
                "\(Text.quoted(model)) is no name of a model; names are OWNER/NAME, such as Qwen/Qwen3-0.6B")
        }
        let revision = revision ?? HubCache.defaultRevision
        guard HubCache.isRevision(revision) else {
            throw LLMError(
                .invalidConfiguration, "revision is \(Text.quoted(revision)), which is no branch, tag or commit")
        }
        let needsWeights = contents == .model
        // A commit never changes, and a network that must not be used can't be asked.
        if settings.isOffline || HubCache.isCommit(revision) {
            let folder = settings.cache.snapshot(of: id, revision: revision)
            if let folder, HubCache.missingFile(in: folder, needsWeights: needsWeights) == nil { return folder }
            if settings.isOffline {
                throw LLMError(
                    .downloadFailed,
                    "\(id) is not in \(settings.cache.path), and HF_HUB_OFFLINE forbids to download it")
            }
        }
        let meter = ProgressMeter(report: progress)
        return try await HubClient.with(settings, logger: logger) { client in
            try await Pull(model: id, revision: revision, contents: contents, client: client, meter: meter).run()
        }
    }
}

/// Words of strangers in messages.
package enum Text {
    /// A text in quotes, cut and without what could move a cursor.
    package static func quoted(_ text: String) -> String { "\"" + plain(text) + "\"" }

    /// The same without quotes.
    package static func plain(_ text: String) -> String {
        let shown = text.unicodeScalars.prefix(100).map {
            $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? "?" : $0
        }
        return String(String.UnicodeScalarView(shown)) + (text.unicodeScalars.count > 100 ? "…" : "")
    }

    /// A size as people say it: powers of ten, as the hub shows them.
    static func bytes(_ count: Int) -> String {
        let units = ["bytes", "kB", "MB", "GB", "TB"]
        var (value, unit) = (Double(count), 0)
        while value >= 999.5, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        let tenths = Int((value * 10).rounded())
        return unit == 0 ? "\(count) bytes" : "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }
}
#endif

// HubSettings: where the hub and the cache are, the token, and how long is waited for what.
// Made of the environment once for each pull; tests make their own.
// Invariant: the token is a word of visible ASCII, so that it can't break out of its header.

#if Server
package import Swiftlet

package struct HubSettings: Sendable {
    package var endpoint: HubURL
    package var token: String?
    package var cache: HubCache
    /// Whether the network must not be used.
    package var isOffline: Bool

    package var connectTimeout = Duration.seconds(10)
    /// How long a connection may be silent.
    package var idleTimeout = Duration.seconds(30)
    /// How long the answer to a question may take in all, and the beginning of a file.
    package var answerTimeout = Duration.seconds(60)
    /// How often a request is tried; a file, as long as it grows, as often as it takes.
    package var attempts = 5
    /// The wait after the first failure; doubles with each.
    package var firstPause = Duration.milliseconds(500)
    package var longestPause = Duration.seconds(30)
    /// The longest wait that a hub may ask for.
    package var longestRetryAfter = Duration.seconds(300)
    /// What counts as growth between two failures, in bytes.
    package var growth = 1 << 20
    package var maxAnswerBytes = 16 << 20
    package var maxRedirects = 10
    package var maxFiles = 10_000
    /// Files that are downloaded at the same time.
    package var parallelDownloads = 8
    /// How often it is looked whether another process has let go of a file.
    package var lockPause = Duration.milliseconds(100)

    package init(endpoint: HubURL, token: String? = nil, cache: HubCache, isOffline: Bool = false) {
        self.endpoint = endpoint
        self.token = token
        self.cache = cache
        self.isOffline = isOffline
    }

    /// Reads the variables that Hugging Face's own tools read.
    package init(environment: (String) -> String?) throws(LLMError) {
        let address = environment("HF_ENDPOINT").flatMap { $0.isEmpty ? nil : $0 } ?? "https://huggingface.co"
        guard let endpoint = HubURL(address), endpoint.isPlain else {
            throw LLMError(
                .invalidConfiguration,
                "HF_ENDPOINT is \(Text.quoted(address)); it must be an address such as https://huggingface.co")
        }
        guard let cache = HubCache(environment: environment) else {
            throw LLMError(.invalidConfiguration, "there is no place for downloads: set HF_HOME, or HOME")
        }
        func isTrue(_ name: String) -> Bool {
            environment(name).map { ["1", "ON", "YES", "TRUE"].contains($0.uppercased()) } ?? false
        }
        self.init(
            endpoint: endpoint,
            token: isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN") ? nil : try Self.token(environment), cache: cache,
            isOffline: isTrue("HF_HUB_OFFLINE") || isTrue("TRANSFORMERS_OFFLINE"))
    }

    /// The token of the environment, else of the file that `hf auth login` writes.
    private static func token(_ environment: (String) -> String?) throws(LLMError) -> String? {
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            if let token = try cleaned(environment(name) ?? "", from: name) { return token }
        }
        var path = environment("HF_TOKEN_PATH").flatMap { $0.isEmpty ? nil : HubCache.expanded($0, environment) }
        if path == nil { path = HubCache.home(environment).map { $0 + "/token" } }
        guard let path, Platform.kind(of: path) == .regular else { return nil }
        return try cleaned(String(decoding: try Platform.readFile(path, limit: 1 << 16), as: UTF8.self), from: path)
    }

    private static func cleaned(_ text: String, from source: String) throws(LLMError) -> String? {
        let token = text.split(whereSeparator: \.isWhitespace)
        guard let word = token.first else { return nil }
        guard token.count == 1, word.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw LLMError(.invalidConfiguration, "\(source) holds no token: a token is one word such as hf_…")
        }
        return String(word)
    }
}
#endif

// The version of the engine, as `swiftlet --version` and a server's `/version` say it.

extension LLM {
    /// This package's version.
    public static let version = "0.1.0"
}

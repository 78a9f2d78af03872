#if Server
// OpenAIServerConfiguration: what is fixed when a server starts. Each comment gives vLLM's name.

/// Configuration of an ``OpenAIServer``.
public struct OpenAIServerConfiguration: Sendable {
    /// What connections may take. All of it holds before a request is looked at.
    public struct Limits: Sendable, Hashable {
        /// Connections at a time; more wait to be accepted. Default 1024.
        public var connections = 1024
        /// Seconds for a connection's first head, a TLS handshake included. Default 10.
        public var headSeconds = 10.0
        /// Seconds from a request's head to the end of its body. Default 60.
        public var bodySeconds = 60.0
        /// Seconds from an answer to the whole head of the next request. Default 60.
        public var keepAliveSeconds = 60.0
        /// Seconds for which a client may take nothing of an answer. Default 60.
        public var writeSeconds = 60.0
        /// Header fields of a request. Default 100.
        public var headerFields = 100
        /// Bytes of all header fields. Default 32 KiB.
        public var headerBytes = 32 << 10

        public init() {}
    }

    /// Which web pages may use the server.
    public struct CrossOrigin: Sendable, Hashable {
        /// Origins such as `https://example.org`; `*` is all (`allowed_origins`). Default: none.
        public var origins: [String]
        /// Whether browsers may send cookies and the like (`allow_credentials`). Default off.
        public var allowsCredentials: Bool

        public init(origins: [String] = [], allowsCredentials: Bool = false) {
            self.origins = origins
            self.allowsCredentials = allowsCredentials
        }
    }

    /// Files of a server that speaks TLS.
    public struct TLSFiles: Sendable, Hashable {
        /// The certificate and those it is signed by, as PEM (`ssl_certfile`).
        public var certificates: String
        /// The certificate's private key as PEM (`ssl_keyfile`).
        public var key: String

        public init(certificates: String, key: String) {
            self.certificates = certificates
            self.key = key
        }
    }

    /// Where a server listens.
    public enum Address: Sendable, Hashable {
        /// An address or a name of this machine; port 0 takes a free one.
        case hostname(String, port: Int)
    }

    /// Where it listens. Default 127.0.0.1, port 8000.
    public var address: Address
    /// Keys of which a request must have one (`api_key`). Default: none is needed.
    public var apiKeys: [String]
    public var routes: OpenAIConfiguration
    public var limits: Limits
    public var crossOrigin: CrossOrigin
    /// Default: no TLS.
    public var tls: TLSFiles?
    /// Seconds that running requests have to end after the signal to stop. Default 30.
    public var shutdownTimeout: Double
    /// Seconds between two lines of statistics in the log while there is something to do; nil is none
    /// (`disable_log_stats`). Default 10, as vLLM has it.
    public var statisticsInterval: Double? = 10

    public init(
        address: Address = .hostname("127.0.0.1", port: 8000), apiKeys: [String] = [],
        routes: OpenAIConfiguration = OpenAIConfiguration(), limits: Limits = Limits(),
        crossOrigin: CrossOrigin = CrossOrigin(), tls: TLSFiles? = nil, shutdownTimeout: Double = 30
    ) {
        self.address = address
        self.apiKeys = apiKeys
        self.routes = routes
        self.limits = limits
        self.crossOrigin = crossOrigin
        self.tls = tls
        self.shutdownTimeout = shutdownTimeout
    }
}
#endif

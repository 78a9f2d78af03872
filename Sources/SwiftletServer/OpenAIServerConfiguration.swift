#if Server
// OpenAIServerConfiguration: what is fixed when a server starts. Each comment gives vLLM's name.

public import SwiftletTemplate

/// Configuration of ``OpenAIRoutes``.
public struct OpenAIConfiguration: Sendable {
    /// The names the model goes by in requests, the first one in answers (`served_model_name`). Default: `default`.
    public var modelNames: [String]
    /// The longest body of a request in bytes. Default 16 MiB.
    public var maxBodyBytes: Int
    /// The bytes of all bodies that are being read and answered at a time. Default 256 MiB.
    public var maxBodyBytesInFlight: Int
    /// Seconds that a request may take. Default: no limit.
    public var requestTimeout: Double?
    /// A chat template to use instead of the model's own (`chat_template`).
    public var chatTemplate: ChatTemplate?
    /// How the model writes tool calls (`tool_call_parser`). Default: what its chat template says.
    public var toolCallFormat: ToolCallFormat?
    /// How the model marks its reasoning (`reasoning_parser`). Default: what its chat template says.
    public var reasoningFormat: ReasoningFormat?
    /// Whether tools of a request are offered to the model (`enable_auto_tool_choice`). Default on.
    public var enablesAutoToolChoice = true
    /// What templates are given where a request says nothing else (`default_chat_template_kwargs`).
    public var templateVariables: [String: TemplateValue] = [:]
    /// The prefix of the names in `/metrics`. Default `vllm:`, so that existing dashboards work.
    public var metricsPrefix: String

    public init(
        modelNames: [String] = ["default"], maxBodyBytes: Int = 16 << 20, maxBodyBytesInFlight: Int = 256 << 20,
        requestTimeout: Double? = nil, chatTemplate: ChatTemplate? = nil, toolCallFormat: ToolCallFormat? = nil,
        reasoningFormat: ReasoningFormat? = nil, metricsPrefix: String = "vllm:"
    ) {
        precondition(!modelNames.isEmpty, "a model needs a name")
        self.modelNames = modelNames
        self.maxBodyBytes = maxBodyBytes
        self.maxBodyBytesInFlight = maxBodyBytesInFlight
        self.requestTimeout = requestTimeout
        self.chatTemplate = chatTemplate
        self.toolCallFormat = toolCallFormat
        self.reasoningFormat = reasoningFormat
        self.metricsPrefix = metricsPrefix
    }
}

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

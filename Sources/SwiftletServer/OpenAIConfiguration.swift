// OpenAIConfiguration: what is fixed before requests come, with HTTP or without. Each comment gives vLLM's name.

public import SwiftletTemplate

/// Configuration of ``OpenAIRoutes``, and of whatever answers the same bodies without HTTP.
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
    /// The time between two signs of life of a stream that has nothing to say, in seconds.
    package var pingInterval = 15.0
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

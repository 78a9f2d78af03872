#if Server
// CompletionLog: one line for each completion: how many tokens, how long, how it ended. Never what was said.

import Logging
import Swiftlet

struct CompletionLog: Sendable {
    private let logger: Logger
    private let endpoint: GenerationRequest.Endpoint
    private let start = ContinuousClock.now

    init(_ logger: Logger, _ endpoint: GenerationRequest.Endpoint) {
        self.logger = logger
        self.endpoint = endpoint
    }

    func write(_ usage: Usage?, _ error: APIError?) {
        var metadata: Logger.Metadata = [
            "endpoint": .string(endpoint == .chat ? "chat" : "completions"),
            "seconds": .stringConvertible(((ContinuousClock.now - start) / .milliseconds(1)).rounded() / 1000),
        ]
        if let usage {
            metadata["prompt_tokens"] = .stringConvertible(usage.promptTokens)
            metadata["cached_tokens"] = .stringConvertible(usage.cachedTokens)
            metadata["completion_tokens"] = .stringConvertible(usage.completionTokens)
        }
        if let error { metadata["error"] = .string(error.code ?? error.type) }
        logger.info("completion", metadata: metadata)
    }
}
#endif

// GenerationService: the API without HTTP. Bytes of a request's body in, bytes of its answer out, so that the server and
// an offline run of the same bodies are one code.
//
// Invariant: a request that is refused has started nothing; one that was started is aborted when its run is dropped.

package import Swiftlet
import SwiftletTemplate

/// Answers bodies of /v1/completions and /v1/chat/completions.
///
///     let service = GenerationService(llm)
///     let answer = await service.answer(.chat, body, id: "1")       // status and JSON
package struct GenerationService: Sendable {
    /// An answer as a whole.
    package struct Answer: Sendable {
        /// The HTTP status.
        package var status: Int
        package var body: [UInt8]
        package var usage = Usage()

        package init(status: Int, body: [UInt8], usage: Usage = Usage()) {
            self.status = status
            self.body = body
            self.usage = usage
        }
    }

    package let llm: LLM
    package let configuration: OpenAIConfiguration

    package init(_ llm: LLM, _ configuration: OpenAIConfiguration = OpenAIConfiguration()) {
        self.llm = llm
        self.configuration = configuration
    }

    /// Reads and checks a body.
    ///
    /// - Throws: ``APIError`` with status 400, or 404 for a model that is not served.
    package func request(_ endpoint: GenerationRequest.Endpoint, _ body: [UInt8]) throws(APIError) -> GenerationRequest
    {
        let fields = try RequestFields(body)
        switch endpoint {
        case .completions: return try GenerationRequest(completions: fields, self)
        case .chat: return try GenerationRequest(chat: fields, self)
        }
    }

    /// Starts a request.
    ///
    /// - Parameter id: Becomes part of the answer's id.
    /// - Throws: ``APIError`` for what the engine refuses at once.
    package func start(_ request: GenerationRequest, id: String) throws(APIError) -> GenerationRun {
        try GenerationRun(request, id: id, self)
    }

    /// Answers a body as a whole; errors are answers too. A body that asks for a stream is refused.
    package func answer(_ endpoint: GenerationRequest.Endpoint, _ body: [UInt8], id: String) async -> Answer {
        do throws(APIError) {
            let request = try request(endpoint, body)
            guard !request.isStreamed else { throw .invalid("stream is not possible here", param: "stream") }
            return try await start(request, id: id).answer()
        } catch {
            return Answer(status: error.status, body: error.body)
        }
    }

    // MARK: - For the readers of requests

    /// The name that a request's model is answered with.
    func model(_ name: String?) throws(APIError) -> String {
        guard let name else { return configuration.modelNames[0] }
        guard configuration.modelNames.contains(name) else {
            let served = configuration.modelNames.joined(separator: ", ")
            throw APIError(
                status: 404, "the model \"\(name.prefix(200))\" does not exist; this server has \(served)",
                param: "model",
                code: "model_not_found")
        }
        return name
    }

    /// What takes the answers to a chat apart.
    ///
    /// - Throws: ``APIError`` when it has tools and nothing says how this model calls one.
    func answerParser(for request: Request, _ chat: ChatOptions) throws(APIError) -> AnswerParser {
        let parser: AnswerParser
        do {
            parser = try llm.answerParser(for: request, options: chat)
        } catch {
            throw APIError(error)
        }
        guard chat.tools != nil else { return parser }
        guard configuration.enablesAutoToolChoice, parser.findsToolCalls else {
            throw APIError(
                status: 400,
                configuration.enablesAutoToolChoice
                    ? "this model's chat template shows no way to call tools (tool-call-parser chooses one)"
                    : "tools are switched off on this server (no-enable-auto-tool-choice)",
                param: "tools", code: "unsupported_parameter")
        }
        return parser
    }
}

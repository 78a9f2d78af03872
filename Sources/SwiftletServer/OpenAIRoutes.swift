#if Server
// OpenAIRoutes: the API's routes, for any Hummingbird router. Each reads its body, hands it to GenerationService and
// writes what comes back.
//
// Invariant: whatever a handler throws becomes an answer with OpenAI's error body; a client that goes ends its request.

public import Hummingbird
import NIOCore
public import Swiftlet
import SwiftletJSON

/// The routes of the OpenAI-compatible API over one engine.
///
///     let router = Router()
///     router.addRoutes(OpenAIRoutes(llm))
///     try await Application(router: router).runService()
///
/// Keys, request ids, limits on connections and shutdown are ``OpenAIServer``'s. In a router whose context is not
/// ``ServerContext`` a connection ends with the answer to a completion, because that is how Hummingbird tells that a
/// client has gone.
public struct OpenAIRoutes: Sendable {
    let service: GenerationService
    let state: ServerState

    public init(_ llm: LLM, configuration: OpenAIConfiguration = OpenAIConfiguration()) {
        self.init(llm, configuration, ServerState())
    }

    init(_ llm: LLM, _ configuration: OpenAIConfiguration, _ state: ServerState) {
        service = GenerationService(llm, configuration)
        self.state = state
    }

    /// The paths there are, with the methods they take.
    static let methods: [String: HTTPRequest.Method] = [
        "/health": .get, "/ready": .get, "/version": .get, "/metrics": .get, "/v1/models": .get,
        "/v1/completions": .post, "/v1/chat/completions": .post, "/tokenize": .post, "/detokenize": .post,
    ]

    func add<Context: RequestContext>(to router: some RouterMethods<Context>) {
        let llm = service.llm
        func on(
            _ path: String, _ method: HTTPRequest.Method,
            _ body: @escaping @Sendable (Request, Context) async throws -> Response
        ) {
            router.on(RouterPath(path), method: method) { request, context in
                do {
                    return try await body(request, context)
                } catch let error as APIError {
                    return .init(error)
                }
            }
        }
        on("/health", .get) { _, _ in Response(status: llm.isRunning ? .ok : .serviceUnavailable) }
        on("/ready", .get) { _, _ in
            Response(status: llm.isRunning && !state.isDraining ? .ok : .serviceUnavailable)
        }
        on("/version", .get) { _, _ in
            var json = JSONWriter()
            json.object { json in json.member("version", LLM.version) }
            return .json(json.bytes)
        }
        on("/metrics", .get) { _, _ in
            let text = Metrics(configuration.metricsPrefix, model: configuration.modelNames[0]).text(llm.statistics)
            return Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: .init(byteBuffer: ByteBuffer(string: text)))
        }
        on("/v1/models", .get) { _, _ in .json(models.list()) }
        on("/v1/models/**", .get) { request, _ in
            .json(try models.model(String(request.uri.path.dropFirst("/v1/models/".count))))
        }
        on("/v1/completions", .post) { try await generate(.completions, $0, $1) }
        on("/v1/chat/completions", .post) { try await generate(.chat, $0, $1) }
        on("/tokenize", .post) { request, _ in
            .json(try TokenizeService(service).tokenize(try await BodyReader.read(request, configuration, state).bytes))
        }
        on("/detokenize", .post) { request, _ in
            .json(
                try TokenizeService(service).detokenize(try await BodyReader.read(request, configuration, state).bytes))
        }
    }

    private var configuration: OpenAIConfiguration { service.configuration }

    private var models: ModelList {
        ModelList(names: configuration.modelNames, maxModelLength: service.llm.maxModelLength)
    }

    // MARK: - Completions

    private func generate<Context: RequestContext>(
        _ endpoint: GenerationRequest.Endpoint, _ request: Request, _ context: Context
    ) async throws -> Response {
        guard !state.isDraining else { throw APIError.shuttingDown }
        let id = (context as? ServerContext)?.requestID ?? RequestIDs.make()
        let body = try await BodyReader.read(request, configuration, state)
        let parsed = try service.request(endpoint, body.bytes)
        let known = KnownRun(try service.start(parsed, id: id), state)
        let log = CompletionLog(context.logger, endpoint)
        if let context = context as? ServerContext {
            try await ConnectionGuard.whenClosed(context.channel) { [run = known.run] in run.cancel(.disconnected) }
            guard parsed.isStreamed else { return try await Self.whole(known, log) }
            try await known.run.waitUntilAdmitted()
            return .events { writer in try await Self.stream(known, log, &writer) }
        }
        // Hummingbird looks for the client's end on the connection itself, which is of no more use afterwards.
        // It wants a body that has not been read to its end.
        var rest = request
        rest.body = .init(buffer: ByteBuffer())
        let inbound = rest.body
        var response: Response
        if parsed.isStreamed {
            try await known.run.waitUntilAdmitted()
            response = .events { writer in
                try await inbound.consumeWithInboundCloseHandler { _ in
                    try await Self.stream(known, log, &writer)
                } onInboundClosed: {
                    known.run.cancel(.disconnected)
                }
            }
        } else {
            response = try await inbound.consumeWithInboundCloseHandler { _ in
                try await Self.whole(known, log)
            } onInboundClosed: {
                known.run.cancel(.disconnected)
            }
        }
        response.headers[.connection] = "close"
        return response
    }

    private static func whole(_ known: KnownRun, _ log: CompletionLog) async throws -> Response {
        do throws(APIError) {
            defer { withExtendedLifetime(known) {} }
            let answer = try await known.run.answer()
            log.write(answer.usage, nil)
            return .json(answer.body)
        } catch {
            log.write(nil, error)
            throw error
        }
    }

    private static func stream(
        _ known: KnownRun, _ log: CompletionLog, _ writer: inout any ResponseBodyWriter
    ) async throws {
        do {
            let (usage, error) = try await known.run.stream { bytes in try await writer.write(ByteBuffer(bytes: bytes))
            }
            log.write(usage, error)
        } catch {
            known.run.cancel(.disconnected)
            log.write(nil, .disconnected)
            throw error
        }
        try await writer.finish(nil)
    }
}

extension RouterMethods {
    /// Adds the API's routes.
    public func addRoutes(_ routes: OpenAIRoutes) { routes.add(to: self) }
}

extension Response {
    /// An answer with JSON in it.
    static func json(_ bytes: [UInt8], status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    init(_ error: APIError) {
        self = .json(error.body, status: .init(code: error.status))
        if let seconds = error.retryAfter { headers[.retryAfter] = String(seconds) }
        if error.status == 401 { headers[.wwwAuthenticate] = "Bearer" }
    }

    /// Server-sent events.
    static func events(_ write: @escaping @Sendable (inout any ResponseBodyWriter) async throws -> Void) -> Response {
        Response(
            status: .ok,
            headers: [
                .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache",
                // Proxies are not to collect events before they pass them on (nginx).
                .init("x-accel-buffering")!: "no",
            ],
            body: .init(write))
    }
}
#endif

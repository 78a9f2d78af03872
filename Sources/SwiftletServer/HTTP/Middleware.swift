#if Server
// What every request of a server passes, outermost first: RequestLog (ids, errors, log), CrossOrigin, KeyCheck.
// Invariant: every answer has a request id, and every error has OpenAI's body, also those of the router itself.

import HTTPTypes
import Hummingbird
import Logging

/// Gives a request its id, turns what is thrown into an answer, writes a line to the log.
struct RequestLog: RouterMiddleware {
    typealias Context = ServerContext
    let logger: Logger

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        var context = context
        context.requestID = RequestIDs.accepted(request.headers[.requestID]) ?? RequestIDs.make()
        context.logger = logger
        context.logger[metadataKey: "request_id"] = .string(context.requestID)
        let start = ContinuousClock.now
        var response: Response
        do {
            response = try await next(request, context)
        } catch {
            response = Response(Self.answer(to: error, request, context))
        }
        // A body would be taken for the beginning of the next answer.
        if request.method == .head { response = response.createHeadResponse() }
        response.headers[.requestID] = context.requestID
        let milliseconds = ((ContinuousClock.now - start) / .microseconds(1)).rounded() / 1000
        context.logger.log(
            level: request.uri.path.hasPrefix("/v1/") || response.status.code >= 400 ? .info : .debug, "request",
            metadata: [
                "method": .string(request.method.rawValue), "path": .string(String(request.uri.path.prefix(200))),
                "status": .stringConvertible(response.status.code), "ms": .stringConvertible(milliseconds),
            ])
        return response
    }

    private static func answer(to error: any Error, _ request: Request, _ context: ServerContext) -> APIError {
        if let error = error as? APIError { return error }
        guard let error = error as? HTTPError else {
            context.logger.debug("request failed", metadata: ["error": .string("\(error)")])
            return APIError(status: 500, "the request failed", type: "server_error")
        }
        guard error.status == .notFound else {
            return APIError(status: error.status.code, error.body ?? error.status.reasonPhrase)
        }
        if let method = OpenAIRoutes.methods[request.uri.path], method != request.method {
            return APIError(
                status: 405, "\(request.uri.path) takes \(method.rawValue) only", code: "method_not_allowed")
        }
        return APIError(
            status: 404, "there is no \(request.method.rawValue) \(request.uri.path.prefix(200))", code: "not_found")
    }
}

/// Lets web pages of given origins use the server (CORS).
struct CrossOrigin: RouterMiddleware {
    typealias Context = ServerContext
    let rules: OpenAIServerConfiguration.CrossOrigin

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        guard let origin = request.headers[.origin], !rules.origins.isEmpty else {
            return try await next(request, context)
        }
        let isAny = rules.origins.contains("*")
        let isAllowed = isAny || rules.origins.contains(origin)
        var headers: HTTPFields = [.vary: "Origin"]
        if isAllowed {
            // With credentials browsers want the origin itself.
            headers[.accessControlAllowOrigin] = isAny && !rules.allowsCredentials ? "*" : origin
            if rules.allowsCredentials { headers[.accessControlAllowCredentials] = "true" }
            headers[.accessControlExposeHeaders] = "x-request-id, retry-after"
        }
        if request.method == .options, request.headers[.accessControlRequestMethod] != nil {
            if isAllowed {
                headers[.accessControlAllowMethods] = "GET, POST, OPTIONS"
                headers[.accessControlAllowHeaders] = request.headers[.accessControlRequestHeaders] ?? "*"
                headers[.accessControlMaxAge] = "600"
            }
            return Response(status: isAllowed ? .noContent : .forbidden, headers: headers)
        }
        var response: Response
        do {
            response = try await next(request, context)
        } catch let error as APIError {
            // The page is to read errors too.
            response = Response(error)
        }
        response.headers.append(contentsOf: headers)
        return response
    }
}

/// Asks for a key on everything but a few paths: `/health`, `/ready`, `/version`, `/metrics`, as in vLLM, and the page.
/// The router takes more spellings of a path than one, such as `//v1`: those are not among them.
struct KeyCheck: RouterMiddleware {
    typealias Context = ServerContext
    let keys: [[UInt8]]
    private let openPaths: Set<String>

    init(_ keys: [String], page: WebPage) {
        self.keys = keys.map { Array($0.utf8) }
        openPaths = Set(["/health", "/ready", "/version", "/metrics"] + page.files.map(\.path))
    }

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        if keys.isEmpty || openPaths.contains(request.uri.path) || request.method == .options {
            return try await next(request, context)
        }
        let header = request.headers[.authorization] ?? ""
        let isBearer = header.prefix(7).lowercased() == "bearer "
        guard isBearer, accepts(Array(header.dropFirst(7).utf8)) else {
            throw APIError(
                status: 401,
                isBearer ? "the API key is not valid" : "this server needs an API key: Authorization: Bearer KEY",
                code: "invalid_api_key")
        }
        return try await next(request, context)
    }

    /// Takes the same time for every key of one length, whatever is right of it.
    func accepts(_ given: [UInt8]) -> Bool {
        var isAccepted = false
        for key in keys {
            var difference = UInt8(given.count == key.count ? 0 : 1)
            for index in key.indices { difference |= key[index] ^ (given.isEmpty ? 0xFF : given[index % given.count]) }
            isAccepted = difference == 0 || isAccepted
        }
        return isAccepted
    }
}

extension HTTPField.Name {
    static let requestID = Self("x-request-id")!
}
#endif

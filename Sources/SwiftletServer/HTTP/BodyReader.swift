#if Server
// BodyReader: a request's body as bytes, bounded for itself and together with all others.

import Hummingbird
import NIOCore

/// A body and its share of the budget, which goes back when the last reference is gone.
final class RequestBytes: Sendable {
    let bytes: [UInt8]
    private let state: ServerState

    init(_ bytes: [UInt8], _ state: ServerState) {
        self.bytes = bytes
        self.state = state
    }

    deinit { state.giveBack(bytes.count) }
}

enum BodyReader {
    /// Reads the whole body of a request with JSON in it.
    static func read(
        _ request: Request, _ configuration: OpenAIConfiguration, _ state: ServerState
    ) async throws -> RequestBytes {
        let type = request.headers[.contentType] ?? ""
        guard type.prefix(while: { $0 != ";" && $0 != " " }).lowercased() == "application/json" else {
            throw APIError(status: 415, "the Content-Type must be application/json", code: "unsupported_media_type")
        }
        let limit = configuration.maxBodyBytes
        let tooLarge = APIError(
            status: 413, "the body is longer than \(limit) bytes (max-body-bytes)", code: "body_too_large")
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit { throw tooLarge }
        var bytes: [UInt8] = []
        do {
            for try await chunk in request.body {
                guard bytes.count + chunk.readableBytes <= limit else { throw tooLarge }
                guard state.take(chunk.readableBytes, limit: configuration.maxBodyBytesInFlight) else {
                    throw APIError(
                        status: 503, "the server holds as many bytes of requests as it may; try again later",
                        type: "server_error", code: "overloaded", retryAfter: 1)
                }
                bytes.append(contentsOf: chunk.readableBytesView)
            }
        } catch {
            state.giveBack(bytes.count)
            // What is not ours is the parser's: the body has no end, or its chunks are none.
            throw error as? APIError ?? (Task.isCancelled ? .shuttingDown : .invalid("the body is not valid HTTP"))
        }
        return RequestBytes(bytes, state)
    }
}
#endif

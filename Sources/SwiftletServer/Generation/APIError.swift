// APIError: an error as a client of the API sees it: OpenAI's status, type, param and code.
// Invariant: the message holds nothing of the prompt, so that it can be logged.

package import Swiftlet
import SwiftletJSON

/// A refused or failed request.
package struct APIError: Error, Sendable, Hashable {
    /// The HTTP status.
    package var status: Int
    package var message: String
    package var type: String
    /// The field at fault.
    package var param: String?
    package var code: String?
    /// Seconds after which it makes sense to try again.
    package var retryAfter: Int?

    package init(
        status: Int, _ message: String, type: String = "invalid_request_error", param: String? = nil,
        code: String? = nil, retryAfter: Int? = nil
    ) {
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.retryAfter = retryAfter
    }

    /// A field of the request is wrong.
    static func invalid(_ message: String, param: String? = nil) -> APIError {
        APIError(status: 400, message, param: param)
    }

    static let disconnected = APIError(status: 499, "the client has gone", type: "server_error", code: "disconnected")
    static let shuttingDown = APIError(
        status: 503, "the server is shutting down", type: "server_error", code: "shutting_down", retryAfter: 5)

    static func timedOut(after seconds: Double) -> APIError {
        APIError(
            status: 504, "the request took longer than \(seconds) seconds (request-timeout)", type: "server_error",
            code: "timeout")
    }

    /// What the engine says.
    package init(_ error: LLMError) {
        switch error.code {
        case .invalidRequest, .invalidModel:
            self.init(status: 400, error.message, param: Self.field(error.message))
        case .contextLengthExceeded: self.init(status: 400, error.message, code: "context_length_exceeded")
        case .queueFull:
            self.init(
                status: 429, error.message, type: "rate_limit_error", code: "rate_limit_exceeded", retryAfter: 1)
        case .engineFailed:
            self.init(status: 503, error.message, type: "server_error", code: "engine_failed")
        default: self.init(status: 500, error.message, type: "server_error")
        }
    }

    /// The field that a message of the engine begins with: "top_p is 2; it must be…", "stop[0] must be…".
    private static func field(_ message: String) -> String? {
        let word = message.prefix { $0 == "_" || $0.isLetter }
        let rest = message.dropFirst(word.count)
        let verbs = [" is ", " must ", " can't ", " has the key ", "[", "."]
        guard verbs.contains(where: { rest.hasPrefix($0) }), RequestFields.isKnown(String(word)) else { return nil }
        return String(word)
    }

    /// `{"error": {…}}`.
    package var body: [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.key("error")
            json.object { json in
                json.member("message", message)
                json.member("type", type)
                json.member("param", param)
                json.member("code", code)
            }
        }
        return json.bytes
    }
}

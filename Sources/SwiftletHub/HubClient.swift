// HubClient: requests to the hub and to where it sends us, with redirects, time limits and repetitions.
// One for each pull, shared by its downloads.
// Invariant: the token goes to the endpoint's own scheme, host and port only, and nothing goes to http once an address
// was https.

#if Server
import AsyncHTTPClient
import Logging
import NIOCore
import NIOHTTP1
import Swiftlet

/// Why a request did not end well, for whoever may repeat it.
enum HubFailure: Error {
    /// May go away by itself.
    case temporary(String, retryAfter: Duration? = nil)
    /// May too, but the connection was tried for a while already.
    case unreachable(String)
    /// Will not.
    case final(LLMError)

    static func refused(_ message: String) -> HubFailure { .final(LLMError(.downloadFailed, message)) }
}

struct HubClient: Sendable {
    let settings: HubSettings
    let logger: Logger
    private let http: HTTPClient

    /// An answer whose body has not been read.
    struct Answer {
        var status: Int
        var headers: HTTPHeaders
        var body: HTTPClientResponse.Body
        /// The headers of the last answer that the hub itself gave, before it sent us elsewhere.
        var hubHeaders: HTTPHeaders
        var url: HubURL
    }

    /// Opens a client for the time of `body`.
    static func with<Result: Sendable>(
        _ settings: HubSettings, logger: Logger, _ body: @Sendable (HubClient) async throws -> Result
    ) async throws -> Result {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(
                connect: .nanoseconds(settings.connectTimeout.nanoseconds),
                read: .nanoseconds(settings.idleTimeout.nanoseconds)),
            decompression: .disabled)
        // A connection for each download: they must not share one window.
        configuration.httpVersion = .http1Only
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = settings.parallelDownloads + 1
        return try await HTTPClient.withHTTPClient(configuration: configuration) { http in
            try await body(HubClient(settings: settings, logger: logger, http: http))
        }
    }

    // MARK: One request

    /// Sends one request and follows where it leads.
    ///
    /// - Parameter staysOnHub: Give the answer that leads to another host, instead of following it.
    func send(
        _ method: HTTPMethod, _ start: HubURL, headers: HTTPHeaders = [:], staysOnHub: Bool = false
    ) async throws -> Answer {
        var url = start
        var hubHeaders = HTTPHeaders()
        for _ in 0...settings.maxRedirects {
            let response = try await execute(method, url, headers)
            let isHub = url.origin == settings.endpoint.origin
            if isHub { hubHeaders = response.headers }
            let answer = Answer(
                status: Int(response.status.code), headers: response.headers, body: response.body,
                hubHeaders: hubHeaders, url: url)
            guard [301, 302, 303, 307, 308].contains(answer.status) else { return answer }
            guard let location = response.headers.first(name: "location"), let next = url.redirected(to: location)
            else { throw HubFailure.refused("\(url) leads to an address that can't be followed") }
            guard url.mayLead(to: next) else {
                throw HubFailure.refused("\(url) leads to \(next), which is not encrypted")
            }
            if staysOnHub, isHub, next.origin != url.origin { return answer }
            await drain(response)
            url = next
        }
        throw HubFailure.refused("\(start) leads on and on, more than \(settings.maxRedirects) times")
    }

    private func execute(_ method: HTTPMethod, _ url: HubURL, _ headers: HTTPHeaders) async throws -> HTTPClientResponse
    {
        var request = HTTPClientRequest(url: url.text)
        request.method = method
        request.headers = headers
        request.headers.add(name: "user-agent", value: "swiftlet")
        request.headers.add(name: "accept-encoding", value: "identity")
        if let token = settings.token, url.origin == settings.endpoint.origin {
            request.headers.add(name: "authorization", value: "Bearer \(token)")
        }
        do {
            return try await http.execute(
                request, timeout: .nanoseconds(settings.answerTimeout.nanoseconds))
        } catch {
            throw Self.failure(error, url)
        }
    }

    /// The same for a body that was coming: a connection that was there breaks for a while only.
    static func failure(reading error: any Error, _ url: HubURL) -> any Error {
        let failure = failure(error, url)
        if case HubFailure.unreachable(let reason) = failure { return HubFailure.temporary(reason) }
        return failure
    }

    /// Reads a short body, so that the connection can be used again; any other closes it.
    private func drain(_ response: HTTPClientResponse) async {
        guard let length = response.headers.first(name: "content-length").flatMap({ Int($0) }), length <= 4096 else {
            return
        }
        _ = try? await response.body.collect(upTo: 4096)
    }

    /// What an error of the connection means.
    static func failure(_ error: any Error, _ url: HubURL) -> any Error {
        if error is CancellationError || Task.isCancelled { return CancellationError() }
        if error is HubFailure || error is LLMError { return error }
        let failure = ConnectionFailure(error, host: url.origin.host)
        switch failure.kind {
        case .cancelled: return CancellationError()
        case .broken: return HubFailure.temporary(failure.reason)
        case .unreachable: return HubFailure.unreachable(failure.reason)
        case .refused: return HubFailure.refused(failure.reason)
        }
    }

    // MARK: Repetition

    /// Runs `body` until it succeeds, fails for good or has failed too often.
    func repeating<Result>(_ body: () async throws -> Result) async throws -> Result {
        var failures = 0
        while true {
            do {
                return try await body()
            } catch HubFailure.final(let error) {
                throw error
            } catch HubFailure.unreachable(let reason) {
                throw LLMError(.downloadFailed, reason)
            } catch HubFailure.temporary(let reason, let retryAfter) {
                failures += 1
                guard failures < settings.attempts else {
                    throw LLMError(.downloadFailed, "\(reason), \(failures) times in a row")
                }
                try await pause(after: failures, reason, retryAfter: retryAfter)
            }
        }
    }

    /// Waits before the next try.
    func pause(after failures: Int, _ reason: String, retryAfter: Duration?) async throws {
        var wait = settings.firstPause
        for _ in 1..<max(1, min(failures, 16)) { wait = min(wait * 2, settings.longestPause) }
        if let retryAfter {
            guard retryAfter <= settings.longestRetryAfter else {
                throw LLMError(
                    .downloadFailed, "\(reason), and asks to come back in \(retryAfter.components.seconds) seconds")
            }
            wait = max(wait, retryAfter)
        }
        logger.warning("\(reason); trying again")
        try await Task.sleep(for: wait)
    }

    // MARK: Answers

    /// The failure that a status stands for; nil for success.
    static func failure(_ answer: Answer, asking what: HubQuestion, hasToken: Bool) -> HubFailure? {
        switch answer.status {
        case 200, 206: return nil
        case 401, 403, 404: return .final(what.refusal(answer, hasToken: hasToken))
        case 408, 429, 500...599:
            let seconds = answer.headers.first(name: "retry-after").flatMap { Int($0) }.map { max(0, min($0, 1 << 30)) }
            let reason = answer.status == 429 ? "is asked too often" : "has trouble"
            return .temporary(
                "\(answer.url.origin.host) \(reason) (\(answer.status))", retryAfter: seconds.map { .seconds($0) })
        default: return .refused("\(answer.url) answers with status \(answer.status)")
        }
    }

    /// The whole body of an answer that is not to be large.
    func body(of answer: Answer) async throws -> [UInt8] {
        try Self.checkEncoding(answer)
        let clock = ContinuousClock()
        let deadline = clock.now + settings.answerTimeout
        var bytes: [UInt8] = []
        do {
            for try await part in answer.body {
                guard bytes.count + part.readableBytes <= settings.maxAnswerBytes else {
                    throw HubFailure.refused("\(answer.url) answers with more than \(settings.maxAnswerBytes) bytes")
                }
                guard clock.now < deadline else { throw HubFailure.temporary("\(answer.url.origin.host) is too slow") }
                bytes.append(contentsOf: part.readableBytesView)
            }
        } catch {
            throw Self.failure(reading: error, answer.url)
        }
        return bytes
    }

    /// Sizes and checksums are those of the file as it is.
    static func checkEncoding(_ answer: Answer) throws {
        guard let encoding = answer.headers.first(name: "content-encoding"), encoding.lowercased() != "identity" else {
            return
        }
        throw HubFailure.refused("\(answer.url) sends what it was not asked for, the encoding \(Text.quoted(encoding))")
    }
}

/// What is asked of the hub, to say what a refusal means.
struct HubQuestion: Sendable {
    var model: HubModelID
    var revision: String
    /// nil: which files there are.
    var file: String?
    var endpoint: HubURL

    func refusal(_ answer: HubClient.Answer, hasToken: Bool) -> LLMError {
        let code = answer.hubHeaders.first(name: "x-error-code") ?? ""
        let message = answer.hubHeaders.first(name: "x-error-message") ?? ""
        let page = "\(endpoint)/\(model)"
        let text: String
        if answer.url.origin != endpoint.origin {
            text = "\(answer.url.origin.host) refuses \(model)'s \(file ?? "list of files") (status \(answer.status))"
        } else if code == "GatedRepo" {
            text =
                "\(model) is gated: accept its licence on \(page), and "
                + (hasToken ? "use a token of that account in HF_TOKEN" : "set HF_TOKEN to a token of that account")
        } else if code == "RevisionNotFound" {
            text = "\(model) has no revision \(revision)"
        } else if answer.status == 401, hasToken, message.contains("redentials") {
            text = "\(endpoint) does not accept the token of HF_TOKEN or of the token file"
        } else if answer.status == 403 {
            text =
                "access to \(model) is forbidden: accept its licence on \(page), and set HF_TOKEN to a token of that account "
                + "that may read it"
        } else if answer.status == 404, let file {
            text = "\(endpoint) lists \(Text.plain(file)) of \(model) and does not have it"
        } else {
            text =
                "\(model) is not on \(endpoint), or is private"
                + (hasToken ? " and not of HF_TOKEN's account" : ", which takes a token in HF_TOKEN")
        }
        return LLMError(.downloadFailed, text)
    }
}

extension Duration {
    var nanoseconds: Int64 {
        components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}
#endif

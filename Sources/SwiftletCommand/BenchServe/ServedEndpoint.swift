#if Server
// ServedEndpoint: where a load goes, and the connections to it.
// Invariant: a request is sent once: neither redirects nor repetitions hide what a server does.

import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
package import Swiftlet
package import SwiftletHub
import SwiftletJSON

package struct ServedEndpoint: Sendable {
    /// The address without a path.
    package let base: HubURL
    /// Where completions are asked for.
    package let url: HubURL
    package let isChat: Bool
    package let headers: [Header]
    /// Seconds that a request may take.
    package let timeout: Double
    /// Whether any certificate is good enough.
    package let isInsecure: Bool

    package struct Header: Sendable, Hashable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// - Throws: ``LLMError`` for what is no address.
    package init(
        base text: String, path: String, headers: [Header], timeout: Double, isInsecure: Bool
    ) throws(LLMError) {
        guard let given = HubURL(text), given.isPlain else {
            throw LLMError(
                .invalidConfiguration,
                "base-url is \(Text.quoted(text)); it must be an address such as http://127.0.0.1:8000")
        }
        // OpenAI's clients are given the address with /v1 behind it.
        let trimmed = String(given.text.reversed().drop { $0 == "/" }.reversed())
        let root = trimmed.hasSuffix("/v1") && path.hasPrefix("/v1/") ? String(trimmed.dropLast(3)) : trimmed
        guard let base = HubURL(root), let url = base.appending(path), path.hasPrefix("/"),
            path.hasSuffix("/completions")
        else {
            throw LLMError(
                .invalidConfiguration,
                "endpoint is \(Text.quoted(path)); it must be /v1/completions or /v1/chat/completions, or end like one")
        }
        self.base = base
        self.url = url
        isChat = path.hasSuffix("/chat/completions")
        self.headers = headers
        self.timeout = timeout
        self.isInsecure = isInsecure
    }

    /// Opens connections for the time of `body`, as many as requests run at a time.
    func withConnections<Result: Sendable>(
        _ count: Int, _ body: @Sendable (HTTPClient) async throws -> Result
    ) async throws -> Result {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow, timeout: .init(connect: .seconds(30)), decompression: .disabled)
        // Every request has a connection of its own.
        configuration.httpVersion = .http1Only
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = max(1, count)
        configuration.connectionPool.retryConnectionEstablishment = false
        // Shorter than servers keep theirs open (uvicorn: 5 s), so that none is closed under a new request.
        configuration.connectionPool.idleTimeout = .seconds(3)
        var tls = TLSConfiguration.makeClientConfiguration()
        if isInsecure { tls.certificateVerification = .none }
        configuration.tlsConfiguration = tls
        // The load is to leave the processors to the server, which may be on this machine.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, System.coreCount / 4))
        let http = HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
        do {
            let result = try await body(http)
            try await http.shutdown()
            try await group.shutdownGracefully()
            return result
        } catch {
            try? await http.shutdown()
            try? await group.shutdownGracefully()
            throw error
        }
    }

    func request(_ body: [UInt8]) throws -> HTTPClient.Request {
        var fields = HTTPHeaders([("content-type", "application/json"), ("user-agent", "swiftlet")])
        for header in headers { fields.replaceOrAdd(name: header.name, value: header.value) }
        return try HTTPClient.Request(
            url: url.text, method: .POST, headers: fields, body: .byteBuffer(ByteBuffer(bytes: body)))
    }

    /// Sends a request and reads its stream.
    ///
    /// - Throws: `CancellationError` only; what goes wrong is in the result.
    func send(
        _ request: HTTPClient.Request, over http: HTTPClient, origin: Double, keepsText: Bool
    ) async throws -> ServedRequest {
        let reader = AnswerReader(isChat: isChat, keepsText: keepsText, origin: origin)
        let task = http.execute(
            request: request, delegate: reader, deadline: .now() + .milliseconds(Int64(timeout * 1000)))
        do {
            return try await withTaskCancellationHandler {
                try await task.futureResult.get()
            } onCancel: {
                task.cancel()
            }
        } catch {
            try Task.checkCancellation()
            return reader.failed(reason(error))
        }
    }

    private func reason(_ error: any Error) -> String {
        switch error {
        case let error as AnswerReader.Broken: return error.reason
        case is EventStream.TooLong: return "an event is longer than \(EventStream.limit) bytes"
        case let error as HTTPClientError where error == .deadlineExceeded:
            return "took longer than \(Format.number(timeout)) s (--request-timeout)"
        default: return ConnectionFailure(error, host: url.origin.host).reason
        }
    }

    /// The first model that the server has.
    ///
    /// - Throws: ``LLMError`` that says what the server said instead.
    func firstModel(over http: HTTPClient) async throws -> String {
        guard let address = base.appending("/v1/models") else { preconditionFailure("a base takes a path") }
        var request = HTTPClientRequest(url: address.text)
        for header in headers { request.headers.replaceOrAdd(name: header.name, value: header.value) }
        let status: Int
        let body: [UInt8]
        do {
            let response = try await http.execute(request, timeout: .seconds(30))
            status = Int(response.status.code)
            body = Array(try await response.body.collect(upTo: 1 << 20).readableBytesView)
        } catch {
            try Task.checkCancellation()
            throw LLMError(.inputOutput, "\(address): \(reason(error)); --model names a model without asking")
        }
        guard status == 200, let root = try? JSONDocument(parsing: body).root,
            let name = root["data"]?[0]?["id"]?.string
        else {
            throw LLMError(
                .inputOutput,
                "\(address) answers with status \(status) and names no model"
                    + (status == 401 ? ": it needs a key, in OPENAI_API_KEY or --header" : "; --model names one"))
        }
        return name
    }
}
#endif

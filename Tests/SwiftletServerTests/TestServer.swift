#if Server
// TestServer: a real server on a free port of this machine with the demo model, and what talks to it.

import AsyncHTTPClient
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Swiftlet
import SwiftletJSON
import SwiftletServer
import SwiftletTokenizer
import Synchronization
import Testing

struct TestServer: Sendable {
    let llm: LLM
    let port: Int
    let client: HTTPClient
    let group: ServiceGroup
    var scheme = "http"

    static let engine = EngineConfig(
        maxSequences: 16, blockSize: 16, kvCache: .blocks(256), threads: 1, pinThreads: false, seed: 7)

    /// Starts a server, runs `body`, stops it; afterwards no block may be in use.
    static func run(
        _ configuration: OpenAIServerConfiguration = OpenAIServerConfiguration(), engine: EngineConfig = engine,
        processors: [any LogitsProcessor] = [], logger: Logger = quietLogger,
        client: HTTPClient.Configuration = .init(), _ body: (TestServer) async throws -> Void
    ) async throws {
        let llm = try await LLM(config: engine, logitsProcessors: processors, logger: quietLogger)
        var configuration = configuration
        configuration.address = .hostname("127.0.0.1", port: 0)
        try await run(llm, scheme: configuration.tls == nil ? "http" : "https", client: client, body) { onStart in
            try OpenAIServer(engine: llm, configuration: configuration, logger: logger, onStart: onStart)
        }
    }

    /// The same for the routes in an application that is not ``OpenAIServer``.
    static func mounted(
        processors: [any LogitsProcessor] = [], _ body: (TestServer) async throws -> Void
    ) async throws {
        let llm = try await LLM(config: engine, logitsProcessors: processors, logger: quietLogger)
        let router = Router()
        router.addRoutes(OpenAIRoutes(llm))
        router.get("/own") { _, _ in "own" }
        try await run(llm, body) { onStart in
            Application(
                router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
                onServerRunning: { channel in await onStart(channel.localAddress?.port) }, logger: quietLogger)
        }
    }

    private static func run(
        _ llm: LLM, scheme: String = "http", client: HTTPClient.Configuration = .init(),
        _ body: (TestServer) async throws -> Void,
        service: (_ onStart: @escaping @Sendable (_ port: Int?) async -> Void) throws -> any Service
    ) async throws {
        let (ports, started) = AsyncStream<Int>.makeStream()
        let service = try service { port in started.yield(port ?? 0) }
        let group = ServiceGroup(configuration: .init(services: [service], logger: quietLogger))
        let task = Task { try await group.run() }
        var iterator = ports.makeAsyncIterator()
        let port = try #require(await iterator.next())
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: client)
        let test = TestServer(llm: llm, port: port, client: client, group: group, scheme: scheme)
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(test))
        } catch {
            result = .failure(error)
        }
        await group.triggerGracefulShutdown()
        try await task.value
        try await client.shutdown()
        #expect(try await test.isIdle(), "blocks are in use after the server's end")
        await llm.shutdown()
        try result.get()
    }

    static let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Waits until the engine has nothing to do and holds no block.
    func isIdle(within seconds: Double = 10) async throws -> Bool {
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end {
            let statistics = llm.statistics
            if statistics.usedBlocks == 0 && statistics.runningSequences == 0 && statistics.waitingSequences == 0 {
                return true
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        return false
    }

    /// Waits until `condition` holds.
    func wait(
        _ what: Comment, seconds: Double = 10, _ condition: (EngineStatistics) -> Bool
    ) async throws {
        let end = ContinuousClock.now + .seconds(seconds)
        while !condition(llm.statistics) {
            try #require(ContinuousClock.now < end, what)
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    // MARK: - Requests

    func request(_ path: String, _ body: String? = nil, headers: [String: String] = [:]) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: "\(scheme)://127.0.0.1:\(port)\(path)")
        if let body {
            request.method = .POST
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(ByteBuffer(string: body))
        }
        for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
        return request
    }

    /// Sends a request and reads the whole answer, which must have the API's shape.
    func send(_ request: HTTPClientRequest) async throws -> Reply {
        let response = try await client.execute(request, timeout: .seconds(60))
        let body = try await response.body.collect(upTo: 64 << 20)
        let reply = Reply(
            status: Int(response.status.code), headers: response.headers, bytes: Array(body.readableBytesView))
        if request.method != .OPTIONS { try Shape.check(reply, to: request.url) }
        return reply
    }

    func get(_ path: String, headers: [String: String] = [:]) async throws -> Reply {
        try await send(request(path, headers: headers))
    }

    func post(_ path: String, _ body: String, headers: [String: String] = [:]) async throws -> Reply {
        try await send(request(path, body, headers: headers))
    }

    /// A completion as JSON; it must succeed.
    func complete(_ body: String, _ path: String = "/v1/completions") async throws -> JSONValue {
        let reply = try await post(path, body)
        #expect(reply.status == 200, "\(reply.text)")
        return try reply.json
    }

    /// The chunks of a stream that ends well, in order.
    func stream(_ body: String, _ path: String = "/v1/completions") async throws -> [JSONValue] {
        let reply = try await post(path, body)
        #expect(reply.status == 200 && reply.headers.first(name: "content-type") == "text/event-stream; charset=utf-8")
        return try reply.events()
    }
}

/// An answer.
struct Reply: Sendable {
    var status: Int
    var headers: HTTPHeaders
    var bytes: [UInt8]

    var text: String { String(decoding: bytes, as: UTF8.self) }
    var json: JSONValue { get throws { try JSONDocument(parsing: bytes, rejectDuplicateKeys: true).root } }

    /// The data of server-sent events before `[DONE]`, which must be the last one.
    func events() throws -> [JSONValue] {
        var data: [String] = []
        for event in text.split(separator: "\n\n", omittingEmptySubsequences: false).map(String.init) {
            if event.isEmpty || event.hasPrefix(":") { continue }
            try #require(event.hasPrefix("data: ") && !event.contains("\n"), "\(event)")
            data.append(String(event.dropFirst(6)))
        }
        #expect(data.last == "[DONE]" && text.hasSuffix("\n\n"))
        return try data.dropLast().map { try JSONDocument(parsing: Array($0.utf8), rejectDuplicateKeys: true).root }
    }
}

/// Makes every token take a while, so that something can happen meanwhile.
struct SlowTokens: LogitsProcessor {
    var milliseconds = 2

    func process(_ logits: inout MutableSpan<Float>, _ context: LogitsContext) {
        let end = ContinuousClock.now + .milliseconds(milliseconds)
        while ContinuousClock.now < end {}
    }
}

/// The first tokens of prompts, in the order in which their answers began.
final class FirstTokens: LogitsProcessor {
    private let seen = Mutex<[TokenID]>([])
    var prompts: [TokenID] { seen.withLock { $0 } }

    func process(_ logits: inout MutableSpan<Float>, _ context: LogitsContext) {
        guard context.tokens.count == context.promptTokenCount else { return }
        let token = context.tokens[0]
        seen.withLock { $0.append(token) }
    }
}

/// Makes the model say given texts, the first one for the first choice and so on, and then end.
struct ScriptedAnswers: LogitsProcessor {
    var answers: [[TokenID]]
    static let end: TokenID = 2

    init(_ texts: [String]) async throws {
        let llm = try await LLM(config: TestServer.engine, logger: TestServer.quietLogger)
        answers = texts.map { llm.tokenizer!.encode($0, addSpecialTokens: false) }
        await llm.shutdown()
    }

    func process(_ logits: inout MutableSpan<Float>, _ context: LogitsContext) {
        let answer = answers[context.choiceIndex % answers.count]
        let position = context.tokens.count - context.promptTokenCount
        let wanted = position < answer.count ? answer[position] : Self.end
        for index in 0..<logits.count where index != Int(wanted) { logits[index] = -.infinity }
        logits[Int(wanted)] = 0
    }
}
#endif

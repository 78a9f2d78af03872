#if Server
// The life of requests and of the server: who leaves, who waits, who is too late.

import AsyncHTTPClient
import Logging
import ServiceLifecycle
import NIOHTTP1
import Swiftlet
import SwiftletJSON
import SwiftletServer
import SwiftletTestSupport
import SwiftletTokenizer
import Testing

extension TestServer {
    /// A request as bytes.
    static func bytes(_ body: String, _ path: String = "/v1/completions") -> String {
        "POST \(path) HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    static let long = #""prompt": [5, 6, 7], "max_tokens": 900, "ignore_eos": true"#
}

@Suite("Lifecycle", .serialized, .timeLimit(.minutes(2)))
struct LifecycleTests {
    @Test("A client that goes ends its request, streaming or not, running or waiting", arguments: [false, true])
    func disconnect(isMounted: Bool) async throws {
        let body: (TestServer) async throws -> Void = { server in
            for fields in [#""stream": true"#, #""stream": false"#, #""n": 4"#] {
                let connection = try RawConnection(port: server.port)
                await connection.send(TestServer.bytes("{\(TestServer.long), \(fields)}"))
                try await server.wait("the request does not run") { $0.runningSequences > 0 }
                let steps = server.llm.statistics.steps
                connection.close()
                #expect(try await server.isIdle())
                // Nowhere near the 900 that it would take.
                #expect(server.llm.statistics.steps - steps < 600)
            }
            #expect(server.llm.statistics.aborted >= 3)
        }
        if isMounted {
            try await TestServer.mounted(processors: [SlowTokens(milliseconds: 20)], body)
        } else {
            try await TestServer.run(processors: [SlowTokens(milliseconds: 20)], body)
        }
    }

    @Test("A connection serves one request after the other")
    func keepAlive() async throws {
        try await TestServer.run { server in
            let connection = try RawConnection(port: server.port)
            for fields in [#""max_tokens": 2"#, #""max_tokens": 3, "stream": true"#, #""max_tokens": 0"#, #""n": 2"#] {
                await connection.send(TestServer.bytes(#"{"prompt": "x", \#(fields)}"#))
                let end = fields.contains("stream") ? "[DONE]\n\n\r\n0\r\n\r\n" : "}}"
                #expect(await connection.receive(until: end)?.hasPrefix("HTTP/1.1 ") ?? false)
            }
        }
    }

    @Test("The answer to HEAD had a body, which was the beginning of the next answer")
    func head() async throws {
        try await TestServer.run { server in
            let paths = ["/health": 200, "/version": 200, "/": 200, "/v1/completions": 405, "/nothing": 404]
            for (path, status) in paths {
                let connection = try RawConnection(port: server.port)
                await connection.send(
                    "HEAD \(path) HTTP/1.1\r\nhost: x\r\n\r\nGET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
                )
                let heads = try #require(await connection.receive()).split(separator: "\r\n\r\n")
                #expect(heads.count == 3 && heads[0].hasPrefix("HTTP/1.1 \(status) "), "\(path): \(heads)")
                #expect(heads.count == 3 && heads[1].hasPrefix("HTTP/1.1 200 ") && heads[2].hasPrefix("{"), "\(path)")
            }
        }
    }

    @Test(
        "A connection that is to be closed was not, unless the word was alone and small",
        arguments: ["close", "Close", "keep-alive, CLOSE"])
    func connectionClose(value: String) async throws {
        try await TestServer.run { server in
            let connection = try RawConnection(port: server.port, timeoutSeconds: 5)
            await connection.send("GET /version HTTP/1.1\r\nhost: x\r\nConnection: \(value)\r\n\r\n")
            #expect(await connection.receive()?.hasPrefix("HTTP/1.1 200 ") == true, "it is still open")
        }
    }

    @Test("Who waits for leave to send a body had to wait for a second")
    func expectContinue() async throws {
        try await TestServer.run { server in
            let connection = try RawConnection(port: server.port)
            let body = #"{"prompt": "x", "max_tokens": 2}"#
            let request = TestServer.bytes(body).replacing("host: x\r\n", with: "host: x\r\nexpect: 100-continue\r\n")
            await connection.send(request.dropLast(body.count).utf8)
            #expect(await connection.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
            await connection.send(body)
            #expect(await connection.receive(until: "}}")?.hasPrefix("HTTP/1.1 200 OK\r\n") == true)
        }
    }

    @Test("A full queue is 429 with a time to come back, also for streams")
    func queueFull() async throws {
        var engine = TestServer.engine
        engine.maxSequences = 1
        engine.maxQueuedRequests = 1
        try await TestServer.run(engine: engine, processors: [SlowTokens(milliseconds: 20)]) { server in
            let running = try RawConnection(port: server.port)
            await running.send(TestServer.bytes("{\(TestServer.long)}"))
            try await server.wait("the first request does not run") { $0.runningSequences == 1 }
            let waiting = try RawConnection(port: server.port)
            await waiting.send(TestServer.bytes("{\(TestServer.long)}"))
            try await server.wait("the second request does not wait") { $0.waitingSequences == 1 }
            for stream in ["true", "false"] {
                let reply = try await server.post("/v1/completions", "{\(TestServer.long), \"stream\": \(stream)}")
                #expect(reply.status == 429 && reply.headers.first(name: "retry-after") == "1")
                expect(try reply.json, is: .error)
                #expect(try reply.json["error"]?["code"]?.string == "rate_limit_exceeded")
            }
            #expect(try await server.get("/health").status == 200)
        }
    }

    @Test("A request that takes too long ends with an error, in a stream with an event")
    func timeout() async throws {
        var configuration = OpenAIServerConfiguration()
        configuration.routes.requestTimeout = 0.3
        try await TestServer.run(configuration, processors: [SlowTokens()]) { server in
            let reply = try await server.post("/v1/completions", "{\(TestServer.long)}")
            #expect(reply.status == 504)
            #expect(try reply.json["error"]?["code"]?.string == "timeout")
            let events = try await server.stream("{\(TestServer.long), \"stream\": true}")
            expect(try #require(events.last), is: .error)
            #expect(events.count > 2)
            #expect(try await server.isIdle())
        }
    }

    @Test("After the signal to stop, what runs ends and nothing new is taken")
    func gracefulShutdown() async throws {
        try await TestServer.run(processors: [SlowTokens()]) { server in
            let running = try RawConnection(port: server.port)
            await running.send(
                TestServer.bytes(
                    #"{"prompt": [5, 6, 7], "max_tokens": 150, "ignore_eos": true, "stream": true}"#))
            let idle = try RawConnection(port: server.port)
            await idle.send("GET /ready HTTP/1.1\r\nhost: x\r\n\r\n")
            #expect(await idle.receive(until: "\r\n\r\n")?.hasPrefix("HTTP/1.1 200") ?? false)
            try await server.wait("the request does not run") { $0.runningSequences > 0 }
            await server.group.triggerGracefulShutdown()
            let reply = try #require(await running.receive())
            #expect(reply.contains("data: [DONE]") && reply.contains(#""finish_reason":"length""#))
            #expect(await idle.isClosed())
            #expect(throws: (any Error).self) { try RawConnection(port: server.port) }
        }
    }

    @Test("What has not ended at the deadline is ended with an error")
    func shutdownDeadline() async throws {
        var configuration = OpenAIServerConfiguration()
        configuration.shutdownTimeout = 0.2
        try await TestServer.run(configuration, processors: [SlowTokens()]) { server in
            let stream = try RawConnection(port: server.port)
            await stream.send(TestServer.bytes("{\(TestServer.long), \"stream\": true}"))
            let whole = try RawConnection(port: server.port)
            await whole.send(TestServer.bytes("{\(TestServer.long)}"))
            try await server.wait("the requests do not run") { $0.runningSequences == 2 }
            await server.group.triggerGracefulShutdown()
            #expect(await stream.receive()?.contains("shutting_down") ?? false)
            #expect(await whole.receive()?.hasPrefix("HTTP/1.1 503") ?? false)
        }
    }

    @Test("Silent streams give signs of life")
    func pings() async throws {
        let llm = try await LLM(
            config: TestServer.engine, logitsProcessors: [SlowTokens(milliseconds: 60)], logger: TestServer.quietLogger)
        var configuration = OpenAIConfiguration()
        configuration.pingInterval = 0.01
        let service = GenerationService(llm, configuration)
        let request = try service.request(
            .completions, Array(#"{"prompt": [1], "max_tokens": 4, "ignore_eos": true, "stream": true}"#.utf8))
        var pings = 0
        let run = try service.start(request, id: "p")
        let (usage, error) = try await run.stream { bytes in
            if String(decoding: bytes, as: UTF8.self) == ": ping\n\n" { pings += 1 }
        }
        #expect(pings >= 2 && usage.completionTokens == 4 && error == nil)
        await llm.shutdown()
    }

    @Test("With priorities the lowest value goes first")
    func priorities() async throws {
        var engine = TestServer.engine
        engine.maxSequences = 1
        engine.schedulingPolicy = .priority
        // Answers can overtake each other on their way: what counts is the order of the engine.
        let order = FirstTokens()
        try await TestServer.run(engine: engine, processors: [SlowTokens(), order]) { server in
            let first = try RawConnection(port: server.port)
            await first.send(TestServer.bytes("{\(TestServer.long)}"))
            try await server.wait("the first request does not run") { $0.runningSequences == 1 }
            try await withThrowingTaskGroup { group in
                for (waiting, priority) in [5, 1, 3].enumerated() {
                    group.addTask {
                        let body = #"{"prompt": [\#(priority)], "max_tokens": 3, "priority": \#(priority)}"#
                        _ = try await server.complete(body)
                    }
                    try await server.wait("a request does not wait") { $0.waitingSequences == waiting + 1 }
                }
                first.close()
                try await group.waitForAll()
            }
            #expect(order.prompts.suffix(3) == [1, 3, 5])
        }
    }

    @Test("A body is answered without HTTP too")
    func offline() async throws {
        let llm = try await LLM(config: TestServer.engine, logger: TestServer.quietLogger)
        let service = GenerationService(llm)
        let body = #"{"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}"#
        let answer = await service.answer(.chat, Array(body.utf8), id: "7")
        #expect(answer.status == 200)
        let json = try JSONDocument(parsing: answer.body).root
        expect(json, is: .chatCompletion)
        #expect(json["id"]?.string == "chatcmpl-7")
        let refused = await service.answer(.chat, Array("{}".utf8), id: "8")
        #expect(refused.status == 400)
        await llm.shutdown()
    }
}
#endif

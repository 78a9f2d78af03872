#if Server
// What comes from people who mean no good: endless heads and bodies, slow ones, deep ones, none. Each ends with an error
// or a closed connection in bounded time, and the server goes on serving.

import AsyncHTTPClient
import Swiftlet
import SwiftletJSON
import SwiftletServer
import SwiftletTestSupport
import Testing

@Suite("Hostile input", .serialized, .timeLimit(.minutes(2)))
struct HostileTests {
    private func isServing(_ server: TestServer) async throws {
        let answer = try await server.complete(#"{"prompt": "x", "max_tokens": 1}"#)
        expect(answer, is: .completion)
    }

    /// One answer with OpenAI's error body and nothing behind it.
    private func expectError(
        _ reply: String, _ status: Int, _ code: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        #expect(reply.hasPrefix("HTTP/1.1 \(status) "), "\(reply.prefix(200))", sourceLocation: sourceLocation)
        let parts = reply.split(separator: "\r\n\r\n", maxSplits: 1)
        let body = Array((parts.count == 2 ? String(parts[1]) : "").utf8)
        #expect(reply.lowercased().contains("content-length: \(body.count)\r\n"), sourceLocation: sourceLocation)
        let json = try JSONDocument(parsing: body).root
        expect(json, is: .error, sourceLocation: sourceLocation)
        #expect(json["error"]?["code"]?.string == code, "\(reply)", sourceLocation: sourceLocation)
    }

    @Test("Bytes that are no HTTP are answered with an error body, behind a request too")
    func malformedHeads() async throws {
        try await TestServer.run { server in
            for bytes in [
                "nonsense\r\n\r\n", "GET /health\r\n\r\n", "GET /health HTTP/9.9\r\nhost: x\r\n\r\n",
                "GET /health HTTP/1.1\r\nhost x\r\n\r\n", "GET /health HTTP/1.1\r\nho st: x\r\n\r\n",
                "\u{16}\u{3}\u{1}\u{2}",
                "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
            ] {
                let connection = try RawConnection(port: server.port)
                await connection.send(bytes)
                let reply = try #require(await connection.receive(), "\(bytes.debugDescription): not closed")
                try expectError(reply, 400, "invalid_http")
            }
            let pipelined = try RawConnection(port: server.port)
            await pipelined.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\nnonsense\r\n\r\n")
            let replies = try #require(await pipelined.receive())
            #expect(replies.hasPrefix("HTTP/1.1 200 "))
            let second = try #require(replies.dropFirst().firstRange(of: "HTTP/1.1 "))
            try expectError(String(replies[second.lowerBound...]), 400, "invalid_http")
            try await isServing(server)
        }
    }

    @Test("A body whose chunks are none was answered with 500")
    func malformedBody() async throws {
        try await TestServer.run { server in
            let connection = try RawConnection(port: server.port)
            await connection.send(
                "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n"
            )
            let reply = try #require(await connection.receive())
            #expect(reply.hasPrefix("HTTP/1.1 400 ") && reply.contains("the body is not valid HTTP"), "\(reply)")
            try await isServing(server)
        }
    }

    @Test("A body of 100 MB is refused, announced or not")
    func hugeBodies() async throws {
        try await TestServer.run { server in
            let head = "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            let announced = try RawConnection(port: server.port)
            await announced.send(head + "content-length: 100000000\r\n\r\n")
            let reply = try #require(await announced.receive(until: "\r\n\r\n{"))
            #expect(reply.hasPrefix("HTTP/1.1 413") && reply.contains("body_too_large"))
            announced.close()
            let chunked = try RawConnection(port: server.port)
            await chunked.send(head + "transfer-encoding: chunked\r\n\r\n")
            let chunk = Array("100000\r\n".utf8) + [UInt8](repeating: 0x20, count: 1 << 20) + Array("\r\n".utf8)
            for _ in 0..<100 { guard await chunked.send(chunk) else { break } }
            await chunked.send("0\r\n\r\n")
            let answer = try #require(await chunked.receive(until: "body_too_large"))
            #expect(answer.hasPrefix("HTTP/1.1 413"))
            try await isServing(server)
        }
    }

    @Test("Deep nesting, many values and many fields are errors")
    func deepBodies() async throws {
        try await TestServer.run { server in
            for body in [
                String(repeating: "[", count: 1 << 20), String(repeating: #"{"prompt":"#, count: 100_000),
                "[" + String(repeating: "1,", count: 3_000_000) + "1]",
                #"{"prompt": ["# + String(repeating: "1,", count: 3_000_000) + "1]}",
                "{" + (0..<300).map { #""f\#($0)": 1"# }.joined(separator: ",") + "}",
            ] {
                let reply = try await server.post("/v1/completions", body)
                #expect(reply.status == 400)
                expect(try reply.json, is: .error)
            }
            try await isServing(server)
        }
    }

    @Test("A prompt that is too long for the model is refused at once")
    func longPrompts() async throws {
        try await TestServer.run { server in
            let body = #"{"prompt": "\#(String(repeating: "word ", count: 200_000))"}"#
            let reply = try await server.post("/v1/completions", body)
            #expect(reply.status == 400 && reply.text.contains("max-model-len"))
            try await isServing(server)
        }
    }

    @Test("Invalid UTF-8 and control characters are errors")
    func invalidText() async throws {
        try await TestServer.run { server in
            for bytes: [UInt8] in [[0xFF], [0xC3, 0x28], [0xED, 0xA0, 0x80], [0x00], [0xF4, 0x90, 0x80, 0x80]] {
                var request = server.request("/v1/completions", "")
                request.body = .bytes(Array(#"{"prompt": ""#.utf8) + bytes + Array(#""}"#.utf8))
                let reply = try await server.send(request)
                #expect(reply.status == 400)
                expect(try reply.json, is: .error)
            }
        }
    }

    @Test("Floods of header fields, and of one header field, end the connection")
    func headerFloods() async throws {
        try await TestServer.run { server in
            for flood in [
                (0..<5000).map { "x-\($0): 1\r\n" }.joined(), "x: " + String(repeating: "a", count: 1 << 20),
                String(repeating: "x", count: 1 << 20),
            ] {
                let connection = try RawConnection(port: server.port)
                await connection.send("GET /health HTTP/1.1\r\n" + flood)
                let reply = try #require(await connection.receive())
                try expectError(reply, 431, "headers_too_large")
            }
            let path = try RawConnection(port: server.port)
            await path.send("GET /" + String(repeating: "a", count: 8 << 20))
            await path.send(" HTTP/1.1\r\nhost: x\r\n\r\n")
            #expect(await path.receive(until: "\r\n\r\n") != nil)
            try await isServing(server)
        }
    }

    @Test("What is no HTTP is refused")
    func garbage() async throws {
        try await TestServer.run { server in
            var random = SeededGenerator(seed: 5)
            for _ in 0..<20 {
                let connection = try RawConnection(port: server.port)
                await connection.send((0..<2000).map { _ in UInt8.random(in: 0...255, using: &random) })
                await connection.send("\r\n\r\n\r\n")
                #expect(await connection.isClosed())
            }
            let smuggled = try RawConnection(port: server.port)
            await smuggled.send(
                "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            )
            let reply = try #require(await smuggled.receive(until: "\r\n\r\n"))
            #expect(reply.isEmpty || reply.hasPrefix("HTTP/1.1 4"))
            try await isServing(server)
        }
    }

    @Test("Slow heads, slow bodies and idle connections are closed")
    func slowLoris() async throws {
        var configuration = OpenAIServerConfiguration()
        configuration.limits.headSeconds = 0.4
        configuration.limits.bodySeconds = 0.4
        configuration.limits.keepAliveSeconds = 0.4
        try await TestServer.run(configuration) { server in
            let idle = try RawConnection(port: server.port)
            let head = try RawConnection(port: server.port)
            let body = try RawConnection(port: server.port)
            let second = try RawConnection(port: server.port)
            let start = ContinuousClock.now
            await body.send(
                "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n"
            )
            await second.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            #expect(await second.receive(until: "\r\n\r\n")?.hasPrefix("HTTP/1.1 200") ?? false)
            await head.send("GET /")
            await second.send("GET /")
            // A byte now and then does not keep a connection alive.
            var isOpen = true
            while isOpen && ContinuousClock.now - start < .seconds(15) {
                let taken = [await head.send("x"), await body.send("x"), await second.send("x")]
                isOpen = taken.contains(true)
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(!isOpen)
            for connection in [idle, head, body, second] { #expect(await connection.isClosed()) }
            try await isServing(server)
        }
    }

    @Test("A client that reads nothing is closed, and its request with it")
    func deafClient() async throws {
        var configuration = OpenAIServerConfiguration()
        configuration.limits.writeSeconds = 0.5
        try await TestServer.run(configuration) { server in
            let deaf = try RawConnection(port: server.port)
            let body =
                #"{"prompt": ["# + (0..<60).map { _ in "[1]" }.joined(separator: ",")
                + #"], "n": 8, "max_tokens": 900, "ignore_eos": true, "stream": true, "logprobs": 20}"#
            await deaf.send(
                "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
            )
            try await server.wait("the request does not run") { $0.runningSequences > 0 }
            // It is closed as soon as nothing more fits into the sockets, long before all is generated.
            #expect(try await server.isIdle(within: 60))
            #expect(server.llm.statistics.aborted > 0)
        }
    }

    @Test("More connections than allowed wait their turn")
    func connections() async throws {
        var configuration = OpenAIServerConfiguration()
        configuration.limits.connections = 4
        configuration.limits.headSeconds = 1
        try await TestServer.run(configuration) { server in
            let idle = try (0..<20).map { _ in try RawConnection(port: server.port) }
            try await isServing(server)
            for connection in idle { connection.close() }
        }
    }
}
#endif

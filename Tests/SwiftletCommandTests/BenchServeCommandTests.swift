#if Server
// `swiftlet bench serve` as a process, against this project's own server and against one that does what servers should
// not.

import SwiftletCommand
import SwiftletJSON
import SwiftletTestSupport
import Synchronization
import Testing

/// A server of completions that answers as a test says.
private final class OddServer: Sendable {
    struct Asked: Sendable {
        var line: String
        var head: String
        var body: [UInt8]
    }

    private final class Log: Sendable {
        let asked = Mutex<[Asked]>([])
    }
    private let log = Log()
    private let server: SocketServer

    var address: String { "http://127.0.0.1:\(server.port)" }
    var asked: [Asked] { log.asked.withLock { $0 } }

    /// - Parameter answer: Writes the answer to a connection; is given the place of the request, from 0.
    init(_ answer: @escaping @Sendable (SocketServer.Connection, Int) -> Void) throws {
        let log = log
        server = try SocketServer { connection in
            guard let bytes = connection.receive(until: Self.isWhole) else { return }
            let (head, body) = Self.parts(bytes)
            let line = String(head.prefix { $0 != "\r\n" })
            let place = log.asked.withLock { asked in
                asked.append(Asked(line: line, head: head, body: body))
                return asked.count { $0.line.hasPrefix("POST") } - 1
            }
            if line.hasPrefix("GET /v1/models ") {
                Self.send(connection, Array(#"{"object":"list","data":[{"id":"odd"}]}"#.utf8), "application/json")
            } else {
                answer(connection, place)
            }
        }
    }

    private static func parts(_ bytes: [UInt8]) -> (head: String, body: [UInt8]) {
        for end in bytes.indices.dropLast(3) where bytes[end...].starts(with: "\r\n\r\n".utf8) {
            return (String(decoding: bytes[..<end], as: UTF8.self), Array(bytes[(end + 4)...]))
        }
        return ("", [])
    }

    private static func isWhole(_ bytes: [UInt8]) -> Bool {
        let (head, body) = parts(bytes)
        guard !head.isEmpty else { return false }
        let length = head.lowercased().split(separator: "content-length: ").dropFirst().first?.prefix { $0.isNumber }
        return body.count >= length.flatMap { Int($0) } ?? 0
    }

    static func send(
        _ connection: SocketServer.Connection, _ body: [UInt8], _ type: String = "text/event-stream", status: Int = 200
    ) {
        connection.send(
            "HTTP/1.1 \(status) X\r\ncontent-type: \(type)\r\ncontent-length: \(body.count)\r\nconnection: close\r\n\r\n"
        )
        connection.send(body)
    }

    /// A stream in pieces of one byte, each a chunk of HTTP's own.
    static func sendCut(_ connection: SocketServer.Connection, _ text: String) {
        connection.send(
            "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        )
        for byte in text.utf8 { connection.send(Array("1\r\n".utf8) + [byte] + Array("\r\n".utf8)) }
        connection.send("0\r\n\r\n")
    }

    /// Four pieces of text that are eight tokens.
    static func stream(usage: Bool = true, isChat: Bool = false) -> String {
        var text = ": hello\n\n"
        for place in 0..<4 {
            let piece = isChat ? #""delta":{"content":"ä \#(place)"}"# : #""text":"ä \#(place)""#
            text += "data: {\"choices\":[{\"index\":0,\(piece),\"finish_reason\":null}],\"usage\":null}\r\n\r\n"
        }
        text +=
            "data: {\"choices\":[{\"index\":0,\(isChat ? "\"delta\":{}" : "\"text\":\"\""),\"finish_reason\":\"length\"}]}\n\n"
        if usage { text += "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":8}}\n\n" }
        return text + "data: [DONE]\n\n"
    }
}

@Suite("bench serve as a process", .serialized)
struct BenchServeCommandTests {
    private func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

    private func run(
        _ server: OddServer, _ line: String, _ more: [String] = [], environment: [String: String] = [:]
    ) async throws -> RunningCommand.Finished {
        try await RunningCommand.run(
            words("bench serve --base-url \(server.address) --input-len 5 --output-len 8 " + line) + more,
            environment: environment)
    }

    private func json(_ folder: TemporaryFolder, _ name: String) throws -> JSONValue {
        try JSONDocument(parsing: Array(try #require(folder.read(name)).utf8)).root
    }

    @Test("A stream cut after every byte, with several tokens in a piece", arguments: [false, true])
    func cutStream(isChat: Bool) async throws {
        let server = try OddServer { connection, _ in
            OddServer.sendCut(connection, OddServer.stream(isChat: isChat))
        }
        let folder = try TemporaryFolder()
        let path = isChat ? "/v1/chat/completions" : "/v1/completions"
        let result = try await run(
            server, "--num-prompts 3 --max-concurrency 2 --ignore-eos --save-detailed --endpoint " + path,
            ["--extra-body", #"{"top_k": 5, "temperature": 0.5}"#, "--json", folder.path + "/out.json"],
            environment: ["OPENAI_API_KEY": "secret"])
        #expect(result.code == 0, "\(result.errors)")
        #expect(result.output.contains("Successful requests:                     3\n"))
        #expect(result.output.contains("Total input tokens:                      33\n"))
        #expect(result.output.contains("Total generated tokens:                  24\n"))
        #expect(result.output.contains("Tokens per chunk:                        2.00\n"))
        let root = try json(folder, "out.json")
        #expect(root["completed"]?.int == 3 && root["total_output_tokens"]?.int == 24)
        #expect(root["model_id"]?.string == "odd" && root["itls"]?[0]?.count == 3)
        let (mean, p99) = (root["mean_ttft_ms"]?.double ?? 0, root["p99_e2el_ms"]?.double ?? 0)
        #expect(mean > 0 && p99 >= mean)
        let posts = server.asked.filter { $0.line == "POST \(path) HTTP/1.1" }
        #expect(posts.count == 3)
        for post in posts {
            #expect(post.head.lowercased().contains("authorization: bearer secret"))
            let body = try JSONDocument(parsing: post.body, rejectDuplicateKeys: true).root
            #expect(body["model"]?.string == "odd" && body["max_tokens"]?.int == 8 && body["top_k"]?.int == 5)
            #expect(body["temperature"]?.double == 0.5 && body["ignore_eos"]?.bool == true)
            #expect(body["stream"]?.bool == true && body["stream_options"]?["include_usage"]?.bool == true)
            if isChat {
                let text = body["messages"]?[0]?["content"]?.string ?? ""
                #expect(text.split(separator: " ").count == 5, "\(text)")
            } else {
                #expect(body["prompt"]?.count == 5)
            }
        }
        #expect(Set(posts.map(\.body)).count == 3, "prompts differ")
    }

    @Test("Servers without usage: pieces are counted")
    func withoutUsage() async throws {
        let server = try OddServer { connection, _ in
            OddServer.send(connection, Array(OddServer.stream(usage: false).utf8))
        }
        let result = try await run(server, "--num-prompts 2 --model m")
        #expect(result.code == 0 && result.output.contains("8 (chunks: the server does not count tokens)"))
        #expect(server.asked.allSatisfy { $0.line.hasPrefix("POST") }, "a named model is not asked for")
    }

    @Test("With a tokenizer, prompts are its text and answers are counted by it")
    func withTokenizer() async throws {
        let server = try OddServer { connection, _ in
            OddServer.send(connection, Array(OddServer.stream(usage: false, isChat: true).utf8))
        }
        let folder = try TemporaryFolder()
        // One token for each byte, and one for the four pieces' common beginning.
        let letters = (0..<26).map { Character(Unicode.Scalar(UInt8(ascii: "a") + UInt8($0))) }
        let vocabulary = letters.enumerated().map { "\"\($1)\": \($0)" }.joined(separator: ", ")
        try folder.write(
            """
            {"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
             "decoder": null, "model": {"type": "WordLevel", "vocab": {\(vocabulary), "ä 0ä 1ä 2ä 3": 26, "?": 27},
             "unk_token": "?"}}
            """, "tokenizer.json")
        let result = try await run(
            server, "--num-prompts 2 --endpoint /v1/chat/completions", ["--tokenizer", folder.path + "/tokenizer.json"])
        #expect(result.code == 0, "\(result.errors)")
        #expect(
            result.output.contains(
                "Total generated tokens:                  2 (counted by the tokenizer: the server does not)"),
            "\(result.output)")
        for post in server.asked where post.line.hasPrefix("POST") {
            let text = try JSONDocument(parsing: post.body).root["messages"]?[0]?["content"]?.string ?? ""
            #expect(!text.isEmpty && !text.contains("the"), "\(text)")
        }
    }

    @Test("Failures are counted by reason, beside what went well")
    func failures() async throws {
        let stream = OddServer.stream()
        let server = try OddServer { connection, place in
            switch place {
            case 0, 1:
                let error = #"{"error":{"message":"too many\nrequests","type":"x","param":null,"code":null}}"#
                OddServer.send(connection, Array(error.utf8), "application/json", status: 429)
            case 2: OddServer.send(connection, Array("<html>".utf8), "text/html", status: 500)
            case 3: OddServer.send(connection, Array("{}".utf8), "application/json")
            case 4: OddServer.send(connection, Array("data: {\"error\":{\"message\":\"it broke\"}}\n\n".utf8))
            case 5: OddServer.send(connection, Array("data: {nonsense\n\n".utf8))
            case 6: OddServer.send(connection, Array(stream.utf8.prefix(200)))
            case 7:
                connection.send("HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ncontent-length: 5000\r\n\r\n")
                connection.send(stream.utf8.prefix(200))
            case 8: break
            case 9: connection.reset()
            default: OddServer.send(connection, Array(stream.utf8))
            }
        }
        let folder = try TemporaryFolder()
        let result = try await run(
            server, "--num-prompts 12 --max-concurrency 1 --model m", ["--json", folder.path + "/out.json"])
        #expect(result.code == 0, "\(result.errors)")
        #expect(result.errors.contains("warning: 10 of 12 requests failed"))
        #expect(result.output.contains("Failed requests:                         10\n"))
        let failures = try #require(try json(folder, "out.json")["failures"]).members.map { ($0.key, $0.value.int) }
        for (reason, count) in [
            ("status 429: too many?requests", 2), ("status 500", 1), ("the answer is no event stream", 1),
            ("it broke", 1),
            ("an event of the stream is no JSON object", 1), ("the stream ended before the answer did", 1),
        ] {
            #expect(failures.contains { $0.0 == reason && $0.1 == count }, "\(reason): \(failures)")
            #expect(result.output.contains("  \(count) × \(reason)\n"))
        }
        // Three that broke off, in whatever words.
        #expect(failures.reduce(0) { $0 + ($1.1 ?? 0) } == 10)
        #expect(result.output.contains("Total generated tokens:                  16\n"))
    }

    @Test("Only failures: the command fails, and says why")
    func onlyFailures() async throws {
        let server = try OddServer { connection, _ in
            OddServer.send(connection, Array(#"{"detail":"Not Found"}"#.utf8), "application/json", status: 404)
        }
        let result = try await run(server, "--num-prompts 2 --max-concurrency 1,2 --quiet")
        #expect(result.code == 1 && result.output.contains("  2 × status 404: Not Found\n"))
        #expect(result.errors.contains("error: every request of a load failed"))
        let warm = try await run(server, "--num-prompts 2 --num-warmups 1")
        #expect(warm.code == 1 && warm.errors.contains("a warm-up request failed: status 404: Not Found"))
        let silent = try OddServer { connection, _ in _ = connection.receive { _ in false } }
        let late = try await run(silent, "--num-prompts 2 --request-timeout 0.3")
        #expect(late.code == 1 && late.output.contains("took longer than 0.30 s (--request-timeout)"), "\(late.output)")
        let nobody = try await RunningCommand.run(words("bench serve --port 1"))
        #expect(nobody.code == 1 && nobody.errors.contains("no connection with 127.0.0.1"))
    }

    @Test("Ctrl-C says what was done and leaves no result")
    func interrupt() async throws {
        let server = try OddServer { connection, place in
            if place == 0 {
                OddServer.send(connection, Array(OddServer.stream().utf8))
            } else {
                _ = connection.receive { _ in false }
            }
        }
        let folder = try TemporaryFolder()
        let command = try RunningCommand(
            words("bench serve --num-prompts 4 --max-concurrency 1 --base-url \(server.address)")
                + ["--json", folder.path + "/out.json"])
        for _ in 0..<2000 where server.asked.count < 3 { try await Task.sleep(for: .milliseconds(5)) }
        command.interrupt()
        let result = try await command.finish()
        #expect(result.code == 130 && result.errors.contains("interrupted: 1 request done"), "\(result.errors)")
        #expect(result.output.isEmpty && folder.read("out.json") == nil)
    }

    // MARK: - This project's server

    /// A server as a process of its own.
    private func serve(_ options: [String]) async throws -> (command: RunningCommand, address: String) {
        let command = try RunningCommand(["serve", "--port", "0", "--threads", "1", "--no-pin-threads"] + options)
        for _ in 0..<4000 where !command.errors.contains("/v1\n") { try await Task.sleep(for: .milliseconds(5)) }
        let address = command.errors.split(separator: "serving ").last?.prefix { !$0.isNewline }
        return (command, String(try #require(address)))
    }

    @Test("A sweep over this project's server: every token is counted, the drawing is there", .timeLimit(.minutes(2)))
    func ownServer() async throws {
        let (server, address) = try await serve([])
        let folder = try TemporaryFolder()
        for path in ["/v1/completions", "/v1/chat/completions"] {
            let result = try await RunningCommand.run(
                words("bench serve --num-prompts 6 --input-len 20 --output-len 12 --ignore-eos --max-concurrency 1,6")
                    + words("--num-warmups 2 --base-url \(address) --endpoint \(path)")
                    + ["--json", folder.path + "/out.json", "--plot", folder.path + "/out.svg"])
            #expect(result.code == 0, "\(result.errors)")
            #expect(result.output.split(separator: "\n").count == 3, "\(result.output)")
            let runs = try #require(try json(folder, "out.json")["runs"])
            #expect(runs.elements.map { $0["max_concurrency"]?.int } == [1, 6])
            for run in runs.elements {
                #expect(run["completed"]?.int == 6 && run["total_output_tokens"]?.int == 72)
                #expect(run["output_tokens_counted_by"]?.string == "usage")
                if path == "/v1/completions" { #expect(run["total_input_tokens"]?.int == 120) }
            }
            #expect(RooflineTests.isWellFormed(try #require(folder.read("out.svg"))))
        }
        server.interrupt()
        #expect(try await server.finish().code == 0)
    }

    @Test("TLS and a key")
    func encrypted() async throws {
        let folder = TestFiles.package + "/Tests/Fixtures/server/"
        let (server, address) = try await serve([
            "--ssl-certfile", folder + "certificate.pem", "--ssl-keyfile", folder + "key.pem", "--api-key", "secret",
        ])
        #expect(address.hasPrefix("https://"))
        let line = "bench serve --num-prompts 2 --input-len 4 --output-len 4 --base-url \(address)"
        let distrusted = try await RunningCommand.run(words(line))
        #expect(distrusted.code == 1 && distrusted.errors.contains("no encrypted connection with 127.0.0.1"))
        let locked = try await RunningCommand.run(words(line + " --insecure"))
        #expect(locked.code == 1 && locked.errors.contains("OPENAI_API_KEY"))
        let header = try await RunningCommand.run(
            words(line + " --insecure") + ["--header", "Authorization: Bearer secret"])
        #expect(header.code == 0, "\(header.errors)")
        server.interrupt()
        #expect(try await server.finish().code == 0)
    }
}
#endif

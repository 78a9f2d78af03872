#if Server
// The small routes, and what every answer has: ids, keys, CORS, TLS.

import AsyncHTTPClient
import Hummingbird
import Logging
import NIOSSL
import NIOHTTP1
import Swiftlet
import SwiftletJSON
import SwiftletServer
import SwiftletTestSupport
import Synchronization
import SwiftletTokenizer
import Testing

@Suite("Routes", .serialized)
struct RouteTests {
    @Test("Models, version, health")
    func small() async throws {
        var configuration = OpenAIServerConfiguration()
        configuration.routes.modelNames = ["org/model", "other"]
        try await TestServer.run(configuration) { server in
            let models = try await server.get("/v1/models").json
            expect(models, is: .models)
            #expect(models["data"]?.elements.map { $0["id"]?.string } == ["org/model", "other"])
            #expect(models["data"]?[0]?["max_model_len"]?.int == 1024)
            for path in ["org/model", "org%2Fmodel", "org%2fmodel", "other"] {
                expect(try await server.get("/v1/models/" + path).json, is: .oneModel)
            }
            #expect(try await server.get("/version").json["version"]?.string == LLM.version)
            for path in ["/health", "/ready"] { #expect(try await server.get(path).status == 200) }
            let answer = try await server.complete(#"{"prompt": "x", "model": "other", "max_tokens": 1}"#)
            #expect(answer["model"]?.string == "other")
            await server.llm.shutdown()
            for path in ["/health", "/ready"] { #expect(try await server.get(path).status == 503) }
            let reply = try await server.post("/v1/completions", #"{"prompt": "x"}"#)
            #expect(reply.status == 503)
            #expect(try reply.json["error"]?["code"]?.string == "engine_failed")
        }
    }

    @Test("Tokenize and detokenize are each other's inverse")
    func tokenize() async throws {
        try await TestServer.run { server in
            let reply = try await server.post(
                "/tokenize", #"{"prompt": "A cache of keys é🙂", "return_token_strs": true}"#)
            let json = try reply.json
            let ids = try #require(json["tokens"])
            #expect(json["count"]?.int == ids.count && json["token_strs"]?.count == ids.count)
            #expect(json["max_model_len"]?.int == 1024)
            let text = String(decoding: ids.bytes, as: UTF8.self)
            let back = try await server.post("/detokenize", #"{"tokens": \#(text)}"#)
            #expect(try back.json["prompt"]?.string == "A cache of keys é🙂")
            let stray = try await server.post("/detokenize", #"{"tokens": [3072]}"#)
            #expect(stray.status == 400)
            #expect(try stray.json["error"]?["param"]?.string == "tokens")
        }
    }

    @Test("Metrics are Prometheus text and add up")
    func metrics() async throws {
        try await TestServer.run { server in
            _ = try await server.complete(#"{"prompt": "Once upon a time", "max_tokens": 9, "ignore_eos": true}"#)
            // The answer may be here before the engine has counted the step that ended it.
            #expect(try await server.isIdle())
            let reply = try await server.get("/metrics")
            #expect(reply.headers.first(name: "content-type") == "text/plain; version=0.0.4; charset=utf-8")
            var values: [String: Double] = [:]
            var types: [String: String] = [:]
            for line in reply.text.split(separator: "\n") {
                if line.hasPrefix("# TYPE ") {
                    let words = line.split(separator: " ")
                    types[String(words[2])] = String(words[3])
                } else if !line.hasPrefix("#") {
                    let space = try #require(line.lastIndex(of: " "))
                    let name = String(line[..<space])
                    #expect(values[name] == nil, "\(name) twice")
                    let number = try #require(Double(String(line[line.index(after: space)...])))
                    values[name] = number
                }
            }
            func value(_ name: String, _ more: String = "") -> Double? {
                values["vllm:\(name){engine=\"0\",model_name=\"default\"\(more)}"]
            }
            #expect(value("num_requests_running") == 0 && value("num_requests_waiting") == 0)
            #expect(value("kv_cache_usage_perc") == 0 && value("generation_tokens_total") == 9)
            #expect(value("request_success_total", ",finished_reason=\"length\"") == 1)
            for name in [
                "time_to_first_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds",
                "request_prefill_time_seconds", "request_decode_time_seconds",
            ] {
                #expect(value(name + "_count") == 1 && value(name + "_bucket", ",le=\"+Inf\"") == 1)
                #expect(types["vllm:" + name] == "histogram" && (value(name + "_sum") ?? -1) >= 0)
            }
            #expect(value("inter_token_latency_seconds_count") == 8)
            #expect(value("iteration_tokens_total_sum") == value("prompt_tokens_total")! + 8)
            #expect(types["vllm:num_requests_running"] == "gauge")
            #expect(types["vllm:generation_tokens_total"] == "counter")
        }
    }

    @Test("Histograms count into the first bound that is not below a value")
    func histograms() {
        var histogram = Histogram(.tokens)
        for value in [1.0, 2, 8, 9, 20_000] { histogram.record(value) }
        #expect(Array(histogram.cumulativeCounts.prefix(3)) == [1, 3, 4])
        #expect(histogram.cumulativeCounts.suffix(2) == [4, 5] && histogram.sum == 20_020)
        #expect(histogram.cumulativeCounts.count == histogram.bounds.count + 1)
    }

    @Test("A key opens what uses the engine; the rest is open")
    func keys() async throws {
        try await TestServer.run(OpenAIServerConfiguration(apiKeys: ["first-key", "second-key"])) { server in
            let body = #"{"prompt": "x", "max_tokens": 1}"#
            for path in ["/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize", "/v1/nothing"] {
                for header in [
                    "", "first-key", "Bearer ", "Bearer first", "Bearer first-keyfirst-key", "Basic first-key",
                ] {
                    let reply = try await server.post(path, body, headers: ["authorization": header])
                    #expect(reply.status == 401 && reply.headers.first(name: "www-authenticate") == "Bearer")
                    expect(try reply.json, is: .error)
                    #expect(try reply.json["error"]?["code"]?.string == "invalid_api_key")
                }
            }
            // The router finds these too: they were open.
            for path in ["//v1/completions", "/v1//completions", "//tokenize", "///v1/chat/completions/", "/own"] {
                let connection = try RawConnection(port: server.port)
                await connection.send(TestServer.bytes(body, path))
                let reply = await connection.receive(until: "invalid_api_key")
                #expect(reply?.hasPrefix("HTTP/1.1 401 ") == true, "\(path): \(reply ?? "nothing")")
            }
            for key in ["first-key", "second-key"] {
                let reply = try await server.post("/v1/completions", body, headers: ["authorization": "Bearer \(key)"])
                #expect(reply.status == 200)
            }
            #expect(try await server.get("/v1/models").status == 401)
            for path in ["/health", "/ready", "/version", "/metrics"] {
                #expect(try await server.get(path).status == 200)
            }
        }
    }

    @Test("Pages of allowed origins may use the server, others may not")
    func crossOrigin() async throws {
        var configuration = OpenAIServerConfiguration(apiKeys: ["k"])
        configuration.crossOrigin = .init(origins: ["https://good.example"])
        try await TestServer.run(configuration) { server in
            func preflight(_ origin: String) async throws -> Reply {
                var request = server.request(
                    "/v1/completions",
                    headers: [
                        "origin": origin, "access-control-request-method": "POST",
                        "access-control-request-headers": "authorization",
                    ])
                request.method = .OPTIONS
                return try await server.send(request)
            }
            let good = try await preflight("https://good.example")
            #expect(good.status == 204)
            #expect(good.headers.first(name: "access-control-allow-origin") == "https://good.example")
            #expect(good.headers.first(name: "access-control-allow-headers") == "authorization")
            let bad = try await preflight("https://bad.example")
            #expect(bad.status == 403 && bad.headers.first(name: "access-control-allow-origin") == nil)
            let origin = ["origin": "https://good.example"]
            let reply = try await server.get("/v1/models", headers: origin)
            #expect(reply.status == 401, "a page reads errors too")
            #expect(reply.headers.first(name: "access-control-allow-origin") == "https://good.example")
        }
    }

    @Test("A request's id goes in, out and into the log, which says nothing of the prompt")
    func ids() async throws {
        let log = TestLog()
        try await TestServer.run(logger: log.logger) { server in
            let body = #"{"prompt": "a secret prompt", "max_tokens": 1}"#
            let reply = try await server.post("/v1/completions", body, headers: ["x-request-id": "my-id.1"])
            #expect(reply.headers.first(name: "x-request-id") == "my-id.1")
            #expect(try reply.json["id"]?.string == "cmpl-my-id.1")
            let lines = log.lines
            #expect(lines.contains { $0.contains("my-id.1") && $0.contains("completion_tokens") })
            #expect(lines.contains { $0.contains("my-id.1") && $0.contains("/v1/completions") && $0.contains("200") })
            #expect(!lines.contains { $0.contains("secret") })
            for id in ["", "a b", "é", String(repeating: "x", count: 129)] {
                let reply = try await server.get("/health", headers: ["x-request-id": id])
                let made = try #require(reply.headers.first(name: "x-request-id"))
                #expect(made.count == 32 && made != id)
            }
        }
    }

    @Test("Statistics are logged while there is something to do, and once when there is not")
    func statistics() async throws {
        var now = EngineStatistics()
        now.blockCount = 200
        var log = StatisticsLog(now)
        #expect(log.line(now, seconds: 10) == nil, "nothing has happened")
        now.prefillTokens = 1000
        now.generatedTokens = 25
        now.runningSequences = 3
        now.waitingSequences = 1
        now.usedBlocks = 50
        now.prefixCacheQueries = 400
        now.prefixCacheHits = 100
        let line = log.line(now, seconds: 10)
        let busy = try #require(line).mapValues { "\($0)" }
        #expect(
            busy == [
                "prompt_tokens_per_second": "100.0", "generation_tokens_per_second": "2.5", "running": "3",
                "waiting": "1",
                "kv_cache_usage_percent": "25.0", "prefix_cache_hit_percent": "25.0",
            ])
        now.runningSequences = 0
        now.waitingSequences = 0
        now.usedBlocks = 0
        #expect(log.line(now, seconds: 10) != nil, "it says that it is idle")
        #expect(log.line(now, seconds: 10) == nil)

        for interval in [0.02, nil] {
            let written = TestLog()
            var configuration = OpenAIServerConfiguration()
            configuration.statisticsInterval = interval
            try await TestServer.run(configuration, processors: [SlowTokens()], logger: written.logger) { server in
                _ = try await server.complete(#"{"prompt": "x", "max_tokens": 60, "ignore_eos": true}"#)
            }
            #expect(written.lines.contains { $0.hasPrefix("statistics ") } == (interval != nil))
        }
    }

    @Test("TLS with a certificate of its own")
    func tls() async throws {
        let folder = TestFiles.package + "/Tests/Fixtures/server/"
        var configuration = OpenAIServerConfiguration()
        configuration.tls = .init(certificates: folder + "certificate.pem", key: folder + "key.pem")
        var trust = TLSConfiguration.makeClientConfiguration()
        trust.trustRoots = .file(folder + "certificate.pem")
        try await TestServer.run(configuration, client: .init(tlsConfiguration: trust)) { server in
            let answer = try await server.complete(#"{"prompt": "x", "max_tokens": 2}"#)
            expect(answer, is: .completion)
            #expect(try await server.stream(#"{"prompt": "x", "max_tokens": 2, "stream": true}"#).count >= 1)
        }
        configuration.tls = .init(certificates: folder + "key.pem", key: folder + "key.pem")
        await #expect(throws: LLMError.self) { try await TestServer.run(configuration) { _ in } }
    }

    @Test("The routes can be mounted into another application")
    func mounted() async throws {
        try await TestServer.mounted { server in
            let answer = try await server.complete(#"{"prompt": "x", "max_tokens": 3}"#)
            expect(answer, is: .completion)
            let chunks = try await server.stream(#"{"prompt": "x", "max_tokens": 3, "stream": true}"#)
            #expect(chunks.last?["choices"]?[0]?["finish_reason"]?.string != nil)
            #expect(try await server.post("/v1/completions", "{").status == 400)
            #expect(try await server.get("/own").text == "own")
        }
    }
}

/// A log that can be read.
final class TestLog: Sendable {
    private let written = Mutex<[String]>([])
    var lines: [String] { written.withLock { $0 } }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(log: self) }
        logger.logLevel = .debug
        return logger
    }

    private struct Handler: LogHandler {
        let log: TestLog
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.debug

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            log.written.withLock { $0.append("\(event.message) \(all)") }
        }
    }
}
#endif

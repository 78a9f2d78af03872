#if Server
// The parts of `swiftlet bench serve`: events out of bytes, arrivals, definitions of the numbers, options, the drawing.

import ArgumentParser
import Swiftlet
import SwiftletCommand
import SwiftletHub
import SwiftletJSON
import SwiftletTestSupport
import Testing

@Suite("bench serve, its parts")
struct BenchServeTests {
    // MARK: - Events

    private func events(_ text: [UInt8], cuts: [Int]) throws -> [String] {
        var stream = EventStream()
        var found: [String] = []
        var start = 0
        for end in cuts + [text.count] {
            try text.withUnsafeBytes { bytes in
                try stream.append(UnsafeRawBufferPointer(rebasing: bytes[start..<end])) {
                    found.append(String(decoding: $0, as: UTF8.self))
                }
            }
            start = end
        }
        try stream.end { found.append(String(decoding: $0, as: UTF8.self)) }
        return found
    }

    @Test("Wherever the bytes are cut, the events are the same", arguments: ["\n", "\r\n", "\r"])
    func cuts(newline: String) throws {
        let lines = [
            "data: {\"a\": \"ä🙂\"}", "", ": ping", "", "event: x", "id: 1", "data:two", "data: lines", "data", "",
            "database: no",
            "", "", "data:  kept space", "", "data: [DONE]",
        ]
        let expected = ["{\"a\": \"ä🙂\"}", "two\nlines\n", " kept space", "[DONE]"]
        let text = Array(lines.joined(separator: newline).utf8)
        #expect(try events(text, cuts: []) == expected)
        for cut in 0...text.count { #expect(try events(text, cuts: [cut]) == expected) }
        #expect(try events(text, cuts: Array(0..<text.count)) == expected)
        var random = SeededGenerator(seed: 1)
        for _ in 0..<50 {
            let cuts = (0..<5).map { _ in Int.random(in: 0...text.count, using: &random) }.sorted()
            #expect(try events(text, cuts: cuts) == expected, "\(cuts)")
        }
    }

    @Test("An event without end is an error, not memory")
    func endless() throws {
        let part = Array(repeating: UInt8(ascii: "x"), count: 1 << 20)
        for newline in ["", "\ndata: "] {
            var stream = EventStream()
            #expect(throws: EventStream.TooLong.self) {
                for _ in 0..<20 {
                    try (Array(newline.utf8) + part).withUnsafeBytes { try stream.append($0) { _ in } }
                }
            }
        }
    }

    // MARK: - Arrivals

    @Test("Arrivals are in order, end in time, and are as uneven as they should be", arguments: [0.25, 1, 4])
    func arrivals(burstiness: Double) throws {
        let times = Arrivals.times(count: 20_000, rate: 8, burstiness: burstiness, seed: 3)
        #expect(times == times.sorted() && times.count == 20_000 && (times.first ?? -1) >= 0)
        #expect(abs((times.last ?? 0) - 2500) < 1e-6)
        let gaps = Summary(zip(times.dropFirst(), times).map { $0 - $1 })
        // A gamma distribution's deviation over its mean is 1 / √shape.
        let variation = try #require(gaps.standardDeviation) / (try #require(gaps.mean))
        #expect(abs(variation * burstiness.squareRoot() - 1) < 0.05, "\(variation)")
        #expect(times == Arrivals.times(count: 20_000, rate: 8, burstiness: burstiness, seed: 3))
        #expect(times != Arrivals.times(count: 20_000, rate: 8, burstiness: burstiness, seed: 4))
    }

    @Test("Without a rate all come at once; shapes too small for numbers still have the rate")
    func extremeArrivals() {
        #expect(Arrivals.times(count: 3, rate: .infinity, burstiness: 1, seed: 0) == [0, 0, 0])
        #expect(Arrivals.times(count: 0, rate: 1, burstiness: 1, seed: 0).isEmpty)
        let times = Arrivals.times(count: 4, rate: 2, burstiness: 1e-9, seed: 0)
        #expect(times.allSatisfy(\.isFinite) && abs((times.last ?? 0) - 2) < 1e-9)
    }

    // MARK: - Numbers

    private func request(
        _ start: Double, _ chunks: [Double], tokens: Int? = nil, input: Int? = nil, failure: String? = nil
    ) -> ServedRequest {
        var request = ServedRequest()
        (request.start, request.chunks, request.end) = (start, chunks, chunks.last ?? start)
        (request.outputTokens, request.inputTokens, request.failure) = (tokens, input, failure)
        return request
    }

    private func measurement(_ requests: [ServedRequest]) -> ServedMeasurement {
        ServedMeasurement(ServedLoad(concurrency: 4), requests, seconds: 10, promptTokens: { 100 + $0 })
    }

    @Test("Numbers are what vLLM's bench serve means by them")
    func numbers() throws {
        // Two pieces of text that are five tokens, three that are three, and two that failed.
        let measured = measurement([
            request(1, [2, 4], tokens: 5, input: 7), request(0, [], failure: "b"),
            request(2, [2.5, 3, 4.5], tokens: 3, input: 8), request(0, [1, 2], tokens: 9, failure: "a"),
        ])
        #expect(measured.completed.count == 2 && measured.failedCount == 2)
        #expect(measured.failures.map(\.reason) == ["a", "b"] && measured.counter == .usage)
        #expect(measured.inputTokens == 15 && measured.outputTokens == 8 && measured.outputLengths == [5, 3])
        #expect(measured.requestRate == 0.2 && measured.outputRate == 0.8 && measured.totalRate == 2.3)
        #expect(measured.tokensPerChunk == 1.6)
        #expect(measured.summary(.ttft).mean == 0.75 && measured.summary(.e2el).mean == 2.75)
        // 2 s for four more tokens, 2 s for two.
        #expect(measured.summary(.tpot).mean == 0.75)
        #expect(measured.summary(.itl).count == 3 && measured.summary(.itl).maximum == 2)
    }

    @Test("Without usage the pieces are counted, or the tokenizer counts")
    func withoutUsage() {
        let requests = [request(0, [1, 2, 3]), request(0, [1], tokens: 4, input: 5)]
        let counted = measurement(requests)
        #expect(counted.counter == .chunks && counted.outputTokens == 7 && counted.inputTokens == 105)
        let other = ServedMeasurement(
            ServedLoad(), requests, seconds: 1, promptTokens: { _ in 0 }, count: { _ in 6 })
        #expect(other.counter == .tokenizer && other.outputTokens == 10)
        let report = BenchServeReport(metrics: [.ttft], percents: [99.9])
        #expect(report.text(counted).contains("7 (chunks: the server does not count tokens)"))
        #expect(report.text(counted).contains("P99.9 TTFT (ms):                         1000.00"))
    }

    // MARK: - Options

    @Test("Options become loads and an address")
    func options() throws {
        let command = try BenchServeCommand.parse([
            "--base-url", "https://example.org:8443/v1/", "--request-rate", "1,2.5,inf", "--max-concurrency", "8",
            "--header", "X-A=b=c", "--header", "Y: z", "--metric-percentiles", "50,99.9", "--percentile-metrics", "itl",
        ])
        #expect(command.options.loads.map(\.rate) == [1, 2.5, .infinity])
        #expect(command.options.loads.map(\.concurrency) == [8, 8, 8])
        #expect(command.output.report.metrics == [.itl] && command.output.report.percents == [50, 99.9])
        let endpoint = try command.target.endpoint(key: "secret")
        #expect(endpoint.url.text == "https://example.org:8443/v1/completions" && !endpoint.isChat)
        #expect(endpoint.headers.map(\.name) == ["X-A", "Y", "authorization"])
        #expect(endpoint.headers.map(\.value) == ["b=c", "z", "Bearer secret"])
        let other = try BenchServeCommand.parse(["--host", "::1", "--endpoint", "/v1/chat/completions"])
        #expect(try other.target.endpoint(key: nil).url.text == "http://[::1]:8000/v1/chat/completions")
        #expect(try other.target.endpoint(key: nil).isChat && other.options.loads == [ServedLoad()])
    }

    @Test(
        "Options that can't be are usage errors",
        arguments: [
            ["--request-rate", "0"], ["--request-rate", "1,"], ["--max-concurrency", "0"], ["--burstiness", "0"],
            ["--request-rate", "1,2", "--max-concurrency", "1,2"], ["--percentile-metrics", "ttft,ttft"],
            ["--metric-percentiles", "101"], ["--header", "no value"], ["--extra-body", "[]"], ["--save-detailed"],
            ["--base-url", "http://x", "--port", "1"], ["--port", "0"], ["--num-prompts", "0"], ["--temperature", "3"],
            ["--dataset", "nano-vllm", "--input-len", "5"], ["--header", "a=b\u{1}"], ["--request-timeout", "0"],
        ])
    func usage(options: [String]) throws {
        #expect(throws: (any Error).self) { try BenchServeCommand.parse(options) }
    }

    // MARK: - The drawing

    @Test("The drawing has a point for each load and line, with what has no end at its end")
    func plot() throws {
        let loads = [ServedLoad(rate: 1), ServedLoad(rate: 4), ServedLoad()]
        let measurements = loads.enumerated().map { index, load in
            ServedMeasurement(
                load, [request(0, [0.01 * Double(index + 1), 0.02, 0.5]), request(0, [], failure: "x")], seconds: 1,
                promptTokens: { _ in 1 })
        }
        let report = BenchServeReport(metrics: [.ttft, .e2el], percents: [90, 99])
        let svg = LatencyPlot(model: "a <b> & c", measurements, report).svg
        #expect(RooflineTests.isWellFormed(svg))
        #expect(svg.matches(of: /circle class="point/).count == 12)
        #expect(
            svg.contains("TTFT, p99, all at once: 30.0 ms") && svg.contains("a &lt;b&gt; &amp; c: latency over load"))
        #expect(svg.contains("3 of them failed") && svg.contains("prefers-color-scheme: dark"))
        let across = svg.matches(of: /circle class="point" cx="([0-9.]+)"/).prefix(3).compactMap { Double($0.output.1) }
        #expect(across == across.sorted() && Set(across).count == 3)
        // Nothing that can't be drawn ends it: no load that went well.
        let failed = ServedMeasurement(
            ServedLoad(), [request(0, [], failure: "x")], seconds: 1, promptTokens: { _ in 1 })
        #expect(RooflineTests.isWellFormed(LatencyPlot(model: "m", [failed], report).svg))
    }
}
#endif

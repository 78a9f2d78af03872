#if Server
// The options of `swiftlet bench serve`: the server, the load, the report. vLLM's names, and those of this project's other
// benchmarks beside them.
// Invariant: none is accepted without effect.

package import ArgumentParser
package import Swiftlet
import SwiftletJSON
import SwiftletTokenizer

package struct BenchServeTarget: ParsableArguments {
    @Option(
        help: ArgumentHelp("The server, such as https://example.org; instead of --host and --port.", valueName: "url"))
    package var baseUrl: String?

    @Option(help: ArgumentHelp("The server's host (default: 127.0.0.1).", valueName: "host"))
    package var host: String?

    @Option(help: ArgumentHelp("The server's port (default: 8000).", valueName: "port"))
    package var port: Int?

    @Option(
        help: ArgumentHelp("/v1/completions, /v1/chat/completions, or a path that ends like one.", valueName: "path"))
    package var endpoint = "/v1/completions"

    @Option(
        name: [.long, .customShort("m")],
        help: ArgumentHelp("The model's name in requests (default: the first one of /v1/models).", valueName: "name"))
    package var model: String?

    @Option(
        help: ArgumentHelp(
            "The model's folder, OWNER/NAME in the hub's cache or tokenizer.json: prompts are made of its whole vocabulary (default: of ids below 1000, or of common words), and it counts where the server does not.",
            valueName: "path"))
    package var tokenizer: String?

    @Option(
        help: ArgumentHelp("A header of every request, NAME=VALUE; may be given several times.", valueName: "header"))
    package var header: [HeaderArgument] = []

    @Flag(help: "Take any certificate of the server.")
    package var insecure = false

    @Option(help: ArgumentHelp("Most time for a request.", valueName: "seconds"))
    package var requestTimeout = 21_600.0

    package init() {}

    package func validate() throws {
        if baseUrl != nil && (host != nil || port != nil) {
            throw ValidationError("--base-url has host and port: leave --host and --port out.")
        }
        if let port, !(1...65_535).contains(port) { throw ValidationError("--port must be in 1...65535.") }
        guard requestTimeout > 0 && requestTimeout < 1e7 else {
            throw ValidationError("--request-timeout must be above 0.")
        }
    }

    /// - Parameter key: Is sent as the key, unless --header has another one.
    package func endpoint(key: String?) throws(LLMError) -> ServedEndpoint {
        let name = host ?? "127.0.0.1"
        let address = "http://\(name.contains(":") && !name.hasPrefix("[") ? "[\(name)]" : name):\(port ?? 8000)"
        var headers = header.map { ServedEndpoint.Header($0.name, $0.value) }
        if let key, !key.isEmpty, !headers.contains(where: { $0.name.lowercased() == "authorization" }) {
            headers.append(.init("authorization", "Bearer \(key)"))
        }
        return try ServedEndpoint(
            base: baseUrl ?? address, path: endpoint, headers: headers, timeout: requestTimeout, isInsecure: insecure)
    }

    func loadTokenizer() async throws -> Tokenizer? {
        guard let tokenizer else { return nil }
        return try TokenizerFiles.load(try await ModelArgument.folder(of: tokenizer, needs: .withoutWeights))
    }
}

package struct BenchServeLoadOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Requests of each load.", valueName: "count"))
    package var numPrompts = 256

    @Option(
        name: [.customLong("dataset"), .customLong("dataset-name")],
        help: "What to send; nano-vllm takes a context of 2048 and a vocabulary of 10,001.")
    package var dataset: BenchWorkload.Dataset = .random

    @Option(
        name: [.customLong("input-len"), .customLong("random-input-len")],
        help: ArgumentHelp("Tokens of each prompt (default: 1024).", valueName: "tokens"))
    package var inputLength: Int?

    @Option(
        name: [.customLong("output-len"), .customLong("random-output-len")],
        help: ArgumentHelp("Most tokens to generate for each (default: 128).", valueName: "tokens"))
    package var outputLength: Int?

    @Option(help: ArgumentHelp("Requests a second, or several such rates: 1,2,4,inf.", valueName: "rates"))
    package var requestRate = RateList(argument: "inf")!

    @Option(
        help: ArgumentHelp(
            "How evenly they come: 1 is a Poisson process, less has bursts, more is steadier.", valueName: "shape"))
    package var burstiness = 1.0

    @Option(
        help: ArgumentHelp(
            "Requests that run at a time, or several such counts: 1,4,16 (default: all).", valueName: "counts"))
    package var maxConcurrency: CountList?

    @Flag(help: "Do not end an answer at the model's end-of-sequence token (ignore_eos, vLLM's field).")
    package var ignoreEos = false

    @Option(help: ArgumentHelp("The field temperature of requests.", valueName: "number"))
    package var temperature = 0.0

    @Option(
        help: ArgumentHelp("More fields of requests, a JSON object; they win over those of options.", valueName: "json")
    )
    package var extraBody: RequestFieldsArgument?

    @Option(help: ArgumentHelp("Requests before the measured ones.", valueName: "count"))
    package var numWarmups = 0

    @Option(help: ArgumentHelp("Seed of prompts and arrivals.", valueName: "seed"))
    package var seed: UInt64 = 0

    package init() {}

    package func validate() throws {
        try BenchLimits.check("num-prompts", numPrompts, 1...1_000_000)
        try BenchLimits.check("num-warmups", numWarmups, 0...1_000_000)
        try BenchLimits.check("input-len", inputLength ?? 1, 1...BenchLimits.length)
        try BenchLimits.check("output-len", outputLength ?? 1, 1...BenchLimits.length)
        try BenchLimits.checkSize(count: numPrompts, inputLength: inputLength ?? 1024)
        if dataset == .nanoVLLM && (inputLength != nil || outputLength != nil) {
            throw ValidationError(
                "The dataset nano-vllm has lengths of its own: leave --input-len and --output-len out.")
        }
        guard burstiness > 0 && burstiness <= 1e6 else { throw ValidationError("--burstiness must be above 0.") }
        guard (0...2).contains(temperature) else { throw ValidationError("--temperature must be in 0...2.") }
        if requestRate.rates.count > 1, let maxConcurrency, maxConcurrency.counts.count > 1 {
            throw ValidationError("One of --request-rate and --max-concurrency can have several values.")
        }
    }

    /// What is asked of the server, one after the other.
    package var loads: [ServedLoad] {
        requestRate.rates.flatMap { rate in
            (maxConcurrency?.counts.map(Optional.some) ?? [nil]).map { count in
                ServedLoad(rate: rate, concurrency: count, burstiness: burstiness)
            }
        }
    }

    /// - Parameter vocabularySize: Of the server's model, where its tokenizer is here.
    func workload(vocabularySize: Int?) throws(LLMError) -> BenchWorkload {
        switch dataset {
        case .nanoVLLM: return .nanoVLLM(count: numPrompts, seed: seed)
        case .random:
            return .random(
                count: numPrompts, inputLength: inputLength ?? 1024, outputLength: outputLength ?? 128,
                vocabularySize: vocabularySize ?? ServedPrompts.commonVocabulary, seed: seed)
        }
    }
}

package struct BenchServeOutput: ParsableArguments {
    @Option(help: ArgumentHelp("What to report, of ttft, tpot, itl and e2el.", valueName: "metrics"))
    package var percentileMetrics = MetricList(ServedMetric.allCases)

    @Option(help: ArgumentHelp("Percentiles to report.", valueName: "percents"))
    package var metricPercentiles = PercentileList([99])

    @Option(
        name: [.customLong("json"), .customLong("output-json"), .customLong("result-filename")],
        help: ArgumentHelp("Write the results to a file, too.", valueName: "file"))
    package var json: String?

    @Flag(help: "With --json: the times of every request.")
    package var saveDetailed = false

    @Option(help: ArgumentHelp("Draw latency over load, as SVG.", valueName: "file"))
    package var plot: String?

    @Flag(name: .long, help: "Only results and errors: no progress.")
    package var quiet = false

    package init() {}

    package func validate() throws {
        if saveDetailed && json == nil { throw ValidationError("--save-detailed needs --json.") }
    }

    package var report: BenchServeReport {
        BenchServeReport(metrics: percentileMetrics.metrics, percents: metricPercentiles.percents)
    }
}

/// Members of a JSON object, for every request's body.
package struct RequestFieldsArgument: ExpressibleByArgument, Sendable {
    package var members: [(name: String, value: [UInt8])]

    package init?(argument: String) {
        guard let root = try? JSONDocument(parsing: Array(argument.utf8), rejectDuplicateKeys: true).root,
            root.kind == .object
        else { return nil }
        members = root.members.map { ($0.key, Array($0.value.bytes)) }
    }
}
#endif

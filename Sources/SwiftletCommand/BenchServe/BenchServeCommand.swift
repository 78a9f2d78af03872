#if Server
// `swiftlet bench serve`: the load generator of vLLM's `bench serve`, against any server of OpenAI's API.
// The report goes to standard output, JSON and drawing to files, progress to standard error.
// Invariant: what can be refused is refused before the first request; a load of which every request failed is a failure
// of the command.

package import ArgumentParser
import AsyncHTTPClient
import Swiftlet
import SwiftletHub
import SwiftletJSON
import SwiftletTokenizer
import Synchronization

package struct BenchServeCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Put load on a server of OpenAI's API and measure latency and throughput.",
        discussion: """
            Sends --num-prompts requests and reads their streams, as vLLM's bench serve does. TTFT is the time from \
            sending a request to its first token, TPOT the mean time of each further token, ITL the time from one \
            piece of the stream to the next, E2EL the time to the last token. Tokens are counted by the server's usage.

            Several values of --request-rate or --max-concurrency are a sweep: a table, and with --plot a drawing of \
            latency over load. A request rate of inf sends all requests at once, as many as --max-concurrency lets.

            Prompts are random tokens: ids for /v1/completions, text for /v1/chat/completions. OPENAI_API_KEY is sent \
            as the key.
            """)

    @OptionGroup(title: "Server")
    package var target: BenchServeTarget

    @OptionGroup(title: "Load")
    package var options: BenchServeLoadOptions

    @OptionGroup(title: "Report")
    package var output: BenchServeOutput

    package init() {}

    package func validate() throws {
        if output.plot != nil && output.percentileMetrics.metrics.isEmpty {
            throw ValidationError("--plot needs --percentile-metrics.")
        }
    }

    package mutating func run() async throws {
        let command = self
        let interrupts = Interrupts()
        try await interrupts.run { try await command.measure(interrupts) }
    }

    private func measure(_ interrupts: Interrupts) async throws {
        for path in [output.json, output.plot].compactMap(\.self) { try BenchSession.checkWritable(path) }
        let endpoint = try target.endpoint(key: Platform.environment("OPENAI_API_KEY"))
        let tokenizer = try await target.loadTokenizer()
        let workload = try options.workload(vocabularySize: tokenizer?.vocabularySize)
        let loads = options.loads
        let places = loads.map { min(options.numPrompts, $0.concurrency ?? .max) }.max() ?? 1
        interrupts.needEnding()
        let (model, measurements) = try await endpoint.withConnections(max(places, options.numWarmups)) { http in
            var model = target.model
            if model == nil { model = try await endpoint.firstModel(over: http) }
            let prompts = ServedPrompts(
                workload: workload, tokenizer: tokenizer, model: model ?? "", isChat: endpoint.isChat,
                ignoresEOS: options.ignoreEos, temperature: options.temperature,
                extra: options.extraBody?.members ?? [])
            let generator = LoadGenerator(endpoint: endpoint, http: http, keepsText: tokenizer != nil)
            return (model ?? "", try await run(loads, prompts, generator, interrupts))
        }
        try write(measurements, model: model, endpoint)
        if measurements.contains(where: { $0.completed.isEmpty }) {
            throw LLMError(.inputOutput, "every request of a load failed")
        }
    }

    /// Runs the loads one after the other; says what was done when Ctrl-C ends it.
    private func run(
        _ loads: [ServedLoad], _ prompts: ServedPrompts, _ generator: LoadGenerator, _ interrupts: Interrupts
    ) async throws -> [ServedMeasurement] {
        let progress = LoadProgress()
        do {
            try await warmUp(prompts, generator, round: loads.count)
            var measurements: [ServedMeasurement] = []
            if loads.count > 1 { try print(output.report.header) }
            for (round, load) in loads.enumerated() {
                let measurement = try await run(load, round: round, prompts, generator, progress)
                measurements.append(measurement)
                if loads.count > 1 {
                    try print(output.report.row(measurement) + output.report.failures(measurement))
                } else {
                    try print(output.report.text(measurement))
                }
                if measurement.failedCount > 0 && measurement.failedCount < measurement.requests.count {
                    Console.note(
                        "warning: \(measurement.failedCount) of \(Format.count(measurement.requests.count, "request")) failed"
                    )
                }
            }
            return measurements
        } catch is CancellationError where interrupts.isInterrupted {
            Console.note(
                "\ninterrupted: \(Format.count(progress.done.load(ordering: .relaxed), "request")) done, "
                    + "\(Format.count(progress.failed.load(ordering: .relaxed))) of them failed")
            throw Interrupts.exitCode
        }
    }

    private func run(
        _ load: ServedLoad, round: Int, _ prompts: ServedPrompts, _ generator: LoadGenerator,
        _ progress: LoadProgress
    ) async throws -> ServedMeasurement {
        let total = options.numPrompts
        let before = progress.done.load(ordering: .relaxed)
        let bar =
            output.quiet || !File.standardError.isTerminal
            ? nil
            : ProgressBar(load.description) { description in
                let done = progress.done.load(ordering: .relaxed) - before
                return
                    "\(description): \(ProgressBar.bar(Double(done) / Double(total))), \(Format.count(done, "request"))"
            }
        let outcome: Result<(requests: [ServedRequest], seconds: Double), any Error>
        do {
            outcome = .success(
                try await generator.run(
                    prompts.bodies(round: round), load: load, seed: options.seed &+ UInt64(round), progress: progress))
        } catch {
            outcome = .failure(error)
        }
        await bar?.stop()
        let (requests, seconds) = try outcome.get()
        let tokenizer = prompts.tokenizer
        return ServedMeasurement(
            load, requests, seconds: seconds, promptTokens: { prompts.workload.prompts[$0].count },
            count: tokenizer.map { tokenizer in
                { tokenizer.encode(String(decoding: $0, as: UTF8.self), addSpecialTokens: false).count }
            })
    }

    /// Requests that are not measured. The first that fails ends it: a load would be of failures only.
    private func warmUp(_ prompts: ServedPrompts, _ generator: LoadGenerator, round: Int) async throws {
        guard options.numWarmups > 0 else { return }
        let load = ServedLoad(concurrency: options.loads.compactMap(\.concurrency).max())
        let (requests, _) = try await generator.run(
            prompts.warmUps(count: options.numWarmups, round: round), load: load, seed: options.seed)
        if let reason = requests.compactMap(\.failure).first {
            throw LLMError(.inputOutput, "a warm-up request failed: \(reason)")
        }
    }

    // MARK: - Results

    private func print(_ text: String) throws { try File.standardOutput.write(Array(text.utf8)) }

    private func write(_ measurements: [ServedMeasurement], model: String, _ endpoint: ServedEndpoint) throws {
        if let plot = output.plot {
            try BenchSession.write(Array(LatencyPlot(model: model, measurements, output.report).svg.utf8), to: plot)
        }
        guard let path = output.json else { return }
        var json = JSONWriter()
        json.object { json in
            json.member("backend", endpoint.isChat ? "openai-chat" : "openai")
            json.member("base_url", endpoint.base.text)
            json.member("model_id", model)
            json.member("dataset", options.dataset.rawValue)
            json.member("num_prompts", options.numPrompts)
            json.key("seed")
            json.int(options.seed)
            json.member("version", SwiftletCommand.configuration.version)
            if measurements.count == 1 {
                output.report.writeMembers(measurements[0], detailed: output.saveDetailed, to: &json)
            } else {
                json.key("runs")
                json.array(measurements) { json, measurement in
                    json.object { json in
                        output.report.writeMembers(measurement, detailed: output.saveDetailed, to: &json)
                    }
                }
            }
        }
        json.newline()
        try BenchSession.write(json.bytes, to: path)
    }
}
#endif

// `swiftlet generate`: prompts from arguments or standard input, or a batch from a file to a file.
// Results go to standard output or to --output, everything else to standard error.
// Invariant: exit code 0 only when every request succeeded.

package import ArgumentParser
package import Swiftlet

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

package struct GenerateCommand: AsyncParsableCommand, EngineCommand {
    package static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Continue prompts, or run a file of requests.",
        discussion: """
            Without a prompt, standard input is read as one prompt (without its last line end). Prints the \
            continuation only; several prompts run together and are printed in order.

            Batches: each line of --input is {"id": "…", "prompt": "…"} or {"id": "…", "prompt_token_ids": […]}, \
            with an optional "sampling_params": {…} in vLLM's names; the options here are the defaults. Results \
            go to OUT.partial as they finish and to OUT, in input order, when all are done; an error costs its \
            own line only. An OUT.partial of an earlier run is kept as OUT.partial.old.
            """)

    @Argument(help: "Text to continue; may be given several times.")
    package var prompts: [String] = []

    @Option(
        name: [.long, .customShort("i")],
        help: ArgumentHelp("Requests, one JSON object a line; - is standard input.", valueName: "in.jsonl"))
    package var input: String?

    @Option(
        name: [.long, .customShort("o")],
        help: ArgumentHelp("Where the results of --input go.", valueName: "out.jsonl"))
    package var output: String?

    @OptionGroup(title: "Sampling options")
    package var sampling: SamplingOptions

    @OptionGroup(title: "Completion options")
    package var completion: CompletionOptions

    @OptionGroup(title: "Batch options")
    package var replicas: ReplicaOptions

    @OptionGroup(title: "Engine options")
    package var engine: EngineOptions

    package init() {}

    package func validate() throws {
        if (input == nil) != (output == nil) {
            throw ValidationError("--input and --output go together.")
        }
        if input != nil && !prompts.isEmpty {
            throw ValidationError("Give prompts or --input, not both.")
        }
        if input == nil && replicas.count > 1 {
            throw ValidationError("--data-parallel-size is for --input.")
        }
    }

    package mutating func run() async throws {
        let command = self
        let interrupts = Interrupts()
        if let input, let output {
            try await interrupts.run { try await command.runBatch(from: input, to: output, interrupts) }
        } else {
            if prompts.isEmpty && File.standardInput.isTerminal {
                throw ValidationError("A prompt is missing; give it as an argument or on standard input.")
            }
            try await interrupts.run { try await command.runPrompts(interrupts) }
        }
    }

    /// The options over a model's defaults.
    package func params(over defaults: SamplingParams) -> SamplingParams {
        completion.apply(to: sampling.params(over: defaults, seed: engine.seed, maxTokens: 256))
    }

    private func load() async throws -> LLM {
        try await engine.load(environment: ProcessInfo.processInfo.environment)
    }

    // MARK: Prompts

    private func runPrompts(_ interrupts: Interrupts) async throws {
        let prompts = try self.prompts.isEmpty ? [StandardInput.text(called: "prompt")] : self.prompts
        let llm = try await load()
        interrupts.needEnding()
        let run = PromptRun(
            llm: llm, prompts: prompts, params: params(over: llm.defaultSamplingParams),
            shrinksMaxTokens: sampling.maxTokens == nil, to: .standardOutput)
        let succeeded: Bool
        do {
            let result = try await run.run()
            succeeded = result.succeeded
            if !engine.quiet, let statistics = result.statistics { Console.note(statistics) }
        } catch {
            let done = Self.describe(llm.statistics)
            await llm.shutdown()
            guard interrupts.isInterrupted else { throw error }
            Console.note("\ninterrupted; \(done)")
            throw Interrupts.exitCode
        }
        await llm.shutdown()
        if !succeeded { throw ExitCode.failure }
    }

    /// What was done before an interruption.
    private static func describe(_ statistics: EngineStatistics) -> String {
        "\(Format.count(statistics.prefillTokens, "prompt token")) read, "
            + "\(Format.count(statistics.generatedTokens, "token")) generated"
    }

    // MARK: Batches

    private func runBatch(from input: String, to path: String, _ interrupts: Interrupts) async throws {
        let file = input == "-" ? File.standardInput : try File(input, .read)
        if file.isDirectory { throw LLMError(.inputOutput, "can't read \(input): it is a folder") }
        try OrderedOutput.check(path, input: file)
        let engines = try await engine.load(replicas.count, environment: ProcessInfo.processInfo.environment)
        let output = try OrderedOutput(path, input: file)
        if let kept = output.keptPath { Console.note("results of an earlier run are kept in \(kept)") }
        interrupts.needEnding()
        let run = batch(engines, LineReader(file), output)
        let showsBar = File.standardError.isTerminal && !engine.quiet
        let bar = showsBar ? ProgressBar(of: run, on: engines, totalBytes: file.size) : nil
        let clock = ContinuousClock()
        let start = clock.now
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await run.run()) } catch { outcome = .failure(error) }
        let seconds = (clock.now - start).inSeconds
        let statistics = engines.statistics
        await bar?.stop()
        await engines.shutdown()
        if case .failure(let error) = outcome {
            let finished = Format.count(output.count, "finished request")
            let state = "\(path) is unchanged; \(finished) in \(output.partialPath)"
            if !interrupts.isInterrupted { throw LLMError(.inputOutput, "\(error); \(state)") }
            Console.note("interrupted: \(state); \(Self.describe(statistics))")
            throw Interrupts.exitCode
        }
        if engines.failedCount > 0 {
            Console.note(
                "\(Format.count(engines.failedCount)) of \(Format.count(engines.engines.count, "replica")) failed; the others "
                    + "began \(Format.count(engines.restartedCount, "request")) again")
        }
        try report(run.progress, statistics, seconds: seconds, path)
    }

    private func batch(_ engines: Replicas, _ reader: LineReader, _ output: OrderedOutput) -> BatchRun {
        let shrinks = sampling.maxTokens == nil
        let config = engine.config
        return BatchRun(
            reader: reader, output: output,
            defaults: params(over: engines.engines[0].defaultSamplingParams),
            // Enough to keep each engine's batch full, and never more than it lets wait.
            window: engines.engines.count * min(4 * config.maxSequences, config.maxQueuedRequests ?? .max)
        ) { line in
            var request = line.request
            request.shrinksMaxTokens = shrinks && !line.namesMaxTokens
            return try await engines.run { [request] llm in try await llm.stream(request).collect() }
        }
    }

    private func report(
        _ progress: BatchRun.Progress, _ statistics: EngineStatistics, seconds: Double, _ path: String
    ) throws {
        if !engine.quiet {
            Console.note(
                """
                \(Format.count(progress.done, "request")) in \(Format.seconds(seconds)); \
                prefill \(Format.count(statistics.prefillTokens, "token")) \
                (\(Format.count(statistics.prefixCacheHits)) more were cached), \
                \(Format.rate(statistics.prefillTokens, seconds)); \
                generated \(Format.count(statistics.generatedTokens, "token")), \
                \(Format.rate(statistics.generatedTokens, seconds)); results in \(path)
                """)
        }
        if progress.failed > 0 {
            Console.error(
                "\(Format.count(progress.failed)) of \(Format.count(progress.done, "request")) failed"
                    + (progress.firstFailure.map { "; the first: \($0)" } ?? ""))
            throw ExitCode.failure
        }
    }
}

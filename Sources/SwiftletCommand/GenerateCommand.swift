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

package struct GenerateCommand: AsyncParsableCommand, ReplicatedCommand {
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

    @OptionGroup package var batch: BatchOptions

    @OptionGroup(title: "Sampling options")
    package var sampling: SamplingOptions

    @OptionGroup(title: "Completion options")
    package var completion: CompletionOptions

    @OptionGroup package var replicas: ReplicaOptions

    @OptionGroup(title: "Engine options")
    package var engine: EngineOptions

    package init() {}

    package func validate() throws {
        if batch.input != nil && !prompts.isEmpty {
            throw ValidationError("Give prompts or --input, not both.")
        }
        if batch.input == nil && replicas.count > 1 {
            throw ValidationError("--data-parallel-size is for --input.")
        }
    }

    package mutating func run() async throws {
        let command = self
        let interrupts = Interrupts()
        if let input = batch.input, let output = batch.output {
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
            let done = BatchJob.describe(llm.statistics)
            await llm.shutdown()
            guard interrupts.isInterrupted else { throw error }
            Console.note("\ninterrupted; \(done)")
            throw Interrupts.exitCode
        }
        await llm.shutdown()
        if !succeeded { throw ExitCode.failure }
    }

    // MARK: Batches

    private func runBatch(from input: String, to path: String, _ interrupts: Interrupts) async throws {
        let environment = ProcessInfo.processInfo.environment
        let world = try join(environment: environment)
        let file = try BatchJob.input(input)
        try OrderedOutput.check(path, input: file)
        let engines = try await load(in: world, environment: environment)
        let output = try BatchJob.output(path, input: file)
        let run = BatchRun(
            reader: LineReader(file), output: output, window: engines.count * BatchRun.window(for: engine.config),
            respond: try deal(to: engines))
        let job = BatchJob(
            run: run, engines: engines, input: file, output: output, quiet: engine.quiet, interrupts: interrupts)
        let progress = try await job()
        if let failures = progress.failures {
            Console.error(failures)
            throw ExitCode.failure
        }
    }

    package func responder(_ llm: LLM) -> BatchRun.Respond {
        let (defaults, shrinks) = (params(over: llm.defaultSamplingParams), sampling.maxTokens == nil)
        return { entry in
            try await BatchRun.answer(entry, defaults: defaults) { line in
                var request = line.request
                request.shrinksMaxTokens = shrinks && !line.namesMaxTokens
                return try await llm.stream(request).collect()
            }
        }
    }
}

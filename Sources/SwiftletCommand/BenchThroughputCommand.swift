// `swiftlet bench throughput`: how many tokens a second come out when all requests are there at once.
// The numbers of nano-vLLM's benchmark with `--dataset nano-vllm`, of vLLM's `bench throughput` otherwise.
// Invariant: every run does the same work, and none finds an earlier one's prompts in the prefix cache.

package import ArgumentParser
package import Swiftlet

package struct BenchThroughputCommand: AsyncParsableCommand, EngineCommand {
    package static let configuration = CommandConfiguration(
        commandName: "throughput",
        abstract: "Measure tokens per second of many requests at once.",
        discussion: """
            The dataset random is --num-prompts prompts of random tokens; nano-vllm is the workload of \
            nano-vLLM's bench.py, with Python's random numbers (256 prompts: 142,827 tokens in, 133,966 out); \
            --seed draws others. Times include reading the prompts; a short request runs before the clock starts.

            The limit is what no engine can pass that reads the prompts first and then gives every running request \
            a token a step: each step takes the longer of its bytes over the memory's bandwidth (weights once, keys \
            and values of each request once) and its multiplications and additions over the peak. Both are measured \
            before and after each run, with the threads and kernels of the engine.
            """)

    @Option(help: ArgumentHelp("Requests to run (default: 256).", valueName: "count"))
    package var numPrompts = 256

    @Option(
        name: [.customLong("input-len"), .customLong("random-input-len")],
        help: ArgumentHelp(
            "Tokens of each prompt (default: 1024, or what the context has room for).", valueName: "tokens"))
    package var inputLength: Int?

    @Option(
        name: [.customLong("output-len"), .customLong("random-output-len")],
        help: ArgumentHelp("Tokens to generate for each (default: 128).", valueName: "tokens"))
    package var outputLength: Int?

    @Option(
        name: [.customLong("dataset"), .customLong("dataset-name")],
        help: "What to run; nano-vllm sets max-model-len to 4096 unless it is given.")
    package var dataset: BenchWorkload.Dataset = .random

    @Option(help: ArgumentHelp("Times to measure; more than one gives a median and a spread.", valueName: "count"))
    package var repeats = 1

    @Option(
        name: [.customLong("json"), .customLong("output-json")],
        help: ArgumentHelp("Write the results to a file, too.", valueName: "file"))
    package var output: String?

    @OptionGroup(title: "Engine options")
    package var engine: EngineOptions

    package init() {}

    package func validate() throws {
        try BenchLimits.check("num-prompts", numPrompts, 1...1_000_000)
        try BenchLimits.check("input-len", inputLength ?? 1, 1...BenchLimits.length)
        try BenchLimits.check("output-len", outputLength ?? 1, 1...BenchLimits.length)
        try BenchLimits.check("repeats", repeats, 1...1000)
        try BenchLimits.checkSize(count: numPrompts, inputLength: inputLength ?? 1024)
        if dataset == .nanoVLLM && (inputLength != nil || outputLength != nil) {
            throw ValidationError(
                "The dataset nano-vllm has lengths of its own: leave --input-len and --output-len out.")
        }
    }

    package mutating func run() async throws {
        let command = self
        let interrupts = Interrupts()
        try await interrupts.run { try await command.measure(interrupts) }
    }

    private func measure(_ interrupts: Interrupts) async throws {
        let resolved = try await engine.resolved()
        var session = try BenchSession(resolved, output: output)
        if dataset == .nanoVLLM, engine.maxModelLen == nil, session.model.maxModelLength > 4096 {
            var limited = resolved
            limited.maxModelLen = Size(argument: "4096")
            session = try BenchSession(limited, output: output)
        }
        let workload = try workload(session)
        let (repeats, prepared) = (repeats, session)
        let (series, summary) = try await session.run(interrupts, workload, rounds: repeats) { llm in
            _ = try await BenchMeasurement.measure(workload.warmUp(rounds: repeats), on: llm)
            var done = 0
            return try await BenchMeasurement.series(workload, rounds: 0..<repeats, on: llm, prepared.engine) { run in
                done += 1
                if repeats > 1 {
                    prepared.note("run \(done) of \(repeats): \(Format.number(run.outputRate)) output tok/s")
                }
            }
        }
        let report = BenchThroughputReport(workload: workload, runs: series.runs, limit: series.limit)
        try session.write(summary: summary, peakMemory: series.peakMemory) { report.writeMembers(to: &$0) }
        try File.standardOutput.write(Array(report.text(peakMemory: series.peakMemory).utf8))
    }

    /// The requests, with lengths that nobody chose made to fit the model.
    private func workload(_ session: BenchSession) throws -> BenchWorkload {
        let (model, seed) = (session.model, session.engine.seed ?? 0)
        let workload: BenchWorkload
        switch dataset {
        case .nanoVLLM: workload = .nanoVLLM(count: numPrompts, seed: seed)
        case .random:
            let lengths = BenchLimits.lengths(input: inputLength, output: outputLength, context: model.maxModelLength)
            if lengths.wereCut {
                session.note(
                    "lengths are cut to \(lengths.input) + \(lengths.output): the context is \(model.maxModelLength)")
            }
            // Checked before its tokens are drawn.
            guard lengths.input + lengths.output <= model.maxModelLength else {
                throw BenchLimits.tooLong(lengths.input, lengths.output, model)
            }
            workload = .random(
                count: numPrompts, inputLength: lengths.input, outputLength: lengths.output,
                vocabularySize: model.vocabularySize, seed: seed)
        }
        try workload.checkFits(model)
        return workload
    }
}

/// What a measurement's lengths may be.
package enum BenchLimits {
    package static let length = 1 << 24

    package static func check(_ option: String, _ value: Int, _ range: ClosedRange<Int>) throws {
        guard range.contains(value) else {
            throw ValidationError("--\(option) is \(value); it must be in \(range.lowerBound)...\(range.upperBound).")
        }
    }

    /// Keeps the prompts of a run in memory.
    package static func checkSize(count: Int, inputLength: Int) throws {
        let (tokens, overflow) = count.multipliedReportingOverflow(by: inputLength)
        guard !overflow, tokens <= 1 << 30 else {
            throw ValidationError(
                "\(count) prompts of \(inputLength) tokens are more than the \(1 << 30) tokens that fit a run.")
        }
    }

    package static func tooLong(_ input: Int, _ output: Int, _ model: ModelInfo) -> LLMError {
        LLMError(
            .invalidRequest,
            "--input-len \(input) and --output-len \(output) make \(input + output) tokens; \(model.name) has a context of \(model.maxModelLength)"
        )
    }

    /// The lengths of a random workload. One that was given stays; the default of one that was not is cut to what
    /// the context leaves, the prompt's first.
    package static func lengths(
        input: Int?, output: Int?, context: Int
    ) -> (input: Int, output: Int, wereCut: Bool) {
        let wantedOutput = output ?? min(128, max(1, context - (input ?? context / 2)))
        let wantedInput = input ?? max(1, min(1024, context - wantedOutput))
        let wereCut = (input == nil && wantedInput < 1024) || (output == nil && wantedOutput < 128)
        return (wantedInput, wantedOutput, wereCut)
    }
}

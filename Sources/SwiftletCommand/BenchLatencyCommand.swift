// `swiftlet bench latency`: how long one batch of equal requests takes, over and over, as vLLM's `bench latency`.
// Invariant: every iteration does the same work, and none finds an earlier one's prompts in the prefix cache, which is
// off unless asked for: what iterations leave there would count as peak memory.

package import ArgumentParser
import Swiftlet

package struct BenchLatencyCommand: AsyncParsableCommand, EngineCommand {
    package static let configuration = CommandConfiguration(
        commandName: "latency",
        abstract: "Measure how long one batch takes.",
        discussion: """
            Runs a batch of random prompts --num-iters-warmup times without and --num-iters times with the clock, \
            and prints the mean and percentiles of the time from the first prompt's start to the last token, and the \
            share of this machine's limit: see bench throughput.
            """)

    @Option(
        name: [.customLong("input-len")],
        help: ArgumentHelp("Tokens of each prompt (default: 32).", valueName: "tokens"))
    package var inputLength = 32

    @Option(
        name: [.customLong("output-len")],
        help: ArgumentHelp("Tokens to generate for each (default: 128).", valueName: "tokens"))
    package var outputLength = 128

    @Option(help: ArgumentHelp("Requests in the batch (default: 8).", valueName: "count"))
    package var batchSize = 8

    @Option(help: ArgumentHelp("Iterations before the clock starts (default: 10).", valueName: "count"))
    package var numItersWarmup = 10

    @Option(help: ArgumentHelp("Iterations to measure (default: 30).", valueName: "count"))
    package var numIters = 30

    @Option(
        name: [.customLong("json"), .customLong("output-json")],
        help: ArgumentHelp("Write the results to a file, too.", valueName: "file"))
    package var output: String?

    @OptionGroup(title: "Engine options")
    package var engine: EngineOptions

    package init() {}

    package func validate() throws {
        try BenchLimits.check("input-len", inputLength, 1...BenchLimits.length)
        try BenchLimits.check("output-len", outputLength, 1...BenchLimits.length)
        try BenchLimits.check("batch-size", batchSize, 1...65_536)
        try BenchLimits.check("num-iters-warmup", numItersWarmup, 0...1_000_000)
        try BenchLimits.check("num-iters", numIters, 1...1_000_000)
        try BenchLimits.checkSize(count: batchSize, inputLength: inputLength)
    }

    package mutating func run() async throws {
        let command = self
        let interrupts = Interrupts()
        try await interrupts.run { try await command.measure(interrupts) }
    }

    private func measure(_ interrupts: Interrupts) async throws {
        var engine = try await engine.resolved()
        engine.enablePrefixCaching = engine.enablePrefixCaching ?? false
        let session = try BenchSession(engine, output: output)
        guard inputLength + outputLength <= session.model.maxModelLength else {
            throw BenchLimits.tooLong(inputLength, outputLength, session.model)
        }
        let workload = BenchWorkload.random(
            count: batchSize, inputLength: inputLength, outputLength: outputLength,
            vocabularySize: session.model.vocabularySize, seed: session.engine.seed ?? 0)
        let (warmUp, count) = (numItersWarmup, numIters)
        let (series, summary) = try await session.run(interrupts, workload, rounds: warmUp + count) { llm in
            for round in 0..<warmUp {
                _ = try await BenchMeasurement.measure(workload.requests(round: round), on: llm)
            }
            return try await BenchMeasurement.series(
                workload, rounds: warmUp..<warmUp + count, on: llm, session.engine)
        }
        let report = BenchLatencyReport(workload: workload, runs: series.runs, limit: series.limit)
        try session.write(summary: summary, peakMemory: series.peakMemory) { report.writeMembers(to: &$0) }
        try File.standardOutput.write(Array(report.text(peakMemory: series.peakMemory).utf8))
    }
}

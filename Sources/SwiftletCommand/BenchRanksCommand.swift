// `swiftlet bench ranks`: what ranks cost where threads would do: the same threads as one rank and as several, a step of
// each in turn. A machine's speed swings by more than what is looked for, but not between two neighbouring steps.
// Invariant: both engines compute the same requests, and every ratio is of two steps that follow each other.

package import ArgumentParser
import Swiftlet

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

package struct BenchRanksCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "ranks",
        abstract: "Measure what ranks cost: one and several, a step of each in turn.",
        discussion: """
            Loads the model twice into this process, as one rank and as --tensor-parallel-size ranks (default: 2) with \
            the same threads, and decodes the same batch with both, a step of one, then a step of the other. Prints the \
            medians of both and of the ratio of each pair.
            """)

    @Option(help: ArgumentHelp("Requests in the batch (default: 16).", valueName: "count"))
    package var batchSize = 16

    @Option(
        name: .customLong("input-len"), help: ArgumentHelp("Tokens of each prompt (default: 16).", valueName: "tokens"))
    package var inputLength = 16

    @Option(help: ArgumentHelp("Pairs of steps to measure (default: 200).", valueName: "count"))
    package var pairs = 200

    @OptionGroup(title: "Engine options")
    package var engine: EngineOptions

    package init() {}

    package func validate() throws {
        try BenchLimits.check("batch-size", batchSize, 1...65_536)
        try BenchLimits.check("input-len", inputLength, 1...BenchLimits.length)
        try BenchLimits.check("pairs", pairs, 1...BenchLimits.length)
    }

    /// Seconds of a step of one rank, and of the step of several that came before or after it.
    private typealias Pair = (one: Double, several: Double)

    package mutating func run() async throws {
        let (command, options) = (self, try await engine.resolved())
        let pairs = try await withCheckedThrowingContinuation { (done: CheckedContinuation<[Pair], any Error>) in
            do {
                try Platform.startThread { done.resume(with: Result { try command.measure(options) }) }
            } catch {
                done.resume(throwing: error)
            }
        }
        let (one, several) = (Summary(pairs.map(\.one)), Summary(pairs.map(\.several)))
        let ratios = pairs.map { $0.several / $0.one }.sorted()
        func ratio(_ part: Double) -> String {
            let percent = (ratios[Int(Double(ratios.count - 1) * part)] - 1) * 100
            return (percent < 0 ? "-" : "+") + Format.number(abs(percent)) + " %"
        }
        let report = """
            \(Format.count(ratios.count, "pair")) of steps of \(Format.count(batchSize, "request")):
            1 rank    median \(Format.seconds(one.median))
            \(ranks) ranks   median \(Format.seconds(several.median))
            of one rank's time: median \(ratio(0.5)), quartiles \(ratio(0.25)) and \(ratio(0.75))

            """
        try File.standardOutput.write(Array(report.utf8))
    }

    private var ranks: Int { engine.tensorParallelSize ?? 2 }

    private func measure(_ options: EngineOptions) throws -> [Pair] {
        guard options.device == .cuda else {
            return try measure(options) { (loader) throws(LLMError) in try loader.load() }
        }
        let libraries = CUDALibraries()
        return try measure(options) { (loader) throws(LLMError) in try loader.load(libraries) }
    }

    private func measure<B: Backend>(
        _ options: EngineOptions, _ load: (ModelLoader) throws(LLMError) -> (Engine<B>, LoadedModel)
    ) throws -> [Pair] {
        var config = options.config
        // Steps until both have warmed up, and room for all that are measured.
        let warmUp = 4
        config.maxModelLength = inputLength + warmUp + pairs + 1
        config.maxSequences = batchSize
        config.seed = config.seed ?? 0
        let several = try start(config, options, ranks, load)
        let one = try start(config, options, 1, load)
        for engine in [one, several] {
            while engine.statistics.generatedTokens < batchSize * warmUp, try engine.step() {}
        }
        return try (0..<pairs).map { pair in
            if pair % 2 == 0 { return (one: try Self.seconds(one), several: try Self.seconds(several)) }
            let second = try Self.seconds(several)
            return (one: try Self.seconds(one), several: second)
        }
    }

    private func start<B: Backend>(
        _ config: EngineConfig, _ options: EngineOptions, _ ranks: Int,
        _ load: (ModelLoader) throws(LLMError) -> (Engine<B>, LoadedModel)
    ) throws(LLMError) -> Engine<B> {
        var config = config
        config.tensorParallelSize = ranks
        let (engine, model) = try load(
            ModelLoader(
                model: options.model, tokenizerPath: options.tokenizer, config: config,
                logger: options.logger(environment: ProcessInfo.processInfo.environment)))
        if !options.quiet { Console.note(model.summary) }
        let workload = BenchWorkload.random(
            count: batchSize, inputLength: inputLength, outputLength: 1, vocabularySize: model.vocabularySize,
            seed: config.seed ?? 0)
        for (index, prompt) in workload.prompts.enumerated() {
            engine.submit(
                Submission(
                    id: index, prompt: prompt, params: SamplingParams(temperature: 0, ignoreEOS: true), seed: 0,
                    tokenLimit: model.maxModelLength, sink: TokenSink { _ in }))
        }
        return engine
    }

    private static func seconds<B: Backend>(_ engine: Engine<B>) throws(LLMError) -> Double {
        // The other engine's threads spin for a moment before they let go of their cores.
        Platform.sleep(microseconds: 2000)
        let start = Platform.monotonicSeconds()
        try engine.step()
        return Platform.monotonicSeconds() - start
    }
}

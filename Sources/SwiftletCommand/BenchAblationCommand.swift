// `swiftlet bench ablation`: one workload, run with each optimisation switched off in turn. The lesson that readers of
// a small engine look for: what is each of these ideas worth, on this machine?
// Invariant: all variants run the same requests and, as the engine promises, produce the same tokens.

package import ArgumentParser
import Swiftlet

package struct BenchAblationCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "ablation",
        abstract: "Run one workload with each optimisation switched off in turn.",
        discussion: """
            The prompts have a common first half, as requests with the same system prompt do, and arrive at once. \
            Each variant is measured --repeats times; the table has medians. The engine options are the baseline.
            """)

    @Option(help: ArgumentHelp("Requests to run (default: 32).", valueName: "count"))
    package var numPrompts = 32

    @Option(
        name: .customLong("input-len"),
        help: ArgumentHelp("Tokens of each prompt, half of them common (default: 256).", valueName: "tokens"))
    package var inputLength = 256

    @Option(
        name: .customLong("output-len"),
        help: ArgumentHelp("Tokens to generate for each (default: 64).", valueName: "tokens"))
    package var outputLength = 64

    @Option(help: ArgumentHelp("Times to measure each variant (default: 3).", valueName: "count"))
    package var repeats = 3

    @OptionGroup(title: "Engine options")
    package var engine: EngineOptions

    package init() {}

    package func validate() throws {
        try BenchLimits.check("num-prompts", numPrompts, 1...100_000)
        try BenchLimits.check("input-len", inputLength, 2...BenchLimits.length)
        try BenchLimits.check("output-len", outputLength, 1...BenchLimits.length)
        try BenchLimits.check("repeats", repeats, 1...1000)
        try BenchLimits.checkSize(count: numPrompts, inputLength: inputLength)
    }

    package mutating func run() async throws {
        let command = self
        let interrupts = Interrupts()
        try await interrupts.run { try await command.measure(interrupts) }
    }

    /// A row of the table.
    private struct Variant {
        var name: String
        var change: (inout EngineOptions) -> Void
    }

    private var variants: [Variant] {
        var variants = [
            Variant(name: "everything on") { _ in },
            Variant(name: "no prefix caching") { $0.enablePrefixCaching = false },
            Variant(name: "no chunked prefill") { $0.enableChunkedPrefill = false },
            Variant(name: "no mixed batches") { $0.enableMixedBatches = false },
            Variant(name: "no batching") { $0.maxNumSeqs = 1 },
        ]
        for level in CPULevel.allCases where level != engine.cpuLevel && Self.isSupported(level) {
            variants.append(Variant(name: "kernels \(level.rawValue)") { $0.cpuLevel = level })
        }
        if engine.threads != 1 { variants.append(Variant(name: "1 thread") { $0.threads = 1 }) }
        return variants
    }

    private static func isSupported(_ level: CPULevel) -> Bool {
        // The best one is the baseline already.
        MachineInfo().kernelLevels.dropFirst().contains(level.rawValue)
    }

    private func measure(_ interrupts: Interrupts) async throws {
        let session = try BenchSession(try await engine.resolved(), output: nil)
        var workload = BenchWorkload.random(
            count: numPrompts, inputLength: inputLength, outputLength: outputLength,
            vocabularySize: session.model.vocabularySize, seed: session.engine.seed ?? 0)
        let common = workload.prompts[0][..<(inputLength / 2)]
        for index in workload.prompts.indices { workload.prompts[index].replaceSubrange(..<common.count, with: common) }
        try workload.checkFits(session.model)
        session.note(
            "\(numPrompts) prompts of \(inputLength) tokens, \(common.count) of them common; \(outputLength) out")
        try File.standardOutput.write(Array(Self.row("", "output tok/s", "", "first token", "per token", "hits").utf8))
        var baseline: Double?
        for variant in variants {
            var options = session.engine
            variant.change(&options)
            options.quiet = true
            let runs = try await measure(workload, try BenchSession(options, output: nil), interrupts)
            let rate = Summary(runs.map(\.outputRate)).median ?? 0
            baseline = baseline ?? rate
            let line = Self.row(
                variant.name, Format.number(rate), "x " + Format.ratio(rate / baseline!),
                Format.seconds(Summary(runs.flatMap(\.firstTokenSeconds)).median),
                Format.seconds(Summary(runs.flatMap(\.tokenSeconds)).median), "\(runs[0].prefixCacheHits)")
            try File.standardOutput.write(Array(line.utf8))
        }
    }

    private func measure(
        _ workload: BenchWorkload, _ session: BenchSession, _ interrupts: Interrupts
    ) async throws -> [BenchMeasurement] {
        let repeats = repeats
        return try await session.run(interrupts, workload, rounds: repeats) { llm in
            _ = try await BenchMeasurement.measure(workload.warmUp(rounds: repeats), on: llm)
            var runs: [BenchMeasurement] = []
            for round in 0..<repeats {
                runs.append(try await BenchMeasurement.measure(workload.requests(round: round), on: llm))
            }
            return runs
        }.result
    }

    private static func row(_ columns: String...) -> String {
        let widths = [22, 14, 8, 13, 12, 9]
        var line = ""
        for (index, (column, width)) in zip(columns, widths).enumerated() {
            let padding = String(repeating: " ", count: max(0, width - column.count))
            line += index == 0 ? column + padding : padding + column
        }
        return line + "\n"
    }
}

extension Format {
    /// To two places.
    static func ratio(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        return "\(hundredths / 100)." + (hundredths % 100 < 10 ? "0" : "") + "\(hundredths % 100)"
    }
}

// `swiftlet bench`: measures the engine. What its two measurements share: the shape of a run, and where results go.
// The report goes to standard output, JSON to a file, progress to standard error.
// Invariant: what can be refused (lengths, a dataset, a path) is refused before a model is loaded.

package import ArgumentParser
package import Swiftlet
package import SwiftletJSON

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

package struct BenchCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure throughput, latency, operations, ranks, a tokenizer, or what each optimisation is worth.",
        subcommands: subcommands)

    private static var subcommands: [any ParsableCommand.Type] {
        var commands: [any ParsableCommand.Type] = [BenchThroughputCommand.self, BenchLatencyCommand.self]
        #if Server
        commands.append(BenchServeCommand.self)
        #endif
        return commands + [
            BenchRooflineCommand.self, BenchAblationCommand.self, BenchRanksCommand.self, BenchTokenizerCommand.self,
        ]
    }

    package init() {}
}

/// A model that is about to be measured.
package struct BenchSession: Sendable {
    package let engine: EngineOptions
    package let model: ModelInfo
    /// Where JSON goes; nil: nowhere.
    package let output: String?

    /// Looks at the model and at the output's place; nothing is loaded.
    package init(_ engine: EngineOptions, output: String?) throws(LLMError) {
        if let output { try Self.checkWritable(output) }
        var engine = engine
        // vLLM's default. A measurement is repeated with what it was made with, random weights included.
        engine.seed = engine.seed ?? 0
        self.engine = engine
        self.output = output
        model = try ModelInfo(engine.model, tokenizer: engine.tokenizer, config: engine.config)
    }

    /// Loads the model, runs `body` and shuts the engine down; Ctrl-C ends it with what was done so far.
    ///
    /// All runs find memory behind the KV cache, as in an engine that has served for a while.
    package func run<R: Sendable>(
        _ interrupts: Interrupts, _ workload: BenchWorkload, rounds: Int,
        _ body: @Sendable @escaping (LLM) async throws -> R
    ) async throws -> (result: R, summary: String) {
        let cached = workload.cachedTokens(blockSize: engine.config.blockSize)
        // Without a prefix cache each round takes the blocks of the one before.
        let rounds = engine.config.enablePrefixCaching ? rounds : min(rounds, 1)
        let llm = try await engine.load(
            environment: ProcessInfo.processInfo.environment,
            providedTokens: min(cached, Int.max / 2 / max(1, rounds)) * rounds)
        interrupts.needEnding()
        do {
            let result = try await body(llm)
            await llm.shutdown()
            return (result, llm.summary)
        } catch {
            let done = llm.statistics
            await llm.shutdown()
            guard interrupts.isInterrupted else { throw error }
            Console.note(
                """
                \ninterrupted: \(Format.count(done.finishedByLength + done.finishedByStop, "request")) finished, \
                \(Format.count(done.prefillTokens, "prompt token")) read, \
                \(Format.count(done.generatedTokens, "token")) generated
                """)
            throw Interrupts.exitCode
        }
    }

    /// A line of progress.
    package func note(_ line: String) {
        if !engine.quiet { Console.note(line) }
    }

    /// Writes the JSON file: what `members` writes, and what it was measured on.
    package func write(summary: String, peakMemory: Int?, _ members: (inout JSONWriter) -> Void) throws {
        guard let output else { return }
        var json = JSONWriter()
        json.object { json in
            members(&json)
            json.member("peak_memory_bytes", peakMemory)
            json.key("seed")
            json.int(engine.seed ?? 0)
            json.member("engine", summary)
            json.member("version", SwiftletCommand.configuration.version)
            json.key("model")
            json.object { json in
                json.member("name", model.name)
                InfoReport.writeMembers(of: model, to: &json)
            }
            json.key("machine")
            InfoReport.write(MachineInfo(), to: &json)
        }
        json.newline()
        try Self.write(json.bytes, to: output)
    }

    /// Refuses a place for results that can't be written to.
    static func checkWritable(_ path: String) throws(LLMError) {
        if File.exists(path) {
            let file = try File(path, .update)
            if file.isDirectory { throw LLMError(.inputOutput, "can't write \(path): it is a folder") }
        } else if !File.isWritableDirectory(File.directory(of: path)) {
            throw LLMError(.inputOutput, "can't write \(path): its folder is missing or can't be written to")
        }
    }

    static func write(_ bytes: [UInt8], to path: String) throws(LLMError) {
        do {
            try Data(bytes).write(to: URL(filePath: path))
        } catch {
            throw LLMError(.inputOutput, "can't write \(path): \(error)")
        }
    }
}

extension JSONWriter {
    /// An object of mean, median, extremes, spread and percentiles.
    mutating func member(_ name: String, _ summary: Summary, percentiles: [Int] = [99]) {
        key(name)
        object { json in
            json.member("mean", summary.mean)
            json.member("median", summary.median)
            json.member("min", summary.minimum)
            json.member("max", summary.maximum)
            json.member("standard_deviation", summary.standardDeviation)
            for percent in percentiles { json.member("p\(percent)", summary.percentile(Double(percent))) }
        }
    }
}

extension Format {
    /// A duration that may not have been measured.
    package static func seconds(_ value: Double?) -> String { value.map { Format.seconds($0) } ?? "-" }

    /// `mean 1.20 s, median 1.10 s, p99 2.20 s`
    package static func durations(_ summary: Summary) -> String {
        "mean \(seconds(summary.mean)), median \(seconds(summary.median)), p99 \(seconds(summary.percentile(99)))"
    }

    /// A line of a report.
    package static func line(_ label: String, _ value: String) -> String {
        label + String(repeating: " ", count: max(1, 15 - label.count)) + value + "\n"
    }
}

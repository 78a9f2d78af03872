// BenchLimit: the share of this machine's limit that measured runs reached, as text and as a member of a JSON object.
// Invariant: a run is held against the limits that were measured right before and after it.

package import Swiftlet
package import SwiftletJSON

package struct BenchLimit: Sendable {
    private let work: RunWork
    private let runs: [(measurement: BenchMeasurement, limits: MachineLimits)]
    private let instruction: String

    package init(_ workload: BenchWorkload, _ runs: [BenchMeasurement], _ model: ModelWork, _ setup: BenchSetup) {
        let lengths = zip(workload.prompts, workload.outputLengths).map {
            RunWork.Lengths(prompt: $0.count, output: $1)
        }
        work = RunWork(lengths, of: model, places: setup.maxSequences)
        self.runs = runs.compactMap { run in run.limits.map { (run, $0) } }
        instruction = setup.instruction
    }

    private func median(_ value: (BenchMeasurement, MachineLimits) -> Double?) -> Double? {
        Summary(runs.compactMap { value($0.measurement, $0.limits) }).median
    }

    /// Shortest possible time over the time it took.
    private var share: Double? { median { run, limits in work.seconds(on: limits) / run.seconds } }
    private var rate: Double? { median { run, limits in Double(run.outputTokens) / work.seconds(on: limits) } }
    private var decodeShare: Double? {
        median { run, limits in
            guard let rate = run.decodeRate, let limit = work.decodeRate(on: limits) else { return nil }
            return rate / limit
        }
    }
    private var decodeRate: Double? { median { _, limits in work.decodeRate(on: limits) } }
    private var limits: MachineLimits { .medians(of: runs.map(\.limits)) }
    /// Of the instruction that products with weights are made of.
    private var peak: Double { limits.integerPeak > 0 ? limits.integerPeak : limits.peak }

    package var text: String {
        guard let rate, let share else { return "" }
        var text = Format.line("limit", "\(Format.number(rate)) output tok/s, of which \(Format.percent(share))")
        if let decodeRate, let decodeShare {
            text += Format.line(
                "", "\(Format.number(decodeRate)) tok/s in decodes, of which \(Format.percent(decodeShare))")
        }
        let (memory, peak) = (Format.bytesRate(limits.memory), Format.operationsRate(peak))
        return text + Format.line("machine", "\(memory) from memory, \(peak) (\(instruction))")
    }

    package func writeMember(to json: inout JSONWriter) {
        json.key("limit")
        json.object { json in
            json.member("output_tokens_per_second", rate)
            json.member("share", share)
            json.member("decode_tokens_per_second", decodeRate)
            json.member("decode_share", decodeShare)
            json.member("memory_bytes_per_second", limits.memory)
            json.member("operations_per_second", peak)
            json.member("instruction", instruction)
        }
    }
}

/// What a limit depends on besides the requests.
package struct BenchSetup: Sendable {
    package var maxSequences: Int
    package var instruction: String

    package init(maxSequences: Int, instruction: String) {
        self.maxSequences = maxSequences
        self.instruction = instruction
    }
}

extension BenchMeasurement {
    /// What a series of runs came to.
    package struct Series: Sendable {
        package var runs: [BenchMeasurement]
        package var limit: BenchLimit
        package var peakMemory: Int?
    }

    /// Runs rounds of a workload, with a look at the machine before and after each.
    ///
    /// - Parameter report: Told of each run.
    static func series(
        _ workload: BenchWorkload, rounds: Range<Int>, on llm: LLM, _ engine: EngineOptions,
        report: (BenchMeasurement) -> Void = { _ in }
    ) async throws -> Series {
        let config = engine.config
        let probe = try RunProbe(engine.model, config: config)
        var runs: [BenchMeasurement] = []
        for round in rounds {
            // The probe's threads spin for half a millisecond: they are not to be in the way of the first requests.
            try await Task.sleep(for: .milliseconds(2))
            var run = try await measure(workload.requests(round: round), on: llm)
            // What a GPU could do is not measured.
            if llm.device == .cpu { run.limits = try probe.limits() }
            runs.append(run)
            report(run)
        }
        let setup = BenchSetup(maxSequences: config.maxSequences, instruction: probe.instruction)
        return Series(
            runs: runs, limit: BenchLimit(workload, runs, probe.model, setup), peakMemory: probe.peakMemory)
    }
}

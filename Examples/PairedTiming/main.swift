// Paired timing: what does an option cost, when a machine's speed swings by more than that? Two engines in one process
// run the same prompt in turn, a few hundredths of a second apart, and what is looked at is the ratio of each pair.
// Here the option is `traceFile`.
//
//     PairedTiming [PAIRS [MODEL]]

import Foundation
import Swiftlet

let pairs = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 20
let model = CommandLine.arguments.dropFirst(2).first
let trace = FileManager.default.temporaryDirectory.appending(path: "swiftlet-paired-timing.json").path
defer { try? FileManager.default.removeItem(atPath: trace) }

func makeEngine(traceFile: String?) async throws -> LLM {
    let config = EngineConfig(enablePrefixCaching: false, traceFile: traceFile)
    return if let model { try await LLM(model, config: config) } else { try await LLM(config: config) }
}

let plain = try await makeEngine(traceFile: nil)
let traced = try await makeEngine(traceFile: trace)
let parameters = SamplingParams(temperature: 0, maxTokens: 128, ignoreEOS: true)

func seconds(_ llm: LLM) async throws -> Double {
    let start = ContinuousClock.now
    _ = try await llm.generate([.tokens([1, 2, 3, 4])], parameters)
    return (ContinuousClock.now - start) / .seconds(1)
}

for _ in 0..<5 { _ = try await (seconds(plain), seconds(traced)) }
var ratios: [Double] = []
for pair in 0..<max(pairs, 1) {
    // Whichever runs second finds the caches warmer: take turns.
    let (a, b) = pair % 2 == 0 ? (plain, traced) : (traced, plain)
    let first = try await seconds(a)
    let second = try await seconds(b)
    ratios.append(pair % 2 == 0 ? second / first : first / second)
}

func quantile(_ part: Double, of sorted: [Double]) -> String {
    String(format: "%.4f", sorted[Int(Double(sorted.count - 1) * part)])
}
ratios.sort()
let (low, median, high) = (quantile(0.25, of: ratios), quantile(0.5, of: ratios), quantile(0.75, of: ratios))
print("\(ratios.count) pairs, time with the option on over time with it off:")
print("first quartile \(low), median \(median), third quartile \(high)")

await plain.shutdown()
await traced.shutdown()

// SimulatorTests: thousands of random workloads through the simulator. A failure names its seed;
// SWIFTLET_SIMULATOR_SEED=n runs that one only, SWIFTLET_SIMULATOR_COUNT=n so many instead of 6,000.

import Foundation
import Testing

@Suite("Simulator: scheduler and blocks with an emulated KV store")
struct SimulatorTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let groupCount = 10
    private static let workloadCount = environment["SWIFTLET_SIMULATOR_COUNT"].flatMap(Int.init) ?? 6_000
    private static let onlySeed = environment["SWIFTLET_SIMULATOR_SEED"].flatMap(UInt64.init)

    @Test("Random small workloads", arguments: 0..<groupCount)
    func smallWorkloads(group: Int) {
        let perGroup = (Self.workloadCount + Self.groupCount - 1) / Self.groupCount
        let coverage = run(seeds: (group * perGroup)..<((group + 1) * perGroup), scale: 1)
        guard Self.onlySeed == nil, perGroup >= 500 else { return }
        // Each case the simulator is there for must have occurred, or it proves nothing.
        #expect(coverage.finished > 1_000 && coverage.refusals > 100)
        #expect(coverage.preemptions > 80 && coverage.resumedHits > 30)
        #expect(coverage.hits > 300 && coverage.fullPrefixHits > 30 && coverage.siblingHits > 30)
        #expect(coverage.merges > 100 && coverage.evictions > 300)
        #expect(coverage.splitPrefills > 300 && coverage.mixedSteps > 300)
        #expect(coverage.overtakings > 30 && coverage.priorityPreemptions > 10)
        #expect(coverage.cancelledWaiting > 30 && coverage.cancelledMidPrefill > 10)
        #expect(coverage.cancelledDecoding > 30 && coverage.cancelledLast > 30)
    }

    @Test("Random larger workloads", arguments: 0..<3)
    func largerWorkloads(group: Int) {
        let first = 1_000_000 + group * 100
        let coverage = run(seeds: first..<(first + 100), scale: 4)
        #expect(Self.onlySeed != nil || coverage.preemptions > 80)
    }

    private func run(seeds: Range<Int>, scale: Int) -> SimulatorCoverage {
        var coverage = SimulatorCoverage()
        for seed in seeds.map(UInt64.init) where Self.onlySeed == nil || Self.onlySeed == seed {
            let simulator = Simulator(SimulatorWorkload(seed: seed, scale: scale))
            do {
                try simulator.run()
            } catch {
                Issue.record("seed \(seed): \(error)")
                return coverage
            }
            coverage += simulator.coverage
        }
        return coverage
    }
}

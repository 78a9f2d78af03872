// What engines do to a backend: preemption, cancelling, choices, cached prefixes, buckets, limits; on the emulated driver,
// against the CPU backend with the same schedule.

import CSwiftletCUDAEmulator
import Swiftlet
import SwiftletTestSupport
import SwiftletTokenizer
import Synchronization
import Testing

extension CUDATests {
    @Suite("Schedules", .serialized)
    struct ScheduleTests {
        private let folder: TemporaryFolder
        private let path: String

        init() throws {
            folder = try TemporaryFolder()
            path = try Emulated.writeModel(in: folder)
        }

        @Test("Random schedules with preemption, cancelling and choices give the CPU backend's tokens")
        func randomSchedules() throws {
            var preemptions = 0
            for seed in UInt64(1)...2 {
                // A pool that is too small for all of them.
                let config = Emulated.small(blocks: 9, sequences: 6, tokens: 40, maxModelLength: 128, dummySeed: seed)
                func run<B: Backend>(_ engine: Driven<B>) throws -> ([[[TokenID]]], preemptions: Int) {
                    let schedule = RandomSchedule(seed: seed)
                    return (try schedule.run(engine), engine.engine.statistics.preemptions)
                }
                let onCPU = try Emulated.runOnCPU(path, config) { try run($0) }
                let onGPU = try Emulated.run(path, config) { try run($0) }
                #expect(onGPU.0 == onCPU.0, "seed \(seed)")
                #expect(onGPU.preemptions == onCPU.preemptions, "seed \(seed)")
                preemptions += onGPU.preemptions
            }
            #expect(preemptions > 1)
        }

        @Test("A prompt that is cached gives the tokens of one that is not")
        func cachedPrefix() throws {
            try Emulated.run(path, Emulated.small(dummySeed: 5)) { engine in
                for length in [15, 16, 17, 32, 50] {
                    let ids = prompt(length, seed: UInt64(length))
                    let cold = try engine.outputs([(ids, .greedy(4))])[0]
                    let warm = try engine.outputs([(ids, .greedy(4))])[0]
                    #expect(warm.tokens == cold.tokens)
                    #expect(warm.cachedTokens == (length - 1) / 16 * 16)
                }
            }
        }

        @Test("A13: after the longest prompt there can be, shorter batches see none of its blocks")
        func pitfallA13() throws {
            var all: [[[TokenID]]] = []
            for eager in [false, true] {
                let config = Emulated.small(tokens: 64, maxModelLength: 100, eager: eager, dummySeed: 6)
                try Emulated.run(path, config) { engine in
                    // 99 tokens and one more: the table has as many columns as it can.
                    let longest = try engine.outputs([(prompt(99, seed: 1), .greedy(1))])
                    let withShort = try engine.outputs([
                        (prompt(96, seed: 2), .greedy(4)), (prompt(3, seed: 3), .greedy(12)),
                    ])
                    let short = try engine.outputs([
                        (prompt(3, seed: 3), .greedy(12)), (prompt(9, seed: 4), .greedy(3)),
                    ])
                    #expect(short[0].tokens == withShort[1].tokens)
                    all.append((longest + withShort + short).map { $0.tokens[0] })
                }
            }
            #expect(all[0] == all[1])
        }

        @Test("A14: buckets cover every count of sequences up to max-num-seqs", arguments: [1, 3, 12, 20, 100, 257])
        func pitfallA14(most: Int) {
            let buckets = Buckets.all(upTo: most)
            #expect(buckets.last == most && buckets == buckets.sorted())
            for count in 1...most {
                let rows = Buckets.rows(for: count, upTo: most)
                #expect(rows >= count && buckets.contains(rows))
                // No cliff: never much more than there are.
                #expect(rows < 2 * count || rows - count < 16)
            }
        }

        @Test("A14: with a max-num-seqs that is no multiple of anything all of them run")
        func pitfallA14Runs() throws {
            let requests = (0..<13).map {
                (prompt: prompt(2 + $0 % 3, seed: UInt64($0)), params: SamplingParams.greedy(3))
            }
            let config = Emulated.small(sequences: 13, dummySeed: 7)
            let onCPU = try Emulated.runOnCPU(path, config) { try $0.outputs(requests).map(\.tokens) }
            let onGPU = try Emulated.run(path, config) { try $0.outputs(requests).map(\.tokens) }
            #expect(onGPU == onCPU)
        }

        @Test("A18: what another process has of the GPU is not subtracted, and too little is said in figures")
        func pitfallA18() throws {
            defer { swiftlet_emulator_set_memory(1 << 30) }
            var config = Emulated.small(dummySeed: 8)
            config.kvCache = .automatic
            // What is free is what counts.
            swiftlet_emulator_set_memory(128 << 20)
            try Emulated.run(path, config) { engine in
                #expect(engine.loaded.kvTokenCapacity == 8 * 256)
            }
            swiftlet_emulator_set_memory(16 << 20)
            let error = #expect(throws: LLMError.self) { try Emulated.run(path, config) { _ in } }
            #expect(error?.code == .outOfMemory)
            #expect(error?.message.contains("MiB") == true)
        }

        @Test("An engine gives everything back, also one whose device failed")
        func leaks() throws {
            let before = swiftlet_emulator_live_objects()
            try Emulated.run(path, Emulated.small(dummySeed: 9)) { engine in
                _ = try engine.outputs([(prompt(20, seed: 1), .greedy(5))])
            }
            #expect(swiftlet_emulator_live_objects() == before)
            #expect(throws: LLMError.self) {
                try Emulated.run(path, Emulated.small(dummySeed: 9), libraries: FailingDriver.libraries) { engine in
                    let output = engine.submit(prompt(20, seed: 1), .greedy(50)).output
                    defer { #expect(output.tokens[0].count < 50) }
                    try FailingDriver.with(callsLeft: 40) { try engine.finish() }
                }
            }
            #expect(swiftlet_emulator_live_objects() == before)
        }
    }
}

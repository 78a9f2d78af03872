// Ranks on several GPUs when something goes wrong: whatever happens to one ends all of them, and nothing hangs or is left.

import CSwiftletCUDAEmulator
import Swiftlet
import SwiftletTestSupport
import SwiftletTokenizer
import Synchronization
import Testing

extension CUDATests {
    @Suite("Ranks: failures", .serialized)
    struct RankFailureTests {
        private let folder: TemporaryFolder
        private let path: String

        init() throws {
            folder = try TemporaryFolder()
            path = try Emulated.writeModel(in: folder)
        }

        @Test("Engines give everything back")
        func leaks() throws {
            let before = swiftlet_emulator_live_objects()
            for eager in [false, true] {
                try Emulated.run(path, Emulated.small(ranks: 3, eager: eager, dummySeed: 9)) { engine in
                    _ = try engine.outputs([(prompt(20, seed: 1), .greedy(5))])
                }
                #expect(swiftlet_emulator_live_objects() == before)
            }
        }

        /// Which launch fails, how, and on whose thread.
        struct Failure: CustomTestStringConvertible {
            var callsLeft: Int
            var isLate = false
            var sparesRank0 = false
            var eager = false

            var testDescription: String {
                "launch \(callsLeft) \(isLate ? "goes wrong on the device" : "fails")"
                    + (sparesRank0 ? ", not on rank 0" : "") + (eager ? ", eager" : "")
            }
        }

        @Test(
            "A rank whose GPU fails in a step ends all of them with an error",
            arguments: [
                Failure(callsLeft: 1, sparesRank0: true), Failure(callsLeft: 25, sparesRank0: true, eager: true),
                Failure(callsLeft: 30), Failure(callsLeft: 20, isLate: true, sparesRank0: true, eager: true),
                Failure(callsLeft: 60, isLate: true, eager: true), Failure(callsLeft: 45, sparesRank0: true),
            ])
        func failingStep(failure: Failure) throws {
            let before = swiftlet_emulator_live_objects()
            let config = Emulated.small(ranks: 2, eager: failure.eager, dummySeed: 9)
            let error = #expect(throws: LLMError.self) {
                try Emulated.run(path, config, libraries: FailingDriver.libraries) { engine in
                    let output = engine.submit(prompt(20, seed: 1), .greedy(100)).output
                    defer { #expect(output.tokens[0].count < 100) }
                    try FailingDriver.with(
                        callsLeft: failure.callsLeft, sparesThisThread: failure.sparesRank0, isLate: failure.isLate
                    ) { try engine.finish() }
                }
            }
            #expect(error?.code == .engineFailed)
            // The reason, not that the ranks have parted.
            #expect(error?.message.contains("ILLEGAL_ADDRESS") == true, "\(error?.message ?? "")")
            #expect(swiftlet_emulator_live_objects() == before)
        }

        @Test("A rank that fails while it loads ends all of them with its error", arguments: [1, 3, 40, 90])
        func failingLoad(callsLeft: Int) throws {
            let before = swiftlet_emulator_live_objects()
            let error = #expect(throws: LLMError.self) {
                try FailingDriver.with(callsLeft: callsLeft, sparesThisThread: callsLeft % 2 == 1) {
                    try Emulated.run(
                        path, Emulated.small(ranks: 3, dummySeed: 9), libraries: FailingDriver.libraries
                    ) { _ in }
                }
            }
            #expect(error?.message.contains("ILLEGAL_ADDRESS") == true, "\(error?.message ?? "")")
            #expect(swiftlet_emulator_live_objects() == before)
        }

        @Test("An engine that can't be assembled after its ranks have loaded ends them properly")
        func failingAssembly() throws {
            let before = swiftlet_emulator_live_objects()
            try folder.write("{}", "tokenizer.json")
            #expect(throws: LLMError.self) {
                try Emulated.run(path, Emulated.small(ranks: 2, dummySeed: 9)) { _ in }
            }
            #expect(swiftlet_emulator_live_objects() == before)
        }

        @Test("Aborting that never ends is left to itself after a while")
        func endlessAbort() {
            let isDone = Mutex(false)
            let goesOn = Mutex(true)
            #expect(
                !Platform.attempt(seconds: 0.05) {
                    while goesOn.withLock({ $0 }) { Platform.sleep(microseconds: 100) }
                    isDone.withLock { $0 = true }
                })
            goesOn.withLock { $0 = false }
            #expect(Platform.attempt(seconds: 60) { while !isDone.withLock({ $0 }) {} })
        }

        @Test("Ranks without NCCL are an error of all of them; one GPU does without")
        func missingLibrary() throws {
            let libraries = CUDALibraries { $0.hasPrefix("nccl") ? nil : swiftlet_emulated_symbol($0) }
            let error = #expect(throws: LLMError.self) {
                try Emulated.run(path, Emulated.small(ranks: 2, dummySeed: 9), libraries: libraries) { _ in }
            }
            #expect(error?.code == .invalidConfiguration)
            #expect(error?.message.contains("ncclGetVersion") == true, "\(error?.message ?? "")")
            try Emulated.run(path, Emulated.small(dummySeed: 9), libraries: libraries) { _ in }
        }

        @Test("Too few GPUs are an error with figures and the option")
        func tooFewGPUs() throws {
            let error = #expect(throws: LLMError.self) {
                try Emulated.run(path, Emulated.small(ranks: 7, dummySeed: 9)) { _ in }
            }
            #expect(error?.code == .invalidConfiguration)
            #expect(error?.message.contains("tensor-parallel-size 7 takes 7 GPUs; the driver shows 4") == true)
            var config = Emulated.small(ranks: 2, dummySeed: 9)
            config.processShare = ProcessShare(index: 1, count: 3)
            let both = #expect(throws: LLMError.self) { try Emulated.run(path, config) { _ in } }
            #expect(both?.message.contains("tensor-parallel-size 2 times data-parallel-size 3 takes 6 GPUs") == true)
        }

        @Test("Processes of a machine take a GPU each")
        func processes() throws {
            let four = GPUPlacement(gpuCount: 4, ranks: 8)
            #expect(try (0..<4).map { try four.ordinal(process: $0, of: 4, isChosen: true) } == [0, 1, 2, 3])
            let error = #expect(throws: LLMError.self) { try four.ordinal(process: 0, of: 5, isChosen: false) }
            #expect(error?.message.contains("5 processes") == true && error?.message.contains("4 GPUs") == true)
            // A launcher gave each its own.
            let one = GPUPlacement(gpuCount: 1, ranks: 8)
            #expect(try one.ordinal(process: 3, of: 5, isChosen: true) == 0)
            #expect(throws: LLMError.self) { try one.ordinal(process: 3, of: 5, isChosen: false) }
        }

        @Test("Engines of one process take GPUs of their own")
        func engines() throws {
            for index in 0..<2 {
                var config = Emulated.small(ranks: 2, dummySeed: 9)
                config.processShare = ProcessShare(index: index, count: 2)
                RecordedContexts.ordinals.withLock { $0 = [] }
                try Emulated.run(path, config, libraries: RecordedContexts.libraries) { engine in
                    _ = try engine.outputs([(prompt(5, seed: 1), .greedy(2))])
                }
                #expect(RecordedContexts.ordinals.withLock { $0 } == [Int32(2 * index), Int32(2 * index + 1)])
            }
        }

        @Test("A17: all ranks have as many blocks as the GPU with least memory has room for")
        func leastMemory() throws {
            defer { swiftlet_emulator_set_memory(1 << 30) }
            swiftlet_emulator_set_memory(96 << 20)
            var config = Emulated.small(sequences: 256, ranks: 2, dummySeed: 8)
            (config.kvCache, config.maxModelLength) = (.automatic, 512)
            func capacity() throws -> Int { try Emulated.run(path, config) { $0.loaded.kvTokenCapacity } }
            let whole = try capacity()
            let held = try HeldMemory(ordinal: 1, byteCount: 40 << 20)
            let less = try capacity()
            held.release()
            #expect(less < whole, "\(less) tokens of \(whole)")
        }
    }
}

// Models on several emulated GPUs, a rank each: against Hugging Face's outputs, against ranks on the CPU, graphs against
// eager steps.

import CSwiftletCUDAEmulator
import Swiftlet
import SwiftletTestSupport
import SwiftletTokenizer
import Testing

extension CUDATests {
    @Suite("Ranks", .serialized)
    struct RankTests {
        private let folder: TemporaryFolder
        private let random: String

        init() throws {
            folder = try TemporaryFolder()
            random = try Emulated.writeModel(in: folder)
        }

        @Test(
            "Golden models: float32 logits within 1e-4 of transformers'",
            .enabled(if: Golden.isHere, Comment(rawValue: Golden.missing)),
            arguments: [("mistral-sliding", 2), ("qwen3-moe", 2), ("llama3", 4)])
        func golden(family: String, ranks: Int) throws {
            try Golden.check(
                Golden.model(family), Emulated.small(.float32, blocks: 64, ranks: ranks), logits: 1e-4,
                margin: { _ in 1e-3 })
        }

        @Test(
            "Shards of different sizes, shared key/value heads, norms over all ranks' heads, biases, experts",
            arguments: [
                ("tiny-olmo2", 2), ("tiny-llama-linear-biases", 4), ("tiny-gemma2", 2), ("tiny-qwen3-moe-fused", 3),
            ])
        func fixtures(name: String, ranks: Int) throws {
            try Golden.check(
                Golden.fixture(name), Emulated.small(.float32, blocks: 64, ranks: ranks), logits: 1e-4,
                margin: { _ in 1e-3 })
        }

        @Test("The demo model's tokens on two GPUs are the CPU backend's, and its logits near")
        func demoModel() throws {
            func run<B: Backend>(_ engine: Driven<B>) throws -> [[TokenID]] {
                try engine.outputs([(prompt(7, seed: 1), .greedy(4)), (prompt(20, seed: 2), .greedy(4))])
                    .map { $0.tokens[0] }
            }
            let (mine, theirs) = (Recorder(), Recorder())
            let onCPU = try Emulated.runOnCPU(processors: [theirs]) { try run($0) }
            let onGPUs = try Emulated.run(nil, Emulated.small(ranks: 2), processors: [mine]) { try run($0) }
            #expect(onGPUs == onCPU && mine.taken.count == 8)
            for (a, b) in zip(mine.taken, theirs.taken) { #expect(distance(a, b) < 1e-4) }
        }

        @Test("Graphs and eager steps give the same tokens, bit for bit, in every order of threads")
        func graphsAreEager() throws {
            defer { swiftlet_emulator_set_thread_order(0) }
            var results: [[[Float]]] = []
            for (order, eager) in [(0, false), (0, true), (3, false), (4, true)] {
                swiftlet_emulator_set_thread_order(Int32(order))
                let recorder = Recorder()
                let config = Emulated.small(.bfloat16, ranks: 2, eager: eager, dummySeed: 1)
                try Emulated.run(random, config, processors: [recorder]) { engine in
                    // Sequences end one by one: buckets 4, 2 and 1, each used more than once.
                    _ = try engine.outputs([
                        (prompt(5, seed: 3), .greedy(7)), (prompt(30, seed: 4), .greedy(5)),
                        (prompt(1, seed: 5), .greedy(3)),
                    ])
                }
                results.append(recorder.taken)
            }
            #expect(results[0].count == 15)
            for other in results.dropFirst() { #expect(other == results[0]) }
        }

        @Test("Random schedules with preemption and cancelling give the tokens of ranks on the CPU", arguments: [2, 3])
        func randomSchedules(ranks: Int) throws {
            let config = Emulated.small(
                blocks: 9, sequences: 6, tokens: 40, maxModelLength: 128, ranks: ranks, dummySeed: 3)
            func run<B: Backend>(_ engine: Driven<B>) throws -> (tokens: [[[TokenID]]], preemptions: Int) {
                let schedule = RandomSchedule(seed: 3)
                return (try schedule.run(engine), engine.engine.statistics.preemptions)
            }
            let onCPU = try Emulated.runOnCPU(random, config) { try run($0) }
            let onGPU = try Emulated.run(random, config) { try run($0) }
            #expect(onGPU.tokens == onCPU.tokens)
            #expect(onGPU.preemptions == onCPU.preemptions && onGPU.preemptions > 0)
        }

        @Test("Random tokens, penalties, and log-probabilities of more rows than a slice are those of ranks on the CPU")
        func sampling() throws {
            var penalised = SamplingParams.greedy(4, logprobs: 3)
            penalised.repetitionPenalty = 1.5
            var scored = SamplingParams.greedy(2, logprobs: 1)
            scored.promptLogprobs = 2
            var nucleus = SamplingParams.random(4, seed: 9)
            (nucleus.topP, nucleus.topK) = (0.9, 20)
            let requests: [(prompt: [TokenID], params: SamplingParams)] = [
                (prompt(6, seed: 1), penalised), (prompt(150, seed: 4), scored), (prompt(6, seed: 5), nucleus),
                (prompt(6, seed: 6), .random(4, seed: 3)),
            ]
            let config = Emulated.small(tokens: 128, ranks: 2, dummySeed: 3)
            let onCPU = try Emulated.runOnCPU(random, config) { try $0.outputs(requests) }
            let onGPU = try Emulated.run(random, config) { try $0.outputs(requests) }
            for (mine, theirs) in zip(onGPU, onCPU) {
                #expect(mine.tokens == theirs.tokens)
                let (a, b) = (
                    mine.logprobs[0] + mine.promptLogprobs.compactMap(\.self),
                    theirs.logprobs[0] + theirs.promptLogprobs.compactMap(\.self)
                )
                #expect(a.count == b.count)
                for (x, y) in zip(a, b) {
                    #expect(x.tokenID == y.tokenID && x.rank == y.rank && abs(x.logprob - y.logprob) < 1e-3)
                }
            }
        }

        @Test("A trace of rank 0 has its sums, and changes no token")
        func trace() throws {
            let requests = [(prompt: prompt(9, seed: 1), params: SamplingParams.greedy(3))]
            let config = Emulated.small(ranks: 2, dummySeed: 4)
            let plain = try Emulated.run(random, config) { try $0.outputs(requests).map(\.tokens) }
            let file = folder.path + "/trace.json"
            do {
                let (engine, loaded) = try Emulated.loader(random, config).loadTraced(Emulated.libraries, to: file)
                #expect(try Driven(engine, loaded).outputs(requests).map(\.tokens) == plain)
            }
            let text = String(decoding: try #require(readFile(file)), as: UTF8.self)
            #expect(text.contains("allReduce") && text.contains("gather logits") && text.contains("attention"))
        }
    }
}

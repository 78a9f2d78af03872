// Whole models on the emulated driver, by the unchanged backend: against Hugging Face's outputs, against the CPU backend,
// graphs against eager steps, in several orders of threads.

import CSwiftletCUDAEmulator
import Swiftlet
import SwiftletTestSupport
import SwiftletTokenizer
import Synchronization
import Testing

/// One at a time: the emulator's order of threads and its memory are everybody's.
@Suite("CUDA", .serialized, .enabled(if: Emulated.isHere, Comment(rawValue: Emulated.missing)))
struct CUDATests {}

extension CUDATests {
    @Suite("Models", .serialized)
    struct ModelTests {
        private let folder: TemporaryFolder
        private let random: String

        init() throws {
            folder = try TemporaryFolder()
            random = try Emulated.writeModel(in: folder)
        }

        @Test(
            "float32 logits of every family within 1e-4 of transformers'",
            .enabled(if: Golden.isHere, Comment(rawValue: Golden.missing)),
            arguments: ["qwen3-tied", "qwen2", "llama3", "mistral-sliding", "gemma3", "qwen3-moe"])
        func float32(family: String) throws {
            try Golden.check(
                Golden.model(family), Emulated.small(.float32, blocks: 64), logits: 1e-4, margin: { _ in 1e-3 })
        }

        @Test(
            "bfloat16 logits within 3e-2 of transformers' float32",
            .enabled(if: Golden.isHere, Comment(rawValue: Golden.missing)),
            arguments: ["qwen3-tied", "mistral-sliding", "qwen3-moe"])
        func bfloat16(family: String) throws {
            try Golden.check(
                Golden.model(family), Emulated.small(.bfloat16, blocks: 64), logits: 3e-2,
                margin: { 3e-2 * Double($0) })
        }

        @Test(
            "With keys and values of eight bits, logits stay within 0.1 of transformers' float32",
            .enabled(if: Golden.isHere, Comment(rawValue: Golden.missing)),
            arguments: ["qwen3-tied", "mistral-sliding"])
        func fp8Cache(family: String) throws {
            var config = Emulated.small(.bfloat16, blocks: 64)
            config.kvCacheType = .fp8
            try Golden.check(Golden.model(family), config, logits: 0.1, margin: { 0.1 * Double($0) })
        }

        @Test("The demo model's tokens are the CPU backend's, and its logits near")
        func demoModel() throws {
            func run<B: Backend>(_ engine: Driven<B>, _ recorder: Recorder) throws -> ([[TokenID]], [[Float]]) {
                let outputs = try engine.outputs([
                    (prompt(7, seed: 1), .greedy(6)), (prompt(20, seed: 2), .greedy(6)),
                ])
                return (outputs.map { $0.tokens[0] }, recorder.taken)
            }
            let (mine, theirs) = (Recorder(), Recorder())
            let onCPU = try Emulated.runOnCPU(processors: [theirs]) { try run($0, theirs) }
            let onGPU = try Emulated.run(processors: [mine]) { try run($0, mine) }
            #expect(onGPU.0 == onCPU.0)
            #expect(onGPU.1.count == onCPU.1.count && onGPU.1.count == 12)
            for (a, b) in zip(onGPU.1, onCPU.1) { #expect(distance(a, b) < 1e-4) }
        }

        @Test("Graphs and eager steps give the same tokens, bit for bit, in every order of threads")
        func graphsAreEager() throws {
            defer { swiftlet_emulator_set_thread_order(0) }
            var results: [[[Float]]] = []
            for (order, eager) in [(0, false), (0, true), (3, false), (4, true)] {
                swiftlet_emulator_set_thread_order(Int32(order))
                let recorder = Recorder()
                let config = Emulated.small(.bfloat16, eager: eager, dummySeed: 1)
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

        @Test("A trace has the time of each operation, and changes no token")
        func trace() throws {
            let requests = [(prompt: prompt(9, seed: 1), params: SamplingParams.greedy(3))]
            let config = Emulated.small(dummySeed: 4)
            let plain = try Emulated.run(random, config) { try $0.outputs(requests).map(\.tokens) }
            let file = folder.path + "/trace.json"
            do {
                let (engine, loaded) = try Emulated.loader(random, config).loadTraced(Emulated.libraries, to: file)
                #expect(try Driven(engine, loaded).outputs(requests).map(\.tokens) == plain)
            }
            let text = String(decoding: try #require(readFile(file)), as: UTF8.self)
            #expect(text.contains("attention") && text.contains("sample"))
        }

        @Test("Random tokens are the CPU backend's for the same seeds")
        func randomTokens() throws {
            var requests: [(prompt: [TokenID], params: SamplingParams)] = []
            for seed in 0..<4 {
                var params = SamplingParams.random(5, seed: UInt64(seed))
                if seed > 0 { params.topP = 0.9 }
                if seed > 1 { params.topK = 20 }
                if seed > 2 { params.minP = 0.05 }
                requests.append((prompt(4 + seed, seed: UInt64(seed)), params))
            }
            let config = Emulated.small(dummySeed: 2)
            let onCPU = try Emulated.runOnCPU(random, config) { try $0.outputs(requests).map(\.tokens) }
            let onGPU = try Emulated.run(random, config) { try $0.outputs(requests).map(\.tokens) }
            #expect(onGPU == onCPU)
        }

        @Test("Penalties, biases, allowed tokens and log-probabilities are the CPU backend's")
        func rowsOnTheHost() throws {
            var penalised = SamplingParams.greedy(5, logprobs: 3)
            penalised.repetitionPenalty = 1.5
            penalised.frequencyPenalty = 0.5
            var biased = SamplingParams.greedy(5, logprobs: 2)
            biased.logitBias = [17: 50]
            var allowed = SamplingParams.greedy(5, logprobs: 2)
            allowed.allowedTokenIDs = [11, 12, 13]
            var scored = SamplingParams.greedy(2, logprobs: 1)
            scored.promptLogprobs = 2
            let requests: [(prompt: [TokenID], params: SamplingParams)] = [
                (prompt(6, seed: 1), penalised), (prompt(6, seed: 2), biased), (prompt(6, seed: 3), allowed),
                (prompt(20, seed: 4), scored), (prompt(6, seed: 5), .greedy(5)),
                (prompt(6, seed: 6), .greedy(5, logprobs: 1)),
            ]
            let config = Emulated.small(dummySeed: 3)
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
                    #expect(x.top.map(\.tokenID) == y.top.map(\.tokenID))
                }
            }
        }
    }
}

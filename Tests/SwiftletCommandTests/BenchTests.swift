// What measurements rest on: Python's random numbers, nano-vLLM's workload, percentiles, lengths that fit.

import ArgumentParser
import CSwiftletKernels
import Swiftlet
import SwiftletCommand
import SwiftletJSON
import Testing

@Suite("Bench")
struct BenchTests {
    // MARK: - Python's random numbers (the expected ones are CPython 3.11's)

    private static let words: [(seed: UInt64, expected: [UInt32])] = [
        (0, [3_626_764_237, 1_654_615_998, 3_255_389_356, 3_823_568_514, 1_806_341_205]),
        (1, [577_090_037, 2_444_712_010, 3_639_700_191]),
        (5489, [3_382_763_572, 956_215_839, 417_760_592]),
        // Two words of seed.
        (1 << 40 + 7, [2_635_837_658, 3_209_733_218, 3_500_038_837]),
    ]

    @Test("Words after random.seed")
    func words() {
        for (seed, expected) in Self.words {
            var random = PythonRandom(seed: seed)
            #expect(expected.map { _ in random.bits(32) } == expected, "seed \(seed)")
        }
    }

    @Test("randint rejects as Python does")
    func integers() {
        var random = PythonRandom(seed: 0)
        #expect((0..<8).map { _ in random.integer(in: 100...1024) } == [964, 494, 876, 1011, 530, 141, 365, 623])
        random = PythonRandom(seed: 0)
        #expect(
            (0..<8).map { _ in random.integer(in: 0...10_000) } == [6311, 6890, 663, 4242, 8376, 7961, 6634, 4969])
        // A range of one number still draws, as Python's does.
        #expect(random.integer(in: 7...7) == 7)
    }

    @Test("nano-vLLM's workload", arguments: [(256, 142_827, 133_966, 2011), (16, 8743, 7496, 1529)])
    func nanoVLLM(count: Int, inputTokens: Int, outputTokens: Int, longest: Int) {
        let workload = BenchWorkload.nanoVLLM(count: count)
        #expect(workload.inputTokens == inputTokens)
        #expect(workload.outputTokens == outputTokens)
        #expect(workload.longest == longest)
        #expect(workload.prompts[0].count == 964)
        #expect(workload.prompts[0].prefix(4) == [6311, 6890, 663, 4242])
        #expect(workload.prompts[count - 1].last == (count == 256 ? 1958 : 9024))
        #expect(workload.outputLengths.prefix(4) == (count == 256 ? [845, 312, 607, 843] : [173, 347, 599, 795]))
        let first = workload.requests(round: 0)[0]
        #expect(first.prompt == .tokens(workload.prompts[0]))
        #expect(
            first.params == SamplingParams(temperature: 0.6, maxTokens: workload.outputLengths[0], ignoreEOS: true))
    }

    @Test("Rounds differ in every prompt's first token only, and stay in the vocabulary")
    func rounds() throws {
        let workload = BenchWorkload.random(
            count: 5, inputLength: 20, outputLength: 3, vocabularySize: 30, seed: 9)
        #expect(workload.inputTokens == 100 && workload.outputTokens == 15 && workload.longest == 23)
        #expect(Set(workload.prompts).count == 5)
        for place in 0..<5 {
            var firsts: Set<Int32> = []
            for round in 0..<30 {
                guard case .tokens(let ids) = workload.requests(round: round)[place].prompt else { continue }
                firsts.insert(ids[0])
                #expect(ids.dropFirst() == workload.prompts[place].dropFirst())
                #expect(ids.allSatisfy { (0..<30).contains($0) })
            }
            #expect(firsts.count == 30)
        }
        let warmUp = workload.warmUp(rounds: 3)
        #expect(warmUp.count == 1 && warmUp[0].params?.maxTokens == 3)
    }

    @Test("The share of the limit is the median over runs, each held against its own limits")
    func limit() throws {
        let workload = BenchWorkload.random(
            count: 2, inputLength: 8, outputLength: 5, vocabularySize: 30, seed: 1)
        let info = ModelLoader.demoModel
        let model = ModelWork(try info.config(), dtype: SWIFTLET_BFLOAT16)
        let lengths = Array(repeating: RunWork.Lengths(prompt: 8, output: 5), count: 2)
        let work = RunWork(lengths, of: model, places: 4)
        let machine = MachineLimits(memory: 4e9, cache: 1e12, peak: 1e9)
        let best = work.seconds(on: machine)
        let runs = [2.0, 4, 5].map { factor in
            var run = BenchMeasurement()
            run.seconds = factor * best
            run.outputTokens = 10
            run.decodeRate = (work.decodeRate(on: machine) ?? 0) / factor
            run.limits = machine
            return run
        }
        let setup = BenchSetup(maxSequences: 4, instruction: "vfma")
        let limit = BenchLimit(workload, runs, model, setup)
        #expect(limit.text.contains("output tok/s, of which 25 %") && limit.text.contains("in decodes, of which 25 %"))
        #expect(limit.text.contains("machine        4.00 GB/s from memory, 1.00 GFLOP/s (vfma)"))
        var json = JSONWriter()
        json.object { limit.writeMember(to: &$0) }
        let members = try JSONDocument(parsing: json.bytes).root["limit"]
        #expect(members?["share"]?.double == 0.25 && members?["decode_share"]?.double == 0.25)
        #expect(members?["memory_bytes_per_second"]?.double == 4e9 && members?["instruction"]?.string == "vfma")
        // Nothing was measured: nothing is claimed.
        #expect(BenchLimit(workload, [BenchMeasurement()], model, setup).text.isEmpty)
    }

    // MARK: - Numbers

    @Test("Percentiles are numpy's, the deviation is of a sample")
    func summary() {
        let summary = Summary([15, 20, 35, 40, 50])
        #expect(summary.mean == 32)
        #expect(summary.median == 35)
        #expect(summary.percentile(40) == 29)
        #expect(summary.percentile(0) == 15 && summary.percentile(100) == 50)
        #expect(abs((summary.percentile(99) ?? 0) - 49.6) < 1e-9)
        #expect(abs((summary.standardDeviation ?? 0) - 14.404860290887) < 1e-9)
        #expect(Summary([4, 2]).median == 3)
        #expect(Summary([7]).percentile(99) == 7)
        #expect(Summary([7]).standardDeviation == nil)
        #expect(Summary([]).mean == nil && Summary([]).median == nil && Summary([]).minimum == nil)
    }

    @Test("The decode rate counts the time when all requests generate")
    func decodeRate() {
        // Steps of 10 ms; a step's tokens are read up to 1 ms late.
        func times(_ steps: ClosedRange<Int>, late: Int) -> [Duration] {
            steps.map { .microseconds($0 * 10_000 + late) }
        }
        // Equal requests: 4 steps of 2 tokens.
        #expect(BenchMeasurement.decodeRate([times(1...5, late: 0), times(1...5, late: 0)]) == 200)
        // The second one begins at step 4 and the first one ends at step 8; what is before and after is left out.
        for (first, second) in [(0, 0), (0, 900), (900, 0)] {
            let rate = BenchMeasurement.decodeRate([times(1...8, late: first), times(4...11, late: second)])
            #expect(abs((rate ?? 0) - 200) < 6, "late by \(first), \(second)")
        }
        // A token of several ids that came at once; one request alone.
        #expect(BenchMeasurement.decodeRate([[.seconds(1), .seconds(2), .seconds(2)]]) == 2)
        #expect(BenchMeasurement.decodeRate([times(1...1, late: 0)]) == nil)
        #expect(BenchMeasurement.decodeRate([times(1...3, late: 0), times(4...6, late: 0)]) == nil)
        #expect(BenchMeasurement.decodeRate([]) == nil)
    }

    @Test("Lengths that nobody chose are cut to the context, chosen ones are not")
    func lengths() {
        func lengths(_ input: Int?, _ output: Int?, _ context: Int) -> [Int] {
            let result = BenchLimits.lengths(input: input, output: output, context: context)
            return [result.input, result.output, result.wereCut ? 1 : 0]
        }
        #expect(lengths(nil, nil, 4096) == [1024, 128, 0])
        #expect(lengths(nil, nil, 1024) == [896, 128, 1])
        #expect(lengths(nil, nil, 100) == [50, 50, 1])
        #expect(lengths(nil, 1000, 1024) == [24, 1000, 1])
        #expect(lengths(1000, nil, 1024) == [1000, 24, 1])
        #expect(lengths(2000, 3, 1024) == [2000, 3, 0])
        #expect(lengths(nil, nil, 2) == [1, 1, 1])
    }

    // MARK: - Options

    @Test("vLLM's names are understood")
    func options() throws {
        let words = """
            bench throughput --num-prompts 3 --random-input-len 4 --random-output-len 5 --dataset-name random \
            --repeats 2 --output-json out --seed 6 --max-model-len 7
            """
        let parsed = try SwiftletCommand.parseAsRoot(words.split(separator: " ").map(String.init))
        let throughput = try #require(parsed as? BenchThroughputCommand)
        #expect(throughput.numPrompts == 3 && throughput.inputLength == 4 && throughput.outputLength == 5)
        #expect(throughput.dataset == .random && throughput.repeats == 2 && throughput.output == "out")
        #expect(throughput.engine.seed == 6 && throughput.engine.config.maxModelLength == 7)
        let latency = try #require(try SwiftletCommand.parseAsRoot(["bench", "latency"]) as? BenchLatencyCommand)
        #expect(latency.inputLength == 32 && latency.outputLength == 128 && latency.batchSize == 8)
        #expect(latency.numItersWarmup == 10 && latency.numIters == 30)
    }

    @Test(
        "What makes no sense is a usage error",
        arguments: [
            "throughput --num-prompts 0", "throughput --input-len 0", "throughput --output-len -1",
            "throughput --repeats 0", "throughput --dataset sharegpt", "throughput --dataset nano-vllm --input-len 5",
            "throughput --num-prompts 1000000 --input-len 100000", "throughput --threads 0", "latency --batch-size 0",
            "latency --num-iters 0", "latency --num-iters-warmup -1", "latency --dataset random", "nonsense",
        ])
    func refused(line: String) {
        do {
            _ = try SwiftletCommand.parseAsRoot(["bench"] + line.split(separator: " ").map(String.init))
            Issue.record("\(line) was accepted")
        } catch {
            #expect(SwiftletCommand.exitCode(for: error) == ExitCode(64), "\(line): \(error)")
        }
    }

    @Test("Help names every option")
    func help() {
        let throughput = SwiftletCommand.helpMessage(for: BenchThroughputCommand.self)
        for name in ["num-prompts", "input-len", "output-len", "dataset", "dataset-name", "repeats", "json", "seed"] {
            #expect(throughput.contains("--\(name)"), "\(name)")
        }
        let latency = SwiftletCommand.helpMessage(for: BenchLatencyCommand.self)
        for name in [
            "batch-size", "input-len", "output-len", "num-iters", "num-iters-warmup", "output-json", "threads",
        ] {
            #expect(latency.contains("--\(name)"), "\(name)")
        }
        #expect(SwiftletCommand.helpMessage(for: BenchCommand.self).contains("latency"))
    }
}

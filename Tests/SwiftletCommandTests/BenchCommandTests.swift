// `swiftlet bench` end to end: small random models through the built command, its text, its JSON, its refusals.

import SwiftletCommand
import SwiftletJSON
import SwiftletTestSupport
import Testing

@Suite("bench as a process", .serialized)
struct BenchCommandTests {
    private func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

    /// Options of a small random model, in a folder with a vocabulary that takes nano-vLLM's tokens.
    private func dummy(_ folder: TemporaryFolder) throws -> [String] {
        let model = try folder.writeModel()
        let config = try #require(folder.read("model/config.json"))
        try folder.write(config.replacing("\"vocab_size\": 512", with: "\"vocab_size\": 10001"), "model/config.json")
        return words("--load-format dummy --threads 1 --model") + [model]
    }

    private func json(_ folder: TemporaryFolder, _ name: String) throws -> JSONValue {
        try JSONDocument(parsing: Array(try #require(folder.read(name)).utf8)).root
    }

    @Test("Throughput, with repeats, and nothing from the prefix cache")
    func throughput() async throws {
        let folder = try TemporaryFolder()
        try folder.write("an older result, longer than nothing", "out.json")
        let result = try await RunningCommand.run(
            words("bench throughput --num-prompts 6 --input-len 80 --output-len 100 --repeats 3 --block-size 16")
                + ["--json", folder.path + "/out.json"] + dummy(folder))
        #expect(result.code == 0, "\(result.errors)")
        #expect(result.output.contains("random, 6 requests: 480 tokens in, 600 out"))
        #expect(result.output.contains("median of 3"))
        #expect(result.errors.contains("run 3 of 3"))
        let root = try json(folder, "out.json")
        #expect(root["num_requests"]?.int == 6 && root["total_num_tokens"]?.int == 1080)
        #expect(root["runs"]?.count == 3 && root["preemptions"]?.int == 0)
        #expect(root["prefix_cache_hit_tokens"]?.int == 0)
        #expect(root["seed"]?.int == 0)
        let (elapsed, rate) = (root["elapsed_time"]?.double ?? 0, root["output_tokens_per_second"]?.double ?? 0)
        // Medians of the same three runs belong to the same run.
        #expect(elapsed > 0 && abs(rate * elapsed - 600) < 1e-6)
        for name in ["time_to_first_token_seconds", "time_per_output_token_seconds"] {
            let times = try #require(root[name])
            let values = ["min", "median", "p99", "max"].map { times[$0]?.double ?? -1 }
            #expect(values[0] > 0 && values == values.sorted() && values[3] < elapsed * 10)
        }
        #expect((root["decode_tokens_per_second"]?.double ?? 0) > 0)
        #expect((root["peak_memory_bytes"]?.int ?? 0) > 1 << 20)
        #expect(root["model"]?["vocabulary_size"]?.int == 10_001)
        #expect(root["machine"]?["usable_processors"]?.int != nil)
    }

    @Test("nano-vLLM's workload sets the context")
    func nanoVLLM() async throws {
        let folder = try TemporaryFolder()
        let result = try await RunningCommand.run(
            words("bench throughput --dataset nano-vllm --num-prompts 2") + dummy(folder))
        let workload = BenchWorkload.nanoVLLM(count: 2)
        #expect(result.code == 0, "\(result.errors)")
        #expect(result.output.contains("\(Format.count(workload.inputTokens)) tokens in"))
        #expect(result.output.contains("\(Format.count(workload.outputTokens)) out"))
        #expect(result.errors.contains("full contexts of 4096"))
    }

    @Test("Latency")
    func latency() async throws {
        let folder = try TemporaryFolder()
        let result = try await RunningCommand.run(
            words("bench latency --batch-size 3 --input-len 20 --output-len 200 --num-iters-warmup 1 --num-iters 4")
                + ["--quiet", "--output-json", folder.path + "/out.json"] + dummy(folder))
        #expect(result.code == 0 && !result.errors.contains("model"), "\(result.errors)")
        #expect(result.output.contains("batch of 3, each 20 tokens in, 200 out"))
        #expect(result.output.contains("while all requests generate"))
        #expect(result.output.contains("of 4 iterations") && result.output.contains("\n  99 %"))
        let root = try json(folder, "out.json")
        let latencies = try #require(root["latencies"]).elements.compactMap { $0.double }
        #expect(latencies.count == 4 && latencies.allSatisfy { $0 > 0 })
        let summary = Summary(latencies)
        #expect(root["avg_latency"]?.double == summary.mean)
        #expect((root["decode_tokens_per_second"]?.double ?? 0) > 0)
        for percent in [10, 25, 50, 75, 90, 99] {
            #expect(root["percentiles"]?["\(percent)"]?.double == summary.percentile(Double(percent)))
        }
    }

    @Test("The demo model: lengths are cut when they may be, refused when they were chosen")
    func demo() async throws {
        let cut = try await RunningCommand.run(words("bench throughput --num-prompts 1 --output-len 1020"))
        #expect(cut.code == 0 && cut.errors.contains("lengths are cut to 4 + 1020"), "\(cut.errors)")
        for line in [
            "throughput --input-len 1000 --output-len 25", "throughput --dataset nano-vllm",
            "latency --output-len 5000", "latency --json /nowhere/at/all", "latency --json /", "latency -m /nowhere",
        ] {
            let result = try await RunningCommand.run(words("bench " + line))
            #expect(result.code == 1 && result.output.isEmpty, "\(line)")
            #expect(result.errors.split(separator: "\n").map { $0.hasPrefix("error: ") } == [true], "\(result.errors)")
        }
    }

    @Test("Ctrl-C says what was done and leaves no result")
    func interrupt() async throws {
        let folder = try TemporaryFolder()
        let command = try RunningCommand(
            words("bench latency --batch-size 1 --output-len 10000 --num-iters 1000")
                + ["--json", folder.path + "/out.json"] + dummy(folder))
        try await command.wait(forError: "kernels")
        try await Task.sleep(for: .milliseconds(100))
        command.interrupt()
        let result = try await command.finish()
        #expect(result.code == 130 && result.errors.contains("interrupted"), "\(result.errors)")
        #expect(result.output.isEmpty && folder.read("out.json") == nil)
    }
}

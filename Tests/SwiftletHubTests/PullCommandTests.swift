// `swiftlet pull` and `--model OWNER/NAME` as processes: exit codes, Ctrl-C, a killed download, two at the same time.

#if Server
import Swiftlet
import SwiftletHub
import SwiftletTestSupport
import Testing

@Suite("Pull: the command")
struct PullCommandTests {
    /// The demo model, as a model of the hub.
    static func demo() throws -> TestHub.Model {
        var files: [String: [UInt8]] = [:]
        for name in [
            "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        ] {
            files[name] = try ModelLoader.demoModel.data(name, limit: 1 << 30)
        }
        return TestHub.Model(commit: TestModels.commit, files: files, large: ["model.safetensors"])
    }

    private func environment(_ bench: PullBench, _ added: [String: String] = [:]) -> [String: String] {
        ["HF_ENDPOINT": bench.hub.address, "HF_HOME": bench.folder.path, "HF_TOKEN": "hf_secret"].merging(added) { $1 }
    }

    @Test("Pull, then run without a network")
    func pullAndRun() async throws {
        let bench = try PullBench(try Self.demo())
        let offline = environment(bench, ["HF_HUB_OFFLINE": "1"])
        let generate = [
            "generate", "--model", TestModels.name, "--max-tokens", "4", "--temperature", "0", "Once upon a time",
        ]
        let missing = try await RunningCommand.run(generate, environment: offline)
        #expect(missing.code == 1 && missing.errors.contains("HF_HUB_OFFLINE"), "\(missing.errors)")
        let info = try await RunningCommand.run(["info", "--model", TestModels.name], environment: offline)
        #expect(
            info.code == 1 && info.errors.contains("`swiftlet pull \(TestModels.name)` downloads it"), "\(info.errors)")

        let pulled = try await RunningCommand.run(["pull", TestModels.name], environment: environment(bench))
        #expect(pulled.code == 0 && pulled.output == bench.snapshot + "\n", "\(pulled.errors)")
        #expect(pulled.errors.contains("\(TestModels.name): 5 files, "))
        bench.hub.forget()
        let text = try await RunningCommand.run(generate, environment: offline)
        let demo = try await RunningCommand.run(generate.filter { $0 != "--model" && $0 != TestModels.name })
        #expect(text.code == 0 && text.output == demo.output, "\(text.errors)")
        for command in ["tokenize", "template"] {
            let run = try await RunningCommand.run(
                [command, "--model", TestModels.name, "Hello"], environment: offline)
            #expect(run.code == 0, "\(command): \(run.errors)")
        }
        #expect(bench.hub.requests.isEmpty)
    }

    @Test("A model that is not there is downloaded by the command that needs it")
    func runDownloads() async throws {
        let bench = try PullBench(try Self.demo())
        let tokens = try await RunningCommand.run(
            ["tokenize", "--model", TestModels.name, "Hello"], environment: environment(bench))
        #expect(tokens.code == 0, "\(tokens.errors)")
        #expect(bench.hub.downloads(of: "model.safetensors").isEmpty)
        let run = try await RunningCommand.run(
            ["generate", "--model", TestModels.name, "--max-tokens", "2", "Hello"], environment: environment(bench))
        #expect(run.code == 0 && run.errors.contains("is not in the cache: downloading it"), "\(run.errors)")
        bench.expectWhole(try Self.demo())
        bench.hub.forget()
        bench.hub.release()
        let again = try await RunningCommand.run(
            ["generate", "--model", TestModels.name, "--revision", "main", "--max-tokens", "2", "Hello"],
            environment: environment(bench))
        #expect(again.code == 0 && bench.hub.requests.isEmpty, "\(again.errors)")
        let other = try await RunningCommand.run(
            ["generate", "--model", TestModels.name, "--revision", "nope", "Hello"], environment: environment(bench))
        #expect(other.code == 1 && other.errors.contains("has no revision nope"), "\(other.errors)")
        let demo = try await RunningCommand.run(["generate", "--revision", "main", "Hello"])
        #expect(demo.code == 1 && demo.errors.contains("is not a model of the hub"), "\(demo.errors)")
    }

    /// Starts a pull whose weights stop coming and returns when the first of them are there.
    private func startSlowly(_ bench: PullBench) async throws -> RunningCommand {
        bench.breakWeights(times: 99) { $0.stallAfter = 100_000 }
        let command = try RunningCommand(["pull", TestModels.name], environment: environment(bench))
        let path =
            bench.modelFolder + "/blobs/" + TestHub.sha256(TestModels.usual().files["model.safetensors"]!)
            + ".incomplete"
        try await command.wait(for: "100,000 bytes") { size(path) ?? 0 >= 100_000 }
        return command
    }

    @Test("A killed download is resumed")
    func killed() async throws {
        let bench = try PullBench()
        let command = try await startSlowly(bench)
        command.terminate()
        #expect(try await command.finish().code == 128 + 9)
        bench.expectNothing()
        bench.hub.forget()
        bench.hub.release()
        let again = try await RunningCommand.run(["pull", "--quiet", TestModels.name], environment: environment(bench))
        #expect(again.code == 0 && again.errors == "" && again.output == bench.snapshot + "\n", "\(again.errors)")
        bench.expectWhole(TestModels.usual())
        #expect(bench.hub.downloads(of: "model.safetensors").map(\.rangeStart) == [100_000])
    }

    @Test("Ctrl-C ends a download with 130 and says that nothing is lost")
    func interrupted() async throws {
        let bench = try PullBench()
        let command = try await startSlowly(bench)
        command.interrupt()
        let finished = try await command.finish()
        #expect(finished.code == 130 && finished.errors.contains("goes on from there"), "\(finished.errors)")
        bench.expectNothing()
        #expect(bench.blobs.contains { $0.hasSuffix(".incomplete") })
    }

    @Test("Two processes download a model once")
    func twoProcesses() async throws {
        let bench = try PullBench()
        let first = try await startSlowly(bench)
        let second = try RunningCommand(["pull", TestModels.name], environment: environment(bench))
        try await second.wait(forError: "waiting for another download")
        bench.hub.release()
        let (one, two) = (try await first.finish(), try await second.finish())
        #expect(one.code == 0 && two.code == 0, "\(one.errors) \(two.errors)")
        #expect(one.output == two.output)
        bench.expectWhole(TestModels.usual())
        // On a busy machine the hub can be silent for so long that the rest is asked for once more.
        #expect(bench.hub.downloads(of: "model.safetensors").count { $0.rangeStart == nil } == 1)
    }

    @Test("Wrong usage and refusals")
    func refusals() async throws {
        let bench = try PullBench()
        let wrong = try await RunningCommand.run(["pull", "no-owner"], environment: environment(bench))
        #expect(wrong.code == 1 && wrong.errors.contains("names are OWNER/NAME"), "\(wrong.errors)")
        let unknown = try await RunningCommand.run(["pull", "acme/unknown"], environment: environment(bench))
        #expect(
            unknown.code == 1 && unknown.errors.hasPrefix("error: acme/unknown is not on http://"), "\(unknown.errors)")
        #expect(unknown.errors.split(separator: "\n").count == 1)
        #expect(try await RunningCommand.run(["pull"]).code == 64)
    }
}
#endif

// The built command end to end: exit codes, batches through a small random model, Ctrl-C.

import SwiftletCommand
import SwiftletJSON
import SwiftletTestSupport
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

@Suite("The command as a process", .serialized)
struct CommandLineTests {
    /// Options that make a small random model of the folder `writeModel` wrote.
    private func dummy(_ model: String) -> [String] {
        "--load-format dummy --num-gpu-blocks-override 1100 --seed 1 --threads 1".split(separator: " ").map(String.init)
            + ["--model", model]
    }

    private func request(_ id: String, _ maxTokens: Int) -> String {
        """
        {"id": "\(id)", "prompt_token_ids": [5, 6, 7], \
        "sampling_params": {"max_tokens": \(maxTokens), "ignore_eos": true}}

        """
    }

    private func wait(for text: String, in name: String, _ folder: TemporaryFolder) async throws {
        try await SwiftletTestSupport.wait(for: "\(text) in \(name)") { folder.read(name)?.contains(text) == true }
    }

    @Test("Version, help and wrong usage")
    func usage() async throws {
        let version = try await RunningCommand.run(["--version"])
        #expect(version.code == 0 && version.output.contains("."))
        #expect(try await RunningCommand.run(["generate", "--help"]).code == 0)
        for line in ["nonsense", "generate --nope", "generate --input x", "generate -n 0 x"] {
            let result = try await RunningCommand.run(line.split(separator: " ").map(String.init))
            #expect(result.code == 64, "\(line)")
            #expect(result.output.isEmpty && !result.errors.isEmpty)
        }
    }

    @Test("Failures are one line and exit code 1")
    func failures() async throws {
        let folder = try TemporaryFolder()
        try folder.write("{ broken", "config.json")
        for arguments in [
            ["--model", folder.path, "x"], ["--model", folder.path + "/none", "x"],
            ["--input", folder.path + "/none", "--output", folder.path + "/out"],
        ] {
            let result = try await RunningCommand.run(["generate"] + arguments)
            #expect(result.code == 1)
            #expect(result.output.isEmpty)
            #expect(result.errors.split(separator: "\n").map { $0.hasPrefix("error: ") } == [true], "\(result.errors)")
        }
        #expect(folder.names == ["config.json"])
    }

    @Test("A batch, with and without bad lines")
    func batch() async throws {
        let folder = try TemporaryFolder()
        let options = ["generate", "--output", folder.path + "/out"] + dummy(try folder.writeModel())
        let lines = (0..<20).map { request("\($0)", 20 - $0) }
        try folder.write(lines.joined(), "in")
        let good = try await RunningCommand.run(options + ["--input", folder.path + "/in"])
        #expect(good.code == 0, "\(good.errors)")
        #expect(good.output.isEmpty && good.errors.contains("20 requests"))
        let first = try #require(folder.read("out"))
        for (index, line) in first.split(separator: "\n").enumerated() {
            let root = try JSONDocument(parsing: Array(line.utf8)).root
            #expect(root["id"]?.string == "\(index)")
            #expect(root["outputs"]?[0]?["token_ids"]?.count == 20 - index)
            #expect(root["outputs"]?[0]?["finish_reason"]?.string == "length")
            #expect(root["usage"]?["prompt_tokens"]?.int == 3)
        }
        // The same lines and a bad one, on standard input: the same results and one error.
        let bad = try await RunningCommand.run(
            options + ["--input", "-", "--quiet"],
            standardInput: lines.joined() + "{\"id\": \"bad\", \"prompt_token_ids\": [512]}")
        #expect(bad.code == 1)
        #expect(bad.errors.hasPrefix("error: 1 of 21 requests failed"))
        let second = try #require(folder.read("out")).split(separator: "\n")
        #expect(second.dropLast() == first.split(separator: "\n")[...])
        #expect(second.last?.hasPrefix(#"{"id":"bad","error":{"code":"invalidRequest","#) == true)
        #expect(!folder.names.contains("out.partial"))
    }

    @Test("Ctrl-C while requests run or input is awaited", arguments: [true, false])
    func interrupt(hasLongRequest: Bool) async throws {
        let folder = try TemporaryFolder()
        try folder.write("old", "out")
        let command = try RunningCommand(
            ["generate", "--input", "-", "--output", folder.path + "/out"] + dummy(try folder.writeModel()),
            standardInput: request("short", 2) + (hasLongRequest ? request("long", 60_000) : ""))
        if hasLongRequest { command.closeInput() }
        try await wait(for: "\"short\"", in: "out.partial", folder)
        command.interrupt()
        let result = try await command.finish()
        #expect(result.code == 130, "\(result.errors)")
        #expect(result.errors.contains("out.partial") && result.errors.contains("unchanged"))
        #expect(folder.read("out") == "old")
        #expect(folder.read("out.partial")?.split(separator: "\n").count == 1)
    }

    @Test("Prompts are continued by the demo model, from arguments and from standard input")
    func prompts() async throws {
        let options = ["generate", "--temperature", "0", "--max-tokens", "8"]
        let prompt = "Once upon a time"
        let one = try await RunningCommand.run(options + [prompt])
        #expect(one.code == 0)
        #expect(one.output.count > 9 && !one.output.contains(prompt))
        #expect(one.errors.contains("built-in demo model") && one.errors.contains("generated 8 tokens"))
        let piped = try await RunningCommand.run(options + ["--quiet"], standardInput: prompt + "\n")
        #expect(piped.output == one.output && piped.errors.isEmpty)
        let both = try await RunningCommand.run(options + [prompt, "The\ncat"])
        #expect(both.output.hasPrefix("[1/2] Once upon a time\n" + one.output + "\n[2/2] The\\ncat\n"))
        let tooMany = try await RunningCommand.run(["generate", "--max-tokens", "99999999", prompt])
        #expect(tooMany.code == 1 && tooMany.errors.contains("error: ") && tooMany.output.isEmpty)
    }

    @Test("Ctrl-C while text is printed")
    func interruptPrompt() async throws {
        let command = try RunningCommand(["generate", "--ignore-eos", "-n", "64", "--max-tokens", "900", "Once"])
        try await command.waitForOutput()
        command.interrupt()
        let result = try await command.finish()
        #expect(result.code == 130, "\(result.errors)")
        #expect(!result.output.isEmpty && result.errors.contains("interrupted"))
    }

    @Test(
        "A full disk ends the run with one line that says so",
        .enabled(if: access("/dev/full", W_OK) == 0, "this machine has no /dev/full"))
    func fullDisk() async throws {
        let options = ["--quiet", "--max-tokens", "4"]
        for arguments in [["generate", "Once"] + options, ["info"]] {
            let result = try await RunningCommand.run(arguments, standardOutput: "/dev/full")
            #expect(result.code == 1)
            #expect(result.errors.hasSuffix("error: can't write standard output: No space left on device\n"))
        }
    }

    @Test(
        "A trace on a full disk is reported, and the run goes on",
        .enabled(if: access("/dev/full", W_OK) == 0, "this machine has no /dev/full"))
    func fullDiskOfATrace() async throws {
        let folder = try TemporaryFolder()
        symlink("/dev/full", folder.path + "/trace")
        let result = try await RunningCommand.run([
            "generate", "--max-tokens", "4", "--trace", folder.path + "/trace", "Once",
        ])
        #expect(result.code == 0 && !result.output.isEmpty)
        #expect(result.errors.contains("the trace is not complete") && result.errors.contains("No space left"))
    }
}

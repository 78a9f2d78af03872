// Files of requests shared out between processes under mpirun: the file of one engine, whatever happens to a process that
// does not write it.

import Foundation
import SwiftletTestSupport
import Testing

@Suite("Replicas under MPI", .serialized, .enabled(if: MPILauncher.path != nil, Comment(rawValue: MPILauncher.missing)))
struct MPIReplicasTests {
    static func lines(_ count: Int, tokens: Int) -> String {
        (0..<count).map {
            #"{"id": "\#($0)", "prompt": "Once upon \#($0)", "sampling_params": {"max_tokens": \#(tokens + $0), "ignore_eos": true}}"#
        }.joined(separator: "\n")
    }

    /// Of `generate`, for a folder with `in.jsonl`.
    static func arguments(_ folder: TemporaryFolder, _ name: String, _ options: [String] = []) -> [String] {
        ["generate", "--temperature", "0.7", "--seed", "3", "--no-enable-prefix-caching"] + options
            + ["-i", folder.path + "/in.jsonl", "-o", folder.path + "/" + name]
    }

    /// What one engine of so many ranks writes.
    static func expected(_ folder: TemporaryFolder, ranks: Int) async throws -> String {
        let command = try RunningCommand(arguments(folder, "one.jsonl", ["--quiet", "-tp", "\(ranks)"]))
        let finished = try await command.finish(within: 60)
        #expect(finished.code == 0, "\(finished.errors)")
        return try #require(folder.read("one.jsonl"))
    }

    @Test("Two replicas, of one process or of two, write what one engine writes", arguments: [1, 2])
    func sameFile(ranks: Int) async throws {
        let folder = try TemporaryFolder()
        // A line that is no request is answered by the replica it is dealt to.
        _ = try folder.write(Self.lines(20, tokens: 4) + "\nnothing\n", "in.jsonl")
        let one = try RunningCommand(Self.arguments(folder, "one.jsonl", ["-tp", "\(ranks)"]))
        let several = try RunningCommand(
            Self.arguments(folder, "two.jsonl", ["-dp", "2", "-tp", "\(ranks)"]),
            launcher: MPILauncher.arguments(2 * ranks))
        for command in [one, several] {
            command.closeInput()
            let finished = try await command.finish(within: 60)
            #expect(finished.code == 1, "\(finished.errors)")
            #expect(finished.errors.contains("1 of 21 requests failed; the first: line 21: bad JSON"))
        }
        let text = try #require(folder.read("two.jsonl"))
        #expect(text.split(separator: "\n").count == 21 && text == folder.read("one.jsonl"))
    }

    #if Server
    @Test("run-batch answers every request, in order, and once")
    func runBatch() async throws {
        let folder = try TemporaryFolder()
        let lines = (0..<12).map {
            #"{"custom_id": "c\#($0)", "method": "POST", "url": "/v1/completions", "body": {"prompt": "Once \#($0)", "max_tokens": 8}}"#
        }
        _ = try folder.write(lines.joined(separator: "\n"), "in.jsonl")
        for round in 0..<2 {
            let command = try RunningCommand(
                ["run-batch", "-dp", "2", "-i", folder.path + "/in.jsonl", "-o", folder.path + "/out.jsonl"],
                launcher: MPILauncher.arguments(2))
            command.closeInput()
            let finished = try await command.finish(within: 60)
            #expect(finished.code == 0, "\(finished.errors)")
            #expect(finished.errors.contains("has an answer to every request") == (round == 1))
            let answers = try #require(folder.read("out.jsonl")).split(separator: "\n")
            #expect(answers.count == 12)
            for (index, answer) in answers.enumerated() {
                #expect(answer.contains("\"c\(index)\"") && answer.contains("\"status_code\":200"))
            }
        }
    }
    #endif

    // MARK: - Losses

    /// Two replicas of two processes each, in the middle of a file.
    static func running(_ folder: TemporaryFolder, _ launcherOptions: [String]) async throws -> RunningCommand {
        let command = try RunningCommand(
            arguments(folder, "two.jsonl", ["-dp", "2", "-tp", "2"]),
            launcher: MPILauncher.arguments(4) + launcherOptions)
        command.closeInput()
        for _ in 0..<6000 where (folder.read("two.jsonl.partial") ?? "").isEmpty && command.isRunning {
            try await Task.sleep(for: .milliseconds(5))
        }
        return command
    }

    @Test("What a replica with a killed process had in work is done by the others", arguments: [1, 2, 3])
    func lostReplica(victim: Int) async throws {
        let folder = try TemporaryFolder()
        _ = try folder.write(Self.lines(32, tokens: 60), "in.jsonl")
        let expected = try await Self.expected(folder, ranks: 2)
        let command = try await Self.running(folder, ["--enable-recovery"])
        let ranks = MPILauncher.ranks(of: command.processID)
        kill(try #require(ranks[victim]), SIGKILL)
        let finished = try await command.finish(within: 60)
        #expect(finished.code == 0, "\(finished.errors)")
        #expect(finished.errors.contains("1 of 2 replicas failed; the others began "))
        #expect(finished.errors.contains("process \(victim) of 4 has not been heard of for 5 seconds"))
        #expect(folder.read("two.jsonl") == expected)
        try await MPILauncher.waitForEnd(of: ranks)
    }

    @Test("Without the first process nobody goes on", arguments: [[], ["--enable-recovery"]])
    func lostFirst(launcherOptions: [String]) async throws {
        let folder = try TemporaryFolder()
        _ = try folder.write(Self.lines(32, tokens: 100), "in.jsonl")
        let command = try await Self.running(folder, launcherOptions)
        let ranks = MPILauncher.ranks(of: command.processID)
        kill(try #require(ranks[0]), SIGKILL)
        let finished = try await command.finish(within: 60)
        #expect(folder.read("two.jsonl") == nil && !(folder.read("two.jsonl.partial") ?? "").isEmpty)
        try await MPILauncher.waitForEnd(of: ranks)
        if launcherOptions.isEmpty { #expect(finished.code == 128 + SIGKILL) }
    }

    @Test("A replica that can't load leaves the work to the others")
    func failingLoad() async throws {
        let folder = try TemporaryFolder()
        _ = try folder.write(Self.lines(6, tokens: 4), "in.jsonl")
        let expected = try await Self.expected(folder, ranks: 1)
        let options = Self.arguments(folder, "two.jsonl", ["-dp", "2"])
        let command = try RunningCommand(
            options + [":", "-n", "1", RunningCommand.itself] + options + ["--model", "/nowhere"],
            launcher: MPILauncher.arguments(1) + ["--enable-recovery"])
        command.closeInput()
        let finished = try await command.finish(within: 60)
        #expect(finished.code == 0 && finished.errors.contains("/nowhere"), "\(finished.errors)")
        #expect(finished.errors.contains("1 of 2 replicas failed"))
        #expect(folder.read("two.jsonl") == expected)
    }

    @Test("As many processes as ranks of all replicas, or an error that says so")
    func wrongCount() async throws {
        let folder = try TemporaryFolder()
        _ = try folder.write(Self.lines(2, tokens: 4), "in.jsonl")
        let command = try RunningCommand(
            Self.arguments(folder, "two.jsonl", ["-dp", "3"]), launcher: MPILauncher.arguments(2))
        let finished = try await command.finish(within: 30)
        #expect(finished.code != 0)
        #expect(
            finished.errors.contains(
                "2 processes were started together; tensor-parallel-size 1 times data-parallel-size 3 is 3"))
    }
}

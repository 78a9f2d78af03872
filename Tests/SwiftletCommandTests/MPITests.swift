// Ranks in processes of their own, started by Open MPI's mpirun: the same text as ranks in threads, and an end for all
// whatever happens to one.

import Foundation
import SwiftletTestSupport
import Testing

extension MPILauncher {
    /// The processes of a run, by rank.
    static func ranks(of launcher: Int32) -> [Int: Int32] {
        var found: [Int: Int32] = [:]
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let process = Int32(name),
                let status = try? String(contentsOfFile: "/proc/\(name)/stat", encoding: .utf8),
                let parent = status.split(separator: ")").last?.split(separator: " ").dropFirst().first,
                Int32(parent) == launcher,
                let environment = try? String(contentsOfFile: "/proc/\(name)/environ", encoding: .utf8)
            else { continue }
            for variable in environment.split(separator: "\0") where variable.hasPrefix("OMPI_COMM_WORLD_RANK=") {
                found[Int(variable.dropFirst(21))!] = process
            }
        }
        return found
    }

    /// Not when it has ended and nobody asked after it yet.
    static func isRunning(_ process: Int32) -> Bool {
        guard let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
            let state = status.split(separator: ")").last?.split(separator: " ").first
        else { return false }
        return state != "Z"
    }

    /// Waits until none of them is running.
    static func waitForEnd(of ranks: [Int: Int32]) async throws {
        for (rank, process) in ranks {
            for _ in 0..<4000 where isRunning(process) { try await Task.sleep(for: .milliseconds(5)) }
            #expect(!isRunning(process), "rank \(rank) is still there")
        }
    }
}

@Suite("Ranks under MPI", .serialized, .enabled(if: MPILauncher.path != nil, Comment(rawValue: MPILauncher.missing)))
struct MPITests {

    static let prompts = ["Once upon a time", "The little dog"]

    static func generate(_ ranks: Int) -> [String] {
        ["generate", "--quiet", "-tp", "\(ranks)", "--temperature", "0", "--max-tokens", "32"] + prompts
    }

    @Test("The text of ranks in threads", arguments: [2, 4])
    func sameText(ranks: Int) async throws {
        let threads = try await RunningCommand.run(Self.generate(ranks))
        #expect(threads.code == 0, "\(threads.errors)")
        let command = try RunningCommand(Self.generate(ranks), launcher: MPILauncher.arguments(ranks))
        let processes = try await command.finish(within: 60)
        #expect(processes.code == 0, "\(processes.errors)")
        #expect(processes.output == threads.output && !threads.output.isEmpty)
    }

    @Test("A file of requests: rank 0 reads and writes")
    func requests() async throws {
        let folder = try TemporaryFolder()
        let lines = (0..<12).map {
            #"{"id": "\#($0)", "prompt": "Once upon \#($0)", "sampling_params": {"max_tokens": 8}}"#
        }
        _ = try folder.write(lines.joined(separator: "\n"), "in.jsonl")
        let command = try RunningCommand(
            ["generate", "--quiet", "-tp", "2", "-i", folder.path + "/in.jsonl", "-o", folder.path + "/out.jsonl"],
            launcher: MPILauncher.arguments(2))
        let finished = try await command.finish(within: 60)
        #expect(finished.code == 0, "\(finished.errors)")
        #expect(folder.read("out.jsonl")?.split(separator: "\n").count == 12)
    }

    @Test("Batches smaller than a message: the end, which is one, was longer than the other ranks' memory")
    func smallBatches() async throws {
        let command = try RunningCommand(
            Self.generate(2) + ["--max-num-batched-tokens", "64", "--max-num-seqs", "2", "--max-model-len", "128"],
            launcher: MPILauncher.arguments(2))
        let processes = try await command.finish(within: 60)
        #expect(processes.code == 0 && !processes.output.isEmpty, "\(processes.errors)")
        #expect(!processes.errors.contains("MPI Error"))
    }

    @Test("A rank killed by SIGKILL ends all of them", arguments: [0, 1])
    func killedRank(victim: Int) async throws {
        let command = try RunningCommand(
            ["generate", "-tp", "2", "--ignore-eos", "--max-tokens", "1000", "-n", "64", "Once upon a time"],
            launcher: MPILauncher.arguments(2))
        command.closeInput()
        // In the middle of generating.
        for _ in 0..<4000 where command.output.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        let ranks = MPILauncher.ranks(of: command.processID)
        #expect(ranks.count == 2)
        kill(try #require(ranks[victim]), SIGKILL)
        // mpirun tells of the signal by its own code.
        let finished = try await command.finish(within: 30)
        #expect(finished.code == 128 + SIGKILL && finished.errors.contains("signal 9"))
        try await MPILauncher.waitForEnd(of: ranks)
    }

    @Test("A rank that can't load ends all of them, and says why")
    func failingLoad() async throws {
        let wrong = ["generate", "--quiet", "-tp", "2", "--model", "/nowhere", "x"]
        let command = try RunningCommand(
            Self.generate(2) + [":", "-n", "1", RunningCommand.itself] + wrong, launcher: MPILauncher.arguments(1))
        let finished = try await command.finish(within: 30)
        #expect(finished.code != 0 && finished.code != 128 + SIGKILL)
        #expect(finished.errors.contains("/nowhere"))
    }

    @Test("As many processes as ranks, or an error that says so")
    func wrongCount() async throws {
        let command = try RunningCommand(["generate", "--quiet", "x"], launcher: MPILauncher.arguments(2))
        let finished = try await command.finish(within: 30)
        #expect(finished.code != 0)
        #expect(finished.errors.contains("2 processes were started together; give --tensor-parallel-size 2"))
    }
}

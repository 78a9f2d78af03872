// The command itself on emulated GPUs: ranks as threads of one process, and as processes that mpirun started.

import CSwiftletCUDAEmulator
import Swiftlet
import SwiftletTestSupport
import Testing

extension CUDATests {
    @Suite("The command", .serialized)
    struct ProcessTests {
        private let options = [
            "--device", "cuda", "--quiet", "--dtype", "float32", "--max-model-len", "64", "--max-num-batched-tokens",
            "32", "--max-num-seqs", "2", "--num-gpu-blocks-override", "4", "--temperature", "0", "--max-tokens", "6",
        ]
        private let prompt = "Once upon a time"

        /// Runs the command, or mpirun with so many of it.
        private func run(_ arguments: [String], processes: Int? = nil) async throws -> RunningCommand.Finished {
            let path = Platform.environment("PATH") ?? ""
            let folder = Emulated.cubins + "-libraries"
            let build = [
                "/usr/bin/env", "PATH=\(path)", "bash", TestFiles.package + "/Tools/cuda/emulated-libraries", folder,
            ]
            let built = try await RunningCommand([], launcher: build).finish(within: 120)
            try #require(built.code == 0, "\(built.errors)")
            let environment = [
                "/usr/bin/env", "PATH=\(path)", "SWIFTLET_CACHE=\(folder)/cache",
                "SWIFTLET_CUDA_LIBRARY_PATH=\(built.output.split(separator: "\n").last ?? "")",
            ]
            let launcher = processes.map { MPILauncher.arguments($0) } ?? []
            return try await RunningCommand(arguments, launcher: environment + launcher).finish(within: 120)
        }

        /// What one GPU writes.
        private func onCPU() async throws -> String {
            var arguments = ["generate"] + options + [prompt]
            arguments[2] = "cpu"
            let finished = try await RunningCommand.run(arguments)
            try #require(finished.code == 0, "\(finished.errors)")
            return finished.output
        }

        @Test("Two ranks in one process write what the CPU writes")
        func threads() async throws {
            let finished = try await run(["generate", "-tp", "2"] + options + [prompt])
            #expect(finished.code == 0, "\(finished.errors)")
            #expect(try await finished.output == onCPU() && !finished.output.isEmpty)
        }

        @Test(
            "So do two processes under mpirun",
            .enabled(if: MPILauncher.path != nil, Comment(rawValue: MPILauncher.missing)))
        func processes() async throws {
            let finished = try await run(["generate", "-tp", "2"] + options + [prompt], processes: 2)
            #expect(finished.code == 0, "\(finished.errors)")
            #expect(try await finished.output == onCPU() && !finished.output.isEmpty)
        }

        @Test(
            "Two engines of two processes each take four GPUs",
            .enabled(if: MPILauncher.path != nil, Comment(rawValue: MPILauncher.missing)))
        func replicas() async throws {
            let folder = try TemporaryFolder()
            let lines = (0..<4).map {
                #"{"id": "\#($0)", "prompt": "\#(prompt)", "sampling_params": {"max_tokens": 4, "temperature": 0}}"#
            }
            try folder.write(lines.joined(separator: "\n"), "in.jsonl")
            let files = ["-i", folder.path + "/in.jsonl", "-o", folder.path + "/out.jsonl"]
            let finished = try await run(
                ["generate", "-tp", "2", "-dp", "2"] + options.dropLast(4) + files, processes: 4)
            #expect(finished.code == 0, "\(finished.errors)")
            let results = folder.read("out.jsonl")?.split(separator: "\n") ?? []
            #expect(results.count == 4)
        }

        @Test(
            "More processes than GPUs are an error with figures",
            .enabled(if: MPILauncher.path != nil, Comment(rawValue: MPILauncher.missing)))
        func tooMany() async throws {
            let finished = try await run(["generate", "-tp", "5"] + options + [prompt], processes: 5)
            #expect(finished.code != 0)
            #expect(finished.errors.contains("5 processes of the launcher run on this machine"), "\(finished.errors)")
        }
    }
}

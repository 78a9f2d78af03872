// `generate --input` with several engines: the file that one engine makes.

import SwiftletTestSupport
import Testing

@Suite("Data parallel", .serialized)
struct DataParallelTests {
    @Test(
        "Two replicas, of one rank or of two, write what one engine writes",
        arguments: [["-dp", "2"], ["-dp", "2", "-tp", "2"]])
    func sameFile(options: [String]) async throws {
        let folder = try TemporaryFolder()
        let lines = (0..<20).map {
            #"{"id": "\#($0)", "prompt": "Once upon \#($0)", "sampling_params": {"max_tokens": \#(4 + $0)}}"#
        }
        _ = try folder.write(lines.joined(separator: "\n"), "in.jsonl")
        func generate(_ options: [String], to name: String) async throws {
            let finished = try await RunningCommand.run(
                ["generate", "--quiet", "--temperature", "0.7", "--seed", "3", "--no-enable-prefix-caching"] + options
                    + ["-i", folder.path + "/in.jsonl", "-o", folder.path + "/" + name])
            #expect(finished.code == 0, "\(finished.errors)")
        }
        try await generate(Array(options.dropFirst(2)), to: "one.jsonl")
        try await generate(options, to: "two.jsonl")
        let expected = try #require(folder.read("one.jsonl"))
        #expect(expected.split(separator: "\n").count == 20)
        #expect(folder.read("two.jsonl") == expected)
    }

    #if Server
    @Test("run-batch with two replicas answers every request, in order")
    func runBatch() async throws {
        let folder = try TemporaryFolder()
        let lines = (0..<12).map {
            #"{"custom_id": "c\#($0)", "method": "POST", "url": "/v1/completions", "body": {"prompt": "Once \#($0)", "max_tokens": 8}}"#
        }
        _ = try folder.write(lines.joined(separator: "\n"), "in.jsonl")
        let finished = try await RunningCommand.run(
            [
                "run-batch", "--quiet", "-dp", "2", "-i", folder.path + "/in.jsonl", "-o",
                folder.path + "/out.jsonl",
            ])
        #expect(finished.code == 0, "\(finished.errors)")
        let answers = try #require(folder.read("out.jsonl")).split(separator: "\n")
        #expect(answers.count == 12)
        for (index, answer) in answers.enumerated() {
            #expect(answer.contains("\"c\(index)\"") && answer.contains("\"status_code\":200"))
        }
    }
    #endif

    @Test("Replicas are for files of requests")
    func withoutInput() async throws {
        let finished = try await RunningCommand.run(["generate", "-dp", "2", "x"])
        #expect(finished.code == 64)
        #expect(finished.errors.contains("--data-parallel-size is for --input"))
    }
}

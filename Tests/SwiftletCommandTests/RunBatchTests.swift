// `swiftlet run-batch` as a process: killed at random moments and run again, with bad lines, a full disk, a changed
// input. What must hold is one answer for each request, as one run without interruptions gives.

import SwiftletCommand
import SwiftletJSON
import SwiftletTestSupport
import Testing

@Suite("swiftlet run-batch", .serialized, .timeLimit(.minutes(2)))
struct RunBatchTests {
    private func arguments(_ folder: TemporaryFolder, input: String? = nil, _ more: [String] = []) -> [String] {
        let engine = "--threads 1 --no-pin-threads --max-num-seqs 4 --num-gpu-blocks-override 256".split(separator: " ")
        return ["run-batch", "-i", input ?? folder.path + "/in", "-o", folder.path + "/out"] + engine.map(String.init)
            + more
    }

    private func request(_ id: String, tokens: Int, chat: Bool = false) -> String {
        let prompt =
            chat ? #""messages": [{"role": "user", "content": "Hello \#(tokens)"}]"# : #""prompt": [5, 6, \#(tokens)]"#
        let url = chat ? "/v1/chat/completions" : "/v1/completions"
        return #"{"custom_id": "\#(id)", "method": "POST", "url": "\#(url)", "body": {\#(prompt), "#
            + #""max_tokens": \#(tokens), "temperature": 0, "ignore_eos": true}}"# + "\n"
    }

    /// Requests of both kinds, two of one id, bad ones and blank lines.
    private var mixed: String {
        let good = (0..<60).map { request("r\($0 / 2)", tokens: 3 + $0 * 7 % 30, chat: $0 % 3 == 0) }
        let refused = request("refused", tokens: 0)
        return good[..<20].joined() + "nonsense\n\n" + refused + good[20..<45].joined() + "  \n"
            + #"{"custom_id": "no url", "method": "POST", "body": {}}"# + "\n" + good[45...].joined()
    }

    /// What must be the same in every run: all but times, request ids and what a prefix cache happened to have.
    private func essence(_ text: String?) throws -> [String] {
        try (text ?? "").split(separator: "\n").map { line in
            let root = try JSONDocument(parsing: Array(line.utf8)).root
            let body = root["response"]?["body"]
            let parts = [
                root["id"], root["custom_id"], root["error"], root["response"]?["status_code"], body?["choices"],
                body?["usage"]?["total_tokens"], body?["error"],
            ]
            return parts.map { $0.map { String(decoding: $0.bytes, as: UTF8.self) } ?? "-" }.joined(separator: " ")
        }
    }

    private func lineCount(_ folder: TemporaryFolder) -> Int {
        folder.read("out.partial")?.utf8.count { $0 == UInt8(ascii: "\n") } ?? 0
    }

    private func straightRun() async throws -> [String] {
        let folder = try TemporaryFolder()
        try folder.write(mixed, "in")
        let result = try await RunningCommand.run(arguments(folder))
        #expect(result.code == 0 && result.output.isEmpty, "\(result.errors)")
        #expect(
            result.errors.contains("63 requests in ")
                && result.errors.contains("3 of 63 requests failed; the first: line "))
        #expect(folder.names == ["in", "out"])
        return try essence(folder.read("out"))
    }

    @Test("Killed at random moments and run again, each request is answered once, as in one run")
    func killed() async throws {
        let expected = try await straightRun()
        #expect(expected.count == 63 && Set(expected).count == 63)
        let folder = try TemporaryFolder()
        try folder.write(mixed, "in")
        let lines = mixed.split(separator: "\n", omittingEmptySubsequences: false).map { $0 + "\n" }
        var random = SeededGenerator(seed: 11)
        var kept: [String] = []
        // Part of the input, and then no more comes: these runs can't end before they are killed.
        for part in 1...6 {
            let command = try RunningCommand(
                arguments(folder, input: "-"), standardInput: lines[..<(part * 10)].joined())
            let wanted = lineCount(folder) + Int.random(in: 0...9, using: &random)
            try await command.wait(for: "\(wanted) answers") { lineCount(folder) >= wanted }
            try await Task.sleep(for: .microseconds(Int.random(in: 0...30_000, using: &random)))
            command.terminate()
            let result = try await command.finish()
            #expect(result.code == 128 + 9, "\(result.errors)")
            #expect(folder.read("out") == nil)
            // What was answered stays as it is.
            let partial = folder.read("out.partial") ?? ""
            let answered = partial.split(separator: "\n").map(String.init)
            #expect(answered.count >= wanted && answered.starts(with: kept))
            kept = answered
            // A loss of power can leave half a line, which a kill can't.
            if part % 2 == 0 { try folder.write(partial + #"{"id":"bat"#, "out.partial") }
        }
        // And runs that may come to any point of their end.
        var attempt = 0
        while folder.read("out") == nil {
            attempt += 1
            try #require(attempt < 40)
            let command = try RunningCommand(arguments(folder))
            try await Task.sleep(for: .milliseconds(attempt * 10 + Int.random(in: 0...99, using: &random)))
            command.terminate()
            let result = try await command.finish()
            #expect([0, 128 + 9].contains(result.code), "\(result.errors)")
        }
        #expect(try essence(folder.read("out")) == expected)
        // A kill may have come between the last answer and the end; then there is this to do, and otherwise nothing.
        let again = try await RunningCommand.run(arguments(folder))
        #expect(again.code == 0, "\(again.errors)")
        #expect(try essence(folder.read("out")) == expected)
        #expect(folder.names.filter { !$0.hasSuffix(".old") } == ["in", "out"])
        let bytes = folder.read("out")
        let idle = try await RunningCommand.run(arguments(folder))
        #expect(idle.code == 0 && idle.errors.contains("has an answer to every request"), "\(idle.errors)")
        #expect(folder.read("out") == bytes)
    }

    @Test("Ctrl-C keeps what is answered; the rest comes with the next run, unless input or options changed")
    func interrupted() async throws {
        let folder = try TemporaryFolder()
        try folder.write("old", "out")
        let first = request("a", tokens: 3) + request("b", tokens: 4)
        let command = try RunningCommand(
            arguments(folder, input: "-"), standardInput: first + request("long", tokens: 900))
        try await command.wait(for: "two answers") { lineCount(folder) >= 2 }
        command.interrupt()
        let result = try await command.finish()
        #expect(result.code == 130, "\(result.errors)")
        #expect(result.errors.contains("2 finished requests in") && result.errors.contains("goes on from there"))
        #expect(folder.read("out") == "old")
        let partial = try #require(folder.read("out.partial"))
        let other = [
            (request("a", tokens: 3) + request("B", tokens: 4), [], "line 2 of the input is not the one"),
            (request("a", tokens: 3), [], "the input has 1 request, and"),
            (first, ["--seed", "5"], "another model or other options"),
            (first, ["--served-model-name", "x"], "another model or other options"),
        ]
        for (input, options, message) in other {
            try folder.write(input, "in")
            let refused = try await RunningCommand.run(arguments(folder, options))
            #expect(refused.code == 1 && refused.errors.contains(message), "\(refused.errors)")
            #expect(folder.read("out.partial") == partial && folder.read("out") == "old")
        }
        try folder.write(first + request("c", tokens: 2), "in")
        let done = try await RunningCommand.run(arguments(folder))
        #expect(done.code == 0 && done.errors.contains("2 requests answered by an earlier run"), "\(done.errors)")
        #expect(done.errors.contains("\n1 request in "))
        let ids = try #require(folder.read("out")).split(separator: "\n").map {
            try JSONDocument(parsing: Array($0.utf8)).root["custom_id"]?.string
        }
        #expect(ids == ["a", "b", "c"] && !folder.names.contains("out.partial"))
    }

    @Test("A disk that is full ends the run with whole lines, and the next run goes on")
    func fullDisk() async throws {
        let expected = try await straightRun()
        let folder = try TemporaryFolder()
        try folder.write(mixed, "in")
        let full = try await RunningCommand.run(
            arguments(folder), shell: #"trap '' XFSZ; ulimit -f 8; exec "$0" "$@""#)
        #expect(full.code == 1, "\(full.errors)")
        #expect(full.errors.contains("can't write \(folder.path)/out.partial: "), "\(full.errors)")
        #expect(folder.read("out") == nil && folder.read("out.partial")?.last == "\n")
        #expect(try await RunningCommand.run(arguments(folder)).code == 0)
        #expect(try essence(folder.read("out")) == expected)
    }

    @Test("A reader of the messages that goes away costs nothing but them")
    func closedPipe() async throws {
        let folder = try TemporaryFolder()
        try folder.write(request("a", tokens: 3), "in")
        _ = try await RunningCommand.run(arguments(folder), shell: #""$0" "$@" 2>&1 | true"#)
        #expect(try await RunningCommand.run(arguments(folder)).code == 0)
        #expect(folder.read("out")?.contains(#""custom_id":"a""#) == true && folder.names == ["in", "out"])
    }

    @Test("What can't be is refused before a model is loaded")
    func refusals() async throws {
        let folder = try TemporaryFolder()
        for words in [[], ["-i", "x"], ["-o", "x"], ["-i", "x", "-o", "-"]] {
            #expect(try await RunningCommand.run(["run-batch"] + words).code == 64, "\(words)")
        }
        try folder.write(request("a", tokens: 3), "in")
        let path = folder.path + "/in"
        for (input, output, message) in [
            (folder.path + "/none", "/out", "none"), (folder.path, "/out", "is a folder"), (path, "/in", "same file"),
            (path, "/none/out", "not a folder"),
        ] {
            let result = try await RunningCommand.run(["run-batch", "-i", input, "-o", folder.path + output])
            #expect(result.code == 1 && result.errors.contains(message), "\(result.errors)")
            #expect(!result.errors.contains("demo model"))
        }
        let full = try await RunningCommand.run(["run-batch", "-i", path, "-o", "/dev/full"])
        #expect(full.code == 1 && full.errors.contains("not a regular file"), "\(full.errors)")
        let model = try await RunningCommand.run(arguments(folder, ["--model", folder.path + "/none"]))
        #expect(model.code == 1 && folder.names == ["in"], "\(model.errors) \(folder.names)")
    }

    @Test("More prompts than may wait are answered all the same, line by line")
    func queueLimit() async throws {
        let folder = try TemporaryFolder()
        let four =
            #"{"custom_id": "x", "method": "POST", "url": "/v1/completions", "body": {"prompt": [[1], [2], [3], [4]], "max_tokens": 20, "ignore_eos": true}}"#
        try folder.write(String(repeating: four + "\n", count: 6), "in")
        let result = try await RunningCommand.run(
            arguments(folder, ["--max-queued-requests", "4", "--max-num-seqs", "1"]))
        #expect(result.code == 0, "\(result.errors)")
        let statuses = try #require(folder.read("out")).split(separator: "\n").map {
            try JSONDocument(parsing: Array($0.utf8)).root["response"]?["status_code"]?.int
        }
        #expect(statuses == Array(repeating: 200, count: 6))
    }
}

// A batch against a stand-in for the engine that finishes out of order, refuses, fails and is cancelled.

import Swiftlet
import SwiftletCommand
import SwiftletJSON
import Synchronization
import SwiftletTestSupport
import Testing

@Suite("Batch run")
struct BatchRunTests {
    private func output(of request: BatchRequest) -> RequestOutput {
        var choice = CompletionOutput(index: 0)
        choice.text = request.id
        choice.finishReason = .stop
        return RequestOutput(
            prompt: nil, promptTokenIDs: [1], promptLogprobs: nil, choices: [choice], usage: Usage())
    }

    private func lines(_ count: Int) -> String {
        (0..<count).map { #"{"id": "\#($0)", "prompt": "x"}"# + "\n" }.joined()
    }

    /// The ids of the results, in order; errors as "id:code".
    private func ids(_ text: String?) throws -> [String] {
        try (text ?? "").split(separator: "\n").map { line in
            let root = try JSONDocument(parsing: Array(line.utf8)).root
            let id = root["id"]?.string ?? "null"
            return root["error"].map { id + ":" + ($0["code"]?.string ?? "") } ?? id
        }
    }

    private func run(
        _ folder: TemporaryFolder, _ input: String, window: Int, generate: @escaping BatchRun.Generate
    ) throws -> BatchRun {
        let file = try File(try folder.write(input, "in"), .read)
        return BatchRun(
            reader: LineReader(file), output: try OrderedOutput(folder.path + "/out", input: file),
            window: window
        ) { entry in try await BatchRun.answer(entry, defaults: SamplingParams(), generate) }
    }

    @Test("Results come in input order from a bounded window, whatever finishes first")
    func order() async throws {
        let folder = try TemporaryFolder()
        let active = Mutex((now: 0, most: 0))
        let batch = try run(folder, lines(200), window: 8) { request in
            active.withLock { active in
                active.now += 1
                active.most = max(active.most, active.now)
            }
            try await Task.sleep(for: .microseconds(Int.random(in: 0..<2000)))
            active.withLock { $0.now -= 1 }
            return output(of: request)
        }
        try await batch.run()
        #expect(try ids(folder.read("out")) == (0..<200).map(String.init))
        #expect(active.withLock { $0.most } <= 8)
        #expect(batch.progress.succeeded == 200)
        #expect(batch.progress.finishedBytes == lines(200).utf8.count)
        #expect(folder.names == ["in", "out"])
    }

    @Test("A bad line and a refused request cost themselves only; blank lines are nothing")
    func errors() async throws {
        let folder = try TemporaryFolder()
        let windows = lines(2).replacing("\n", with: "\r\n")
        let input = "\u{FEFF}" + lines(1) + "\r\n  \t\nnonsense\r\n" + windows + "{\"id\": \"z\"}"
        let batch = try run(folder, input, window: 2) { request in
            if request.id == "1" { throw LLMError(.invalidRequest, "too long") }
            return output(of: request)
        }
        try await batch.run()
        #expect(
            try ids(folder.read("out"))
                == ["0", "null:invalidRequest", "0", "1:invalidRequest", "z:invalidRequest"])
        #expect(batch.progress.succeeded == 2)
        #expect(batch.progress.failed == 3)
        #expect(batch.progress.firstFailure != nil)
    }

    @Test("A failed engine ends the run and leaves the output alone")
    func engineFailure() async throws {
        let folder = try TemporaryFolder()
        try folder.write("old", "out")
        let batch = try run(folder, lines(50), window: 1) { request in
            if request.id == "20" { throw LLMError(.engineFailed, "the device is gone") }
            return output(of: request)
        }
        await #expect(throws: LLMError.self) { try await batch.run() }
        #expect(folder.read("out") == "old")
        #expect(try ids(folder.read("out.partial")) == (0..<20).map(String.init))
    }

    @Test("Cancelling keeps what is finished and leaves the output alone")
    func cancelling() async throws {
        let folder = try TemporaryFolder()
        let batch = try run(folder, lines(50), window: 4) { request in
            // Like a cancelled stream: it ends, with what there is.
            if request.id != "0" { try? await Task.sleep(for: .seconds(30)) }
            return output(of: request)
        }
        let task = Task { try await batch.run() }
        try await wait(for: "a request's end") { batch.progress.done > 0 }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(folder.read("out") == nil)
        #expect(try ids(folder.read("out.partial")) == ["0"])
    }
}

// BatchRun: a JSONL file of requests through the engine, into a JSONL file of results in the same order.
// A bounded number of requests is in flight, so a file of a million lines needs no more memory than one of
// a thousand. Each request's error is its own line; a failure of the engine or of the disk ends the run.
// Invariant: every line that counts as a request gets exactly one result line.

package import Swiftlet
import Synchronization

package struct BatchRun: Sendable {
    /// How far a run is, for the progress bar.
    package struct Progress: Sendable, Hashable {
        package var succeeded = 0
        package var failed = 0
        /// Bytes of the input whose requests are done.
        package var finishedBytes = 0
        package var firstFailure: String?

        package init() {}

        package var done: Int { succeeded + failed }
    }

    /// Answers one request.
    package typealias Generate = @Sendable (BatchRequest) async throws -> RequestOutput

    private let reader: LineReader
    private let output: OrderedOutput
    private let defaults: SamplingParams
    private let window: Int
    private let generate: Generate
    private let state: ProgressState

    /// Shared with the progress bar.
    private final class ProgressState: Sendable {
        let value = Mutex(Progress())
    }

    package init(
        reader: LineReader, output: OrderedOutput, defaults: SamplingParams, window: Int,
        generate: @escaping Generate
    ) {
        self.reader = reader
        self.output = output
        self.defaults = defaults
        self.window = max(1, window)
        self.generate = generate
        state = ProgressState()
    }

    package var progress: Progress { state.value.withLock { $0 } }

    /// Runs all of it and puts the output in place.
    package func run() async throws {
        var count = 0
        try await withThrowingTaskGroup(of: Void.self) { group in
            var inFlight = 0
            while let entry = try await reader.next() {
                if entry.line.isBlank { continue }
                if inFlight == window {
                    try await group.next()
                    inFlight -= 1
                }
                let index = count
                count += 1
                inFlight += 1
                group.addTask { try await answer(entry, index: index) }
            }
            try await group.waitForAll()
        }
        try Task.checkCancellation()
        try output.finish(count: count)
    }

    private func answer(_ entry: LineReader.Entry, index: Int) async throws {
        let request: BatchRequest
        do throws(BatchRequest.Failure) {
            request = try BatchRequest(entry.line, number: entry.number, defaults: defaults)
        } catch {
            return try finish(entry, index, id: error.id, .failure(LLMError(.invalidRequest, error.message)))
        }
        do {
            let result = try await generate(request)
            // Ctrl-C ends requests with what they have: that is no result.
            try Task.checkCancellation()
            try finish(entry, index, id: request.id, .success(result))
        } catch let error as LLMError where !endsRun(error) {
            let named = LLMError(error.code, "line \(entry.number): \(error.message)")
            try finish(entry, index, id: request.id, .failure(named))
        }
    }

    /// Whether an error is the engine's or the disk's and not the request's.
    private func endsRun(_ error: LLMError) -> Bool {
        [.engineFailed, .inputOutput].contains(error.code)
    }

    private func finish(
        _ entry: LineReader.Entry, _ index: Int, id: String?, _ result: Result<RequestOutput, LLMError>
    ) throws(LLMError) {
        switch result {
        case .success(let output): try self.output.write(BatchResult.line(id: id ?? "", output), at: index)
        case .failure(let error): try self.output.write(BatchResult.line(id: id, error), at: index)
        }
        state.value.withLock { progress in
            progress.finishedBytes += entry.byteCount
            switch result {
            case .success: progress.succeeded += 1
            case .failure(let error):
                progress.failed += 1
                if progress.firstFailure == nil { progress.firstFailure = error.message }
            }
        }
    }
}

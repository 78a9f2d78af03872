// BatchRun: a JSONL file of requests through the engine, into a JSONL file of results in the same order.
// A bounded number of requests, and of bytes, is in flight, so a file of a million lines needs no more memory than one of
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

    /// What one request came to.
    package struct Answer: Sendable {
        /// Its result line, with its end.
        package var line: [UInt8]
        /// Why it failed; nil when it did not.
        package var failure: String?

        package init(line: [UInt8], failure: String? = nil) {
            self.line = line
            self.failure = failure
        }
    }

    /// Answers one line. What it throws ends the run.
    package typealias Respond = @Sendable (LineReader.Entry) async throws -> Answer

    /// Bytes of requests in flight; one that is longer goes alone.
    private static let byteLimit = 64 << 20

    /// Requests in flight that keep the engine's batch full, and never more than it lets wait.
    package static func window(for config: EngineConfig) -> Int {
        max(1, min(4 * config.maxSequences, config.maxQueuedRequests ?? .max))
    }

    private let reader: LineReader
    private let first: [LineReader.Entry]
    private let output: OrderedOutput
    private let window: Int
    private let respond: Respond
    private let state: ProgressState

    /// Shared with the progress bar.
    private final class ProgressState: Sendable {
        let value: Mutex<Progress>
        init(_ progress: Progress) { value = Mutex(progress) }
    }

    /// - Parameters:
    ///   - first: Requests that `reader` has handed out already.
    ///   - finishedBytes: Bytes of the input whose requests were answered by an earlier run.
    package init(
        reader: LineReader, first: [LineReader.Entry] = [], finishedBytes: Int = 0, output: OrderedOutput,
        window: Int, respond: @escaping Respond
    ) {
        self.reader = reader
        self.first = first
        self.output = output
        self.window = max(1, window)
        self.respond = respond
        var progress = Progress()
        progress.finishedBytes = finishedBytes
        state = ProgressState(progress)
    }

    package var progress: Progress { state.value.withLock { $0 } }

    /// Runs all of it and puts the output in place.
    package func run() async throws {
        try await withThrowingTaskGroup(of: Int.self) { group in
            var (count, byteCount) = (0, 0)
            var waiting = first[...]
            while let entry = try await next(&waiting) {
                while count == window || count > 0 && byteCount + entry.byteCount > Self.byteLimit {
                    byteCount -= try await group.next() ?? 0
                    count -= 1
                }
                count += 1
                byteCount += entry.byteCount
                group.addTask {
                    try await answer(entry)
                    return entry.byteCount
                }
            }
            try await group.waitForAll()
        }
        try Task.checkCancellation()
        try output.finish(count: reader.requestCount)
    }

    private func next(_ waiting: inout ArraySlice<LineReader.Entry>) async throws -> LineReader.Entry? {
        if let entry = waiting.popFirst() { return entry }
        return try await reader.nextRequest()
    }

    private func answer(_ entry: LineReader.Entry) async throws {
        let answer = try await respond(entry)
        // Ctrl-C ends requests with what they have: that is no result.
        try Task.checkCancellation()
        try output.write(answer.line, at: entry.index)
        state.value.withLock { progress in
            progress.finishedBytes += entry.byteCount
            if let failure = answer.failure {
                progress.failed += 1
                if progress.firstFailure == nil { progress.firstFailure = failure }
            } else {
                progress.succeeded += 1
            }
        }
    }
}

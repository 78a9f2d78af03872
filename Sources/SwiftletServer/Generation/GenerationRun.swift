// GenerationRun: a request of the API that runs, as one sequence of events from the engine, a clock and whoever ends it.
//
// Invariant: the run ends once: with the last choice, with an error, or with the reason it was cancelled for. When the
// run is dropped its requests are aborted.

package import Swiftlet
import Synchronization

package final class GenerationRun: Sendable {
    /// What happens while it runs.
    enum Event: Sendable {
        /// Something for one of the prompts.
        case engine(prompt: Int, TokenSink.Event)
        /// Nothing has happened for a while.
        case ping
        case cancelled(APIError)
    }

    package let request: GenerationRequest
    let encoder: AnswerEncoder
    private let running: [RunningRequest]
    private let events: AsyncStream<Event>
    private let continuation: AsyncStream<Event>.Continuation
    private let admission: Admission
    private let clock: Task<Void, Never>?

    /// Whether the engine takes all prompts: known before anything is answered, so that a full queue is a status.
    private final class Admission: Sendable {
        private let state: Mutex<Int>
        let outcome: AsyncStream<APIError>
        private let continuation: AsyncStream<APIError>.Continuation

        init(count: Int) {
            state = Mutex(count)
            (outcome, continuation) = AsyncStream.makeStream()
        }

        func accept() {
            let isLast = state.withLock { remaining in
                remaining -= 1
                return remaining == 0
            }
            if isLast { continuation.finish() }
        }

        func fail(_ error: APIError) {
            continuation.yield(error)
            continuation.finish()
        }
    }

    init(_ request: GenerationRequest, id: String, _ service: GenerationService) throws(APIError) {
        self.request = request
        let (events, continuation) = AsyncStream<Event>.makeStream()
        let admission = Admission(count: request.requests.count)
        var running: [RunningRequest] = []
        for (index, prompt) in request.requests.enumerated() {
            do {
                running.append(
                    try service.llm.start(prompt) { event in
                        switch event {
                        case .accepted: return admission.accept()
                        case .finished(let error?): admission.fail(APIError(error))
                        default: break
                        }
                        continuation.yield(.engine(prompt: index, event))
                    })
            } catch {
                var refusal = APIError(error)
                if error.code == .contextLengthExceeded {
                    refusal.param = request.endpoint == .chat ? "messages" : "prompt"
                }
                throw refusal
            }
        }
        self.running = running
        self.events = events
        self.continuation = continuation
        self.admission = admission
        encoder = AnswerEncoder(
            request, id: id, promptTokenIDs: running.map(\.promptTokenIDs), tokenizer: service.llm.tokenizer)
        clock = Self.startClock(request, service.configuration, continuation)
    }

    deinit { clock?.cancel() }

    /// Signs of life and the time limit.
    private static func startClock(
        _ request: GenerationRequest, _ configuration: OpenAIConfiguration, _ events: AsyncStream<Event>.Continuation
    ) -> Task<Void, Never>? {
        guard request.isStreamed || configuration.requestTimeout != nil else { return nil }
        return Task {
            let end = configuration.requestTimeout.map { ContinuousClock.now + .seconds($0) }
            while !Task.isCancelled {
                let next = ContinuousClock.now + .seconds(configuration.pingInterval)
                try? await Task.sleep(until: min(next, end ?? next), clock: .continuous)
                guard !Task.isCancelled else { return }
                if let end, let limit = configuration.requestTimeout, ContinuousClock.now >= end {
                    events.yield(.cancelled(.timedOut(after: limit)))
                    return
                }
                events.yield(.ping)
            }
        }
    }

    /// Ends the run: its requests are aborted within a step, and whoever waits for it gets the error.
    package func cancel(_ error: APIError) {
        for request in running { request.abort() }
        admission.fail(error)
        continuation.yield(.cancelled(error))
    }

    /// Returns when the engine has taken all prompts.
    ///
    /// - Throws: ``APIError`` when it refuses one, such as for a full queue.
    package func waitUntilAdmitted() async throws(APIError) {
        for await error in admission.outcome { throw error }
    }

    // MARK: - Reading

    /// Hands out every delta, with its prompt's number, until all choices have ended.
    private func forEach(
        _ body: (_ prompt: Int, Delta) async throws -> Void, ping: () async throws -> Void = {}
    ) async throws {
        var unfinished = request.requests.map { $0.params?.n ?? 1 }
        var openPrompts = unfinished.count
        for await event in events {
            switch event {
            case .ping: try await ping()
            case .cancelled(let error): throw error
            case .engine(_, .accepted): break
            case .engine(let prompt, .delta(let delta)):
                if delta.finishReason != nil { unfinished[prompt] -= 1 }
                try await body(prompt, delta)
            case .engine(let prompt, .finished(let error)):
                if let error { throw APIError(error) }
                guard unfinished[prompt] == 0 else { throw APIError.disconnected }
                openPrompts -= 1
                if openPrompts == 0 { return }
            }
        }
        // The task that reads was cancelled.
        throw APIError.disconnected
    }

    /// The answer as a whole.
    package func answer() async throws(APIError) -> GenerationService.Answer {
        defer { clock?.cancel() }
        var outputs = running.indices.map { index in
            RequestOutput(
                prompt: nil, promptTokenIDs: running[index].promptTokenIDs,
                choices: (0..<request.choiceCount).map { CompletionOutput(index: $0) }, usage: Usage())
        }
        do {
            try await forEach { prompt, delta in
                outputs[prompt].choices[delta.index].append(delta)
                outputs[prompt].usage = delta.usage
                if let logprobs = delta.promptLogprobs { outputs[prompt].promptLogprobs = logprobs }
            }
        } catch {
            throw error as? APIError ?? APIError(status: 500, "\(error)", type: "server_error")
        }
        let usage = outputs.reduce(into: Usage()) { $0.add($1.usage) }
        return GenerationService.Answer(status: 200, body: encoder.answer(outputs, usage), usage: usage)
    }

    /// Writes the answer as server-sent events while it comes, its end included. An error behind the beginning is an
    /// event too.
    ///
    /// - Returns: The token counts so far, and the error that ended it.
    /// - Throws: What `write` throws.
    package func stream(
        _ write: (_ bytes: [UInt8]) async throws -> Void
    ) async throws -> (usage: Usage, error: APIError?) {
        defer { clock?.cancel() }
        var chunks = ChunkEncoder(encoder)
        var isQuiet = false
        var failure: APIError?
        do {
            try await forEach { prompt, delta in
                isQuiet = false
                let bytes = chunks.events(prompt, delta)
                if !bytes.isEmpty { try await write(bytes) }
            } ping: {
                if isQuiet { try await write(Array(": ping\n\n".utf8)) }
                isQuiet = true
            }
            try await write(chunks.end())
        } catch let error as APIError {
            failure = error
            if error != .disconnected { try await write(ChunkEncoder.failure(error)) }
        }
        return (chunks.usage, failure)
    }
}

extension Usage {
    mutating func add(_ other: Usage) {
        promptTokens += other.promptTokens
        cachedTokens += other.cachedTokens
        completionTokens += other.completionTokens
    }
}

// TokenStream: the deltas of one request, and the end of it that the engine holds.
//
// Invariant: when the last stream or iterator of a request is dropped, or the task that reads it is cancelled, the
// request is aborted and its blocks are free within a step. (Leaving a for-await loop does not end a bare
// AsyncThrowingStream; here a guard object's deinit does.)

public import SwiftletTokenizer

/// The engine's end of a request's output.
package struct TokenSink: Sendable {
    /// What becomes of a request, in this order.
    package enum Event: Sendable {
        /// It has a place in the queue; not before, it may still be refused.
        case accepted
        case delta(Delta)
        /// Its end: the error that ended it, or nil. Choices without a finish reason were aborted.
        case finished(LLMError?)
    }

    private let receive: @Sendable (Event) -> Void

    /// - Parameter receive: Called on the engine's thread; it must not wait for anything.
    package init(_ receive: @escaping @Sendable (Event) -> Void) { self.receive = receive }

    package init(_ continuation: AsyncThrowingStream<Delta, any Error>.Continuation) {
        receive = { event in
            switch event {
            case .accepted: break
            case .delta(let delta): continuation.yield(delta)
            case .finished(let error): continuation.finish(throwing: error)
            }
        }
    }

    package func accept() { receive(.accepted) }
    package func yield(_ delta: Delta) { receive(.delta(delta)) }
    package func finish(throwing error: LLMError?) { receive(.finished(error)) }
}

/// A request that runs. It is aborted when the last reference to it is gone.
package final class RunningRequest: Sendable {
    package let promptTokenIDs: [TokenID]
    private let onAbort: @Sendable () -> Void
    /// Keeps the engine running while someone reads, also when nobody else holds the handle.
    private let owner: (any Sendable)?

    init(promptTokenIDs: [TokenID], owner: (any Sendable)?, _ abort: @escaping @Sendable () -> Void) {
        self.promptTokenIDs = promptTokenIDs
        self.owner = owner
        onAbort = abort
    }

    /// Ends the request within a step. Nothing happens when it has ended already.
    package func abort() { onAbort() }

    deinit { onAbort() }
}

/// The output of one request as it is made. One consumer; iterating a second time gives nothing.
///
/// To leave a loop early, have it in a function: at the top level of a main.swift, Swift 6.3 keeps the loop's iterator,
/// and with it the request, until the program ends.
public struct TokenStream: AsyncSequence, Sendable {
    public typealias Element = Delta

    /// The prompt as the model sees it; empty when the request was refused.
    public let promptTokenIDs: [TokenID]
    /// The prompt's text, when it was given as text.
    public let prompt: String?
    private let choiceCount: Int
    private let stream: AsyncThrowingStream<Delta, any Error>
    private let running: RunningRequest?

    /// A stream and the sink that feeds it.
    package static func make(
        prompt: String?, promptTokenIDs: [TokenID], choiceCount: Int, owner: (any Sendable)? = nil,
        abort: @escaping @Sendable () -> Void
    ) -> (TokenStream, TokenSink) {
        let (stream, continuation) = AsyncThrowingStream<Delta, any Error>.makeStream()
        continuation.onTermination = { reason in
            if case .cancelled = reason { abort() }
        }
        let tokens = TokenStream(
            promptTokenIDs: promptTokenIDs, prompt: prompt, choiceCount: choiceCount, stream: stream,
            running: RunningRequest(promptTokenIDs: promptTokenIDs, owner: owner, abort))
        return (tokens, TokenSink(continuation))
    }

    /// A stream that throws.
    static func failed(_ error: any Error, prompt: Prompt) -> TokenStream {
        let (stream, continuation) = AsyncThrowingStream<Delta, any Error>.makeStream()
        continuation.finish(throwing: error)
        var text: String?
        if case .text(let string) = prompt { text = string }
        return TokenStream(promptTokenIDs: [], prompt: text, choiceCount: 0, stream: stream, running: nil)
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var base: AsyncThrowingStream<Delta, any Error>.AsyncIterator
        private let running: RunningRequest?

        fileprivate init(_ stream: TokenStream) {
            base = stream.stream.makeAsyncIterator()
            running = stream.running
        }

        /// The next delta; nil after the last one.
        ///
        /// - Throws: ``LLMError`` when the request was refused or the engine failed.
        public mutating func next() async throws -> Delta? { try await base.next() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }

    /// Reads the stream to its end.
    ///
    /// - Throws: ``LLMError``; `CancellationError` when this task or the request was cancelled.
    public func collect() async throws -> RequestOutput {
        var output = RequestOutput(
            prompt: prompt, promptTokenIDs: promptTokenIDs, promptLogprobs: nil,
            choices: (0..<choiceCount).map { CompletionOutput(index: $0) }, usage: Usage())
        for try await delta in self {
            output.choices[delta.index].append(delta)
            output.usage = delta.usage
            if let logprobs = delta.promptLogprobs { output.promptLogprobs = logprobs }
        }
        guard output.choices.allSatisfy({ $0.finishReason != nil }) else { throw CancellationError() }
        return output
    }
}

extension CompletionOutput {
    package mutating func append(_ delta: Delta) {
        text += delta.text
        tokenIDs += delta.tokenIDs
        if let new = delta.logprobs { logprobs = (logprobs ?? []) + new }
        finishReason = delta.finishReason
        stopReason = delta.stopReason
    }
}

#if Server
// AnswerReader: reads the stream of one request on its connection's event loop, and notes when what came. Nothing waits
// for another task: what is measured is the server.
// Invariant: an answer without failure was whole: status 200, and its end was seen.

import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Swiftlet
import SwiftletHub
import SwiftletJSON
import Synchronization

final class AnswerReader: HTTPClientResponseDelegate {
    typealias Response = ServedRequest

    /// An answer that is not worth reading on.
    struct Broken: Error {
        var reason: String
    }

    private struct State {
        var request = ServedRequest()
        var events = EventStream()
        /// The body of an answer that is no stream, cut.
        var refusal: [UInt8]?
        var status = 0
        var isEnded = false
    }

    private static let refusalLimit = 1 << 16

    private let isChat: Bool
    private let keepsText: Bool
    private let origin: Double
    private let state: Mutex<State>

    /// - Parameters:
    ///   - isChat: Whether texts are in `delta` instead of `text`.
    ///   - keepsText: Keep the text.
    ///   - origin: The monotonic time that times count from.
    init(isChat: Bool, keepsText: Bool, origin: Double) {
        self.isChat = isChat
        self.keepsText = keepsText
        self.origin = origin
        var state = State()
        state.request.start = Platform.monotonicSeconds() - origin
        self.state = Mutex(state)
    }

    /// What is known of a request that failed.
    func failed(_ reason: String) -> ServedRequest {
        state.withLock { state in
            state.request.failure = reason
            state.request.end = Platform.monotonicSeconds() - origin
            return state.request
        }
    }

    // MARK: - What comes

    func didReceiveHead(task: HTTPClient.Task<ServedRequest>, _ head: HTTPResponseHead) -> EventLoopFuture<Void> {
        state.withLock { state in
            state.status = Int(head.status.code)
            let type = head.headers.first(name: "content-type")?.lowercased() ?? ""
            if head.status != .ok || !type.hasPrefix("text/event-stream") { state.refusal = [] }
        }
        return task.eventLoop.makeSucceededVoidFuture()
    }

    func didReceiveBodyPart(task: HTTPClient.Task<ServedRequest>, _ buffer: ByteBuffer) -> EventLoopFuture<Void> {
        let now = Platform.monotonicSeconds() - origin
        do {
            try state.withLock { state in
                if let count = state.refusal?.count {
                    state.refusal?.append(contentsOf: buffer.readableBytesView.prefix(Self.refusalLimit - count))
                    return
                }
                // Taken out, so that the events can be added to the rest.
                var events = state.events
                defer { state.events = events }
                state.events = EventStream()
                try buffer.withUnsafeReadableBytes { bytes in
                    try events.append(bytes) { event in try self.read(event, at: now, into: &state) }
                }
            }
            return task.eventLoop.makeSucceededVoidFuture()
        } catch {
            return task.eventLoop.makeFailedFuture(error)
        }
    }

    func didFinishRequest(task: HTTPClient.Task<ServedRequest>) throws -> ServedRequest {
        let now = Platform.monotonicSeconds() - origin
        return try state.withLock { state in
            if let refusal = state.refusal { throw Self.refused(state.status, refusal) }
            var events = state.events
            // What a stream that broke off ends with may be half an event.
            try? events.end { event in try self.read(event, at: now, into: &state) }
            guard state.isEnded else { throw Broken(reason: "the stream ended before the answer did") }
            return state.request
        }
    }

    // MARK: - Events

    private func read(_ event: [UInt8], at now: Double, into state: inout State) throws {
        if event.elementsEqual("[DONE]".utf8) {
            if !state.isEnded { state.request.end = now }
            state.isEnded = true
            return
        }
        guard let root = try? JSONDocument(parsing: event).root, root.kind == .object else {
            throw Broken(reason: "an event of the stream is no JSON object")
        }
        if let error = root["error"], !error.isNull { throw Broken(reason: Self.message(error)) }
        if let usage = root["usage"], usage.kind == .object {
            state.request.inputTokens = usage["prompt_tokens"]?.int
            state.request.outputTokens = usage["completion_tokens"]?.int
        }
        guard let choice = root["choices"]?[0] else { return }
        if hasText(choice, &state.request.text) {
            guard state.request.chunks.count < BenchLimits.length else {
                throw Broken(reason: "the answer has no end")
            }
            state.request.chunks.append(now)
            state.request.end = now
        }
        if choice["finish_reason"]?.kind == .string {
            if state.request.chunks.isEmpty { state.request.end = now }
            state.isEnded = true
        }
    }

    /// Whether a chunk says something: text, reasoning, or a piece of a call.
    private func hasText(_ choice: JSONValue, _ text: inout [UInt8]) -> Bool {
        if !isChat { return take(choice["text"], &text) }
        guard let delta = choice["delta"], delta.kind == .object else { return false }
        var isText = false
        for (key, value) in delta.rawMembers {
            let isCounted = key.withStringBytes { name in
                name.elementsEqual("content".utf8) || name.elementsEqual("reasoning_content".utf8)
                    || name.elementsEqual("reasoning".utf8)
            }
            if isCounted == true, take(value, &text) { isText = true }
        }
        return isText || (delta["tool_calls"]?.count ?? 0) > 0
    }

    private func take(_ value: JSONValue?, _ text: inout [UInt8]) -> Bool {
        value?.withStringBytes { bytes in
            if keepsText { text.append(contentsOf: bytes) }
            return !bytes.isEmpty
        } ?? false
    }

    // MARK: - Errors

    private static func refused(_ status: Int, _ body: [UInt8]) -> Broken {
        guard status != 200 else { return Broken(reason: "the answer is no event stream") }
        guard let root = try? JSONDocument(parsing: body).root else { return Broken(reason: "status \(status)") }
        // OpenAI's body, or FastAPI's.
        guard let error = root["error"] ?? root["detail"] ?? root["message"] else {
            return Broken(reason: "status \(status)")
        }
        return Broken(reason: "status \(status): \(message(error))")
    }

    private static func message(_ error: JSONValue) -> String {
        Text.plain(error.string ?? error["message"]?.string ?? String(decoding: error.bytes.prefix(400), as: UTF8.self))
    }
}
#endif

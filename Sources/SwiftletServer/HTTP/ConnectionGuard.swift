#if Server
// ConnectionGuard: what a connection may take, word of its end, and what is said to bytes that are no HTTP. One for each
// connection, on its event loop.
//
// Invariant: at any time one clock runs, unless a request has been read and its answer is being made: for the head, for
// the body, for the next head, or for a client that reads nothing. When it runs out the connection is closed.

import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let limits: OpenAIServerConfiguration.Limits
    private var clock: Scheduled<Void>?
    private var writeClock: Scheduled<Void>?
    /// Requests whose head came and whose answer is not complete.
    private var openRequests = 0
    private var isReading = false
    private var isInputClosed = false
    private var onClose: (@Sendable () -> Void)?
    /// Why what came is no request. Hummingbird answers it with a status alone.
    private var refusal: APIError?

    init(_ limits: OpenAIServerConfiguration.Limits) { self.limits = limits }

    /// Calls `body` when the client goes before its request is answered; at once if it has gone.
    static func whenClosed(_ channel: any Channel, _ body: @escaping @Sendable () -> Void) async throws {
        try await channel.eventLoop.submit {
            let handler = try channel.pipeline.syncOperations.handler(type: ConnectionGuard.self)
            if handler.isInputClosed || !channel.isActive { body() } else { handler.onClose = body }
        }.get()
    }

    func handlerAdded(context: ChannelHandlerContext) { startClock(limits.headSeconds, context) }

    func handlerRemoved(context: ChannelHandlerContext) { stop() }

    func channelInactive(context: ChannelHandlerContext) {
        stop()
        clientHasGone()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { clientHasGone() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(var head):
            isReading = true
            openRequests += 1
            startClock(limits.bodySeconds, context)
            // curl sends a long body a second later without this.
            if openRequests == 1, head.headerFields[.expect]?.lowercased() == "100-continue" {
                context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
            }
            // Hummingbird knows this word in small letters and alone.
            let words = head.headerFields[.connection]?.lowercased().split { $0 == "," || $0 == " " } ?? []
            if words.contains("close") {
                head.headerFields[.connection] = "close"
                return context.fireChannelRead(wrapInboundOut(.head(head)))
            }
        case .body: break
        case .end:
            isReading = false
            clock?.cancel()
        }
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A head that the parser takes and HTTPTypes does not would close the connection without a word.
        let error = error is HTTP1TypeConversionError ? HTTPParserError.unknown : error
        if let error = error as? HTTPParserError { refusal = APIError(error, limits) }
        context.fireErrorCaught(error)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head where openRequests == 0:
            guard let refusal else { break }
            let body = refusal.body
            let head = HTTPResponse(
                status: .init(code: refusal.status),
                headerFields: [
                    .contentType: "application/json", .contentLength: String(body.count), .connection: "close",
                    .requestID: RequestIDs.make(),
                ])
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            return context.write(wrapOutboundOut(.body(ByteBuffer(bytes: body))), promise: promise)
        case .end where openRequests > 0:
            openRequests -= 1
            onClose = nil
            if openRequests == 0 && !isReading { startClock(limits.keepAliveSeconds, context) }
        default: break
        }
        context.write(data, promise: promise)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        writeClock?.cancel()
        if !context.channel.isWritable { writeClock = Self.schedule(limits.writeSeconds, context) }
        context.fireChannelWritabilityChanged()
    }

    private func startClock(_ seconds: Double, _ context: ChannelHandlerContext) {
        clock?.cancel()
        clock = Self.schedule(seconds, context)
    }

    private static func schedule(_ seconds: Double, _ context: ChannelHandlerContext) -> Scheduled<Void> {
        let channel = context.channel
        return context.eventLoop.scheduleTask(in: .milliseconds(Int64(seconds * 1000))) {
            channel.close(promise: nil)
        }
    }

    private func stop() {
        clock?.cancel()
        writeClock?.cancel()
    }

    private func clientHasGone() {
        isInputClosed = true
        onClose?()
        onClose = nil
    }
}

@available(*, unavailable)
extension ConnectionGuard: Sendable {}

extension APIError {
    fileprivate init(_ error: HTTPParserError, _ limits: OpenAIServerConfiguration.Limits) {
        switch error {
        case .headerOverflow:
            self.init(
                status: 431,
                "the head of the request is too large: it may have \(limits.headerFields) fields of \(limits.headerBytes) bytes together",
                code: "headers_too_large")
        default: self.init(status: 400, "the request is not valid HTTP", code: "invalid_http")
        }
    }
}
#endif

#if Server
// OpenAIServer: the routes, what every request passes before them, and the life of the process around them.
//
// Invariant: after the signal to stop, no request is taken, and after the deadline none runs.

public import Hummingbird
import HummingbirdCore
import HummingbirdTLS
public import Logging
import NIOCore
import NIOSSL
public import ServiceLifecycle
public import Swiftlet
import UnixSignals

/// A server of the OpenAI-compatible API.
///
///     let server = try OpenAIServer(engine: llm, configuration: .init(apiKeys: ["…"]))
///     try await server.runService()                            // until SIGTERM or SIGINT
public struct OpenAIServer: Service {
    private let application: Application<RouterResponder<ServerContext>>
    private let llm: LLM
    private let state: ServerState
    private let configuration: OpenAIServerConfiguration
    private let logger: Logger

    /// - Parameters:
    ///   - engine: Stays the caller's: the server does not shut it down.
    ///   - logger: Gets a line for each request, without what was said.
    ///   - onStart: Called once with the port it listens on.
    ///   - extend: Adds routes of one's own, behind keys and logs.
    /// - Throws: ``LLMError`` when certificate or key can't be used.
    public init(
        engine llm: LLM, configuration: OpenAIServerConfiguration = OpenAIServerConfiguration(),
        logger: Logger = Logger(label: "swiftlet.server"),
        onStart: @escaping @Sendable (_ port: Int?) async -> Void = { _ in },
        extend: (Router<ServerContext>) -> Void = { _ in }
    ) throws {
        self.llm = llm
        self.configuration = configuration
        self.logger = logger
        state = ServerState()
        let router = Router(context: ServerContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: RequestLog(logger: logger))
        router.add(middleware: CrossOrigin(rules: configuration.crossOrigin))
        let page = WebPage()
        router.add(middleware: KeyCheck(configuration.apiKeys, page: page))
        router.addRoutes(OpenAIRoutes(llm, configuration.routes, state))
        page.add(to: router)
        extend(router)
        let limits = configuration.limits
        let http = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: [ConnectionGuard(limits)],
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: limits.headerBytes, maxHeaderListSize: limits.headerBytes,
                    maxHeaderFieldCount: limits.headerFields)))
        let address: BindAddress
        switch configuration.address {
        case .hostname(let host, let port): address = .hostname(host, port: port)
        }
        // Hummingbird's own lines are its inner life; the server's are written here.
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        application = Application(
            router: router,
            server: try configuration.tls.map { try .tls(http, tlsConfiguration: Self.load($0)) } ?? http,
            configuration: .init(
                address: address,
                availableConnectionsDelegate: MaximumAvailableConnections(limits.connections)),
            onServerRunning: { channel in await onStart(channel.localAddress?.port) },
            logger: quiet)
    }

    private static func load(_ files: OpenAIServerConfiguration.TLSFiles) throws -> TLSConfiguration {
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(files.certificates)
            let key = try NIOSSLPrivateKey(file: files.key, format: .pem)
            return .makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        } catch {
            throw LLMError(
                .invalidConfiguration,
                "ssl-certfile \(files.certificates) and ssl-keyfile \(files.key) can't be used: \(error)")
        }
    }

    /// Serves until its task is cancelled or its service group shuts down.
    public func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            group.addTask { try await endInTime() }
            if let seconds = configuration.statisticsInterval {
                group.addTask { try await StatisticsLog.run(llm, every: seconds, logger) }
            }
            try await group.next()
            group.cancelAll()
        }
    }

    /// Waits for the signal to stop; returns when the time for running requests is over.
    private func endInTime() async throws {
        try await gracefulShutdown()
        state.drain()
        logger.info(
            "stopping", metadata: ["running": .stringConvertible(state.runCount)])
        try await Task.sleep(for: .seconds(configuration.shutdownTimeout))
        logger.warning(
            "requests are ended after the shutdown timeout", metadata: ["running": .stringConvertible(state.runCount)])
        state.cancelAll(.shuttingDown)
        // Time to tell the clients. Whoever does not read is left.
        try await Task.sleep(for: .seconds(2))
    }

    /// Serves until SIGTERM or SIGINT.
    public func runService() async throws {
        try await ServiceGroup(
            configuration: .init(services: [self], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        ).run()
    }
}
#endif

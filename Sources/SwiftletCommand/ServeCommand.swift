#if Server
// `swiftlet serve`: the OpenAI-compatible server until a signal ends it.
// Invariant: the first SIGTERM or Ctrl-C lets what runs end in time, the second one kills.

package import ArgumentParser
import Dispatch
import Logging
import ServiceLifecycle
import Swiftlet
import SwiftletServer
import SwiftletTemplate
import Synchronization

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

package struct ServeCommand: AsyncParsableCommand, EngineCommand {
    package static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve a model over OpenAI's HTTP API.",
        discussion: """
            Routes: /v1/chat/completions, /v1/completions, /v1/models, /tokenize, /detokenize, /health, /ready, \
            /version, /metrics. Without --api-key whoever reaches the port can use the model; the default address is \
            reached from this machine only.
            """)

    @Argument(
        help: ArgumentHelp("Folder of a Hugging Face model (default: the built-in demo model).", valueName: "model"))
    package var servedModel: String?

    @OptionGroup(title: "Server options")
    package var server: ServerOptions

    @OptionGroup(title: "Engine options")
    package var engine: EngineOptions

    package init() {}

    package mutating func validate() throws {
        if servedModel != nil && engine.model != nil {
            throw ValidationError("The model is given twice, as an argument and as --model.")
        }
        engine.model = engine.model ?? servedModel
    }

    package mutating func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        // Before the model is loaded for nothing.
        let configuration = try server.configuration(modelName: engine.model, environment: environment)
        var logger = Logger(label: "swiftlet") { StreamLogHandler.standardError(label: $0) }
        let isNamed = engine.logLevel != nil || environment["SWIFTLET_LOG_LEVEL"] != nil || engine.quiet
        logger.logLevel = isNamed ? engine.logLevel(environment: environment).level : .info
        let llm = try await engine.load(environment: environment) { $0.schedulingPolicy = server.schedulingPolicy }
        let result: Result<Void, any Error>
        do {
            let quiet = engine.quiet
            let address = server.host.contains(":") ? "[\(server.host)]" : server.host
            let scheme = configuration.tls == nil ? "http" : "https"
            let service = try OpenAIServer(engine: llm, configuration: configuration, logger: logger) { port in
                if !quiet { Console.note("serving \(scheme)://\(address):\(port ?? 0)/v1") }
            }
            result = .success(try await Self.serve(service, logger))
        } catch {
            result = .failure(error)
        }
        await llm.shutdown()
        try result.get()
    }

    /// Runs until a signal.
    private static func serve(_ service: OpenAIServer, _ logger: Logger) async throws {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        let group = ServiceGroup(configuration: .init(services: [service], logger: quiet))
        let count = Mutex(0)
        let sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
            source.setEventHandler {
                let isFirst = count.withLock { count in
                    count += 1
                    return count == 1
                }
                guard isFirst else { _exit(128 + number) }
                Task { await group.triggerGracefulShutdown() }
            }
            source.resume()
            return source
        }
        // The engine's end may take a step: a signal then kills, as the system has it.
        defer {
            for source in sources { source.cancel() }
            for number in [SIGTERM, SIGINT] { signal(number, SIG_DFL) }
        }
        do {
            try await group.run()
        } catch let error as LLMError {
            throw error
        } catch {
            throw LLMError(.inputOutput, "the server can't run: \(error)")
        }
    }
}
#endif

#if Server
// ServerOptions: the options of `swiftlet serve` besides the engine's, with vLLM's names where it has them.
// Invariant: what is not given leaves the configuration's default, and none is accepted without effect.

package import ArgumentParser
package import Swiftlet
import SwiftletJSON
package import SwiftletServer

package struct ServerOptions: ParsableArguments {
    @Option(help: "Address to listen on; 0.0.0.0 is every one of this machine.")
    package var host = "127.0.0.1"

    @Option(help: "Port to listen on; 0 takes a free one.")
    package var port = 8000

    @OptionGroup package var answers: AnswerOptions

    @Option(
        help: ArgumentHelp(
            "A key that requests must have; may be given several times, also by SWIFTLET_API_KEY.", valueName: "key"))
    package var apiKey: [String] = []

    @Option(help: ArgumentHelp("A file with such keys, one in each line.", valueName: "file"))
    package var apiKeyFile: String?

    @Option(
        help: ArgumentHelp(
            "Web pages that may use the server, a JSON list such as '[\"https://example.org\"]' or '[\"*\"]'.",
            valueName: "json"))
    package var allowedOrigins: OriginList?

    @Flag(help: "Let browsers send credentials from those pages.")
    package var allowCredentials = false

    @Option(help: ArgumentHelp("Certificate chain as PEM: speak TLS.", valueName: "file"))
    package var sslCertfile: String?

    @Option(help: ArgumentHelp("The certificate's private key as PEM.", valueName: "file"))
    package var sslKeyfile: String?

    @Option(help: "Who goes first when not all fit: first come, first served, or the lowest \"priority\".")
    package var schedulingPolicy: EngineConfig.SchedulingPolicy = .fcfs

    @Option(help: ArgumentHelp("Most time for a request (default: no limit).", valueName: "seconds"))
    package var requestTimeout: Double?

    @Option(help: ArgumentHelp("Time for running requests to end after SIGTERM.", valueName: "seconds"))
    package var shutdownTimeout: Double = 30

    @Option(help: ArgumentHelp("Longest body of a request (default: 16M).", valueName: "bytes"))
    package var maxBodyBytes: Size?

    @Option(help: ArgumentHelp("Most connections at a time (default: 1024).", valueName: "count"))
    package var maxConnections: Int?

    @Flag(help: "No line of statistics in the log every ten seconds while there is something to do.")
    package var disableLogStats = false

    package init() {}

    package func validate() throws {
        guard (0...65_535).contains(port) else { throw ValidationError("--port must be in 0...65535.") }
        guard (sslCertfile == nil) == (sslKeyfile == nil) else {
            throw ValidationError("--ssl-certfile and --ssl-keyfile go together.")
        }
        if allowCredentials && allowedOrigins == nil {
            throw ValidationError("--allow-credentials needs --allowed-origins.")
        }
        if let requestTimeout, !(requestTimeout > 0 && requestTimeout < 1e7) {
            throw ValidationError("--request-timeout must be above 0.")
        }
        guard shutdownTimeout >= 0 && shutdownTimeout < 1e7 else {
            throw ValidationError("--shutdown-timeout must be 0 or more.")
        }
        if let maxBodyBytes, !(1...1 << 30).contains(maxBodyBytes.value) {
            throw ValidationError("--max-body-bytes must be in 1...1G.")
        }
        if let maxConnections, maxConnections < 1 { throw ValidationError("--max-connections must be 1 or more.") }
    }

    /// The server's configuration.
    ///
    /// - Throws: ``LLMError`` for a file that can't be read or is not what it should be.
    package func configuration(
        modelName: String?, environment: [String: String]
    ) throws(LLMError) -> OpenAIServerConfiguration {
        var routes = try answers.configuration(modelName: modelName)
        if let maxBodyBytes {
            routes.maxBodyBytes = maxBodyBytes.value
            routes.maxBodyBytesInFlight = max(routes.maxBodyBytesInFlight, maxBodyBytes.value)
        }
        routes.requestTimeout = requestTimeout
        var configuration = OpenAIServerConfiguration(
            address: .hostname(host, port: port), apiKeys: try keys(environment), routes: routes)
        if let maxConnections { configuration.limits.connections = maxConnections }
        configuration.crossOrigin = .init(
            origins: allowedOrigins?.origins ?? [], allowsCredentials: allowCredentials)
        if let sslCertfile, let sslKeyfile { configuration.tls = .init(certificates: sslCertfile, key: sslKeyfile) }
        configuration.shutdownTimeout = shutdownTimeout
        if disableLogStats { configuration.statisticsInterval = nil }
        return configuration
    }

    private func keys(_ environment: [String: String]) throws(LLMError) -> [String] {
        var keys = apiKey
        if let key = environment["SWIFTLET_API_KEY"], !key.isEmpty { keys.append(key) }
        if let apiKeyFile {
            let text = String(decoding: try Platform.readFile(apiKeyFile, limit: 1 << 20), as: UTF8.self)
            let found = text.split(whereSeparator: \.isNewline).map { String($0).trimmed }.filter { !$0.isEmpty }
            guard !found.isEmpty else { throw LLMError(.invalidConfiguration, "api-key-file \(apiKeyFile) has no key") }
            keys += found
        }
        // An empty key would let everyone in who sends an empty one.
        guard keys.allSatisfy({ !$0.isEmpty }) else { throw LLMError(.invalidConfiguration, "api-key is empty") }
        return keys
    }
}

/// A JSON list of texts.
package struct OriginList: ExpressibleByArgument, Sendable, Hashable {
    package var origins: [String]

    package init?(argument: String) {
        guard let root = try? JSONDocument(parsing: Array(argument.utf8)).root, root.kind == .array, root.count > 0
        else { return nil }
        origins = root.elements.compactMap(\.string)
        guard origins.count == root.count else { return nil }
    }
}
#endif

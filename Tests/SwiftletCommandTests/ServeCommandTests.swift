#if Server
// `swiftlet serve` as a process: it says where it listens, ends well on a signal, and refuses what can't be.

import ArgumentParser
import Swiftlet
import SwiftletCommand
import SwiftletServer
import SwiftletTemplate
import SwiftletTestSupport
import Testing

@Suite("swiftlet serve")
struct ServeCommandTests {
    /// A server that listens, and its port.
    private func start(
        _ options: [String] = [], environment: [String: String] = [:]
    ) async throws -> (RunningCommand, port: Int) {
        let command = try RunningCommand(
            ["serve"] + options + ["--port", "0", "--threads", "1", "--no-pin-threads"], environment: environment)
        try await command.wait(forError: "/v1\n")
        let address = try #require(
            command.errors.firstMatch(of: #/serving http:\/\/127\.0\.0\.1:(\d+)\/v1/#), "\(command.errors)")
        return (command, try #require(Int(address.1)))
    }

    @Test("It says where it listens and ends well on Ctrl-C")
    func signal() async throws {
        let (command, _) = try await start()
        command.interrupt()
        let result = try await command.finish()
        #expect(result.code == 0, "\(result.errors)")
        #expect(result.output.isEmpty)
    }

    @Test("The second signal kills at once", arguments: [false, true])
    func secondSignal(isTerminal: Bool) async throws {
        let (command, port) = try await start()
        // A request that does not come to its end keeps the server from ending, once it has begun to read it.
        let connection = try RawConnection(port: port)
        await connection.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        #expect(await connection.receive(until: "\r\n\r\n")?.hasPrefix("HTTP/1.1 200") == true)
        await connection.send(
            "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
        let other = try RawConnection(port: port)
        await other.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        #expect(await other.receive(until: "\r\n\r\n")?.hasPrefix("HTTP/1.1 200") == true)
        func signal() { if isTerminal { command.interrupt() } else { command.requestEnd() } }
        signal()
        try await command.wait(forError: "stopping")
        try await Task.sleep(for: .milliseconds(100))
        signal()
        let result = try await command.finish()
        #expect(result.code == (isTerminal ? 130 : 143), "\(result.errors)")
        connection.close()
    }

    @Test("A model of the hub goes by its name on the hub")
    func hubModel() async throws {
        let folder = try TemporaryFolder()
        let model = try folder.writeModel()
        let commit = String(repeating: "a", count: 40)
        let cache = "hub/models--some-org--Some-Model"
        try folder.makeFolder("\(cache)/snapshots/\(commit)")
        try folder.makeFolder("\(cache)/refs")
        try folder.write(commit, "\(cache)/refs/main")
        try folder.write(try #require(readFile(model + "/config.json")), "\(cache)/snapshots/\(commit)/config.json")
        let (command, port) = try await start(
            ["some-org/Some-Model", "--load-format", "dummy", "--num-gpu-blocks-override", "1100"],
            environment: ["HF_HOME": folder.path, "HF_HUB_OFFLINE": "1"])
        let connection = try RawConnection(port: port)
        await connection.send("GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        let reply = await connection.receive(until: "}]}")
        #expect(reply?.contains(#""id":"some-org/Some-Model","object":"model""#) == true, "\(reply ?? "nothing")")
        connection.close()
        command.interrupt()
        #expect(try await command.finish().code == 0)
    }

    @Test(
        "Options that can't be are usage errors",
        arguments: [
            ["--port", "65536"], ["--ssl-certfile", "x"], ["--allow-credentials"], ["--allowed-origins", "x"],
            ["--request-timeout", "0"], ["--tool-call-parser", "x"], ["--max-body-bytes", "2G"], ["a", "--model", "b"],
        ])
    func usage(options: [String]) async throws {
        let result = try await RunningCommand.run(["serve"] + options)
        #expect(result.code == 64, "\(options): \(result.errors)")
    }

    @Test("Files that can't be used end it before a model is loaded", arguments: ["--api-key-file", "--chat-template"])
    func files(option: String) async throws {
        let result = try await RunningCommand.run(["serve", option, "/no/such/file"])
        #expect(result.code == 1 && result.errors.contains("/no/such/file"))
    }

    @Test("Keys come from options, a file and the environment")
    func keys() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("one\n\n  two  \r\n", "keys")
        let options = try ServerOptions.parse(["--api-key", "three", "--api-key-file", folder.path + "/keys"])
        let configuration = try options.configuration(modelName: nil, environment: ["SWIFTLET_API_KEY": "four"])
        #expect(configuration.apiKeys.sorted() == ["four", "one", "three", "two"])
        #expect(configuration.routes.modelNames == ["demo"])
        _ = try folder.write("\n", "keys")
        #expect(throws: LLMError.self) { try options.configuration(modelName: nil, environment: [:]) }
        let empty = try ServerOptions.parse(["--api-key", ""])
        #expect(throws: LLMError.self) { try empty.configuration(modelName: nil, environment: [:]) }
    }

    @Test("Options become the configuration")
    func configuration() throws {
        let options = try ServerOptions.parse([
            "--host", "::1", "--port", "0", "--served-model-name", "a", "b", "--allowed-origins", #"["https://x"]"#,
            "--request-timeout", "2.5", "--shutdown-timeout", "7", "--max-body-bytes", "1G", "--max-connections", "9",
            "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3", "--no-enable-auto-tool-choice",
            "--disable-log-stats",
        ])
        let configuration = try options.configuration(modelName: "m", environment: [:])
        #expect(configuration.address == .hostname("::1", port: 0))
        #expect(configuration.routes.modelNames == ["a", "b"] && configuration.crossOrigin.origins == ["https://x"])
        #expect(configuration.routes.requestTimeout == 2.5 && configuration.shutdownTimeout == 7)
        #expect(configuration.routes.maxBodyBytes == 1 << 30 && configuration.limits.connections == 9)
        #expect(configuration.routes.maxBodyBytesInFlight >= 1 << 30 && !configuration.routes.enablesAutoToolChoice)
        #expect(configuration.statisticsInterval == nil)
        #expect(try ServerOptions.parse([]).configuration(modelName: nil, environment: [:]).statisticsInterval == 10)
        #expect(configuration.routes.toolCallFormat == .hermes && configuration.routes.reasoningFormat == .qwen3)
    }
}
#endif

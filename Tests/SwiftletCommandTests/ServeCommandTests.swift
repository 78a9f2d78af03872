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
    @Test("It says where it listens and ends well on Ctrl-C")
    func signal() async throws {
        let command = try RunningCommand(["serve", "--port", "0", "--threads", "1", "--no-pin-threads"])
        try await command.wait(forError: "serving http://127.0.0.1:")
        command.interrupt()
        let result = try await command.finish()
        #expect(result.code == 0, "\(result.errors)")
        #expect(result.output.isEmpty)
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
        ])
        let configuration = try options.configuration(modelName: "m", environment: [:])
        #expect(configuration.address == .hostname("::1", port: 0))
        #expect(configuration.routes.modelNames == ["a", "b"] && configuration.crossOrigin.origins == ["https://x"])
        #expect(configuration.routes.requestTimeout == 2.5 && configuration.shutdownTimeout == 7)
        #expect(configuration.routes.maxBodyBytes == 1 << 30 && configuration.limits.connections == 9)
        #expect(configuration.routes.maxBodyBytesInFlight >= 1 << 30 && !configuration.routes.enablesAutoToolChoice)
        #expect(configuration.routes.toolCallFormat == .hermes && configuration.routes.reasoningFormat == .qwen3)
    }
}
#endif

// What `--help` says is part of the interface: a change of it must be wanted. Tools/docs/update-help-snapshots rewrites
// the snapshots in Tests/Fixtures/help.

import Swiftlet
import SwiftletTestSupport
import Testing

@Suite("Help texts")
struct HelpTests {
    #if Server
    /// With the trait Server only; without it the list of commands is shorter.
    static let serverCommands = [
        "swiftlet", "swiftlet serve", "swiftlet pull", "swiftlet bench", "swiftlet bench serve",
    ]
    #else
    static let serverCommands: [String] = []

    @Test("Without the trait Server there are no downloads and no server")
    func withoutServer() async throws {
        let finished = try await RunningCommand.run(["--help"])
        #expect(finished.code == 0 && finished.output.contains("generate") && !finished.output.contains("pull"))
        #expect(!finished.output.contains("serve "))
    }
    #endif

    static let commands =
        serverCommands + [
            "swiftlet generate", "swiftlet chat", "swiftlet run-batch", "swiftlet tokenize", "swiftlet template",
            "swiftlet info", "swiftlet bench throughput", "swiftlet bench latency", "swiftlet bench roofline",
            "swiftlet bench ablation", "swiftlet bench ranks", "swiftlet bench tokenizer", "swiftlet selftest",
        ]

    @Test("The help is the snapshot", arguments: commands)
    func snapshot(command: String) async throws {
        let words = command.split(separator: " ").map(String.init)
        let finished = try await RunningCommand.run(Array(words.dropFirst()) + ["--help"])
        let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
        let path = "/\(folder)/Fixtures/help/\(words.joined(separator: "-")).txt"
        let expected = String(decoding: try Platform.readFile(path, limit: 1 << 20), as: UTF8.self)
        #expect(finished.code == 0)
        #expect(finished.output == expected, "run Tools/docs/update-help-snapshots if this is what it should say")
    }
}

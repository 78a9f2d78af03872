// `swiftlet chat` as a process: on a pseudo terminal and through pipes.

import SwiftletCommand
import SwiftletJSON
import SwiftletTestSupport
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

@Suite("swiftlet chat", .serialized)
struct ChatTests {
    /// Greedy and with small blocks, so that short turns fill some.
    private static let options = ["chat", "--temperature", "0", "--block-size", "16", "--max-tokens", "24"]

    /// A random model with the demo model's tokenizer and a long context, which goes on until it is stopped.
    private func endless(_ folder: TemporaryFolder) throws -> [String] {
        let model = try folder.writeModel()
        let config = try #require(folder.read("model/config.json"))
        try folder.write(config.replacing("512", with: "3072"), "model/config.json")
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return [
            "chat", "--model", model, "--load-format", "dummy", "--num-gpu-blocks-override", "1100", "--seed", "1",
            "--threads", "1", "--ignore-eos", "--tokenizer", "/\(root)/Sources/CSwiftletDemoModel/model",
        ]
    }

    private func messages(_ text: String?) throws -> [[String]] {
        let root = try JSONDocument(parsing: Array(try #require(text).utf8)).root
        return try #require(root["messages"]).elements.map { [$0["role"]?.string ?? "", $0["content"]?.string ?? ""] }
    }

    // MARK: Pipes

    @Test("Each line of a pipe is answered in turn, and only answers are on standard output")
    func pipe() async throws {
        let folder = try TemporaryFolder()
        let file = folder.path + "/chat.json"
        let piped = try await RunningCommand.run(
            Self.options + ["--system", "Be brief."],
            standardInput: "Who are you?\n\nAnd what is a\\\nKV cache?\n/params\n/save \(file)\n")
        #expect(piped.code == 0, "\(piped.errors)")
        #expect(piped.errors.contains("temperature=0") && piped.errors.contains("5 messages in"))
        let saved = try messages(folder.read("chat.json"))
        #expect(saved.map { $0[0] } == ["system", "user", "assistant", "user", "assistant"])
        #expect(
            saved[0][1] == "Be brief." && saved[1][1] == "Who are you?" && saved[3][1] == "And what is a\nKV cache?")
        let answers = [saved[2][1], saved[4][1]].map { $0.hasSuffix("\n") ? $0 : $0 + "\n" }
        #expect(piped.output == answers.joined() && !answers[0].isEmpty)
        #expect(folder.names == ["chat.json"])

        // The saved conversation goes on as if it had never ended: the last answer again is the same.
        let loaded = try await RunningCommand.run(
            Self.options + ["--quiet"], standardInput: "/load \(file)\n/retry\n/undo\n/undo\n/save \(file)\n")
        #expect(loaded.code == 0 && loaded.output == answers[1], "\(loaded.errors)")
        #expect(try messages(folder.read("chat.json")) == [["system", "Be brief."]])
    }

    @Test("A question in the arguments is answered, whatever is on standard input")
    func question() async throws {
        let one = try await RunningCommand.run(Self.options + ["--quiet", "Who are you?"], standardInput: "Nobody\n")
        let piped = try await RunningCommand.run(Self.options + ["--quiet"], standardInput: "Who are you?")
        #expect(one.code == 0 && piped.code == 0 && one.errors.isEmpty && piped.errors.isEmpty)
        #expect(one.output == piped.output && one.output.count > 4)
    }

    @Test("What goes wrong costs its own line, and is said")
    func failures() async throws {
        let folder = try TemporaryFolder()
        let bad: [(file: String, message: String)] = [
            ("{", "is no JSON"), ("{}", "has no messages"), (#"{"messages": 5}"#, "has no messages"),
            (#"[{"role": "user"}]"#, "message 1: its content"), (#"[{"content": "x"}]"#, "message 1: it has no role"),
            (#"[{"role": "pope", "content": "x"}]"#, "pope"), (#"[7]"#, "message 1"),
            (#"[{"role": "user", "content": "x"}, {"role": "system", "content": "x"}]"#, "message 2: a system"),
            (#"[{"role": "user", "content": "x", "tool_calls": []}]"#, "tool_calls"),
            (String(repeating: "[", count: 100_000), "nesting"),
        ]
        for (index, bad) in bad.enumerated() { try folder.write(bad.file, "\(index)") }
        var lines = bad.indices.map { "/load \(folder.path)/\($0)\n" }
        lines += ["/nonsense\n", "/load\n", "/load \(folder.path)/none\n", "/save \(folder.path)/none/x\n", "/undo\n"]
        lines += ["/params temperature=-1\n", "/params hot=1\n", "/params n=2\n", "/params x\n", "/retry\n"]
        lines += ["/params temperature=0.25 stop=END\n", "/save \(folder.path)/out\n"]
        let result = try await RunningCommand.run(Self.options + ["--quiet"], standardInput: lines.joined())
        #expect(result.code == 1 && result.output.isEmpty)
        let errors = result.errors.split(separator: "\n").filter { $0.hasPrefix("error: ") }
        #expect(errors.count == lines.count - 2, "\(result.errors)")
        for (error, bad) in zip(errors, bad) { #expect(error.contains(bad.message), "\(error)") }
        #expect(errors[bad.count].contains("there is no /nonsense") && errors[bad.count].contains("/system"))
        #expect(
            result.errors.contains("temperature is -1.0; it must be") && result.errors.contains("\"hot\" is not known"))
        #expect(result.errors.contains("temperature=0.25") && result.errors.contains(#"stop=["END"]"#))
        #expect(try messages(folder.read("out")).isEmpty)

        for arguments in [["--chat-template-kwargs", "[1]"], ["--top-p", "0"], ["-n", "2"]] {
            #expect(try await RunningCommand.run(["chat"] + arguments).code == 64)
        }
        try folder.write("{% if %}", "template")
        let template = try await RunningCommand.run(["chat", "--chat-template", folder.path + "/template", "x"])
        #expect(template.code == 1 && template.errors.contains("/template: line 1"))
    }

    @Test("A conversation that outgrows the context says what to do, and the one before goes on")
    func fullContext() async throws {
        let long = String(repeating: "word ", count: 400)
        let result = try await RunningCommand.run(
            Self.options + ["--quiet", "--max-model-len", "128"], standardInput: "Hi\n\(long)\nHi\n")
        #expect(result.code == 1 && result.output.split(separator: "\n").count >= 2)
        #expect(result.errors.hasPrefix("error: the conversation has ") && result.errors.contains("/undo"))
        #expect(result.errors.contains("holds 128") && result.errors.contains("--max-model-len"))
    }

    @Test("Ctrl-C ends a chat through pipes")
    func interruptPipe() async throws {
        let folder = try TemporaryFolder()
        let command = try RunningCommand(endless(folder), standardInput: "Hi\n")
        try await command.waitForOutput()
        command.interrupt()
        let result = try await command.finish()
        #expect(result.code == 130 && !result.output.isEmpty, "\(result.errors)")
    }

    // MARK: A terminal

    @Test("A conversation on a terminal: editing, history, cached turns, the end")
    func terminal() async throws {
        let terminal = try PseudoTerminal(Self.options)
        try await terminal.wait(for: "Ctrl-D ends.")
        try await terminal.wait(for: "> ")
        #expect(!terminal.isAsFound)
        terminal.type("Wo are you?\u{01}\u{1B}[Ch\r")
        try await terminal.wait(for: "0 of ")
        let first = try await terminal.wait(for: " prompt tokens cached")
        let promptTokens = try #require(Int(first.prefix { $0.isNumber }))
        terminal.type("\u{1B}[A\r")
        try await terminal.wait(for: "Who are you?")
        _ = try await terminal.wait(for: "; first after")
        let second = try await terminal.wait(for: " prompt tokens cached").split(separator: " ")
        let cached = try #require(second.firstIndex(of: "of").flatMap { Int(second[$0 - 1]) })
        // All whole blocks of the first prompt, and more when its answer reads back as it was written.
        #expect(cached >= promptTokens / 16 * 16 && cached > 0)
        terminal.type("/he\t\r")
        try await terminal.wait(for: "/params [NAME=VALUE …]")
        terminal.type("/exit\r")
        #expect(try await terminal.finish() == 0)
        #expect(terminal.isAsFound)
    }

    @Test("Ctrl-C stops the answer and not the program; what came stays")
    func interruptAnswer() async throws {
        let folder = try TemporaryFolder()
        let terminal = try PseudoTerminal(endless(folder) + ["--quiet"])
        try await terminal.wait(for: "> ")
        terminal.type("Hi\r")
        try await terminal.wait(for: "Hi")
        try await Task.sleep(for: .milliseconds(500))
        terminal.type("\u{03}")
        try await terminal.wait(for: "(stopped)")
        try await terminal.wait(for: "> ")
        terminal.type("/save \(folder.path)/out\r")
        try await terminal.wait(for: "2 messages in ")
        let saved = try messages(folder.read("out"))
        #expect(saved.map { $0[0] } == ["user", "assistant"] && saved[1][1].utf8.count > 20)
        // On a line it clears the line; on an empty one the second one ends.
        try await terminal.wait(for: "> ")
        terminal.type("abc\u{03}")
        try await terminal.wait(for: "abc")
        terminal.type("\u{03}")
        try await terminal.wait(for: "Ctrl-C again")
        terminal.type("\u{03}")
        #expect(try await terminal.finish() == 130)
        #expect(terminal.isAsFound)
    }

    @Test("The terminal is as it was found when a signal ends or stops the program")
    func signals() async throws {
        let terminal = try PseudoTerminal(Self.options + ["--quiet"])
        try await terminal.wait(for: "> ")
        terminal.type("abc")
        try await terminal.wait(for: "abc")
        terminal.type("\u{1A}")
        #expect(try await terminal.finish(stopped: true) == 128 + SIGSTOP)
        #expect(terminal.isAsFound)
        terminal.send(SIGCONT)
        try await terminal.wait(for: "abc")
        terminal.resize(columns: 20, rows: 5)
        terminal.type("def")
        try await terminal.wait(for: "abcdef")
        #expect(!terminal.isAsFound)
        terminal.send(SIGTERM)
        #expect(try await terminal.finish() == 128 + SIGTERM)
        #expect(terminal.isAsFound)
    }

    @Test("A terminal that can't move its cursor gets plain lines")
    func dumbTerminal() async throws {
        let terminal = try PseudoTerminal(Self.options + ["--quiet"], environment: ["TERM=dumb"])
        try await terminal.wait(for: "> ")
        #expect(terminal.isAsFound)
        terminal.type("Who are you?\n")
        try await terminal.wait(for: "Who are you?")
        let answer = try await terminal.wait(for: "\r\n> ")
        #expect(answer.count > 8 && !answer.contains("\u{1B}"))
        terminal.type("\u{04}")
        #expect(try await terminal.finish() == 0)
    }
}

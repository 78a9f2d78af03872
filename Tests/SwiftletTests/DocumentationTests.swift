// The documentation says what the code says: every relative link leads somewhere, every `symbol` link names the line that
// declares it, every option of a shown command exists, and the shown commands run.
// Reads README.md and the other documents from the package's root, found from this file's own place.
//
// Invariant: Tools/docs/update-line-references finds a declaration by the same rules as Declarations does.

import Foundation
import Swiftlet
import Testing

@Suite("Documentation", .serialized)
struct DocumentationTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// README.md and its neighbours, and everything in Docs.
    static let documents: [String] = {
        let files = FileManager.default
        let top = (try? files.contentsOfDirectory(atPath: root.path)) ?? []
        let docs = (try? files.contentsOfDirectory(atPath: root.path + "/Docs")) ?? []
        return (top + docs.map { "Docs/" + $0 }).filter { $0.hasSuffix(".md") }.sorted()
    }()

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    // MARK: - Links

    @Test("Every relative link leads to a file, every line reference to its symbol's declaration", arguments: documents)
    func links(document: String) throws {
        let markdown = Markdown(try Self.text(document))
        let folder = Self.root.appending(path: document).deletingLastPathComponent()
        for link in markdown.links where !link.target.contains("://") && !link.target.hasPrefix("mailto:") {
            let parts = link.target.split(separator: "#", omittingEmptySubsequences: false).map(String.init)
            let file = parts[0].isEmpty ? Self.root.appending(path: document) : folder.appending(path: parts[0])
            guard FileManager.default.fileExists(atPath: file.path) else {
                Issue.record("\(document):\(link.line): \(link.target) leads nowhere")
                continue
            }
            if file.pathExtension == "md", parts.count == 2 {
                let headings = Markdown(try String(contentsOf: file, encoding: .utf8)).headings
                #expect(headings.contains(parts[1]), "\(document):\(link.line): no heading #\(parts[1])")
            }
            guard ["swift", "c", "h"].contains(file.pathExtension) else { continue }
            let line = parts.count == 2 ? Int(parts[1].dropFirst()) : nil
            #expect(parts.count == 1 || line != nil, "\(document):\(link.line): \(link.target) is no line")
            guard let symbol = link.symbol else {
                #expect(line == nil, "\(document):\(link.line): a line without a symbol can't be checked")
                continue
            }
            let declared = Declarations(try String(contentsOf: file, encoding: .utf8)).line(of: symbol)
            #expect(declared != nil, "\(document):\(link.line): \(parts[0]) does not declare \(symbol)")
            guard let line, let declared else { continue }
            #expect(
                line == declared,
                "\(document):\(link.line): \(symbol) is on line \(declared); run Tools/docs/update-line-references")
        }
    }

    @Test("The documents are there, and the article has its line references")
    func thereIsSomethingToCheck() throws {
        #expect(Self.documents.contains("README.md") && Self.documents.count > 5)
        let article = Markdown(try Self.text("Docs/ReadTheEngineInAnHour.md"))
        #expect(article.links.count { $0.symbol != nil && $0.target.contains("#L") } >= 40)
    }

    @Test("README's tables of models are the code's own: Tools/docs/update-supported-models")
    func supportedModels() throws {
        let parts = try Self.text("README.md").split(separator: "<!-- supported -->\n")
        try #require(parts.count == 2)
        let table = try #require(parts[1].split(separator: "<!-- end -->").first)
        #expect(String(table) == SupportedModels.markdown)
        #expect(table.contains("| Qwen3 | `Qwen3ForCausalLM` |") && table.contains("`yarn`"))
    }

    @Test("A wrong line, a missing symbol and a word in a comment are noticed")
    func declarationsAreFound() {
        let swift = Declarations(
            """
            // schedule() is spoken of here
            struct Other { func run() {} }
            final class Scheduler {
                /// run
                func run() { schedule() }
                private(set) var count = 0
                init(_ x: Int) {}
                func schedule() {}
            }
            """)
        #expect(swift.line(of: "Scheduler") == 3 && swift.line(of: "Scheduler.run()") == 5)
        #expect(swift.line(of: "Other.run()") == 2 && swift.line(of: "Scheduler.count") == 6)
        #expect(swift.line(of: "Scheduler.init()") == 7 && swift.line(of: "schedule()") == 8)
        #expect(swift.line(of: "Scheduler.stop()") == nil && swift.line(of: "Sched") == nil)
        let kernel = Declarations(
            """
            // multiply
            INLINE void NAMED(multiply)(int rows) {
                multiply(3);
            enum {
                ROWS = 96,  // of something
            };
            """)
        #expect(kernel.line(of: "multiply()") == 2 && kernel.line(of: "ROWS") == 5 && kernel.line(of: "rows") == nil)
    }

    // MARK: - Code

    /// What the example prints belongs to the reader's terminal, not behind the test run's summary.
    private func print(_ items: Any..., terminator: String = "\n") {}

    @Test("The README's example compiles and runs, as this function's body")
    func example() async throws {
        let llm = try await LLM()  // the demo model; LLM("path/to/Qwen3-0.6B") is a folder's
        let outputs = try await llm.generate(
            ["Hello, my name is", "The capital of France is"],
            SamplingParams(temperature: 0.8, topP: 0.95, maxTokens: 64))
        for output in outputs { print(output.prompt ?? "", output.text) }

        for try await delta in llm.stream("Once upon a time", SamplingParams(temperature: 0.7, seed: 42)) {
            print(delta.text, terminator: "")  // text as it comes
        }

        let reply = try await llm.chat([.system("Be brief."), .user("What is a paged KV cache?")])
        print(reply.text)
        await llm.shutdown()
    }

    @Test("The README shows that example")
    func exampleIsShown() throws {
        func lines(_ path: String) throws -> [String] {
            try Self.text(path).split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        }
        let (readme, test) = (try lines("README.md"), try lines("Tests/SwiftletTests/DocumentationTests.swift"))
        let fence = try #require(readme.firstIndex(of: "```swift"))
        #expect(readme[fence + 1] == "import Swiftlet")
        let shown = readme[(fence + 2)...].prefix { $0 != "```" }
        let start = try #require(test.firstIndex(of: "func example() async throws {")) + 1
        #expect(shown.count > 5 && Array(test[start...].prefix(shown.count)) == Array(shown))
        #expect(test[start + shown.count] == "}")
    }

    // MARK: - Commands

    @Test("Every option of a shown command exists", arguments: documents)
    func options(document: String) throws {
        for command in Markdown(try Self.text(document)).commands {
            let words = command.text.split(whereSeparator: \.isWhitespace).map(String.init)
            guard let start = words.lastIndex(where: { $0 == "swiftlet" || $0.hasSuffix("/swiftlet") }) else {
                continue
            }
            let arguments = words[(start + 1)...].prefix { !["|", ">", "&&"].contains($0) }
            let subcommand = arguments.prefix { $0.contains(/^[a-z][a-z-]*$/) }.joined(separator: " ")
            #if !Server
            if ["pull", "serve"].contains(subcommand) { continue }
            #endif
            let help = try Shell.run("swiftlet \(subcommand) --help").output
            let place = "\(document):\(command.line)"
            #expect(help.contains("USAGE: swiftlet \(subcommand)"), "\(place): no command \(subcommand)")
            var known = Set(help.split { !($0.isLetter || $0.isNumber || $0 == "-") }.map(String.init))
            known.insert("--generate-completion-script")  // ArgumentParser's own, not in the help
            for option in arguments where option.hasPrefix("-") {
                let name = String(option.prefix { $0 != "=" })
                #expect(known.contains(name), "\(place): \(command.text): there is no \(name)")
            }
        }
    }

    @Test("Commands for the demo model run", arguments: documents)
    func commandsRun(document: String) throws {
        let markdown = Markdown(try Self.text(document))
        for command in markdown.commands where command.isSelfContained {
            // Any model will do: the demo model's files lie in the repository.
            let model = "\(Self.root.path)/Sources/CSwiftletDemoModel/model"
            let text = command.text.replacing(/(--model|-m) \S+/) { "\($0.1) \(model)" }
            let result = try Shell.run(text, files: ["in.jsonl": markdown.requests])
            let place = "\(document):\(command.line): \(command.text)"
            #expect(result.code == 0, "\(place): \(result.errors)")
            #expect(!result.output.isEmpty || command.text.contains("--output"), "\(place): no output")
        }
    }
}

/// What is checked of a Markdown file.
struct Markdown {
    struct Link {
        var line: Int
        var target: String
        /// The label, when it is code and no path.
        var symbol: String?
    }

    struct Command {
        var line: Int
        var text: String
        /// Not in a fence that says `text`: there lie commands that are meant to fail.
        var isRun: Bool
        /// Needs no file but in.jsonl and a model's folder.
        var isSelfContained: Bool {
            let isPlain = text.hasPrefix("swiftlet ") || text.contains("| swiftlet ")
            return isRun && isPlain && !text.contains(" > ")
        }
    }

    private(set) var links: [Link] = []
    private(set) var commands: [Command] = []
    private(set) var headings: Set<String> = []
    /// Lines of JSON shown in fences: what in.jsonl holds.
    private(set) var requests = ""

    init(_ text: String) {
        var fence: String?
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.hasPrefix("```") {
                fence = fence == nil ? String(line.dropFirst(3)) : nil
            } else if let language = fence {
                if ["", "sh", "text"].contains(language) {
                    readCode(String(line), index + 1, isRun: language != "text")
                }
            } else {
                readProse(String(line), index + 1)
            }
        }
    }

    private mutating func readCode(_ line: String, _ number: Int, isRun: Bool) {
        if line.contains(/(^|\s|\/)swiftlet\s/) && !line.contains("swift build") {
            // A remark behind the command is none of its arguments.
            let command = line.replacing(/\s+# .*$/, with: "").trimmingCharacters(in: .whitespaces)
            commands.append(Command(line: number, text: command, isRun: isRun))
        }
        if line.hasPrefix("{\"id\"") && line.contains("prompt") { requests += line + "\n" }
    }

    private mutating func readProse(_ line: String, _ number: Int) {
        if let heading = line.firstMatch(of: /^#+ (.*)$/) {
            let slug = heading.1.lowercased().filter { $0.isLetter || $0.isNumber || " -_".contains($0) }
            headings.insert(slug.replacing(" ", with: "-"))
        }
        for match in line.matches(of: /\[([^\]]*)\]\(([^)\s]+)\)/) {
            var symbol: String?
            if let code = match.1.wholeMatch(of: /`([^`\/]+)`/)?.1, !code.contains(/\.(swift|c|h)$/) {
                symbol = String(code)
            }
            links.append(Link(line: number, target: String(match.2), symbol: symbol))
        }
        for match in line.matches(of: /(?:src|srcset)="([^"]+)"/) {
            links.append(Link(line: number, target: String(match.1), symbol: nil))
        }
    }
}

/// Where a source file declares its names: `Type`, `name()`, `Type.name`, `Type.init()`. The first declaration counts, after
/// that of `Type` where one is named; with parentheses, of a function. In C it is the first line that begins with a word
/// and has the name, or the enumerator.
struct Declarations {
    private let lines: [String]

    init(_ source: String) {
        lines = source.split(separator: "\n", omittingEmptySubsequences: false).map {
            // Comments declare nothing.
            String($0).replacing(/(^|\s)\/\/.*$/, with: "")
        }
    }

    func line(of symbol: String) -> Int? {
        let names = symbol.prefix { $0 != "(" }.split(separator: ".").map(String.init)
        var first = 0
        var found: Int?
        for (index, name) in names.enumerated() {
            let last = !symbol.contains("(") ? "other" : name == "init" ? "initializer" : "function"
            let pattern = Self.pattern(index < names.count - 1 ? "type" : last)
            guard let regex = try? Regex(pattern.replacing("NAME", with: name)) else { return nil }
            found = lines[first...].firstIndex { $0.contains(regex) }
            guard let found else { return nil }
            first = found
        }
        return found.map { $0 + 1 }
    }

    private static func pattern(_ kind: String) -> String {
        switch kind {
        case "type": #"\b(class|struct|enum|protocol|extension) NAME\b"#
        case "function": #"\bfunc NAME\b|^[A-Za-z_][^;=]*\bNAME\)?\("#
        case "initializer": #"^\s*((public|package|private|fileprivate|convenience) )*NAME[?]?[(<]"#
        default:
            #"\b(var|let|class|struct|enum|protocol|extension|case|typealias|associatedtype) (\w+, )*NAME\b"#
                + #"|^(#define |typedef |[}] )(.* )?NAME\b|^    (\w+ = \d+, )*NAME = [^;]*,"#
        }
    }
}

/// `/bin/sh` with the built command in its path.
enum Shell {
    static func run(
        _ command: String, files: [String: String] = [:]
    ) throws -> (code: Int32, output: String, errors: String) {
        let folder = TemporaryFolder()
        for (name, contents) in files { folder.write(name, contents) }
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", "(\(command)) > .out 2> .err"]
        process.currentDirectoryURL = URL(filePath: folder.path)
        process.environment = ["PATH": try binaryFolder() + ":/usr/bin:/bin"]
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        func read(_ name: String) -> String {
            (try? String(contentsOf: URL(filePath: folder.path + "/" + name), encoding: .utf8)) ?? ""
        }
        return (process.terminationStatus, read(".out"), read(".err"))
    }

    /// The command lies beside the test bundle, which is what runs.
    private static func binaryFolder() throws -> String {
        let paths = CommandLine.arguments.filter { $0.contains(".xctest") } + [Bundle.main.executablePath ?? ""]
        for path in paths {
            let folder = URL(filePath: path).deletingLastPathComponent().path
            if FileManager.default.isExecutableFile(atPath: folder + "/swiftlet") { return folder }
        }
        throw CocoaError(.fileNoSuchFile, userInfo: [NSFilePathErrorKey: "swiftlet, beside the tests"])
    }
}

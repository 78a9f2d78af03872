// `swiftlet tokenize` and `swiftlet bench tokenizer`: lines of a file, single texts, and folders without a tokenizer.

import Swiftlet
import SwiftletCommand
import SwiftletJSON
import SwiftletTestSupport
import SwiftletTokenizer
import Testing

@Suite("Tokenize")
struct TokenizeTests {
    private static let tokenizer = """
        {"added_tokens":[{"content":"<s>","special":true}],
         "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],
          "special_tokens":{"<s>":{"ids":[4]}}},
         "decoder":{"type":"Fuse"},"model":{"type":"BPE","vocab":{"a":0,"b":1,"\\n":2,"ab":3,"<s>":4},"merges":["a b"]}}
        """

    private func folder() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.write(Self.tokenizer, "tokenizer.json")
        return folder
    }

    @Test("Every line is answered in order, bad ones with an error")
    func lines() async throws {
        let folder = try folder()
        let input = try folder.write(
            """
            {"text": "aba"}

            {"text": "ab", "add_special_tokens": false}
            {"ids": [4, 3, 0]}
            {"ids": [4, 3, 0, 99], "skip_special_tokens": true}
            {"ids": [4, "x"]}
            """, "in.jsonl")
        let expected = """
            {"ids":[4,3,0]}
            {"ids":[3]}
            {"text":"<s>aba"}
            {"text":"aba"}
            {"error":"line 6: \\"ids\\"[1] is a string; it must be a token id"}

            """
        let piped = try await RunningCommand.run(["tokenize", "-m", folder.path, "-i", input])
        #expect(piped.code == 1 && piped.output == expected)
        #expect(piped.errors.hasPrefix("error: 1 of 5 lines failed; the first: line 6: "))
        let output = folder.path + "/out.jsonl"
        let filed = try await RunningCommand.run(
            ["tokenize", "--model", folder.path + "/tokenizer.json", "--input", input, "--output", output])
        #expect(filed.code == 1 && filed.output.isEmpty && folder.read("out.jsonl") == expected)
        #expect(folder.read("out.jsonl.partial") == nil)
        let defaults = try await RunningCommand.run(
            ["tokenize", "-m", folder.path, "-i", "-", "-o", "-", "--no-add-special-tokens", "--skip-special-tokens"],
            standardInput: "{\"text\": \"a\"}\n{\"ids\": [4, 0]}")
        #expect(defaults.code == 0 && defaults.output == "{\"ids\":[0]}\n{\"text\":\"a\"}\n")
    }

    @Test("One text, from an argument or standard input, and back")
    func once() async throws {
        let folder = try folder()
        let model = ["tokenize", "-m", folder.path]
        let text = try await RunningCommand.run(model + ["ab\na"])
        #expect(text.code == 0 && text.output == "4\t<s>\n3\tab\n2\t\\n\n0\ta\n")
        let piped = try await RunningCommand.run(model + ["--json"], standardInput: "ab\n")
        #expect(piped.output == "{\"ids\":[4,3],\"tokens\":[\"<s>\",\"ab\"]}\n")
        let ids = try await RunningCommand.run(model + ["--decode", "[4,", "3]", "0"])
        #expect(ids.code == 0 && ids.output == "<s>aba\n")
        let skipped = try await RunningCommand.run(model + ["--decode", "--skip-special-tokens", "--json", "4 3"])
        #expect(skipped.output == "{\"text\":\"ab\"}\n")
        let demo = try await RunningCommand.run(["tokenize", "Hello"])
        #expect(demo.code == 0 && demo.output.hasSuffix("\tHello\n"))
        for wrong in [["--decode", "x"], ["two", "texts"], ["-o", "x"], ["-i", "x", "text"]] {
            #expect(try await RunningCommand.run(model + wrong).code == 64, "\(wrong)")
        }
    }

    @Test("Colours show where tokens begin")
    func colors() throws {
        let tokenizer = try Tokenizer(json: Array(Self.tokenizer.utf8))
        let report = TokenizeReport(tokenizer.encode("ab\n", addSpecialTokens: false), tokenizer)
        #expect(
            report.colored == "\u{1B}[30;106mab\u{1B}[0m\u{1B}[30;103m\\n\u{1B}[0m\n"
                + "\u{1B}[30;106m 3 \u{1B}[0m\u{1B}[30;103m 2 \u{1B}[0m\n")
        #expect(report.plain == "3\tab\n2\t\\n\n")
        #expect(!Console.usesColor(on: .standardOutput, environment: ["NO_COLOR": "1"]))
    }

    @Test(
        "A folder with another project's tokenizer is told what is missing",
        arguments: [
            ("tokenizer.model", "sentencepiece"), ("qwen.tiktoken", "tiktoken"), ("tekken.json", "Tekken"),
            ("vocab.json", "separate lists"),
        ])
    func foreign(file: String, kind: String) async throws {
        let folder = try TemporaryFolder()
        let path = try folder.writeModel()
        try folder.write("x", "model/" + file)
        let shown = try await RunningCommand.run(["tokenize", "-m", path, "a"])
        #expect(shown.code == 1 && shown.errors.contains("has no tokenizer.json; found \(file) (\(kind)"))
        #expect(shown.errors.contains("save_pretrained"))
        #expect(throws: LLMError.self) { try ModelInfo(path, config: EngineConfig(loadFormat: .dummy)) }
        let none = try await RunningCommand.run(["tokenize", "-m", "/nonexistent", "a"])
        #expect(none.code == 1 && none.errors.contains("does not exist"))
    }

    @Test(
        "What is no request is an error that says why",
        arguments: [
            "", "[]", "{}", #"{"text": 1}"#, #"{"text": "a", "ids": []}"#, #"{"ids": {}}"#, #"{"ids": [1.5]}"#,
            #"{"ids": [99999999999]}"#, #"{"text": "a", "skip_special_tokens": true}"#,
            #"{"text": "a", "add_special_tokens": 1}"#, #"{"text": "a", "text": "b"}"#,
        ])
    func refuses(line: String) {
        #expect(throws: LLMError.self) {
            try TokenizeRequest(.text(Array(line.utf8)), number: 7, defaults: TokenizeRequest.Defaults())
        }
    }

    @Test("Random lines are answered or refused", .timeLimit(.minutes(FuzzRun.limitInMinutes)))
    func fuzz() throws {
        let tokenizer = try Tokenizer(json: Array(Self.tokenizer.utf8))
        let seeds = [
            #"{"text": "ab\u00e9 <s>", "add_special_tokens": false}"#,
            #"{"ids": [4, 3, -1, 2e2], "skip_special_tokens": true}"#,
        ].map { Array($0.utf8) }
        let run = FuzzRun(seconds: 1, seed: 41)
        var random = BatchRequestTests.Steps(state: run.seed)
        var (accepted, refused) = (0, 0)
        while run.goesOn {
            var bytes = seeds[(accepted + refused) % seeds.count]
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default: bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &random)], at: place)
                }
            }
            do throws(LLMError) {
                let request = try TokenizeRequest(.text(bytes), number: 1, defaults: TokenizeRequest.Defaults())
                let answer = request.answer(tokenizer)
                #expect((try? JSONDocument(parsing: answer)) != nil, "seed \(run.seed)")
                accepted += 1
            } catch {
                #expect(error.message.hasPrefix("line 1: "), "seed \(run.seed)")
                refused += 1
            }
        }
        #expect(accepted > 20 && refused > 20, "seed \(run.seed)")
    }

    @Test("The bench reports every text")
    func bench() async throws {
        let folder = try folder()
        let text = try folder.write(String(repeating: "ab", count: 50), "text.txt")
        let finished = try await RunningCommand.run(
            ["bench", "tokenizer", "-m", folder.path, "--repeats", "1", "--json", text])
        #expect(finished.code == 0)
        let root = try JSONDocument(parsing: Array(finished.output.utf8)).root
        #expect(root["vocabulary_size"]?.int == 5 && root["texts"]?.count == 13)
        #expect(root["texts"]?[0]?["tokens"]?.int == 50 && root["texts"]?[0]?["bytes"]?.int == 100)
    }
}

// What a chat prints, reads as commands and shows of its parameters.

import Swiftlet
import SwiftletCommand
import SwiftletTemplate
import Synchronization
import Testing

@Suite("Words of a chat")
struct ChatOutputTests {
    private func printed(_ pieces: [String], isTerminal: Bool, isStyled: Bool = false) throws -> String {
        var output = ChatOutput(isInteractive: isTerminal, environment: [:])
        output.isTerminal = isTerminal
        output.isStyled = isStyled
        let written = Mutex("")
        let parser = AnswerParser(reasoning: .qwen3)
        var printer = AnswerPrinter(to: output, parser: parser) { text throws(LLMError) in
            written.withLock { $0 += text }
        }
        for piece in pieces { try printer.print(piece) }
        try printer.finish()
        return written.withLock { $0 }
    }

    @Test("A model can't command the terminal; elsewhere its text is as it is")
    func control() throws {
        let text = "a\u{1B}[31mb\u{07}\u{9B}2Jc\r\nd\te\u{7F}\u{1B}]0;x\u{07} é日👩‍💻\n"
        #expect(try printed([text], isTerminal: false) == text)
        #expect(
            try printed([text], isTerminal: true)
                == "a␛[31mb␇\u{FFFD}2Jc\nd    e␡␛]0;x␇ é日👩‍💻\n")
        #expect(try printed(["a", "b"], isTerminal: false) == "ab\n")
        #expect(try printed([], isTerminal: false) == "\n")
    }

    @Test("Reasoning is dim and has no marks on a terminal with colours, however it is cut")
    func reasoning() throws {
        let pieces = ["<thi", "nk>a", "b</think>", "c", "<think>d"]
        let plain = pieces.joined() + "\n"
        #expect(try printed(pieces, isTerminal: true) == plain)
        #expect(try printed(pieces, isTerminal: false, isStyled: false) == plain)
        #expect(
            try printed(pieces, isTerminal: true, isStyled: true)
                == "\u{1B}[2mab\u{1B}[22m\n\nc<think>d\n")
        #expect(
            try printed(["<think>a\u{1B}b"], isTerminal: true, isStyled: true) == "\u{1B}[2ma␛b\u{1B}[22m\n")
    }

    @Test("Widths")
    func widths() {
        let expected: [(String, Int)] = [
            ("a", 1), ("é", 1), ("e\u{301}", 1), ("日", 2), ("한", 2), ("\u{1112}\u{1161}\u{11AB}", 2), ("ｱ", 1),
            ("Ａ", 2),
            ("🙂", 2), ("👩‍💻", 2), ("🇩🇪", 2), ("❤", 1), ("❤\u{FE0F}", 2), ("\u{200B}", 0), ("\u{7F}", 0), ("…", 1),
            ("ก", 1), ("あ", 2), ("〇", 2), ("☃", 1), ("⌚", 2), ("\u{20000}", 2), ("1\u{FE0F}\u{20E3}", 2),
        ]
        for (text, width) in expected { #expect(text.cellCount == width, "\(text)") }
    }

    @Test("Commands are read, and every one is in the help")
    func commands() throws {
        #expect(try SlashCommand("hello /help") == nil)
        #expect(try SlashCommand("//usr") == nil && SlashCommand.text(of: "//usr") == "/usr")
        #expect(try SlashCommand("/system  Be brief.\nReally. ") == .system("Be brief.\nReally."))
        #expect(try SlashCommand("/system") == .system(nil))
        #expect(try SlashCommand("/save a b.json ") == .save("a b.json"))
        #expect(try SlashCommand("/exit") == .exit)
        #expect(throws: LLMError.self) { try SlashCommand("/load ") }
        for command in SlashCommand.all {
            #expect(try SlashCommand(command.name + " x") != nil)
            #expect(SlashCommand.helpText.contains("  \(command.name)"))
        }
    }

    @Test("Parameters are shown as they are given")
    func parameters() throws {
        func read(_ text: String, over params: SamplingParams = SamplingParams()) throws -> SamplingParams {
            try ParameterText.read(text, over: params, vocabularySize: 100)
        }
        let params = try read(
            "temperature=0.5 top_k=7 stop=[\"a\",\"b\"] max_tokens=null logit_bias={\"5\":-2.5} seed=9")
        #expect(
            params
                == SamplingParams(
                    temperature: 0.5, topK: 7, seed: 9, maxTokens: nil, stop: ["a", "b"], logitBias: [5: -2.5]))
        #expect(try read(ParameterText.describe(params)) == params)
        let words = try read(#"{"stop": ["two \"words\\", " "]}"#, over: params)
        #expect(words.stop == [#"two "words\"#, " "])
        #expect(try read(ParameterText.describe(words)) == words)
        for bad in [
            "temperature", "temperature=hot", "=1", "top_p=0", "n=2", "stop_token_ids=[100]", "{", "top_k=1 top_k=2",
        ] {
            #expect(throws: LLMError.self, "\(bad)") { try read(bad) }
        }
    }
}

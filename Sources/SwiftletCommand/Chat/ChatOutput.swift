// ChatOutput: where the words of a chat go. Answers go to standard output; what the program itself says goes there too when
// a person sits before it, and to standard error when only answers are wanted.
// Invariant: on a terminal no text of a model or a file commands the terminal.

package import Swiftlet
package import SwiftletTemplate

package struct ChatOutput: Sendable {
    /// Whether a person reads and answers here.
    package var isInteractive: Bool
    /// Whether standard output is a terminal.
    package var isTerminal: Bool
    /// Whether it may be written to with colours.
    package var isStyled: Bool

    package init(isInteractive: Bool, environment: [String: String]) {
        self.isInteractive = isInteractive
        isTerminal = File.standardOutput.isTerminal
        let name = environment["TERM"] ?? ""
        let isPlain = environment["NO_COLOR"].map { !$0.isEmpty } ?? false
        isStyled = isTerminal && !isPlain && name != "" && name != "dumb"
    }

    /// A line that the program says.
    package func say(_ line: String) {
        let line = isTerminal ? line.harmless : line
        if isInteractive {
            try? File.standardOutput.write(Array((line + "\n").utf8))
        } else {
            Console.note(line)
        }
    }

    /// A line that matters less than the others.
    package func whisper(_ line: String) {
        guard isStyled else { return say(line) }
        try? File.standardOutput.write(Array("\u{1B}[2m\(line.harmless)\u{1B}[22m\n".utf8))
    }
}

/// Writes one answer as it comes, and keeps what it consists of. On a terminal with colours reasoning is dim and its marks
/// are left out; elsewhere the text is as the model wrote it.
package struct AnswerPrinter {
    private let output: ChatOutput
    private let write: (String) throws(LLMError) -> Void
    private var parser: AnswerParser
    /// What has come and is certain.
    package private(set) var answer = ParsedAnswer()
    private var isDim = false
    /// An empty answer is an empty line.
    private var endsLine = false

    package init(
        to output: ChatOutput, parser: AnswerParser,
        write: @escaping (String) throws(LLMError) -> Void = { text throws(LLMError) in
            try File.standardOutput.write(Array(text.utf8))
        }
    ) {
        self.output = output
        self.parser = parser
        self.write = write
    }

    package mutating func print(_ text: String) throws(LLMError) {
        guard !text.isEmpty else { return }
        let parts = parser.append(text)
        for part in parts { answer.add(part) }
        guard !output.isStyled else { return try print(parts) }
        endsLine = text.utf8.last == UInt8(ascii: "\n")
        try write(output.isTerminal ? text.harmless : text)
    }

    /// Ends the answer's last line.
    package mutating func finish() throws(LLMError) {
        let parts = parser.finish()
        for part in parts { answer.add(part) }
        if output.isStyled { try print(parts) }
        if isDim { try write("\u{1B}[22m") }
        isDim = false
        if !endsLine { try write("\n") }
        endsLine = true
    }

    private mutating func print(_ parts: [AnswerPart]) throws(LLMError) {
        for part in parts {
            switch part {
            case .reasoning(let text): try print(text, isDim: true)
            case .content(let text): try print(text, isDim: false)
            case .toolCall(_, _, let name, let arguments): try print((name ?? "") + arguments, isDim: false)
            }
        }
    }

    private mutating func print(_ text: String, isDim dims: Bool) throws(LLMError) {
        var marks = ""
        if dims != isDim { marks = dims ? "\u{1B}[2m" : "\u{1B}[22m\n\n" }
        isDim = dims
        endsLine = text.utf8.last == UInt8(ascii: "\n")
        try write(marks + text.harmless)
    }
}

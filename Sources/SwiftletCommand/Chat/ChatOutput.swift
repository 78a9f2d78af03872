// ChatOutput: where the words of a chat go. Answers go to standard output; what the program itself says goes there too when
// a person sits before it, and to standard error when only answers are wanted.
// Invariant: on a terminal no text of a model or a file commands the terminal.

package import Swiftlet

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

/// Writes one answer as it comes; reasoning is dimmed on a terminal.
package struct AnswerPrinter {
    private let output: ChatOutput
    private let write: (String) throws(LLMError) -> Void
    /// The last few characters that were written.
    private var recent = ""
    private var isDim = false
    /// An empty answer is an empty line.
    private var endsLine = false

    package init(
        to output: ChatOutput,
        write: @escaping (String) throws(LLMError) -> Void = { text throws(LLMError) in
            try File.standardOutput.write(Array(text.utf8))
        }
    ) {
        self.output = output
        self.write = write
    }

    package mutating func print(_ text: String) throws(LLMError) {
        guard !text.isEmpty else { return }
        endsLine = text.utf8.last == UInt8(ascii: "\n")
        guard output.isTerminal else { return try write(text) }
        try write(output.isStyled ? dimmed(text.harmless) : text.harmless)
    }

    /// Ends the answer's last line.
    package mutating func finish() throws(LLMError) {
        if isDim { try write("\u{1B}[22m") }
        isDim = false
        if !endsLine { try write("\n") }
        endsLine = true
    }

    /// The text with what is between `<think>` and `</think>` dim; the marks may come in pieces.
    private mutating func dimmed(_ text: String) -> String {
        var result = ""
        for character in text {
            result.append(character)
            recent.append(character)
            if recent.count > 8 { recent.removeFirst() }
            guard character == ">" else { continue }
            if !isDim, recent.hasSuffix("<think>") {
                isDim = true
                result += "\u{1B}[2m"
            } else if isDim, recent.hasSuffix("</think>") {
                isDim = false
                result += "\u{1B}[22m"
            }
        }
        return result
    }
}

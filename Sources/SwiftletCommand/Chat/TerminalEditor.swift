// TerminalEditor: asks for a line on a terminal: keys from Terminal through LineEditor to EditorView.
// Owned by the chat; keeps the history of one session.
// Invariant: the terminal is in editing mode only while `read` waits.

package final class TerminalEditor {
    private static let escapeMilliseconds: Int32 = 50

    private let terminal: Terminal
    private let prompt: String
    private let style: (on: String, off: String)
    private var editor: LineEditor
    private var decoder = KeyDecoder()
    /// Keys that came behind an Enter, for the next line.
    private var waiting: [Key] = []
    /// Whether the last key was Ctrl-C on an empty line.
    private var isAboutToEnd = false

    package init(
        on terminal: Terminal, prompt: String, style: (on: String, off: String), completions: [String]
    ) {
        self.terminal = terminal
        self.prompt = prompt
        self.style = style
        editor = LineEditor(completions: completions)
    }

    /// Lets a text be typed. It stays on the screen, the cursor in a free line below.
    package func read() async throws -> ChatInput {
        terminal.enter(.editing)
        defer { terminal.enter(.answering) }
        var view = EditorView(prompt: prompt, style: style, size: terminal.size)
        try terminal.write(view.draw(editor))
        while true {
            if let input = try handleKeys(&view) { return input }
            switch try await terminal.next(within: decoder.isAmbiguous ? Self.escapeMilliseconds : nil) {
            case .bytes(let bytes): waiting += decoder.decode(bytes)
            case .idle: decoder.flush()
            case .resized: try terminal.write(view.resize(to: terminal.size, editor))
            case .resumed:
                view.forget()
                try terminal.write("\r" + view.resize(to: terminal.size, editor))
            case .interrupted: waiting.append(.interrupt)
            case .end:
                try terminal.write(view.leave(editor))
                return .end
            }
        }
    }

    /// Handles the keys that wait, up to the one that gives an input; draws once.
    private func handleKeys(_ view: inout EditorView) throws -> ChatInput? {
        if waiting.isEmpty { return nil }
        while !waiting.isEmpty {
            let key = waiting.removeFirst()
            let wasAboutToEnd = isAboutToEnd
            isAboutToEnd = false
            let shown = editor
            switch editor.handle(key) {
            case .edit: break
            case .refuse: try terminal.write("\u{07}")
            case .submit(let text):
                // As it was typed, the cursor at its end.
                try terminal.write(view.draw(shown) + view.leave(shown))
                return .text(text)
            case .end:
                try terminal.write(view.draw(editor) + view.leave(editor))
                return .end
            case .interrupt:
                try terminal.write(view.draw(editor) + view.leave(editor))
                if wasAboutToEnd && editor.characters.isEmpty { return .interrupt }
                if editor.characters.isEmpty {
                    isAboutToEnd = true
                    try terminal.write("(Ctrl-C again, Ctrl-D or /exit ends)\n")
                }
                editor.clear()
            case .suspend: terminal.suspend()
            case .clearScreen: try terminal.write(view.clearScreen(editor))
            case .show(let words):
                try terminal.write(view.draw(editor) + view.leave(editor) + words.joined(separator: "  ") + "\n")
            }
        }
        try terminal.write(view.draw(editor))
        return nil
    }
}

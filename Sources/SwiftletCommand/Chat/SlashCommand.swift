// SlashCommand: what a line that starts with a slash asks for.
// Invariant: every command in `all` is read by `init`, and the help and the completion are made of `all`.

package import Swiftlet

package enum SlashCommand: Sendable, Hashable {
    /// nil takes the system message away.
    case system(String?)
    case reset, undo, retry
    case save(String)
    case load(String)
    /// Empty shows them.
    case params(String)
    case help, exit

    /// Name, argument and what it does, in the order of the help.
    package static let all: [(name: String, argument: String, help: String)] = [
        ("/system", "[TEXT]", "set the system message, or take it away"),
        ("/reset", "", "forget the conversation, but not the system message"),
        ("/undo", "", "take back the last question and its answer"),
        ("/retry", "", "answer the last question again, with another seed"),
        ("/params", "[NAME=VALUE …]", "show the sampling parameters, or change some: temperature=0.5 top_p=0.9"),
        ("/save", "FILE", "write the conversation to a file"),
        ("/load", "FILE", "go on with the conversation of a file"),
        ("/help", "", "show this"),
        ("/exit", "", "end, as Ctrl-D does"),
    ]

    /// Reads a line; nil when it is no command but text for the model.
    ///
    /// - Throws: ``LLMError`` with code `invalidRequest` for a command that is not known or lacks its argument.
    package init?(_ line: String) throws(LLMError) {
        guard line.hasPrefix("/"), !line.hasPrefix("//") else { return nil }
        let name = line.prefix { !$0.isWhitespace }
        let argument = String(line[name.endIndex...]).trimmed
        func needFile() throws(LLMError) -> String {
            if argument.isEmpty { throw LLMError(.invalidRequest, "\(name) needs a file: \(name) chat.json") }
            return argument
        }
        switch name {
        case "/system": self = .system(argument.isEmpty ? nil : argument)
        case "/reset": self = .reset
        case "/undo": self = .undo
        case "/retry": self = .retry
        case "/params": self = .params(argument)
        case "/save": self = .save(try needFile())
        case "/load": self = .load(try needFile())
        case "/help": self = .help
        case "/exit", "/quit": self = .exit
        default:
            let known = Self.all.map(\.name).joined(separator: ", ")
            throw LLMError(
                .invalidRequest,
                "there is no \(name); there are \(known). A text that starts with a slash is written with two")
        }
    }

    /// The text for the model of a line that is no command.
    package static func text(of line: String) -> String { line.hasPrefix("//") ? String(line.dropFirst()) : line }

    /// What `/help` shows.
    package static var helpText: String {
        let usages = all.map { $0.argument.isEmpty ? $0.name : "\($0.name) \($0.argument)" }
        let width = usages.map(\.count).max() ?? 0
        var lines = zip(usages, all).map { usage, command in
            "  " + usage + String(repeating: " ", count: width - usage.count) + "  " + command.help
        }
        lines.append(
            """

              \\ at the end of a line, or Alt-Enter: the text goes on in the next line
              Ctrl-C stops an answer; on a line it clears the line, twice on an empty one it ends
              // at the start sends a text that starts with a slash
            """)
        return lines.joined(separator: "\n")
    }
}

extension String {
    /// Without white space at both ends.
    var trimmed: String {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(self[first...last])
    }
}

// PlainLines: the lines of a pipe, a file or a terminal that can't move its cursor, one input each.
// Owned by the chat. A line that ends with a backslash goes on in the next one, as in the line editor.
// Invariant: what is not UTF-8 or too long is an error of its own line only.

/// What was given when the chat asked for a line.
package enum ChatInput: Sendable, Hashable {
    case text(String)
    /// A line that can't be used, and why.
    case refused(String)
    /// Ctrl-C twice.
    case interrupt
    /// Ctrl-D, or the end of the file.
    case end
}

package struct PlainLines {
    private static let limit = 1 << 20
    private let reader: LineReader
    /// Shown on standard error, where a person types.
    private let prompt: String?

    package init(_ file: File, prompt: String?) {
        reader = LineReader(file, limit: Self.limit)
        self.prompt = prompt
    }

    package func read() async throws -> ChatInput {
        if let prompt { try File.standardError.write(Array(prompt.utf8)) }
        var text = ""
        while let entry = try await reader.next() {
            guard case .text(let bytes) = entry.line, text.utf8.count + bytes.count <= Self.limit else {
                return .refused("line \(entry.number) is longer than \(Self.limit >> 20) MiB; split it")
            }
            guard let line = String(validating: bytes, as: UTF8.self) else {
                return .refused("line \(entry.number) is not UTF-8")
            }
            text += line
            guard text.last == "\\" else { return .text(text) }
            text.removeLast()
            text += "\n"
        }
        return text.isEmpty ? .end : .text(text)
    }
}

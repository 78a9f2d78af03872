// Standard input read as one text, for commands that take a text as an argument too.
// Invariant: never more than the limit is kept.

package import Swiftlet

package enum StandardInput {
    /// All of standard input without its last line end.
    ///
    /// - Parameter name: what the text is, for messages.
    package static func text(called name: String) throws(LLMError) -> String {
        let limit = 16 << 20
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while text.count <= limit {
            let result = chunk.withUnsafeMutableBytes { buffer in
                Result { () throws(LLMError) in try File.standardInput.read(into: buffer) }
            }
            let count = try result.get()
            if count == 0 { break }
            text += chunk[..<count]
        }
        guard text.count <= limit else {
            throw LLMError(.invalidRequest, "the \(name) on standard input is longer than \(limit >> 20) MiB")
        }
        if text.last == UInt8(ascii: "\n") { text.removeLast() }
        if text.last == UInt8(ascii: "\r") { text.removeLast() }
        guard let text = String(validating: text, as: UTF8.self) else {
            throw LLMError(.invalidRequest, "the \(name) on standard input is not UTF-8")
        }
        return text
    }
}

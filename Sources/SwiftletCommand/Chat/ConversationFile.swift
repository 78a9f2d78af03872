// ConversationFile: a conversation on disk, as OpenAI's API writes one: {"messages": [{"role": …, "content": …}, …]}.
// A file may come from anyone: its size is bounded, every message is checked, and what can't be kept is an error.
// Invariant: a file is replaced as a whole or stays as it was.

package import Swiftlet
import SwiftletJSON

package enum ConversationFile {
    /// The most bytes that are read.
    package static let limit = 16 << 20
    /// The most messages that are read.
    package static let messageLimit = 10_000

    /// Writes a conversation, through a temporary file beside `path`.
    package static func save(_ messages: [ChatMessage], to path: String) throws(LLMError) {
        var json = JSONWriter()
        json.object { json in
            json.key("messages")
            json.array(messages) { json, message in
                json.object { json in
                    json.key("role")
                    json.string(message.role)
                    json.key("content")
                    json.string(message.content ?? "")
                    if let reasoning = message.reasoning {
                        json.key("reasoning_content")
                        json.string(reasoning)
                    }
                }
            }
        }
        json.newline()
        try File.replace(path, with: json.bytes)
    }

    /// Reads a conversation: an object with `messages`, or the list itself.
    ///
    /// - Throws: ``LLMError`` that says what is wrong with the file.
    package static func load(_ path: String) throws(LLMError) -> [ChatMessage] {
        let bytes = try Platform.readFile(path, limit: limit)
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(parsing: bytes, rejectDuplicateKeys: true).root
        } catch {
            throw LLMError(.invalidRequest, "\(path) is no JSON: \(error)")
        }
        guard let list = root.kind == .array ? root : root["messages"], list.kind == .array else {
            throw LLMError(
                .invalidRequest, "\(path) has no messages; it must be {\"messages\": [{\"role\": …, \"content\": …}]}")
        }
        guard list.count <= messageLimit else {
            throw LLMError(.invalidRequest, "\(path) has \(list.count) messages; at most \(messageLimit) are read")
        }
        var messages: [ChatMessage] = []
        for (index, value) in list.elements.enumerated() {
            do {
                messages.append(try message(value, isFirst: index == 0))
            } catch {
                throw LLMError(.invalidRequest, "\(path): message \(index + 1): \(error.message)")
            }
        }
        return messages
    }

    private static func message(_ value: JSONValue, isFirst: Bool) throws(LLMError) -> ChatMessage {
        func invalid(_ message: String) -> LLMError { LLMError(.invalidRequest, message) }
        guard let role = value["role"]?.string else { throw invalid("it has no role") }
        let reasoning = role == "assistant" ? value["reasoning_content"]?.string : nil
        for (key, member) in value.members where key != "role" && key != "content" && !member.isNull {
            if key == "reasoning_content", reasoning != nil { continue }
            throw invalid("\"\(key.prefix(40))\" is not supported in a chat; only role and content are")
        }
        guard let content = value["content"].flatMap(text) else { throw invalid("its content is no text") }
        switch role {
        case "system", "developer":
            if !isFirst { throw invalid("a system message must be the first one") }
            return .system(content)
        case "user": return .user(content)
        case "assistant": return .assistant(content, reasoning: reasoning)
        default: throw invalid("its role is \"\(role.prefix(40))\"; it must be system, user or assistant")
        }
    }

    /// A content: a string, or a list of parts that are texts.
    private static func text(_ content: JSONValue) -> String? {
        guard content.kind == .array else { return content.string }
        var result = ""
        for part in content.elements {
            guard part["type"]?.string == "text", let text = part["text"]?.string else { return nil }
            result += text
        }
        return result
    }
}

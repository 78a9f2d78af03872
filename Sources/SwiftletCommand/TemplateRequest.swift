// TemplateRequest: one line of `swiftlet template`'s input, read into what a chat template is rendered with.
// Lines come from anyone: a value of the wrong kind is an error; keys that are not known are left alone, so that lines
// of a test set can be used as they are.

import SwiftletJSON
package import SwiftletTemplate

/// A line of `--input`: `{"messages": […], "tools": …, "documents": …, "add_generation_prompt": …, "kwargs": {…},
/// "bos_token": …, "eos_token": …, "now": …}`.
package struct TemplateRequest: Sendable, Hashable {
    package var messages: [TemplateValue]
    package var tools: [TemplateValue]?
    package var documents: [TemplateValue]?
    package var addGenerationPrompt: Bool
    /// `kwargs` and the special tokens that the line names.
    package var variables: [String: TemplateValue]
    package var now: LocalTime?

    /// A conversation given by hand.
    package init(_ messages: [TemplateValue], addGenerationPrompt: Bool, variables: [String: TemplateValue] = [:]) {
        self.messages = messages
        self.addGenerationPrompt = addGenerationPrompt
        self.variables = variables
    }

    /// Reads a line.
    ///
    /// - Parameter defaults: What keys that the line does not name take; its messages count for nothing.
    package init(_ line: LineReader.Line, defaults: TemplateRequest) throws(TemplateError) {
        guard case .text(let bytes) = line else {
            throw TemplateError(.limit, "the line is longer than \(LineReader.defaultLimit >> 20) MiB")
        }
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(parsing: bytes).root
        } catch {
            throw TemplateError(.invalidInput, "bad JSON: \(error.message) at byte \(error.offset + 1)")
        }
        guard root.kind == .object else {
            throw TemplateError(.invalidInput, "a line is an object, {\"messages\": […]}")
        }
        self = defaults
        guard let messages = try Self.list(root, "messages") else {
            throw TemplateError(.invalidInput, "\"messages\" is missing")
        }
        self.messages = messages
        tools = try Self.list(root, "tools") ?? tools
        documents = try Self.list(root, "documents") ?? documents
        if let value = root["add_generation_prompt"], !value.isNull {
            guard let flag = value.bool else {
                throw TemplateError(.invalidInput, "\"add_generation_prompt\" must be true or false")
            }
            addGenerationPrompt = flag
        }
        if let kwargs = root["kwargs"], !kwargs.isNull {
            guard kwargs.kind == .object else { throw TemplateError(.invalidInput, "\"kwargs\" must be an object") }
            for (key, value) in kwargs.members { variables[key] = TemplateValue(value) }
        }
        for key in ["bos_token", "eos_token"] {
            guard let value = root[key], !value.isNull else { continue }
            guard let token = value.string else { throw TemplateError(.invalidInput, "\"\(key)\" must be a string") }
            variables[key] = .string(token)
        }
        if let value = root["now"], !value.isNull {
            guard let time = value.string.flatMap({ LocalTime($0) }) else {
                throw TemplateError(.invalidInput, "\"now\" must be a time such as 2025-03-07T14:05:09")
            }
            now = time
        }
    }

    /// A list; nil for null and for a key that is not there.
    private static func list(_ root: JSONValue, _ key: String) throws(TemplateError) -> [TemplateValue]? {
        guard let value = root[key], !value.isNull else { return nil }
        guard value.kind == .array else { throw TemplateError(.invalidInput, "\"\(key)\" must be a list") }
        return value.elements.map { TemplateValue($0) }
    }
}

// ChatBody: messages, tools and template options out of a request's JSON; /tokenize reads them too.
// Invariant: a part of a message that the model can't see is refused, never left out.

import Swiftlet
import SwiftletJSON
import SwiftletTemplate

enum ChatBody {
    private static let messageLimit = 10_000

    // MARK: - Messages

    static func messages(_ fields: RequestFields) throws(APIError) -> [ChatMessage] {
        guard let list = try fields.list("messages") else {
            throw .invalid("messages is missing", param: "messages")
        }
        guard list.count > 0 else { throw .invalid("messages is empty", param: "messages") }
        guard list.count <= messageLimit else {
            throw .invalid("messages has \(list.count) messages; at most \(messageLimit) are read", param: "messages")
        }
        var messages: [ChatMessage] = []
        messages.reserveCapacity(list.count)
        for value in list.elements { messages.append(try message(value, "messages[\(messages.count)]")) }
        return messages
    }

    private static func message(_ value: JSONValue, _ place: String) throws(APIError) -> ChatMessage {
        func invalid(_ message: String) -> APIError { .invalid("\(place)\(message)", param: "messages") }
        func text(_ key: String) throws(APIError) -> String? {
            guard let member = value[key], !member.isNull else { return nil }
            guard let text = member.string else {
                throw invalid(".\(key) is \(member.description); it must be a string")
            }
            return text
        }
        guard value.kind == .object else { throw invalid(" is \(value.description); it must be an object") }
        guard let role = try text("role"), !role.isEmpty else { throw invalid(".role is missing") }
        for key in ["audio", "function_call", "prompt_embeds"] where value[key].map({ !$0.isNull }) ?? false {
            throw invalid(".\(key) is not supported by this server")
        }
        let calls = try toolCalls(value["tool_calls"], place + ".tool_calls")
        var content: String?
        if let given = value["content"], !given.isNull {
            content = try Self.content(given, place + ".content")
        } else if role == "assistant" {
            // Templates write what is there: an answer that has calls only has an empty text, as in vLLM.
            content = ""
        } else {
            throw invalid(".content is missing")
        }
        let reasoning = try text("reasoning_content")
        let thoughts = try reasoning == nil ? text("reasoning") : reasoning
        return ChatMessage(
            role: role, content: content, reasoning: thoughts, toolCalls: calls, toolCallID: try text("tool_call_id"),
            name: try text("name"))
    }

    /// A text, or parts that are texts, which are joined by line ends as in vLLM.
    private static func content(_ value: JSONValue, _ place: String) throws(APIError) -> String {
        func invalid(_ message: String) -> APIError { .invalid("\(place)\(message)", param: "messages") }
        if let text = value.string { return text }
        guard value.kind == .array else {
            throw invalid(" is \(value.description); it must be a text or a list of parts")
        }
        var texts: [String] = []
        for part in value.elements {
            if let text = part.string {
                texts.append(text)
                continue
            }
            guard let type = part["type"]?.string else { throw invalid("[\(texts.count)] has no type") }
            guard type == "text" || type == "input_text" || type == "output_text" || type == "refusal" else {
                throw invalid("[\(texts.count)] is of type \"\(type.prefix(40))\"; this model reads texts only")
            }
            guard let text = part[type == "refusal" ? type : "text"]?.string else {
                throw invalid("[\(texts.count)] has no text")
            }
            texts.append(text)
        }
        return texts.joined(separator: "\n")
    }

    private static func toolCalls(_ list: JSONValue?, _ place: String) throws(APIError) -> [ChatMessage.ToolCall] {
        func invalid(_ message: String) -> APIError { .invalid("\(place)\(message)", param: "messages") }
        guard let list, !list.isNull else { return [] }
        guard list.kind == .array else { throw invalid(" is \(list.description); it must be a list") }
        var calls: [ChatMessage.ToolCall] = []
        for value in list.elements {
            if let type = value["type"], !type.isNull, type.string != "function" {
                throw invalid("[\(calls.count)].type must be \"function\"")
            }
            guard let function = value["function"], let name = function["name"]?.string else {
                throw invalid("[\(calls.count)] names no function")
            }
            // A string with JSON in it; templates want the object.
            let arguments: TemplateValue
            switch function["arguments"] {
            case let given? where given.kind == .object: arguments = TemplateValue(given)
            case let given? where given.string?.allSatisfy(\.isWhitespace) ?? false: arguments = .object([])
            case let given?:
                guard let text = given.stringBytes, let parsed = try? TemplateValue(json: text), case .object = parsed
                else { throw invalid("[\(calls.count)].function.arguments is not the text of a JSON object") }
                arguments = parsed
            case nil: arguments = .object([])
            }
            calls.append(.init(id: value["id"]?.string, name: name, arguments: arguments))
        }
        return calls
    }

    // MARK: - Options

    static func options(_ fields: RequestFields, _ service: GenerationService) throws(APIError) -> ChatOptions {
        var options = ChatOptions()
        options.template = service.configuration.chatTemplate
        options.toolCallFormat = service.configuration.toolCallFormat
        options.reasoningFormat = service.configuration.reasoningFormat
        options.tools = try tools(fields)
        options.documents = try fields.list("documents")?.elements.map { TemplateValue($0) }
        options.continueFinalMessage = try fields.bool("continue_final_message") ?? false
        let addsPrompt = try fields.bool("add_generation_prompt")
        if options.continueFinalMessage && addsPrompt == true {
            throw .invalid(
                "continue_final_message and add_generation_prompt exclude each other", param: "continue_final_message")
        }
        options.addGenerationPrompt = addsPrompt ?? true
        options.templateVariables = service.configuration.templateVariables
        if let effort = try fields.string("reasoning_effort") {
            options.templateVariables["reasoning_effort"] = .string(effort)
        }
        if let variables = try fields.object("chat_template_kwargs") {
            for (name, value) in variables.members {
                guard !["messages", "tools", "documents", "add_generation_prompt"].contains(name) else {
                    throw .invalid(
                        "chat_template_kwargs can't set \(name); it is a field of its own",
                        param: "chat_template_kwargs")
                }
                options.templateVariables[name] = TemplateValue(value)
            }
        }
        return options
    }

    /// The tools that the template is to write; none when `tool_choice` is "none".
    private static func tools(_ fields: RequestFields) throws(APIError) -> [TemplateValue]? {
        let list = try fields.list("tools")
        for (index, tool) in (list?.elements.map(\.self) ?? []).enumerated() {
            guard tool["type"]?.string == "function", tool["function"]?["name"]?.string != nil else {
                throw .invalid(
                    "tools[\(index)] must be {\"type\": \"function\", \"function\": {\"name\": …}}", param: "tools")
            }
        }
        let tools = list.map { $0.elements.map { TemplateValue($0) } }.flatMap { $0.isEmpty ? nil : $0 }
        guard let choice = fields["tool_choice"] else { return tools }
        switch choice.string {
        case "none": return nil
        case "auto":
            guard tools != nil else { throw .invalid("tool_choice needs tools", param: "tool_choice") }
            return tools
        default:
            throw APIError(
                status: 400, "tool_choice can be \"auto\" or \"none\"; this server can't force a call",
                param: "tool_choice", code: "unsupported_parameter")
        }
    }
}

// ChatMessage: what was said in a conversation, and how a chat template sees it. Plain Sendable values.
// Invariant: a field that is nil or empty is not there for the template, which tells the two apart.

public import SwiftletTemplate

/// One message of a conversation.
///
///     let reply = try await llm.chat([.system("Be brief."), .user("Why is the sky blue?")])
public struct ChatMessage: Sendable, Hashable {
    /// A function that the assistant wants to be called.
    public struct ToolCall: Sendable, Hashable {
        public var id: String?
        public var name: String
        /// What the function is called with, an object.
        public var arguments: TemplateValue

        public init(id: String? = nil, name: String, arguments: TemplateValue) {
            self.id = id
            self.name = name
            self.arguments = arguments
        }
    }

    /// `system`, `user`, `assistant`, `tool`, or what else the model's template knows.
    public var role: String
    public var content: String?
    /// What the assistant thought before it answered.
    public var reasoning: String?
    public var toolCalls: [ToolCall]
    /// Of a tool's answer: which call it answers.
    public var toolCallID: String?
    /// Who speaks, or the tool that answers.
    public var name: String?

    public init(
        role: String, content: String?, reasoning: String? = nil, toolCalls: [ToolCall] = [],
        toolCallID: String? = nil, name: String? = nil
    ) {
        self.role = role
        self.content = content
        self.reasoning = reasoning
        self.toolCalls = toolCalls
        self.toolCallID = toolCallID
        self.name = name
    }

    /// How the assistant is to behave.
    public static func system(_ content: String) -> ChatMessage { ChatMessage(role: "system", content: content) }

    /// What the user says.
    public static func user(_ content: String) -> ChatMessage { ChatMessage(role: "user", content: content) }

    /// What the assistant said.
    public static func assistant(
        _ content: String?, reasoning: String? = nil, toolCalls: [ToolCall] = []
    ) -> ChatMessage {
        ChatMessage(role: "assistant", content: content, reasoning: reasoning, toolCalls: toolCalls)
    }

    /// What a tool answered.
    public static func tool(_ content: String, callID: String? = nil, name: String? = nil) -> ChatMessage {
        ChatMessage(role: "tool", content: content, toolCallID: callID, name: name)
    }

    /// The message as a template sees it, with OpenAI's names.
    public var templateValue: TemplateValue {
        var members: [TemplateValue.Member] = [.init("role", .string(role))]
        func add(_ key: String, _ text: String?) {
            if let text { members.append(.init(key, .string(text))) }
        }
        add("content", content)
        add("reasoning_content", reasoning)
        if !toolCalls.isEmpty {
            members.append(
                .init(
                    "tool_calls",
                    .array(
                        toolCalls.map { call in
                            let function: TemplateValue = ["name": .string(call.name), "arguments": call.arguments]
                            var members: [TemplateValue.Member] = [
                                .init("type", "function"), .init("function", function),
                            ]
                            if let id = call.id { members.insert(.init("id", .string(id)), at: 0) }
                            return .object(members)
                        })))
        }
        add("tool_call_id", toolCallID)
        add("name", name)
        return .object(members)
    }
}

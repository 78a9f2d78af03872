// The body of /v1/chat/completions: the conversation becomes a prompt by the model's template.

import Swiftlet
import SwiftletJSON
import SwiftletTemplate

extension GenerationRequest {
    /// Reads a body of /v1/chat/completions.
    init(chat fields: RequestFields, _ service: GenerationService) throws(APIError) {
        var params = service.llm.defaultChatSamplingParams
        var own: OwnFields = ["logprobs"]
        if fields["max_completion_tokens"] != nil { own.insert("max_tokens") }
        try self.init(fields, .chat, service, own: own, params: &params)
        if let value = fields["max_completion_tokens"] {
            guard let count = value.int else {
                throw .invalid("max_completion_tokens must be an integer", param: "max_completion_tokens")
            }
            params.maxTokens = count
        }
        if try fields.bool("echo") ?? false {
            throw APIError(
                status: 400, "echo is not supported in a chat", param: "echo", code: "unsupported_parameter")
        }
        let top = try fields.int("top_logprobs")
        if try fields.bool("logprobs") ?? false {
            wantsLogprobs = true
            topLogprobs = top ?? 0
            params.logprobs = topLogprobs
        } else if let top, top != 0 {
            throw .invalid("top_logprobs needs logprobs to be true", param: "top_logprobs")
        }
        includesReasoning = try fields.bool("include_reasoning") ?? true
        limitsToolCalls = try fields.bool("parallel_tool_calls") == false
        let messages = try ChatBody.messages(fields)
        let options = try ChatBody.options(fields, service)
        if options.continueFinalMessage { role = messages.last?.role ?? role }
        let request: Request
        do {
            request = try service.llm.chatRequest(messages, params, options: options)
        } catch {
            throw APIError(error)
        }
        parser = try service.answerParser(for: request, options)
        try add(request.prompt, request.params ?? params, fields)
        requests[0].addsSpecialTokens = try fields.bool("add_special_tokens") ?? false
    }
}

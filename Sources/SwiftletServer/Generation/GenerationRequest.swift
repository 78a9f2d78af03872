// GenerationRequest: what the body of /v1/completions or /v1/chat/completions asks for, read and checked.
// Made by its two readers (+Completions, +Chat); a value.
//
// Invariant: every field of the API either has its effect here or was refused.

package import Swiftlet
import SwiftletJSON
import SwiftletTemplate

/// One request of the API: one prompt or several, and what is to come back.
package struct GenerationRequest: Sendable {
    package enum Endpoint: Sendable, Hashable { case completions, chat }

    package var endpoint: Endpoint
    /// The model's name as it is to be answered.
    package var model: String
    /// One for each prompt.
    package var requests: [Request] = []
    package var isStreamed = false
    /// A last chunk has the token counts.
    var includesUsage = false
    /// Every chunk has them.
    var includesUsageAlways = false
    /// Tokens are written `token_id:17` in log-probabilities.
    var writesTokenIDs = false
    /// Log-probabilities of the output are to be written.
    var wantsLogprobs = false
    /// How many of the most probable tokens are written for each token, besides the chosen one.
    var topLogprobs = 0
    /// The prompt comes back as the beginning of the text (completions).
    var echoesPrompt = false
    /// Nothing but the prompt comes back (`echo` with `max_tokens` 0).
    var echoesOnly = false
    /// The prompt's log-probabilities were asked for by vLLM's field.
    var wantsPromptLogprobs = false
    /// Takes the answers apart (chat).
    var parser = AnswerParser()
    /// Whether `reasoning_content` is written.
    var includesReasoning = true
    /// At most one tool call is written.
    var limitsToolCalls = false
    /// Who speaks: `assistant`, or that of the last message when it is continued.
    var role = "assistant"

    /// Choices of one prompt.
    var choiceCount: Int { requests.first?.params?.n ?? 1 }

    // MARK: - What both readers share

    /// Fields that a reader deals with itself although they name a sampling parameter.
    typealias OwnFields = Set<String>

    /// Reads everything but prompt and messages.
    init(
        _ fields: RequestFields, _ endpoint: Endpoint, _ service: GenerationService, own: OwnFields,
        params: inout SamplingParams
    ) throws(APIError) {
        self.endpoint = endpoint
        model = try service.model(fields.string("model"))
        try fields.refuseUnsupported()
        for (name, value) in fields.values where !own.contains(name) {
            do {
                _ = try params.read(name, value)
            } catch {
                throw APIError(error)
            }
        }
        isStreamed = try fields.bool("stream") ?? false
        if let options = try fields.object("stream_options") {
            guard isStreamed else { throw .invalid("stream_options needs stream to be true", param: "stream_options") }
            for (name, value) in options.members where !value.isNull {
                guard name == "include_usage" || name == "continuous_usage_stats" else { continue }
                guard let flag = value.bool else {
                    throw .invalid(
                        "stream_options.\(name) is \(value.description); it must be true or false",
                        param: "stream_options")
                }
                if name == "include_usage" { includesUsage = flag } else { includesUsageAlways = flag }
            }
        }
        includesUsageAlways = includesUsageAlways && includesUsage
        writesTokenIDs = try fields.bool("return_tokens_as_token_ids") ?? false
        wantsPromptLogprobs = params.promptLogprobs != nil
        if isStreamed && wantsPromptLogprobs {
            throw .invalid("prompt_logprobs can't be streamed", param: "prompt_logprobs")
        }
    }

    /// Adds a prompt.
    mutating func add(_ prompt: Prompt, _ params: SamplingParams, _ fields: RequestFields) throws(APIError) {
        var request = Request(prompt, params)
        request.priority = try fields.int("priority") ?? 0
        request.shrinksMaxTokens = fields["max_tokens"] == nil && fields["max_completion_tokens"] == nil
        requests.append(request)
    }
}

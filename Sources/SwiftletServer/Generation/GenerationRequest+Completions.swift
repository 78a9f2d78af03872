// The body of /v1/completions.

import Swiftlet
import SwiftletJSON
import SwiftletTokenizer

extension GenerationRequest {
    /// The most prompts in one request.
    private static let promptLimit = 1024

    /// Reads a body of /v1/completions.
    init(completions fields: RequestFields, _ service: GenerationService) throws(APIError) {
        var params = service.llm.defaultSamplingParams
        let echo = try fields.bool("echo") ?? false
        let echoesOnly = echo && fields["max_tokens"]?.int == 0
        try self.init(
            fields, .completions, service, own: echoesOnly ? ["max_tokens"] : [], params: &params)
        if let best = try fields.int("best_of"), best != params.n {
            throw APIError(
                status: 400, "best_of is \(best); this server supports best_of equal to n only", param: "best_of",
                code: "unsupported_parameter")
        }
        echoesPrompt = echo
        self.echoesOnly = echoesOnly
        if echoesOnly { params.maxTokens = 1 }
        if let count = params.logprobs {
            wantsLogprobs = true
            topLogprobs = count
            if echo { params.promptLogprobs = max(params.promptLogprobs ?? 0, count) }
        }
        let addsSpecialTokens = try fields.bool("add_special_tokens") ?? true
        for prompt in try Self.prompts(fields) {
            try add(prompt, params, fields)
            requests[requests.count - 1].addsSpecialTokens = addsSpecialTokens
        }
    }

    /// A text, a list of texts, a list of token ids, or a list of such lists.
    private static func prompts(_ fields: RequestFields) throws(APIError) -> [Prompt] {
        func invalid(_ message: String) -> APIError { .invalid(message, param: "prompt") }
        guard let value = fields["prompt"] else { throw invalid("prompt is missing") }
        if let text = value.string { return [.text(text)] }
        let expected = "it must be a text, a list of texts, a list of token ids, or a list of such lists"
        guard value.kind == .array else { throw invalid("prompt is \(value.description); \(expected)") }
        guard let first = value.elements.first(where: { _ in true }) else { throw invalid("prompt is an empty list") }
        if first.kind == .number { return [.tokens(try tokenIDs(value))] }
        guard value.count <= promptLimit else {
            throw invalid("prompt has \(value.count) prompts; at most \(promptLimit) can be in one request")
        }
        var prompts: [Prompt] = []
        for element in value.elements {
            guard element.kind == first.kind else { throw invalid("prompt mixes kinds of prompts; \(expected)") }
            if let text = element.string {
                prompts.append(.text(text))
            } else if element.kind == .array {
                prompts.append(.tokens(try tokenIDs(element)))
            } else {
                throw invalid("prompt has \(element.description) in it; \(expected)")
            }
        }
        return prompts
    }

    static func tokenIDs(_ list: JSONValue, param: String = "prompt") throws(APIError) -> [TokenID] {
        var ids: [TokenID] = []
        ids.reserveCapacity(list.count)
        for element in list.elements {
            guard let id = element.int.flatMap({ TokenID(exactly: $0) }) else {
                throw .invalid("\(param) has \(element.description) where a token id is expected", param: param)
            }
            ids.append(id)
        }
        return ids
    }
}

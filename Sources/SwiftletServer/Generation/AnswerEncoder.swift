// AnswerEncoder: outputs as the JSON of /v1/completions and /v1/chat/completions, as a whole. What a chunk of a stream
// has in common with it is here too.
//
// Invariant: every field that OpenAI's schema requires is there, null where there is nothing.

import Swiftlet
import SwiftletJSON
import SwiftletTemplate
import SwiftletTokenizer

struct AnswerEncoder: Sendable {
    let request: GenerationRequest
    let id: String
    let created: Int
    let tokens: TokenText
    /// The text that `echo` puts before each prompt's output.
    let echoes: [String]
    let promptTokenIDs: [[TokenID]]

    init(_ request: GenerationRequest, id: String, promptTokenIDs: [[TokenID]], tokenizer: Tokenizer?) {
        self.request = request
        self.id = (request.endpoint == .chat ? "chatcmpl-" : "cmpl-") + id
        created = Platform.unixSeconds()
        tokens = TokenText(tokenizer: tokenizer, writesIDs: request.writesTokenIDs)
        self.promptTokenIDs = promptTokenIDs
        guard request.echoesPrompt else {
            echoes = []
            return
        }
        echoes = zip(request.requests, promptTokenIDs).map { prompt, ids in
            if case .text(let text) = prompt.prompt { return text }
            // With special tokens, as in the list of tokens, so that offsets fit.
            return tokenizer?.decode(ids, skipSpecialTokens: false) ?? ""
        }
    }

    /// The members that answers and chunks begin with.
    func writeHead(_ object: String, to json: inout JSONWriter) {
        json.member("id", id)
        json.member("object", object)
        json.member("created", created)
        json.member("model", request.model)
    }

    // MARK: - Answers

    func answer(_ outputs: [RequestOutput], _ usage: Usage) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            writeHead(request.endpoint == .chat ? "chat.completion" : "text_completion", to: &json)
            json.key("choices")
            json.beginArray()
            for (prompt, output) in outputs.enumerated() {
                for choice in output.choices {
                    switch request.endpoint {
                    case .chat: writeChatChoice(choice, to: &json)
                    case .completions: writeTextChoice(choice, prompt, output, to: &json)
                    }
                }
            }
            json.endArray()
            json.key("usage")
            write(request.echoesOnly ? Usage(promptTokens: usage.promptTokens) : usage, to: &json)
            if request.endpoint == .chat, request.wantsPromptLogprobs {
                json.key("prompt_logprobs")
                writePromptLogprobs(outputs[0].promptLogprobs ?? [], to: &json)
            }
        }
        return json.bytes
    }

    private func writeTextChoice(
        _ choice: CompletionOutput, _ prompt: Int, _ output: RequestOutput, to json: inout JSONWriter
    ) {
        json.object { json in
            json.member("index", prompt * output.choices.count + choice.index)
            let echo = request.echoesPrompt ? echoes[prompt] : ""
            json.member("text", echo + (request.echoesOnly ? "" : choice.text))
            json.key("logprobs")
            if request.wantsLogprobs {
                var logprobs = TextLogprobs(self)
                if request.echoesPrompt { logprobs.addPrompt(output.promptLogprobs ?? [], promptTokenIDs[prompt]) }
                if !request.echoesOnly { logprobs.add(choice.logprobs ?? []) }
                logprobs.write(to: &json)
            } else {
                json.null()
            }
            writeEnd(request.echoesOnly ? .length : choice.finishReason, choice.stopReason, to: &json)
            if request.wantsPromptLogprobs {
                json.key("prompt_logprobs")
                writePromptLogprobs(output.promptLogprobs ?? [], to: &json)
            }
        }
    }

    private func writeChatChoice(_ choice: CompletionOutput, to json: inout JSONWriter) {
        let answer = answerParts(of: choice.text)
        json.object { json in
            json.member("index", choice.index)
            json.key("message")
            json.object { json in
                json.member("role", request.role)
                json.member("content", answer.content.isEmpty && !answer.toolCalls.isEmpty ? nil : answer.content)
                json.member("refusal", nil as String?)
                if !answer.reasoning.isEmpty { json.member("reasoning_content", answer.reasoning) }
                if !answer.toolCalls.isEmpty {
                    json.key("tool_calls")
                    json.array(answer.toolCalls) { json, call in
                        json.object { json in
                            json.member("id", call.id)
                            json.member("type", "function")
                            json.key("function")
                            json.object { json in
                                json.member("name", call.name)
                                json.member("arguments", call.arguments)
                            }
                        }
                    }
                }
            }
            json.key("logprobs")
            if request.wantsLogprobs {
                writeChatLogprobs(choice.logprobs ?? [], to: &json)
            } else {
                json.null()
            }
            writeEnd(choice.finishReason, choice.stopReason, hasCalls: !answer.toolCalls.isEmpty, to: &json)
        }
    }

    /// Text, reasoning and calls of a whole answer.
    private func answerParts(of text: String) -> ParsedAnswer {
        var answer = ParsedAnswer(text, parser: request.parser)
        if !request.includesReasoning { answer.reasoning = "" }
        if request.limitsToolCalls { answer.toolCalls = Array(answer.toolCalls.prefix(1)) }
        return answer
    }

    // MARK: - Shared with chunks

    func writeEnd(
        _ reason: FinishReason?, _ stop: StopReason?, hasCalls: Bool = false, to json: inout JSONWriter
    ) {
        json.member("finish_reason", hasCalls && reason == .stop ? "tool_calls" : reason?.rawValue)
        json.key("stop_reason")
        switch stop {
        case .token(let id): json.int(id)
        case .string(let text): json.string(text)
        case nil: json.null()
        }
    }

    func write(_ usage: Usage, to json: inout JSONWriter) {
        json.object { json in
            json.member("prompt_tokens", usage.promptTokens)
            json.member("completion_tokens", usage.completionTokens)
            json.member("total_tokens", usage.promptTokens + usage.completionTokens)
            json.key("prompt_tokens_details")
            json.object { json in json.member("cached_tokens", usage.cachedTokens) }
        }
    }

    /// `{"content": [{"token", "logprob", "bytes", "top_logprobs"}]}`.
    func writeChatLogprobs(_ logprobs: [TokenLogprob], to json: inout JSONWriter) {
        func write(_ id: TokenID, _ logprob: Float, to json: inout JSONWriter) {
            json.member("token", tokens.text(id))
            json.key("logprob")
            json.logprob(logprob)
            json.key("bytes")
            json.array(tokens.bytes(id)) { json, byte in json.int(byte) }
        }
        json.object { json in
            json.key("content")
            json.array(logprobs) { json, logprob in
                json.object { json in
                    write(logprob.tokenID, logprob.logprob, to: &json)
                    json.key("top_logprobs")
                    json.array(logprob.top) { json, candidate in
                        json.object { json in write(candidate.tokenID, candidate.logprob, to: &json) }
                    }
                }
            }
            json.member("refusal", nil as String?)
        }
    }

    /// vLLM's form: for each token of the prompt null, or an object by token id.
    func writePromptLogprobs(_ logprobs: [TokenLogprob?], to json: inout JSONWriter) {
        json.array(logprobs) { json, logprob in
            guard let logprob else { return json.null() }
            json.object { json in
                for (id, value, rank) in Self.ranked(logprob) {
                    json.key(String(id))
                    json.object { json in
                        json.key("logprob")
                        json.logprob(value)
                        json.member("rank", rank)
                        json.member("decoded_token", tokens.text(id))
                    }
                }
            }
        }
    }

    /// The token itself and the most probable ones, each once.
    private static func ranked(_ logprob: TokenLogprob) -> [(TokenID, Float, Int)] {
        let top = logprob.top.enumerated().map { ($1.tokenID, $1.logprob, $0 + 1) }
        let isAmong = top.contains { $0.0 == logprob.tokenID }
        return isAmong ? top : [(logprob.tokenID, logprob.logprob, logprob.rank)] + top
    }
}

/// The log-probabilities of /v1/completions: four lists of the same length.
struct TextLogprobs {
    private let encoder: AnswerEncoder
    private var entries: [(token: TokenID, logprob: TokenLogprob?)] = []
    /// Where the next token's text begins, in Unicode scalars.
    private(set) var offset: Int

    init(_ encoder: AnswerEncoder, offset: Int = 0) {
        self.encoder = encoder
        self.offset = offset
    }

    mutating func addPrompt(_ logprobs: [TokenLogprob?], _ ids: [TokenID]) {
        for (index, id) in ids.enumerated() {
            entries.append((id, index < logprobs.count ? logprobs[index] : nil))
        }
    }

    mutating func add(_ logprobs: [TokenLogprob]) {
        for logprob in logprobs { entries.append((logprob.tokenID, logprob)) }
    }

    mutating func write(to json: inout JSONWriter) {
        let tokens = encoder.tokens
        let texts = entries.map { tokens.text($0.token) }
        let topCount = encoder.request.topLogprobs
        json.beginObject()
        json.key("tokens")
        json.array(texts) { json, text in json.string(text) }
        json.key("token_logprobs")
        json.array(entries) { json, entry in
            if let logprob = entry.logprob { json.logprob(logprob.logprob) } else { json.null() }
        }
        json.key("top_logprobs")
        json.array(entries) { json, entry in
            guard let logprob = entry.logprob else { return json.null() }
            // The chosen token is always among them, as OpenAI has it. Two tokens may have one text: the first counts.
            var seen: Set<String> = []
            json.object { json in
                let chosen = TokenLogprob.Candidate(tokenID: logprob.tokenID, logprob: logprob.logprob)
                for candidate in logprob.top.prefix(topCount) + [chosen] {
                    let text = tokens.text(candidate.tokenID)
                    guard seen.insert(text).inserted else { continue }
                    json.key(text)
                    json.logprob(candidate.logprob)
                }
            }
        }
        json.key("text_offset")
        json.beginArray()
        for text in texts {
            json.int(offset)
            offset += text.unicodeScalars.count
        }
        json.endArray()
        json.endObject()
    }
}

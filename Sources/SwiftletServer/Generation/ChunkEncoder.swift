// ChunkEncoder: one delta after the other as server-sent events. Owned by the task that writes a stream.
//
// Invariant: the pieces of a choice, put together, are what the answer as a whole has; every choice's last chunk, and
// only that one, has a finish reason.

import Swiftlet
import SwiftletJSON
import SwiftletTemplate

struct ChunkEncoder {
    /// What is known of one choice so far.
    private struct Choice {
        var hasBegun = false
        var offset = 0
        var hasCalls = false
        var parser: AnswerParser
    }

    private let encoder: AnswerEncoder
    private var choices: [Choice]
    private var usages: [Usage]
    /// Of each prompt, for `echo`. They come with its first choice, and every choice reports them.
    private var promptLogprobs: [[TokenLogprob?]]
    /// `{"id":…,"model":…` without the closing bracket: the same in every chunk.
    private let head: [UInt8]

    init(_ encoder: AnswerEncoder) {
        self.encoder = encoder
        let request = encoder.request
        choices = Array(
            repeating: Choice(parser: request.parser), count: request.requests.count * request.choiceCount)
        usages = Array(repeating: Usage(), count: request.requests.count)
        promptLogprobs = Array(repeating: [], count: request.requests.count)
        var json = JSONWriter()
        json.beginObject()
        encoder.writeHead(request.endpoint == .chat ? "chat.completion.chunk" : "text_completion", to: &json)
        head = json.bytes
    }

    /// The token counts so far.
    var usage: Usage { usages.reduce(into: Usage()) { $0.add($1) } }

    /// The events of a delta; empty when there is nothing to say yet.
    mutating func events(_ prompt: Int, _ delta: Delta) -> [UInt8] {
        usages[prompt] = delta.usage
        let index = prompt * encoder.request.choiceCount + delta.index
        var bytes: [UInt8] = []
        switch encoder.request.endpoint {
        case .completions: addText(index, prompt, delta, to: &bytes)
        case .chat: addChat(index, delta, to: &bytes)
        }
        choices[index].hasBegun = true
        return bytes
    }

    /// The end of a stream without errors.
    func end() -> [UInt8] {
        var bytes: [UInt8] = []
        if encoder.request.includesUsage {
            addEvent(to: &bytes, usage: usage) { json in
                json.key("choices")
                json.array([Int]()) { _, _ in }
            }
        }
        bytes += "data: [DONE]\n\n".utf8
        return bytes
    }

    /// The end of a stream that failed.
    static func failure(_ error: APIError) -> [UInt8] {
        Array("data: ".utf8) + error.body + Array("\n\ndata: [DONE]\n\n".utf8)
    }

    private func addEvent(to bytes: inout [UInt8], usage: Usage? = nil, _ body: (inout JSONWriter) -> Void) {
        var json = JSONWriter(continuing: head)
        body(&json)
        if encoder.request.includesUsage {
            json.key("usage")
            let usage = usage ?? (encoder.request.includesUsageAlways ? self.usage : nil)
            if let usage { encoder.write(usage, to: &json) } else { json.null() }
        }
        json.endObject()
        bytes += "data: ".utf8
        bytes += json.bytes
        bytes += "\n\n".utf8
    }

    private func addChoice(to bytes: inout [UInt8], _ body: (inout JSONWriter) -> Void) {
        addEvent(to: &bytes) { json in
            json.key("choices")
            json.beginArray()
            json.object(body)
            json.endArray()
        }
    }

    // MARK: - Completions

    private mutating func addText(_ index: Int, _ prompt: Int, _ delta: Delta, to bytes: inout [UInt8]) {
        let request = encoder.request
        let echo = request.echoesPrompt && !choices[index].hasBegun ? encoder.echoes[prompt] : ""
        let text = echo + (request.echoesOnly ? "" : delta.text)
        guard !text.isEmpty || delta.finishReason != nil || request.wantsLogprobs else { return }
        var logprobs = TextLogprobs(encoder, offset: choices[index].offset)
        if request.wantsLogprobs {
            if request.echoesPrompt, !choices[index].hasBegun {
                promptLogprobs[prompt] = delta.promptLogprobs ?? promptLogprobs[prompt]
                logprobs.addPrompt(promptLogprobs[prompt], encoder.promptTokenIDs[prompt])
            }
            if !request.echoesOnly { logprobs.add(delta.logprobs ?? []) }
        }
        addChoice(to: &bytes) { json in
            json.member("index", index)
            json.member("text", text)
            json.key("logprobs")
            if request.wantsLogprobs { logprobs.write(to: &json) } else { json.null() }
            encoder.writeEnd(
                request.echoesOnly ? delta.finishReason.map { _ in .length } : delta.finishReason, delta.stopReason,
                to: &json)
        }
        choices[index].offset = logprobs.offset
    }

    // MARK: - Chat

    private mutating func addChat(_ index: Int, _ delta: Delta, to bytes: inout [UInt8]) {
        if !choices[index].hasBegun {
            addDelta(index, to: &bytes) { [encoder] json in
                json.member("role", encoder.request.role)
                json.member("content", "")
            }
        }
        var logprobs = delta.logprobs ?? []
        var parts = choices[index].parser.append(delta.text)
        if delta.finishReason != nil { parts += choices[index].parser.finish() }
        for part in parts where isWanted(part) {
            if case .toolCall = part { choices[index].hasCalls = true }
            addDelta(index, logprobs, to: &bytes) { json in Self.write(part, to: &json) }
            logprobs = []
        }
        // A token whose text is held back still has its log-probability.
        if !logprobs.isEmpty && encoder.request.wantsLogprobs && delta.finishReason == nil {
            addDelta(index, logprobs, to: &bytes) { json in json.member("content", "") }
            logprobs = []
        }
        guard delta.finishReason != nil else { return }
        addDelta(index, logprobs, end: delta, to: &bytes) { _ in }
    }

    private func isWanted(_ part: AnswerPart) -> Bool {
        switch part {
        case .content: true
        case .reasoning: encoder.request.includesReasoning
        case .toolCall(let index, _, _, _): index == 0 || !encoder.request.limitsToolCalls
        }
    }

    private static func write(_ part: AnswerPart, to json: inout JSONWriter) {
        switch part {
        case .content(let text): json.member("content", text)
        case .reasoning(let text): json.member("reasoning_content", text)
        case .toolCall(let index, let id, let name, let arguments):
            json.key("tool_calls")
            json.beginArray()
            json.object { json in
                json.member("index", index)
                if let id {
                    json.member("id", id)
                    json.member("type", "function")
                }
                json.key("function")
                json.object { json in
                    if let name { json.member("name", name) }
                    json.member("arguments", arguments)
                }
            }
            json.endArray()
        }
    }

    private func addDelta(
        _ index: Int, _ logprobs: [TokenLogprob] = [], end: Delta? = nil, to bytes: inout [UInt8],
        _ body: (inout JSONWriter) -> Void
    ) {
        addChoice(to: &bytes) { json in
            json.member("index", index)
            json.key("delta")
            json.object(body)
            json.key("logprobs")
            if encoder.request.wantsLogprobs && !logprobs.isEmpty {
                encoder.writeChatLogprobs(logprobs, to: &json)
            } else {
                json.null()
            }
            if let end {
                encoder.writeEnd(end.finishReason, end.stopReason, hasCalls: choices[index].hasCalls, to: &json)
            } else {
                json.member("finish_reason", nil as String?)
            }
        }
    }
}

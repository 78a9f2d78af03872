// BatchResult: one line of a batch's output file.
// Invariant: the bytes are one line of JSON with its end, whatever the text in it.

package import Swiftlet
import SwiftletJSON

package enum BatchResult {
    /// What stands for a log-probability of minus infinity, which JSON has no number for (vLLM's choice).
    private static let lowest: Float = -9999

    /// The line of a request that succeeded. Log-probabilities are there when they were asked for.
    package static func line(id: String, _ output: RequestOutput) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.key("id")
            json.string(id)
            json.key("prompt_token_ids")
            json.array(output.promptTokenIDs) { json, id in json.int(id) }
            json.key("outputs")
            json.array(output.choices) { json, choice in write(choice, to: &json) }
            if let logprobs = output.promptLogprobs {
                json.key("prompt_logprobs")
                json.array(logprobs) { json, logprob in write(logprob, to: &json) }
            }
            json.key("usage")
            json.object { json in
                json.key("prompt_tokens")
                json.int(output.usage.promptTokens)
                json.key("cached_tokens")
                json.int(output.usage.cachedTokens)
                json.key("completion_tokens")
                json.int(output.usage.completionTokens)
            }
        }
        json.newline()
        return json.bytes
    }

    /// The line of a request that failed.
    package static func line(id: String?, _ error: LLMError) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.key("id")
            if let id { json.string(id) } else { json.null() }
            json.key("error")
            json.object { json in
                json.key("code")
                json.string(error.code.description)
                json.key("message")
                json.string(error.message)
            }
        }
        json.newline()
        return json.bytes
    }

    private static func write(_ choice: CompletionOutput, to json: inout JSONWriter) {
        json.object { json in
            json.key("index")
            json.int(choice.index)
            json.key("text")
            json.string(choice.text)
            json.key("token_ids")
            json.array(choice.tokenIDs) { json, id in json.int(id) }
            json.key("finish_reason")
            if let reason = choice.finishReason { json.string(reason.rawValue) } else { json.null() }
            json.key("stop_reason")
            switch choice.stopReason {
            case .token(let id): json.int(id)
            case .string(let text): json.string(text)
            case nil: json.null()
            }
            if let logprobs = choice.logprobs {
                json.key("logprobs")
                json.array(logprobs) { json, logprob in write(logprob, to: &json) }
            }
        }
    }

    private static func write(_ logprob: TokenLogprob?, to json: inout JSONWriter) {
        guard let logprob else { return json.null() }
        json.object { json in
            json.key("token_id")
            json.int(logprob.tokenID)
            json.key("logprob")
            write(logprob.logprob, to: &json)
            json.key("top")
            json.array(logprob.top) { json, candidate in
                json.beginArray()
                json.int(candidate.tokenID)
                write(candidate.logprob, to: &json)
                json.endArray()
            }
        }
    }

    /// A number always: minus infinity, and what lies below -9999, is written -9999.0.
    private static func write(_ logprob: Float, to json: inout JSONWriter) {
        json.float(max(logprob, lowest))
    }
}

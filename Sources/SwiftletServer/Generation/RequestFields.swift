// RequestFields: the members of a request's JSON body, and which of the API's fields are not supported.
// A body comes from anyone: its depth, its number of values and of members are bounded.
//
// Invariant: a field that the API has and this server does not is refused; a field that neither knows is ignored.

import SwiftletJSON

/// A request's body.
struct RequestFields: Sendable {
    private static let depthLimit = 100
    private static let valueLimit = 1 << 21
    private static let memberLimit = 256

    /// By name; of a name that comes twice, the last one. Nulls are not there: they stand for "not given".
    private(set) var values: [String: JSONValue] = [:]

    init(_ body: [UInt8]) throws(APIError) {
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(
                parsing: body, maximumDepth: Self.depthLimit, maximumNodeCount: Self.valueLimit
            ).root
        } catch {
            throw .invalid("the body is not valid JSON: \(error.message) at byte \(error.offset + 1)")
        }
        guard root.kind == .object else { throw .invalid("the body must be a JSON object") }
        guard root.count <= Self.memberLimit else {
            throw .invalid("the body has \(root.count) fields; at most \(Self.memberLimit) are read")
        }
        for (name, value) in root.members { values[name] = value.isNull ? nil : value }
    }

    subscript(_ name: String) -> JSONValue? { values[name] }

    private func mistyped(_ name: String, _ value: JSONValue, _ expected: String) -> APIError {
        .invalid("\(name) is \(value.description); it must be \(expected)", param: name)
    }

    func string(_ name: String) throws(APIError) -> String? {
        guard let value = values[name] else { return nil }
        guard let string = value.string else { throw mistyped(name, value, "a string") }
        return string
    }

    func bool(_ name: String) throws(APIError) -> Bool? {
        guard let value = values[name] else { return nil }
        guard let flag = value.bool else { throw mistyped(name, value, "true or false") }
        return flag
    }

    func int(_ name: String) throws(APIError) -> Int? {
        guard let value = values[name] else { return nil }
        guard let number = value.int else { throw mistyped(name, value, "an integer") }
        return number
    }

    func list(_ name: String) throws(APIError) -> JSONValue? {
        guard let value = values[name] else { return nil }
        guard value.kind == .array else { throw mistyped(name, value, "a list") }
        return value
    }

    func object(_ name: String) throws(APIError) -> JSONValue? {
        guard let value = values[name] else { return nil }
        guard value.kind == .object else { throw mistyped(name, value, "an object") }
        return value
    }

    // MARK: - What is not supported

    /// Fields of OpenAI's and vLLM's API that are refused, each with the values that ask for nothing, as JSON text.
    static let unsupported: [String: [String]] = [
        "audio": [], "bad_words": ["[]"], "cache_salt": [], "chat_template": [], "early_stopping": ["false"],
        "function_call": [#""none""#], "functions": ["[]"], "guided_choice": [], "guided_decoding_backend": [],
        "guided_grammar": [], "guided_json": [], "guided_regex": [], "guided_whitespace_pattern": [],
        "kv_transfer_params": [], "length_penalty": ["1", "1.0"], "logits_processors": ["[]"],
        "media_io_kwargs": ["{}"], "mm_processor_kwargs": ["{}"], "modalities": [#"["text"]"#], "prediction": [],
        "prompt_embeds": [], "return_token_ids": ["false"],
        "service_tier": [#""auto""#, #""default""#], "spaces_between_special_tokens": ["true"], "store": ["false"],
        "structural_tag": [], "structured_outputs": [], "suffix": [#""""#], "thinking_token_budget": [],
        "truncate_prompt_tokens": [], "use_beam_search": ["false"], "verbosity": [#""medium""#], "vllm_xargs": ["{}"],
        "web_search_options": [],
    ]

    /// Fields that change no answer anywhere: they are for the records of who runs the server.
    private static let inert: Set<String> = ["metadata", "prompt_cache_key", "safety_identifier", "user"]

    private static let supported: Set<String> = [
        "add_generation_prompt", "add_special_tokens", "allowed_token_ids", "best_of", "chat_template_kwargs",
        "continue_final_message", "documents", "echo", "frequency_penalty", "ignore_eos", "include_reasoning",
        "include_stop_str_in_output", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "messages",
        "min_p", "min_tokens", "model", "n", "parallel_tool_calls", "presence_penalty", "priority", "prompt",
        "prompt_logprobs", "reasoning_effort", "repetition_penalty", "response_format",
        "return_tokens_as_token_ids", "seed", "skip_special_tokens", "stop", "stop_token_ids", "stream",
        "stream_options", "temperature", "tool_choice", "tools", "top_k", "top_logprobs", "top_p",
    ]

    /// Whether the API has a field of this name.
    static func isKnown(_ name: String) -> Bool {
        supported.contains(name) || unsupported[name] != nil || inert.contains(name)
    }

    /// - Throws: ``APIError`` for a field that the API has and this server does not.
    func refuseUnsupported() throws(APIError) {
        for (name, value) in values {
            guard let neutral = Self.unsupported[name] else { continue }
            let text = String(decoding: value.bytes.filter { $0 > 0x20 }, as: UTF8.self)
            guard neutral.contains(text) else {
                throw APIError(
                    status: 400, "\(name) is not supported by this server", param: name, code: "unsupported_parameter")
            }
        }
        guard let format = try object("response_format") else { return }
        guard format["type"]?.string == "text" else {
            throw APIError(
                status: 400, "response_format is not supported by this server, except for the type \"text\"",
                param: "response_format", code: "unsupported_parameter")
        }
    }
}

#if Server
// Shape: what a JSON value must look like, as a table. The shapes are those of OpenAI's published API; a member that is
// not in the table is an error, so that nothing comes in unnoticed.

import NIOHTTP1
import SwiftletJSON
import Testing

indirect enum Shape: Sendable {
    case text, integer, number, object([String: Shape]), list(Shape), map(Shape), constant(String)
    case nullable(Shape)
    /// May be absent.
    case optional(Shape)
    case anyOf([Shape])

    /// What is wrong with a value; nil if nothing is.
    func fault(of value: JSONValue, at path: String = "$") -> String? {
        switch self {
        case .text: return value.string == nil ? "\(path) is \(value.description), not a string" : nil
        case .integer: return value.int == nil ? "\(path) is \(value.description), not an integer" : nil
        case .number: return value.double == nil ? "\(path) is \(value.description), not a number" : nil
        case .constant(let text): return value.string == text ? nil : "\(path) is not \"\(text)\""
        case .nullable(let shape): return value.isNull ? nil : shape.fault(of: value, at: path)
        case .optional(let shape): return shape.fault(of: value, at: path)
        case .anyOf(let shapes):
            let faults = shapes.map { $0.fault(of: value, at: path) }
            return faults.contains { $0 == nil } ? nil : faults.compactMap(\.self).joined(separator: "; ")
        case .list(let shape):
            guard value.kind == .array else { return "\(path) is \(value.description), not a list" }
            for (index, element) in value.elements.enumerated() {
                if let fault = shape.fault(of: element, at: "\(path)[\(index)]") { return fault }
            }
            return nil
        case .map(let shape):
            guard value.kind == .object else { return "\(path) is \(value.description), not an object" }
            for (key, member) in value.members {
                if let fault = shape.fault(of: member, at: "\(path).\(key)") { return fault }
            }
            return nil
        case .object(let members):
            guard value.kind == .object else { return "\(path) is \(value.description), not an object" }
            for (key, shape) in members {
                guard let member = value[key] else {
                    if case .optional = shape { continue }
                    return "\(path).\(key) is missing"
                }
                if let fault = shape.fault(of: member, at: "\(path).\(key)") { return fault }
            }
            for (key, _) in value.members where members[key] == nil { return "\(path).\(key) is not in the API" }
            return nil
        }
    }
}

func expect(
    _ value: JSONValue, is shape: Shape, sourceLocation: SourceLocation = #_sourceLocation
) {
    if let fault = shape.fault(of: value) {
        Issue.record("\(fault) in \(String(decoding: value.bytes, as: UTF8.self))", sourceLocation: sourceLocation)
    }
}

extension Shape {
    /// Checks an answer of any route: its status, its type and every field of it.
    static func check(_ reply: Reply, to url: String) throws {
        let path = "/" + url.split(separator: "/").dropFirst(2).joined(separator: "/")
        let isChat = path == "/v1/chat/completions"
        let type = reply.headers.first(name: "content-type") ?? ""
        if type.hasPrefix("text/event-stream") {
            for event in try reply.events() {
                expect(event, is: event["error"] != nil ? error : isChat ? chatChunk : completionChunk)
            }
            return
        }
        if reply.bytes.isEmpty, path == "/health" || path == "/ready" { return }
        let shape: Shape
        switch (reply.status, path) {
        case (400..., _): shape = error
        case (_, "/v1/completions"): shape = completion
        case (_, "/v1/chat/completions"): shape = chatCompletion
        case (_, "/v1/models"): shape = models
        case (_, _) where path.hasPrefix("/v1/models/"): shape = oneModel
        case (_, "/tokenize"): shape = tokens
        case (_, "/detokenize"): shape = .object(["prompt": .text])
        case (_, "/version"): shape = .object(["version": .text])
        default: return
        }
        #expect(type == "application/json", "\(path): \(type)")
        expect(try reply.json, is: shape)
    }

    private static let tokens = Shape.object([
        "count": .integer, "max_model_len": .integer, "tokens": .list(.integer),
        "token_strs": .nullable(.list(.text)),
    ])

    static let usage = Shape.object([
        "prompt_tokens": .integer, "completion_tokens": .integer, "total_tokens": .integer,
        "prompt_tokens_details": .object(["cached_tokens": .integer]),
    ])

    private static let finishReason = Shape.nullable(
        .anyOf([.constant("stop"), .constant("length"), .constant("tool_calls")]))
    private static let stopReason = Shape.nullable(.anyOf([.text, .integer]))
    /// vLLM's.
    private static let promptLogprobs = Shape.optional(
        .list(.nullable(.map(.object(["logprob": .number, "rank": .integer, "decoded_token": .text])))))

    private static let textLogprobs = Shape.nullable(
        .object([
            "tokens": .list(.text), "token_logprobs": .list(.nullable(.number)),
            "top_logprobs": .list(.nullable(.map(.number))), "text_offset": .list(.integer),
        ]))
    private static let chatLogprobs = Shape.nullable(
        .object([
            "content": .list(
                .object([
                    "token": .text, "logprob": .number, "bytes": .nullable(.list(.integer)),
                    "top_logprobs": .list(
                        .object(["token": .text, "logprob": .number, "bytes": .nullable(.list(.integer))])),
                ])), "refusal": .nullable(.text),
        ]))

    private static let textChoice = Shape.object([
        "index": .integer, "text": .text, "logprobs": textLogprobs, "finish_reason": finishReason,
        "stop_reason": stopReason, "prompt_logprobs": promptLogprobs,
    ])

    static let completion = Shape.object([
        "id": .text, "object": .constant("text_completion"), "created": .integer, "model": .text,
        "choices": .list(textChoice), "usage": usage,
    ])

    static let completionChunk = Shape.object([
        "id": .text, "object": .constant("text_completion"), "created": .integer, "model": .text,
        "choices": .list(textChoice), "usage": .optional(.nullable(usage)),
    ])

    private static let toolCall = Shape.object([
        "id": .text, "type": .constant("function"), "function": .object(["name": .text, "arguments": .text]),
    ])

    static let chatCompletion = Shape.object([
        "id": .text, "object": .constant("chat.completion"), "created": .integer, "model": .text,
        "choices": .list(
            .object([
                "index": .integer,
                "message": .object([
                    "role": .constant("assistant"), "content": .nullable(.text), "refusal": .nullable(.text),
                    "reasoning_content": .optional(.text), "tool_calls": .optional(.list(toolCall)),
                ]), "logprobs": chatLogprobs, "finish_reason": finishReason, "stop_reason": stopReason,
            ])), "usage": usage, "prompt_logprobs": promptLogprobs,
    ])

    static let chatChunk = Shape.object([
        "id": .text, "object": .constant("chat.completion.chunk"), "created": .integer, "model": .text,
        "choices": .list(
            .object([
                "index": .integer,
                "delta": .object([
                    "role": .optional(.constant("assistant")), "content": .optional(.text),
                    "reasoning_content": .optional(.text),
                    "tool_calls": .optional(
                        .list(
                            .object([
                                "index": .integer, "id": .optional(.text), "type": .optional(.constant("function")),
                                "function": .object(["name": .optional(.text), "arguments": .text]),
                            ]))),
                ]), "logprobs": chatLogprobs, "finish_reason": finishReason, "stop_reason": .optional(stopReason),
            ])), "usage": .optional(.nullable(usage)),
    ])

    private static let model = Shape.object([
        "id": .text, "object": .constant("model"), "created": .integer, "owned_by": .text, "root": .text,
        "parent": .nullable(.text), "max_model_len": .integer,
    ])
    static let models = Shape.object(["object": .constant("list"), "data": .list(model)])
    static let oneModel = model

    static let error = Shape.object([
        "error": .object([
            "message": .text, "type": .text, "param": .nullable(.text), "code": .nullable(.text),
        ])
    ])
}
#endif

// What an answer is taken apart into: every format, what only looks like one, and answers that are cut off.
// Owned by this test target.

import SwiftletJSON
import SwiftletTemplate
import SwiftletTestSupport
import Testing

/// An answer parsed whole, with ids as what they look like.
func parsed(_ text: String, _ parser: AnswerParser) -> ParsedAnswer {
    var answer = ParsedAnswer(text, parser: parser)
    for index in answer.toolCalls.indices { answer.toolCalls[index].id = shape(ofID: answer.toolCalls[index].id) }
    return answer
}

/// `call` for an id like OpenAI's, `nine` for one of Mistral's, or the id itself.
func shape(ofID id: String) -> String {
    let isAlphanumeric = id.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || (65...90) ~= $0 & 0xDF }
    if isAlphanumeric && id.utf8.count == 9 { return "nine" }
    return id.hasPrefix("call_") && id.utf8.count == 29 ? "call" : id
}

@Suite("Answers")
struct AnswerParserTests {
    struct Example: Sendable, CustomTestStringConvertible {
        var name: String
        var parser: AnswerParser
        var text: String
        var content = ""
        var reasoning = ""
        /// Id, name and arguments of each call.
        var calls: [[String]] = []

        var testDescription: String { name }
    }

    private static let hermes = AnswerParser(toolCalls: .hermes)
    private static let thinking = AnswerParser(toolCalls: .hermes, reasoning: .qwen3)
    private static let llama = AnswerParser(toolCalls: .llama3JSON)
    private static let mistral = AnswerParser(toolCalls: .mistral, reasoning: .mistral)
    private static let coder = AnswerParser(
        toolCalls: .qwen3Coder, reasoning: .qwen3,
        tools: [
            [
                "type": "function",
                "function": [
                    "name": "run",
                    "parameters": [
                        "type": "object",
                        "properties": [
                            "text": ["type": "string"], "count": ["type": "integer"], "flag": ["type": "boolean"],
                            "list": ["type": ["array", "null"]],
                            "any": ["anyOf": [["type": "number"], ["type": "null"]]],
                        ],
                    ],
                ],
            ]
        ])

    static let hermesExamples = [
        Example(
            name: "one call", parser: hermes,
            text: "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"zone\": \"UTC\"}}\n</tool_call>",
            calls: [["call", "now", #"{"zone": "UTC"}"#]]),
        Example(
            name: "text, two calls, text", parser: hermes,
            text: "Let me look.\n\n<tool_call>{\"name\":\"a\",\"arguments\":{}}</tool_call>\n<tool_call>\n"
                + "{\"arguments\": {\"b\": [1, {\"c\": null}]}, \"name\": \"b\"}\n</tool_call>\nDone. ",
            content: "Let me look.Done. ", calls: [["call", "a", "{}"], ["call", "b", #"{"b": [1, {"c": null}]}"#]]),
        Example(
            name: "marks within a string", parser: hermes,
            text: #"<tool_call>{"name": "w", "arguments": {"t": "</tool_call> <tool_call> \" } \\"}}</tool_call>ok"#,
            content: "ok", calls: [["call", "w", #"{"t": "</tool_call> <tool_call> \" } \\"}"#]]),
        Example(
            name: "no arguments", parser: hermes, text: #"<tool_call>{"name": "now"}</tool_call>"#,
            calls: [["call", "now", "{}"]]),
        Example(
            name: "quoted arguments, an id, parameters for arguments", parser: hermes,
            text: #"<tool_call>{"id": "x-7", "name": "f", "parameters": "{\"a\": 1}"}</tool_call>"#,
            calls: [["x-7", "f", #"{"a": 1}"#]]),
        Example(
            name: "no closing mark", parser: hermes,
            text: "<tool_call>{\"name\": \"a\", \"arguments\": {}}\n<tool_call>{\"name\": \"b\", \"arguments\": {}}",
            calls: [["call", "a", "{}"], ["call", "b", "{}"]]),
        Example(
            name: "cut off in the closing mark", parser: hermes,
            text: "<tool_call>{\"name\": \"a\", \"arguments\": {}}\n</tool_", calls: [["call", "a", "{}"]]),
        Example(
            name: "other languages", parser: hermes,
            text: "Ja 👩‍👩‍👧 <tool_call>{\"name\": \"天気\", \"arguments\": {\"場所\": \"東京 🗼\"}}</tool_call>",
            content: "Ja 👩‍👩‍👧", calls: [["call", "天気", "{\"場所\": \"東京 🗼\"}"]]),
        Example(
            name: "a call in reasoning ends it", parser: thinking,
            text: "<think>\nI call.\n<tool_call>{\"name\": \"a\", \"arguments\": {}}</tool_call>\nSo.",
            content: "So.", reasoning: "I call.", calls: [["call", "a", "{}"]]),
    ]

    static let textExamples = [
        "Use <tool_call> for calls.", "<tool_call>", "a <tool_call>{", "a < b <tool <tool_cal",
        "<tool_call></tool_call>",
        "<tool_call>{}</tool_call>", "<tool_call>[1]</tool_call>", #"<tool_call>{"name": oops}</tool_call> and more"#,
        #"<tool_call>{"name": "f", "arguments": {"a": 1,}}</tool_call>"#,
        #"<tool_call>{"name": "f", "arguments": [1]}</tool_call>"#,
        #"<tool_call>{"name": "f", "arguments": "no object"}</tool_call>"#,
        #"<tool_call>{"name": 7, "arguments": {}}</tool_call>"#, #"<tool_call>{"name": "f", "arguments": {"a": "b"#,
        "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"line\nend\"}}</tool_call>", " \n\n Hello \n\n",
        "<think", "x <think>not thinking</think>", "<tool_call>\n<function=f",
        "<tool_call>" + String(repeating: " ", count: 400),
        "<tool_call>{\"name\": \"f\", \"arguments\": " + String(repeating: "[", count: 200),
    ].map { Example(name: "text: \($0.prefix(60))", parser: thinking, text: $0, content: $0) }

    static let reasoningExamples = [
        Example(
            name: "reasoning", parser: thinking, text: "\n<think>\nHm: <b> a\n\nb\n</think>\n\nHello\n",
            content: "Hello\n",
            reasoning: "Hm: <b> a\n\nb"),
        Example(
            name: "begun in the prompt", parser: AnswerParser(reasoning: .qwen3, startsInReasoning: true),
            text: "Hm\n</think>\nHello", content: "Hello", reasoning: "Hm"),
        Example(
            name: "begun in the prompt and once more", parser: AnswerParser(reasoning: .qwen3, startsInReasoning: true),
            text: "<think>Hm</think>Hello", content: "Hello", reasoning: "Hm"),
        Example(name: "no reasoning", parser: thinking, text: "Hello </think> you", content: "Hello </think> you"),
        Example(name: "cut off in reasoning", parser: thinking, text: "<think>Hm, \n", reasoning: "Hm, \n"),
        Example(name: "cut off in the mark", parser: thinking, text: "<think>Hm</thi", reasoning: "Hm</thi"),
        Example(name: "empty reasoning", parser: thinking, text: "<think>\n\n</think>\n\nHello", content: "Hello"),
        Example(
            name: "marks of other models", parser: AnswerParser(reasoning: .mistral), text: "[THINK]a[/THINK] b<think>",
            content: "b<think>", reasoning: "a"),
        Example(
            name: "no formats", parser: AnswerParser(), text: "<think>\n<tool_call>", content: "<think>\n<tool_call>"),
    ]

    static let llamaExamples = [
        Example(
            name: "bare", parser: llama, text: #" {"name": "f", "parameters": {"a": "{;}"}}"#,
            calls: [["call", "f", #"{"a": "{;}"}"#]]),
        Example(
            name: "tagged", parser: llama, text: #"<|python_tag|>{"type": "function", "name": "f", "parameters": {}}"#,
            calls: [["call", "f", "{}"]]),
        Example(
            name: "several", parser: llama,
            text: #"{"name": "f", "parameters": {}}; {"name": "g", "arguments": {"x": 1}} ;"# + "\n"
                + #"<|python_tag|>{"name": "h", "parameters": {}}"#,
            content: ";", calls: [["call", "f", "{}"], ["call", "g", #"{"x": 1}"#], ["call", "h", "{}"]]),
        Example(
            name: "JSON that is no call", parser: llama,
            text: #"{"name": "Bob", "age": 7} {"name": "f", "parameters": {}}"#,
            content: #"{"name": "Bob", "age": 7} {"name": "f", "parameters": {}}"#),
        Example(
            name: "code for the built-in tool", parser: llama, text: #"<|python_tag|>search.call(query="x")"#,
            content: #"<|python_tag|>search.call(query="x")"#),
        Example(
            name: "a second that is none", parser: llama, text: #"{"name": "f", "parameters": {}}; {"name": 1}"#,
            content: #"; {"name": 1}"#, calls: [["call", "f", "{}"]]),
    ]

    static let mistralExamples = [
        Example(
            name: "list", parser: mistral,
            text: #"Sure [TOOL_CALLS] [{"name": "f", "arguments": {"a": "]"}}, {"name": "g", "arguments": {}}] bye"#,
            content: "Surebye", calls: [["nine", "f", #"{"a": "]"}"#], ["nine", "g", "{}"]]),
        Example(
            name: "list with ids", parser: mistral, text: #"[TOOL_CALLS][{"name": "f", "arguments": {}, "id": "abc"}]"#,
            calls: [["abc", "f", "{}"]]),
        Example(
            name: "object", parser: mistral, text: #"[TOOL_CALLS]{"name": "f", "arguments": {}}"#,
            calls: [["nine", "f", "{}"]]),
        Example(
            name: "names", parser: mistral,
            text:
                #"[THINK]hm[/THINK][TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g-2.x[CALL_ID]123456789[ARGS]{}[TOOL_CALLS]h{"name": 1} x"#,
            content: "x", reasoning: "hm",
            calls: [["nine", "f", #"{"a": 1}"#], ["nine", "g-2.x", "{}"], ["nine", "h", #"{"name": 1}"#]]),
        Example(
            name: "a second that is none", parser: mistral,
            text: #"[TOOL_CALLS][{"name": "f", "arguments": {}}, {"nam"#,
            content: #", {"nam"#, calls: [["nine", "f", "{}"]]),
        Example(
            name: "none", parser: mistral,
            text: "[TOOL_CALLS][] [TOOL_CALLS]two words[ARGS]{} [TOOL_CALLS]f[ARGS]x [TOOL",
            content: "[TOOL_CALLS][] [TOOL_CALLS]two words[ARGS]{} [TOOL_CALLS]f[ARGS]x [TOOL"),
    ]

    static let coderExamples = [
        Example(
            name: "tags", parser: coder,
            text: "I run.\n\n<tool_call>\n<function=run>\n<parameter=text>\n<p>\n 12\n</p>\n</parameter>\n"
                + "<parameter=count>\n12\n</parameter>\n<parameter=flag>True</parameter>\n"
                + "<parameter=list>[1, \"a\"]</parameter><parameter=any>\nNone\n</parameter>\n"
                + "<parameter=other>\n3\n</parameter>\n</function>\n</tool_call>",
            content: "I run.",
            calls: [
                [
                    "call", "run",
                    #"{"text":"<p>\n 12\n</p>","count":12,"flag":true,"list":[1, "a"],"any":null,"other":"3"}"#,
                ]
            ]),
        Example(
            name: "values that are not what the schema says", parser: coder,
            text: "<tool_call><function=run><parameter=count>many</parameter></function></tool_call>",
            calls: [["call", "run", #"{"count":"many"}"#]]),
        Example(
            name: "no parameters", parser: coder, text: "<tool_call>\n<function=now>\n</function>\n</tool_call>\n",
            calls: [["call", "now", "{}"]]),
        Example(
            name: "an unclosed value", parser: coder,
            text: "<tool_call><function=f><parameter=a>b</function></tool_call>",
            content: "<tool_call><function=f><parameter=a>b</function></tool_call>"),
        Example(
            name: "twice the same parameter", parser: coder,
            text: "<tool_call><function=f><parameter=a>b</parameter><parameter=a>c</parameter></function>",
            content: "<tool_call><function=f><parameter=a>b</parameter><parameter=a>c</parameter></function>"),
    ]

    static let examples =
        hermesExamples + textExamples + reasoningExamples + llamaExamples + mistralExamples + coderExamples

    @Test("An answer is taken apart, whole and in any pieces", arguments: examples)
    func example(_ example: Example) {
        let answer = parsed(example.text, example.parser)
        #expect(same(answer.content, example.content))
        #expect(same(answer.reasoning, example.reasoning))
        #expect(answer.toolCalls.map { [$0.id, $0.name, $0.arguments] } == example.calls)
        expectSameInPieces(example.text, example.parser)
    }

    /// Each scalar alone, and random pieces.
    private func expectSameInPieces(
        _ text: String, _ parser: AnswerParser, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let whole = parsed(text, parser)
        var random = SeededGenerator(seed: UInt64(text.utf8.count))
        for longest in [1, 1, 3, 7, 20, 100] {
            var (parser, answer, scalars) = (parser, ParsedAnswer(), Array(text.unicodeScalars)[...])
            var calls = 0
            while !scalars.isEmpty {
                var piece = String.UnicodeScalarView()
                piece.append(contentsOf: scalars.prefix(Int.random(in: 1...longest, using: &random)))
                scalars = scalars.dropFirst(piece.count)
                for part in parser.append(String(piece)) {
                    if case .toolCall(let index, let id, let name, let arguments) = part, id != nil || name != nil {
                        #expect(index == calls && id != nil && name != nil && arguments.isEmpty)
                        calls += 1
                    }
                    answer.add(part)
                }
            }
            for part in parser.finish() { answer.add(part) }
            for index in answer.toolCalls.indices {
                answer.toolCalls[index].id = shape(ofID: answer.toolCalls[index].id)
            }
            #expect(same(answer.content, whole.content), sourceLocation: sourceLocation)
            #expect(same(answer.reasoning, whole.reasoning), sourceLocation: sourceLocation)
            #expect(answer.toolCalls == whole.toolCalls, sourceLocation: sourceLocation)
        }
    }

    // MARK: Long calls

    private static func longCall(_ value: String, end: String = "\"}}</tool_call>") -> String {
        "<tool_call>{\"name\": \"write\", \"arguments\": {\"text\": \"" + value + end
    }

    @Test("A long call is given while it comes")
    func longCalls() {
        let value = String(repeating: "All work and no play. ", count: 500)
        var parser = Self.hermes
        var parts: [AnswerPart] = []
        for character in "So: " + Self.longCall(value) + " ok" { parts += parser.append(String(character)) }
        #expect(parts.count > 1_000)
        for part in parts + parser.finish() {
            guard case .toolCall(_, _, _, let arguments) = part else { continue }
            #expect(arguments.utf8.count < 1_100)
        }
        let answer = parsed("So: " + Self.longCall(value) + " ok", Self.hermes)
        #expect(answer.content == "So:ok")
        #expect(answer.toolCalls == [.init(id: "call", name: "write", arguments: "{\"text\": \"\(value)\"}")])
        expectSameInPieces("So: " + Self.longCall(value) + " ok", Self.hermes)
    }

    @Test("A long call that breaks off keeps what was given, and the rest is text")
    func brokenLongCalls() {
        let value = String(repeating: "é", count: 600)
        for (end, arguments, content) in [
            ("", "", ""), ("\n\"}}</tool_call> x", "", "\n\"}}</tool_call> x"),
            ("\"}</tool_call>", "\"}", "</tool_call>"),
            ("\", \"b\": 1,}", "\", \"b\": 1,", "}"), ("\"}, \"x\": [1, 2]}</tool_call>", "\"}", ""),
        ] {
            let text = Self.longCall(value, end: end)
            let answer = parsed(text, Self.hermes)
            #expect(
                answer.toolCalls == [.init(id: "call", name: "write", arguments: "{\"text\": \"\(value)\(arguments)")])
            // Whitespace behind a call is the call's.
            #expect(answer.content == (content.hasPrefix("\n") ? String(content.dropFirst()) : content))
            expectSameInPieces(text, Self.hermes)
        }
    }

    @Test("A call that never shows its name is text after 64 KiB, and so is an endless one in tags")
    func endlessCalls() {
        let value = String(repeating: "x ", count: 40_000)
        for text in [
            "<tool_call>{\"arguments\": {\"a\": \"\(value)\"}, \"name\": \"f\"}</tool_call>",
            "<tool_call><function=f><parameter=a>\(value)</parameter></function></tool_call>",
        ] {
            var parser = Self.coder
            var (held, longest) = (0, 0)
            var answer = ParsedAnswer()
            for piece in stride(from: 0, to: text.utf8.count, by: 1_000).map({ text.dropFirst($0).prefix(1_000) }) {
                held += piece.utf8.count
                for case .content(let text) in parser.append(String(piece)) {
                    held -= text.utf8.count
                    answer.content += text
                }
                longest = max(longest, held)
            }
            for part in parser.finish() { answer.add(part) }
            #expect(answer.content == text)
            #expect(longest <= 1 << 16 + 1_000)
            #expect(parsed(text, Self.coder).content == text)
        }
        let short = String(repeating: "x ", count: 20_000)
        let first = "<tool_call>{\"arguments\": {\"a\": \"\(short)\"}, \"name\": \"f\"}</tool_call>"
        #expect(parsed(first, Self.hermes).toolCalls.first?.arguments == "{\"a\": \"\(short)\"}")
    }

    @Test("What can't become a mark is given at once")
    func promptness() {
        var parser = Self.thinking
        #expect(parser.append("Hello") == [.content("Hello")])
        #expect(parser.append(" <") == [])
        #expect(parser.append("b> ") == [.content(" <b>")])
        #expect(parser.append("\n") == [])
        #expect(parser.append("x") == [.content(" \nx")])
        #expect(parser.append(String(repeating: "\n", count: 300)) == [.content(String(repeating: "\n", count: 257))])
        #expect(parser.finish() == [.content(String(repeating: "\n", count: 43))])
        #expect(parser.finish() == [])
        var plain = AnswerParser(reasoning: .qwen3)
        #expect(plain.append("a ") == [.content("a ")])
    }

    @Test("What is let through of much whitespace does not depend on how it came")
    func longWhitespace() {
        let spaces = String(repeating: " ", count: 600)
        for text in ["<think>a\(spaces)</think>b", "a\(spaces)<tool_call>{\"name\": \"f\"}</tool_call>\(spaces)b"] {
            expectSameInPieces(text, Self.thinking)
        }
    }

    // MARK: Fuzzing

    static let pieces = [
        "<tool_call>", "</tool_call>", "<think>", "</think>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<|python_tag|>",
        "[THINK]", "[/THINK]", "<function=", "</function>", "<parameter=", "</parameter>", ">", "<", "[", "]", "{", "}",
        "\"", "\\", "\\u00e9", ":", ",", ";", " ", "\n", "\n\n", "name", "arguments", "\"name\": \"f\"",
        "\"arguments\": {", "{\"name\": \"f\", \"arguments\": {\"a\": 1}}", "\"parameters\"", "f", "12", "-0.5e1",
        "true",
        "é", "👩‍👩‍👧", "a long text that goes on", String(repeating: "yé", count: 300), String(repeating: " ", count: 300),
    ]

    @Test("No answer crashes, hangs or depends on its pieces", .timeLimit(.minutes(FuzzRun.limitInMinutes)))
    func anyAnswer() {
        let run = FuzzRun(seconds: 2, seed: 20_261_130)
        var random = SeededGenerator(seed: run.seed)
        var (rounds, calls) = (0, 0)
        let parsers =
            ToolCallFormat.allCases.flatMap { format in
                [nil, .qwen3, .mistral].map { AnswerParser(toolCalls: format, reasoning: $0) }
            } + [AnswerParser(reasoning: .deepseekR1, startsInReasoning: true), Self.coder]
        let seeds = Self.examples.map { Array($0.text.utf8) }
        while run.goesOn {
            rounds += 1
            var text = ""
            if rounds % 2 == 0 {
                text = String(
                    decoding: mutated(seeds.randomElement(using: &random) ?? [], using: &random), as: UTF8.self)
            } else {
                for _ in 0..<Int.random(in: 1...14, using: &random) {
                    text += Self.pieces.randomElement(using: &random) ?? ""
                }
            }
            let parser = parsers[rounds % parsers.count]
            expectSameInPieces(text, parser)
            let answer = parsed(text, parser)
            calls += answer.toolCalls.count
            for call in answer.toolCalls where call.arguments.utf8.count < 1_000 {
                #expect(throws: Never.self, "\(text), seed \(run.seed)") {
                    try JSONDocument(parsing: Array(call.arguments.utf8))
                }
            }
            // Nothing is lost but whitespace and marks.
            if answer.toolCalls.isEmpty {
                let visible = answer.reasoning + answer.content
                let dropped = text.utf8.count - visible.utf8.count
                #expect(dropped <= 16 + text.utf8.count { $0 <= 0x20 }, "\(text), seed \(run.seed)")
            }
        }
        #expect(rounds > 20 && calls > 5, "\(rounds) rounds, \(calls) calls")
    }
}

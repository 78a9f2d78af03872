// DealtLine and DealtAnswer: a line of a batch on its way to another process, and what it came to on the way back: a line
// of JSON with what belongs to it, then its own bytes.
// Invariant: what is read is what was written; anything else is an error.

import Swiftlet
import SwiftletJSON

struct DealtLine {
    var entry: LineReader.Entry

    init(entry: LineReader.Entry) { self.entry = entry }

    init(_ message: [UInt8]) throws(LLMError) {
        let (head, line) = try split(message)
        guard let number = head["number"]?.int, let index = head["index"]?.int, let count = head["bytes"]?.int,
            let isTooLong = head["too_long"]?.bool
        else { throw malformed(message) }
        entry = LineReader.Entry(
            line: isTooLong ? .tooLong : .text(line), number: number, index: index, byteCount: count)
    }

    var message: [UInt8] {
        var line: [UInt8]?
        if case .text(let bytes) = entry.line { line = bytes }
        var json = JSONWriter()
        json.object { json in
            json.member("number", entry.number)
            json.member("index", entry.index)
            json.member("bytes", entry.byteCount)
            json.key("too_long")
            json.bool(line == nil)
        }
        json.newline()
        return json.bytes + (line ?? [])
    }
}

struct DealtAnswer {
    var answer: BatchRun.Answer
    /// Of the engine that made it: what a batch tells of them.
    var statistics: EngineStatistics

    init(answer: BatchRun.Answer, statistics: EngineStatistics) {
        self.answer = answer
        self.statistics = statistics
    }

    init(_ message: [UInt8]) throws(LLMError) {
        let (head, line) = try split(message)
        guard let prefill = head["prefill_tokens"]?.int, let generated = head["generated_tokens"]?.int,
            let hits = head["cached_tokens"]?.int
        else { throw malformed(message) }
        answer = BatchRun.Answer(line: line, failure: head["failure"]?.string)
        statistics = EngineStatistics()
        statistics.prefillTokens = prefill
        statistics.generatedTokens = generated
        statistics.prefixCacheHits = hits
    }

    var message: [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.member("prefill_tokens", statistics.prefillTokens)
            json.member("generated_tokens", statistics.generatedTokens)
            json.member("cached_tokens", statistics.prefixCacheHits)
            json.member("failure", answer.failure)
        }
        json.newline()
        return json.bytes + answer.line
    }
}

private func split(_ message: [UInt8]) throws(LLMError) -> (head: JSONValue, line: [UInt8]) {
    guard let end = message.firstIndex(of: UInt8(ascii: "\n")),
        let head = try? JSONDocument(parsing: Array(message[..<end])).root
    else { throw malformed(message) }
    return (head, Array(message[(end + 1)...]))
}

private func malformed(_ message: [UInt8]) -> LLMError {
    LLMError(
        .engineFailed,
        "a message of \(message.count) bytes from another process is none of this version's; run one version everywhere"
    )
}

// Streaming: the text as it comes. Leaving the loop aborts the request: its memory is free a step later, and nothing is
// computed that nobody reads. Cancelling the task that reads does the same.
// The loops stand in functions: at the top level of a main.swift, Swift 6.3 keeps a loop's iterator, and with it the
// request, until the program ends.

import Foundation
import Swiftlet

/// Written at once; `print` would wait for the end of the line.
func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }

/// Reads the stream to its end.
func writeAll(_ stream: TokenStream) async throws {
    write(stream.prompt ?? "")
    for try await delta in stream {
        write(delta.text)
        if let reason = delta.finishReason { write("\n[\(reason.rawValue), \(delta.usage.completionTokens) tokens]\n") }
    }
}

/// Leaves the stream after some sentences.
func writeSentences(_ count: Int, of stream: TokenStream) async throws {
    write(stream.prompt ?? "")
    var sentences = 0
    for try await delta in stream {
        write(delta.text)
        sentences += delta.text.count { $0 == "." }
        if sentences >= count { return write("\n[left after \(sentences) sentences]\n") }
    }
}

let llm = try await LLM()
try await writeAll(llm.stream("Once upon a time", SamplingParams(temperature: 0.7, seed: 3, maxTokens: 60)))
let long = SamplingParams(temperature: 0.7, seed: 4, maxTokens: 500, ignoreEOS: true)
try await writeSentences(2, of: llm.stream("In a small village", long))

await llm.shutdown()
let statistics = llm.statistics
guard statistics.aborted == 1 else { fatalError("the second request went on") }
write("[\(statistics.aborted) aborted, \(statistics.generatedTokens) tokens made in all]\n")

// Streaming: the text as it comes. Leaving the loop aborts the request: its memory is free a step later, and nothing is
// computed that nobody reads. Cancelling the task that reads does the same.

import Foundation
import Swiftlet

/// Written at once; `print` would wait for the end of the line.
func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }

let llm = try await LLM()

write("Once upon a time")
for try await delta in llm.stream("Once upon a time", SamplingParams(temperature: 0.7, seed: 3, maxTokens: 60)) {
    write(delta.text)
    if let reason = delta.finishReason { write("\n[\(reason.rawValue), \(delta.usage.completionTokens) tokens]\n\n") }
}

// Enough after two sentences, of at most 500 tokens.
write("In a small village")
var sentences = 0
for try await delta in llm.stream("In a small village", SamplingParams(temperature: 0.7, seed: 4, maxTokens: 500)) {
    write(delta.text)
    sentences += delta.text.count { $0 == "." }
    if sentences >= 2 { break }
}

await llm.shutdown()
let statistics = llm.statistics
write("\n[left after \(sentences) sentences; aborted \(statistics.aborted), blocks in use \(statistics.usedBlocks)]\n")

// OfflineBatch: many prompts in one call. The engine runs them as one batch and gives the outputs in the order of the
// prompts. Shown: parameters for all prompts, parameters of a request's own, several choices, token counts.

import Swiftlet

let llm = try await LLM()

// The same parameters for all. A seed makes a run repeatable, whatever else is in the batch.
let prompts: [Prompt] = ["Once upon a time", "In a small village by a river", "One rainy morning, Max", "There was a"]
let params = SamplingParams(temperature: 0.8, topP: 0.95, seed: 7, maxTokens: 32)
for output in try await llm.generate(prompts, params) {
    print("\n\(output.prompt ?? "")…\(output.text)")
    let reason = output.finishReason?.rawValue ?? "unknown"
    print("  \(output.usage.promptTokens) tokens in, \(output.usage.completionTokens) out, ended by \(reason)")
}

// Each request with its own.
let outputs = try await llm.generate([
    Request("Once upon a time", SamplingParams(n: 3, temperature: 1, seed: 1, maxTokens: 12)),
    Request("Once upon a time", SamplingParams(temperature: 0, maxTokens: 200, stop: ["."])),
])
for output in outputs {
    print("\n\(output.choices.count) of \"\(output.prompt ?? "")\"")
    for choice in output.choices { print("  \(choice.index): \(choice.text)") }
}

await llm.shutdown()

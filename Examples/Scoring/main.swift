// Scoring: how probable a model finds a text. The log-probabilities of the prompt's own tokens give its perplexity:
// the number of equally likely tokens among which the model would be as unsure. Lower is less surprised.

import Foundation
import Swiftlet

/// exp of the mean negative log-probability; the first token has none, since nothing comes before it.
func perplexity(_ logprobs: [TokenLogprob?]) -> Double {
    let known = logprobs.compactMap { $0 }
    return exp(-known.reduce(0.0) { $0 + Double($1.logprob) } / Double(max(known.count, 1)))
}

let llm = try await LLM()
let sentences: [Prompt] = [
    "Once upon a time, a small girl lived in a small village by a river.",
    "Once river a time, lived village small a girl in upon by a a small.",
]
// A request makes one token at least; what counts here is the prompt.
let outputs = try await llm.generate(sentences, SamplingParams(temperature: 0, maxTokens: 1, promptLogprobs: 1))
for output in outputs {
    let logprobs = output.promptLogprobs ?? []
    print(String(format: "%8.1f", perplexity(logprobs)), output.prompt ?? "")
}

// The token that surprises most, and what the model expected instead.
for output in outputs {
    guard let tokenizer = llm.tokenizer,
        let worst = output.promptLogprobs?.compactMap({ $0 }).min(by: { $0.logprob < $1.logprob })
    else { continue }
    let expected = worst.top.first.map { tokenizer.decode([$0.tokenID]) } ?? ""
    print("\"\(tokenizer.decode([worst.tokenID]))\" is the token of rank \(worst.rank); expected was \"\(expected)\"")
}

await llm.shutdown()

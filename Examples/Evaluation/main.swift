// Evaluation: a test of what a model knows, in one batch. Greedy answers, judged by a word that a right answer has.
// One wrong word is no proof, but the share over many questions tells two models apart.

import Swiftlet

struct Question {
    var text: String
    /// A right answer has one of them.
    var keywords: [String]
}

let questions = [
    Question(text: "What is a KV cache used for?", keywords: ["keys and values"]),
    Question(text: "What is the purpose of the block table?", keywords: ["physical blocks"]),
    Question(text: "What is the idea behind a paged KV cache?", keywords: ["blocks", "pages"]),
    Question(text: "What is prefix caching?", keywords: ["reused", "same tokens"]),
    Question(text: "What is continuous batching?", keywords: ["every step", "each step", "as soon as"]),
    Question(text: "What is chunked prefill?", keywords: ["pieces", "chunks", "parts"]),
    Question(text: "What does the temperature do?", keywords: ["divide", "random", "flat"]),
    Question(text: "What is top-p sampling?", keywords: ["probabilities", "nucleus"]),
    Question(text: "Who wrote the Odyssey?", keywords: ["Homer"]),
]

let llm = try await LLM()
let prompts = questions.map { Prompt.text("<|im_start|>user\n\($0.text)<|im_end|>\n<|im_start|>assistant\n") }
let outputs = try await llm.generate(prompts, SamplingParams(temperature: 0, maxTokens: 100))

var right = 0
for (question, output) in zip(questions, outputs) {
    let answer = output.text.lowercased()
    let isRight = question.keywords.contains { answer.contains($0.lowercased()) }
    right += isRight ? 1 : 0
    print("\(isRight ? "right" : "wrong")  \(question.text)\n       \(output.text)")
}
print("\nscore: \(right) of \(questions.count)")

await llm.shutdown()

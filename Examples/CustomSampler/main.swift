// CustomSampler: a rule of one's own in the choice of tokens. This one writes lipograms: texts without a given letter,
// by making every token that has it impossible.

import Swiftlet
import SwiftletTokenizer

struct Lipogram: LogitsProcessor {
    let banned: [Int]

    init(without letter: Character, tokenizer: Tokenizer) {
        banned = (0..<tokenizer.vocabularySize).filter { id in
            tokenizer.decode([TokenID(id)]).lowercased().contains(letter)
        }
    }

    func process(_ logits: inout MutableSpan<Float>, _ context: LogitsContext) {
        for id in banned { logits[id] = -.infinity }
    }
}

/// The demo model's tokenizer, which the rule needs before the engine starts.
let plain = try await LLM()
let tokenizer = plain.tokenizer!
let params = SamplingParams(temperature: 0.7, seed: 5, maxTokens: 60)
let prompt: Prompt = "Once upon a time"
print("as it comes:  ", try await plain.generate([prompt], params)[0].text, "\n")
await plain.shutdown()

for letter: Character in ["s", "w"] {
    let llm = try await LLM(logitsProcessors: [Lipogram(without: letter, tokenizer: tokenizer)])
    let text = try await llm.generate([prompt], params)[0].text
    precondition(!text.lowercased().contains(letter))
    print("without \(letter):    ", text, "\n")
    await llm.shutdown()
}

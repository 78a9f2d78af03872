// BenchWorkload: the requests that a measurement runs: random tokens of fixed lengths, or nano-vLLM's benchmark.
// Made from a seed before anything is loaded, so that what does not fit the model is refused at once.
// Invariant: the same seed makes the same requests, and in another round requests of the same lengths of which
// none begins like one of an earlier round, so that no prefix cache can answer them.

import ArgumentParser
package import Swiftlet
package import SwiftletTokenizer

package struct BenchWorkload: Sendable {
    package enum Dataset: String, ExpressibleByArgument, CaseIterable, Sendable {
        case random
        case nanoVLLM = "nano-vllm"
    }

    package var dataset: Dataset
    package var seed: UInt64
    package var prompts: [[TokenID]]
    package var outputLengths: [Int]
    /// Prompt tokens lie below it.
    package var tokenLimit: Int

    package var inputTokens: Int { prompts.reduce(0) { $0 + $1.count } }
    package var outputTokens: Int { outputLengths.reduce(0, +) }
    /// Tokens of the longest request, prompt and output.
    package var longest: Int { zip(prompts, outputLengths).map { $0.count + $1 }.max() ?? 0 }

    /// Places in the KV cache that one round takes.
    package func cachedTokens(blockSize: Int) -> Int {
        zip(prompts, outputLengths).reduce(0) { $0 + ($1.0.count + $1.1 + blockSize - 1) / blockSize * blockSize }
    }

    /// What nano-vLLM's bench.py does with `num_seqs = count`: in this order, all prompts, then all output lengths.
    package static func nanoVLLM(count: Int, seed: UInt64 = 0) -> BenchWorkload {
        var random = PythonRandom(seed: seed)
        let lengths = 100...1024
        let prompts = (0..<count).map { _ in
            (0..<random.integer(in: lengths)).map { _ in TokenID(random.integer(in: 0...10_000)) }
        }
        let outputs = (0..<count).map { _ in random.integer(in: lengths) }
        return BenchWorkload(
            dataset: .nanoVLLM, seed: seed, prompts: prompts, outputLengths: outputs, tokenLimit: 10_001)
    }

    /// Prompts of one length, of tokens from the whole vocabulary.
    package static func random(
        count: Int, inputLength: Int, outputLength: Int, vocabularySize: Int, seed: UInt64
    ) -> BenchWorkload {
        var random = PythonRandom(seed: seed)
        let prompts = (0..<count).map { _ in
            (0..<inputLength).map { _ in TokenID(random.integer(in: 0...vocabularySize - 1)) }
        }
        return BenchWorkload(
            dataset: .random, seed: seed, prompts: prompts,
            outputLengths: Array(repeating: outputLength, count: count), tokenLimit: vocabularySize)
    }

    /// - Throws: `invalidRequest` when a request is longer than the model's context or has tokens it does not know.
    package func checkFits(_ model: ModelInfo) throws(LLMError) {
        let advice = dataset == .nanoVLLM ? "; take another model, or --dataset random" : ""
        guard tokenLimit <= model.vocabularySize else {
            throw LLMError(
                .invalidRequest,
                "the dataset \(dataset.rawValue) has token ids up to \(tokenLimit - 1); \(model.name) has a vocabulary of \(model.vocabularySize)\(advice)"
            )
        }
        guard longest <= model.maxModelLength else {
            throw LLMError(
                .invalidRequest,
                "the dataset \(dataset.rawValue) has a request of \(longest) tokens, prompt and output; \(model.name) has a context of \(model.maxModelLength)\(advice)"
            )
        }
    }

    /// The requests of a round. Rounds differ in the first token of each prompt and in nothing else.
    package func requests(round: Int) -> [Request] {
        let temperature: Float = dataset == .nanoVLLM ? 0.6 : 1
        return zip(prompts, outputLengths).map { prompt, outputLength in
            var prompt = prompt
            if let first = prompt.first { prompt[0] = TokenID((Int(first) + round) % tokenLimit) }
            return Request(
                .tokens(prompt), SamplingParams(temperature: temperature, maxTokens: outputLength, ignoreEOS: true))
        }
    }

    /// One short request that pages everything in: the beginning of the first prompt, as no round has it.
    package func warmUp(rounds: Int) -> [Request] {
        let short = BenchWorkload(
            dataset: dataset, seed: seed, prompts: prompts.prefix(1).map { Array($0.prefix(16)) },
            outputLengths: outputLengths.prefix(1).map { min(16, $0) }, tokenLimit: tokenLimit)
        return short.requests(round: rounds)
    }
}

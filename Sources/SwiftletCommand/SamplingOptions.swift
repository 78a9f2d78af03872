// SamplingOptions: how tokens are chosen, with vLLM's names as options.
// Invariant: an option that is not given leaves what the model's generation_config.json says, or the default.

package import ArgumentParser
package import Swiftlet

package struct SamplingOptions: ParsableArguments {
    @Option(parsing: .unconditional, help: "0 is greedy; higher is more random.")
    package var temperature: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Sample among the k most probable tokens (0 or -1: all).", valueName: "k"))
    package var topK: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Sample among the most probable tokens that reach this sum.", valueName: "p"))
    package var topP: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Drop tokens below this share of the most probable one.", valueName: "p"))
    package var minP: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Lower tokens that the output has already, -2 to 2.", valueName: "penalty"))
    package var presencePenalty: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Lower tokens by how often the output has them, -2 to 2.", valueName: "penalty"))
    package var frequencyPenalty: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Above 1: lower tokens that prompt or output have.", valueName: "penalty"))
    package var repetitionPenalty: Float?

    @Option(
        help: ArgumentHelp(
            "Most tokens to generate (default: 256, in a chat as many as the context has left).", valueName: "tokens"))
    package var maxTokens: Int?

    @Option(help: ArgumentHelp("No end before this many tokens.", valueName: "tokens"))
    package var minTokens: Int?

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Text that ends the output; may be given several times.", valueName: "text"))
    package var stop: [String] = []

    @Flag(help: "Keep the stop text in the output.")
    package var includeStopStrInOutput = false

    @Option(help: ArgumentHelp("Tokens that end the output, separated by commas.", valueName: "ids"))
    package var stopTokenIds: TokenIDList?

    @Flag(help: "Go on past the model's end-of-sequence tokens.")
    package var ignoreEos = false

    @Option(help: ArgumentHelp("Added to tokens' logits: {\"262\": -5, \"13\": 1.5}.", valueName: "json"))
    package var logitBias: LogitBias?

    @Option(help: ArgumentHelp("Only these tokens may be chosen; separated by commas.", valueName: "ids"))
    package var allowedTokenIds: TokenIDList?

    @Flag(inversion: .prefixedNo, help: "Leave special tokens out of the text.")
    package var skipSpecialTokens = true

    package init() {}

    package func validate() throws {
        do {
            // The vocabulary is not known yet: the engine checks token ids against it.
            try params(over: SamplingParams(), seed: nil, maxTokens: nil).validate(
                vocabularySize: .max, maxLogprobs: 1024)
        } catch {
            throw ValidationError(error.message)
        }
    }

    /// These options over a model's defaults.
    ///
    /// - Parameter defaultMaxTokens: Where `--max-tokens` is not given; nil is what the context has left.
    package func params(
        over defaults: SamplingParams, seed: UInt64?, maxTokens defaultMaxTokens: Int?
    ) -> SamplingParams {
        var params = defaults
        params.temperature = temperature ?? params.temperature
        if let topK { params.topK = topK == 0 || topK == -1 ? nil : topK }
        params.topP = topP ?? params.topP
        params.minP = minP ?? params.minP
        params.presencePenalty = presencePenalty ?? params.presencePenalty
        params.frequencyPenalty = frequencyPenalty ?? params.frequencyPenalty
        params.repetitionPenalty = repetitionPenalty ?? params.repetitionPenalty
        params.seed = seed ?? params.seed
        params.maxTokens = maxTokens ?? defaultMaxTokens.map { max($0, minTokens ?? 0) }
        params.minTokens = minTokens ?? params.minTokens
        if !stop.isEmpty { params.stop = stop }
        if includeStopStrInOutput { params.includeStopStringInOutput = true }
        if let stopTokenIds { params.stopTokenIDs = stopTokenIds.ids }
        if ignoreEos { params.ignoreEOS = true }
        if let logitBias { params.logitBias = logitBias.biases }
        if let allowedTokenIds { params.allowedTokenIDs = allowedTokenIds.ids }
        if !skipSpecialTokens { params.skipSpecialTokens = false }
        return params
    }
}

/// What `generate` can report of a prompt besides one continuation.
package struct CompletionOptions: ParsableArguments {
    @Option(
        name: [.customShort("n"), .customLong("n")],
        help: ArgumentHelp("Completions of each prompt (default: 1).", valueName: "count"))
    package var choiceCount: Int?

    @Option(help: ArgumentHelp("Report log-probabilities, with those of this many top tokens.", valueName: "count"))
    package var logprobs: Int?

    @Option(help: ArgumentHelp("The same for the prompt's tokens.", valueName: "count"))
    package var promptLogprobs: Int?

    package init() {}

    package func validate() throws {
        do {
            try apply(to: SamplingParams()).validate(vocabularySize: .max, maxLogprobs: 1024)
        } catch {
            throw ValidationError(error.message)
        }
    }

    /// These options over other parameters.
    package func apply(to params: SamplingParams) -> SamplingParams {
        var params = params
        params.n = choiceCount ?? params.n
        params.logprobs = logprobs ?? params.logprobs
        params.promptLogprobs = promptLogprobs ?? params.promptLogprobs
        return params
    }
}

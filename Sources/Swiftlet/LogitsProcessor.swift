// LogitsProcessor: a place for one's own rule in the choice of tokens: bans, biases, grammars, watermarks.
// Called on the engine's thread for every token of every request; what it does is time that all requests wait.
//
// Invariant: a processor sees one sequence alone. One that is a function of what it is given keeps batch invariance.

public import SwiftletTokenizer

/// What a ``LogitsProcessor`` may know of the sequence whose next token is chosen.
public struct LogitsContext: Sendable {
    /// Prompt and output so far.
    public let tokens: [TokenID]
    /// How many of them are the prompt.
    public let promptTokenCount: Int
    /// Which of the request's `n` choices it is.
    public let choiceIndex: Int
    /// The request's own parameters.
    public let params: SamplingParams
}

/// Changes the logits of a sequence before its next token is chosen, as vLLM's `logits_processors` do.
///
/// It runs after logit bias and penalties, before temperature, and does not change what `logprobs` report. Masking a
/// token is setting its logit to negative infinity; at least one must stay.
public protocol LogitsProcessor: Sendable {
    /// - Parameter logits: [vocabulary], to be changed in place.
    func process(_ logits: inout MutableSpan<Float>, _ context: LogitsContext)
}

// What goes in and what comes out: Prompt, Request, Delta, RequestOutput. Plain Sendable values.

public import SwiftletTokenizer

/// A prompt: text, or token ids.
public enum Prompt: Sendable, Hashable, ExpressibleByStringLiteral {
    case text(String)
    case tokens([TokenID])

    public init(stringLiteral value: String) { self = .text(value) }
}

/// A prompt with its own sampling parameters.
public struct Request: Sendable, Hashable {
    public var prompt: Prompt
    /// nil takes ``LLM/defaultSamplingParams``.
    public var params: SamplingParams?
    /// Those with lower values go first, when ``EngineConfig/schedulingPolicy`` is `priority` (`priority`). Default 0.
    public var priority = 0
    /// `maxTokens` is a default that shrinks to what the context has left; one that a user named must fit.
    package var shrinksMaxTokens = false
    /// Whether the tokenizer adds what it puts around a text; a chat's text has it already.
    package var addsSpecialTokens = true

    public init(_ prompt: Prompt, _ params: SamplingParams? = nil) {
        self.prompt = prompt
        self.params = params
    }
}

/// Why an output ended.
public enum FinishReason: String, Sendable, Hashable, Codable {
    /// An end-of-sequence token, a stop token or a stop string.
    case stop
    /// `maxTokens`, or the end of the context.
    case length
    /// Cancelled.
    case abort
}

/// The stop token or stop string that ended an output; nil for the model's own end of sequence.
public enum StopReason: Sendable, Hashable {
    case token(TokenID)
    case string(String)
}

/// The log-probability of one token, of the raw distribution (before temperature and penalties).
public struct TokenLogprob: Sendable, Hashable {
    public struct Candidate: Sendable, Hashable {
        public var tokenID: TokenID
        public var logprob: Float

        public init(tokenID: TokenID, logprob: Float) {
            self.tokenID = tokenID
            self.logprob = logprob
        }
    }
    public var tokenID: TokenID
    public var logprob: Float
    /// The token's place in the distribution, 1 being the most probable.
    public var rank: Int
    /// The most probable tokens, as many as were asked for, most probable first.
    public var top: [Candidate]

    public init(tokenID: TokenID, logprob: Float, rank: Int, top: [Candidate] = []) {
        self.tokenID = tokenID
        self.logprob = logprob
        self.rank = rank
        self.top = top
    }
}

/// Token counts of a request.
public struct Usage: Sendable, Hashable {
    public var promptTokens = 0
    /// Prompt tokens whose KV came from the prefix cache.
    public var cachedTokens = 0
    /// Over all choices.
    public var completionTokens = 0

    public init(promptTokens: Int = 0, cachedTokens: Int = 0, completionTokens: Int = 0) {
        self.promptTokens = promptTokens
        self.cachedTokens = cachedTokens
        self.completionTokens = completionTokens
    }
}

/// What one step added to one choice of a request.
public struct Delta: Sendable, Hashable {
    /// Which of the `n` choices.
    public var index = 0
    /// Text that became final; never half a character, never part of a stop string.
    public var text = ""
    public var tokenIDs: [TokenID] = []
    /// One per token, when asked for.
    public var logprobs: [TokenLogprob]?
    /// Set on the last delta of this choice.
    public var finishReason: FinishReason?
    public var stopReason: StopReason?
    /// The prompt's, one entry per token (the first is nil), on the delta that completes it.
    public var promptLogprobs: [TokenLogprob?]?
    /// The request's counts so far.
    public var usage = Usage()
    /// When the engine handed it out.
    package var moment = Moment()
}

/// A point in time, in monotonic seconds. When something came is not part of what came: all are equal.
package struct Moment: Sendable, Hashable {
    package var seconds = 0.0

    package static func == (_: Moment, _: Moment) -> Bool { true }
    package func hash(into hasher: inout Hasher) {}
}

/// One finished choice.
public struct CompletionOutput: Sendable, Hashable {
    public var index: Int
    public var text = ""
    public var tokenIDs: [TokenID] = []
    public var finishReason: FinishReason?
    public var stopReason: StopReason?
    public var logprobs: [TokenLogprob]?

    public init(
        index: Int, text: String = "", tokenIDs: [TokenID] = [], finishReason: FinishReason? = nil,
        stopReason: StopReason? = nil, logprobs: [TokenLogprob]? = nil
    ) {
        self.index = index
        self.text = text
        self.tokenIDs = tokenIDs
        self.finishReason = finishReason
        self.stopReason = stopReason
        self.logprobs = logprobs
    }
}

/// A finished request.
public struct RequestOutput: Sendable, Hashable {
    /// The prompt's text, when it was given as text.
    public var prompt: String?
    public var promptTokenIDs: [TokenID]
    public var promptLogprobs: [TokenLogprob?]?
    /// `n` of them, by index.
    public var choices: [CompletionOutput]
    public var usage: Usage

    /// The first choice's text.
    public var text: String { choices[0].text }
    /// The first choice's tokens.
    public var tokenIDs: [TokenID] { choices[0].tokenIDs }
    /// Why the first choice ended.
    public var finishReason: FinishReason? { choices[0].finishReason }

    public init(
        prompt: String?, promptTokenIDs: [TokenID], promptLogprobs: [TokenLogprob?]? = nil,
        choices: [CompletionOutput], usage: Usage
    ) {
        self.prompt = prompt
        self.promptTokenIDs = promptTokenIDs
        self.promptLogprobs = promptLogprobs
        self.choices = choices
        self.usage = usage
    }
}

// SequenceState: everything the engine knows of one sequence (one choice of one request).
// Owned by the engine thread; the Scheduler moves it between its queues.
//
// Invariant: three counters say where it stands, with cachedTokenCount + scheduledTokenCount <= tokenCount.
// Prefix hit, chunked prefill, decode and resume after preemption are the same case with other numbers.

package import SwiftletTokenizer

package final class SequenceState {
    /// Order of arrival.
    package let id: Int
    /// Which of the request's `n` choices.
    package let choiceIndex: Int
    package let params: SamplingParams
    /// Keys the generator together with choice and position.
    package let seed: UInt64
    package let promptTokenCount: Int
    /// The token count at which it ends by length.
    package let tokenLimit: Int
    /// Those with lower values go first (vLLM's `priority`).
    package let priority: Int
    /// When it came, began and got its last token.
    package var times = RequestTimes()

    /// Prompt and output so far. [tokenCount]
    package private(set) var tokens: [TokenID]
    /// Tokens whose KV is written (vLLM's `num_computed_tokens`).
    package var cachedTokenCount = 0
    /// Tokens of this step (vLLM's `num_scheduled_tokens`).
    package var scheduledTokenCount = 0

    /// The blocks that hold its KV, by position / blockSize.
    package var blockTable: [Int32] = []
    /// How many of them, from the first, the BlockManager has published or merged.
    package var publishedBlockCount = 0
    /// The identity of the last of those; 0 before the first.
    package var prefixIdentity: UInt64 = 0

    package var finishReason: FinishReason?
    package var stopReason: StopReason?
    /// Prompt tokens found in the prefix cache when first admitted.
    package var prefixHitCount: Int?

    /// How often each output token occurred (0: prompt only); nil when no penalty asks for it.
    package private(set) var occurrences: [TokenID: Int32]?
    /// The prompt's log-probabilities so far; the first token has none.
    package var promptLogprobs: [TokenLogprob?] = []
    /// The last token's log-probability, until it is delivered.
    package var pendingLogprob: TokenLogprob?

    package init(
        id: Int, prompt: [TokenID], params: SamplingParams, choiceIndex: Int = 0, seed: UInt64 = 0, tokenLimit: Int,
        priority: Int = 0
    ) {
        self.id = id
        self.choiceIndex = choiceIndex
        self.params = params
        self.seed = seed
        self.promptTokenCount = prompt.count
        self.tokenLimit = tokenLimit
        self.priority = priority
        tokens = prompt
        if params.repetitionPenalty != 1 || params.presencePenalty != 0 || params.frequencyPenalty != 0 {
            occurrences = Dictionary(prompt.map { ($0, 0) }, uniquingKeysWith: { first, _ in first })
        }
    }

    /// Makes room for the whole output, so that no step allocates. At admission: those who wait need no room.
    package func reserveOutput(blockSize: Int) {
        tokens.reserveCapacity(tokenLimit)
        blockTable.reserveCapacity((tokenLimit + blockSize - 1) / blockSize)
        occurrences?.reserveCapacity(tokenLimit)
    }

    package var tokenCount: Int { tokens.count }
    package var outputTokenCount: Int { tokens.count - promptTokenCount }
    /// Tokens whose KV is still to be written: 1 in a decode, more in a prefill.
    package var pendingTokenCount: Int { tokens.count - cachedTokenCount }
    package var isFinished: Bool { finishReason != nil }
    package var lastToken: TokenID { tokens[tokens.count - 1] }

    /// A request that wants prompt log-probabilities must compute every row of its prompt. Of n choices only the
    /// first one reports them.
    package var wantsPromptLogprobs: Bool { params.promptLogprobs != nil && choiceIndex == 0 }
    package var readsPrefixCache: Bool { !wantsPromptLogprobs }

    package func append(_ token: TokenID) {
        tokens.append(token)
        occurrences?[token, default: 0] += 1
    }
}

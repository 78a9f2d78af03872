// EngineStatistics: a snapshot of what an engine has done and is doing, for progress lines and metrics.
// Written by the engine thread after each step, read from anywhere.

/// Counters and gauges of an engine.
public struct EngineStatistics: Sendable, Hashable {
    /// Sequences in the batch (`num_requests_running`).
    public var runningSequences = 0
    /// Sequences that wait for blocks or a place (`num_requests_waiting`).
    public var waitingSequences = 0
    /// KV blocks in the pool.
    public var blockCount = 0
    /// Blocks that a live sequence holds (`kv_cache_usage_perc` is their share).
    public var usedBlocks = 0
    /// Prompt tokens computed, recomputation after preemption included (`prompt_tokens_total`).
    public var prefillTokens = 0
    /// Tokens generated (`generation_tokens_total`).
    public var generatedTokens = 0
    /// Prompt tokens looked up in the prefix cache (`prefix_cache_queries_total`).
    public var prefixCacheQueries = 0
    /// Of these, tokens found (`prefix_cache_hits_total`).
    public var prefixCacheHits = 0
    /// Sequences that lost their blocks to older ones (`num_preemptions_total`).
    public var preemptions = 0
    /// Choices that ended by stop, length and abort (`request_success_total`).
    public var finishedByStop = 0
    public var finishedByLength = 0
    public var aborted = 0
    /// Steps run.
    public var steps = 0
    /// Seconds spent in steps.
    public var stepSeconds = 0.0

    public init() {}
}

#if Server
// StatisticsLog: a line every few seconds that says how busy the engine is. Owned by the server's task.
// Invariant: an engine that has nothing to do says so once, and then nothing.

package import Logging
package import Swiftlet

package struct StatisticsLog {
    private var before: EngineStatistics
    private var saidIdle = true

    package init(_ statistics: EngineStatistics) { before = statistics }

    /// Writes lines until its task is cancelled.
    static func run(_ llm: LLM, every seconds: Double, _ logger: Logger) async throws {
        let clock = ContinuousClock()
        var log = StatisticsLog(llm.statistics)
        var last = clock.now
        while true {
            try await Task.sleep(for: .seconds(seconds))
            let now = clock.now
            if let line = log.line(llm.statistics, seconds: (now - last) / .seconds(1)) {
                logger.info("statistics", metadata: line)
            }
            last = now
        }
    }

    /// What happened in the last `seconds`; nil when it is nothing and has been said.
    package mutating func line(_ now: EngineStatistics, seconds: Double) -> Logger.Metadata? {
        defer { before = now }
        let computed = now.prefillTokens - before.prefillTokens
        let generated = now.generatedTokens - before.generatedTokens
        let isIdle = computed == 0 && generated == 0 && now.runningSequences == 0 && now.waitingSequences == 0
        defer { saidIdle = isIdle }
        guard !(isIdle && saidIdle) else { return nil }
        func value(_ number: Double) -> Logger.MetadataValue { .stringConvertible((number * 10).rounded() / 10) }
        let queries = now.prefixCacheQueries - before.prefixCacheQueries
        var line: Logger.Metadata = [
            "prompt_tokens_per_second": value(Double(computed) / seconds),
            "generation_tokens_per_second": value(Double(generated) / seconds),
            "running": .stringConvertible(now.runningSequences), "waiting": .stringConvertible(now.waitingSequences),
            "kv_cache_usage_percent": value(100 * Double(now.usedBlocks) / Double(max(1, now.blockCount))),
        ]
        if queries > 0 {
            line["prefix_cache_hit_percent"] =
                value(100 * Double(now.prefixCacheHits - before.prefixCacheHits) / Double(queries))
        }
        return line
    }
}
#endif

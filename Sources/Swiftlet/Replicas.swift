// Replicas: several engines with the same model in one process, between which requests are dealt out (data parallelism).
// Used by commands that run many requests. An engine each, so nothing crosses from one to another.
//
// A request goes to the replica with the fewest in work. When one fails, what it had in work is done by the others.
// Invariant: a request ends once: with its result, its own error, or the error of the last replica that was left.

import Synchronization

/// A replica's part of the cores and the memory of its process.
package struct ProcessShare: Sendable, Hashable {
    package var index = 0
    package var count = 1
    /// Bytes for everything; nil: what is free.
    package var memory: Int?

    package init(index: Int = 0, count: Int = 1, memory: Int? = nil) {
        self.index = index
        self.count = count
        self.memory = memory
    }

    /// Of so many things in a row.
    package func part(of total: Int) -> Range<Int> { total * index / count..<total * (index + 1) / count }
}

package final class Replicas: Sendable {
    private struct State {
        var inWork: [Int]
        var isAlive: [Bool]
        var restartedCount = 0
    }

    package let engines: [LLM]
    private let state: Mutex<State>

    /// - Parameter engines: At least one, all with the same model and options.
    package init(_ engines: [LLM]) {
        precondition(!engines.isEmpty)
        self.engines = engines
        state = Mutex(
            State(
                inWork: Array(repeating: 0, count: engines.count), isAlive: Array(repeating: true, count: engines.count)
            ))
    }

    /// Loads `count` engines at once; each gets its part of the threads, the cores they are bound to, and the memory.
    ///
    /// - Throws: ``LLMError`` of the first one that can't be loaded.
    package static func load(
        count: Int, config: EngineConfig, _ make: @escaping @Sendable (EngineConfig) async throws -> LLM
    ) async throws -> Replicas {
        if count > 1 && config.traceFile != nil {
            throw LLMError(.invalidConfiguration, "a trace is of one engine; data-parallel-size is \(count)")
        }
        let memory = count > 1 ? Platform.availableMemory().map { $0 / count } : nil
        let engines = try await withThrowingTaskGroup(of: (Int, LLM).self) { group in
            for index in 0..<count {
                var own = config
                own.processShare = ProcessShare(index: index, count: count, memory: memory)
                group.addTask { [own] in (index, try await make(own)) }
            }
            var loaded: [Int: LLM] = [:]
            for try await (index, engine) in group { loaded[index] = engine }
            return (0..<count).map { loaded[$0]! }
        }
        return Replicas(engines)
    }

    /// Runs `body` with the engine that has the fewest in work, and once more with another one if it fails.
    ///
    /// - Throws: What `body` throws, but for `engineFailed` while another engine is left.
    package func run<Output: Sendable>(
        _ body: @Sendable (LLM) async throws -> Output
    ) async throws -> Output {
        while true {
            let index = take()
            defer { state.withLock { $0.inWork[index] -= 1 } }
            do {
                return try await body(engines[index])
            } catch let error as LLMError where error.code == .engineFailed {
                if !startsAgain(without: index) { throw error }
            }
        }
    }

    private func take() -> Int {
        state.withLock { state in
            // The last one that failed when none is left: it says why.
            let alive = engines.indices.filter { state.isAlive[$0] }
            let index = alive.min { state.inWork[$0] < state.inWork[$1] } ?? engines.count - 1
            state.inWork[index] += 1
            return index
        }
    }

    /// Whether another engine is left to do what this one was doing when it failed.
    private func startsAgain(without index: Int) -> Bool {
        state.withLock { state in
            state.isAlive[index] = false
            guard state.isAlive.contains(true) else { return false }
            state.restartedCount += 1
            return true
        }
    }

    /// Engines that have failed so far.
    package var failedCount: Int { state.withLock { $0.isAlive.count { !$0 } } }
    /// Requests that were begun again because of that.
    package var restartedCount: Int { state.withLock { $0.restartedCount } }

    /// Counters of all engines together.
    package var statistics: EngineStatistics { engines.reduce(into: EngineStatistics()) { $0.add($1.statistics) } }

    /// Stops all of them.
    package func shutdown() async {
        for engine in engines { await engine.shutdown() }
    }
}

extension EngineStatistics {
    /// Adds another engine's counters and gauges. (Its histograms stay its own.)
    fileprivate mutating func add(_ other: EngineStatistics) {
        runningSequences += other.runningSequences
        waitingSequences += other.waitingSequences
        blockCount += other.blockCount
        usedBlocks += other.usedBlocks
        prefillTokens += other.prefillTokens
        generatedTokens += other.generatedTokens
        prefixCacheQueries += other.prefixCacheQueries
        prefixCacheHits += other.prefixCacheHits
        preemptions += other.preemptions
        finishedByStop += other.finishedByStop
        finishedByLength += other.finishedByLength
        aborted += other.aborted
        steps += other.steps
        stepSeconds += other.stepSeconds
    }
}

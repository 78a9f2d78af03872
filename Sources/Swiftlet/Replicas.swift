// Replicas: several engines with the same model, in one process or each in processes of its own, between which requests
// are dealt out (data parallelism). Used by commands that run many requests. Nothing crosses from one to another but
// requests and answers.
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

/// Who answers a request.
package enum Replica: Sendable {
    /// An engine of this process.
    case engine(LLM)
    /// The replica of this number among those of several processes: ``MPIWorld/ask(_:_:)``.
    case processes(MPIWorld, Int)
}

package final class Replicas: Sendable {
    private struct State {
        var inWork: [Int]
        var isAlive: [Bool]
        var restartedCount = 0
        /// Of the engines in other processes, as far as they told.
        var statistics: [Int: EngineStatistics] = [:]
    }

    /// Asks a replica in other processes, when it has loaded, what it has done so far.
    package typealias Hello = @Sendable (_ world: MPIWorld, _ number: Int) async throws -> EngineStatistics

    private let all: [Replica]
    private let hello: Hello?
    private let state: Mutex<State>

    /// - Parameter engines: At least one, all with the same model and options.
    package convenience init(_ engines: [LLM]) {
        self.init(replicas: engines.map { .engine($0) }, hello: nil)
    }

    private init(replicas: [Replica], hello: Hello?) {
        precondition(!replicas.isEmpty)
        all = replicas
        self.hello = hello
        state = Mutex(
            State(
                inWork: Array(repeating: 0, count: replicas.count),
                isAlive: Array(repeating: true, count: replicas.count)))
    }

    /// The engine of the first process of several, and those of the others, which all have loaded then or been lost.
    package convenience init(_ engine: LLM, others world: MPIWorld, hello: @escaping Hello) async {
        self.init(replicas: [.engine(engine)] + (1..<world.replicaCount).map { .processes(world, $0) }, hello: hello)
        await greet()
    }

    package var count: Int { all.count }
    /// Those of this process, at least one.
    package var engines: [LLM] { all.compactMap { if case .engine(let llm) = $0 { llm } else { nil } } }

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

    /// Runs `body` with the replica that has the fewest in work, and once more with another one if it fails.
    ///
    /// - Throws: What `body` throws, but for `engineFailed` while another replica is left.
    package func run<Output: Sendable>(
        _ body: @Sendable (_ replica: Replica) async throws -> Output
    ) async throws -> Output {
        while true {
            let index = take()
            defer { state.withLock { $0.inWork[index] -= 1 } }
            do {
                return try await body(all[index])
            } catch let error as LLMError where error.code == .engineFailed {
                if !startsAgain(without: index) { throw error }
            }
        }
    }

    private func take() -> Int {
        state.withLock { state in
            // The last one that failed when none is left: it says why.
            let alive = all.indices.filter { state.isAlive[$0] }
            let index = alive.min { state.inWork[$0] < state.inWork[$1] } ?? all.count - 1
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

    /// Waits until all in other processes have told of themselves, or been lost.
    private func greet() async {
        await withDiscardingTaskGroup { group in
            for (index, replica) in all.enumerated() {
                guard case .processes(let world, let number) = replica, let hello else { continue }
                group.addTask {
                    do {
                        self.note(try await hello(world, number), of: number)
                    } catch {
                        self.state.withLock { $0.isAlive[index] = false }
                    }
                }
            }
        }
    }

    /// What an engine in another process has told of itself.
    package func note(_ statistics: EngineStatistics, of number: Int) {
        state.withLock { $0.statistics[number] = statistics }
    }

    /// Replicas that have failed so far.
    package var failedCount: Int { state.withLock { $0.isAlive.count { !$0 } } }
    /// Requests that were begun again because of that.
    package var restartedCount: Int { state.withLock { $0.restartedCount } }

    /// Counters of all engines together.
    package var statistics: EngineStatistics {
        let others = state.withLock { Array($0.statistics.values) }
        return (engines.map(\.statistics) + others).reduce(into: EngineStatistics()) { $0.add($1) }
    }

    /// Stops all of them.
    package func shutdown() async {
        // An engine's last step is counted a moment after its last answer.
        await greet()
        for engine in engines { await engine.shutdown() }
        for case .processes(let world, _) in all { return await world.leave() }
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

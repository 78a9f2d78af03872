// Requests dealt out to several engines: the same results whoever answers, and none lost with a replica.

import Swiftlet
import SwiftletTokenizer
import Synchronization
import Testing

private final class Counter: Sendable {
    private let count = Mutex(0)

    func next() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }
}

extension Replica {
    /// In one process all are engines.
    fileprivate var llm: LLM {
        switch self {
        case .engine(let llm): llm
        case .processes: preconditionFailure("another process")
        }
    }
}

@Suite("Replicas", .serialized)
struct ReplicasTests {
    static func load(_ count: Int, _ folder: String, ranks: Int = 1, threads: Int = 2) async throws -> Replicas {
        try await Replicas.load(
            count: count,
            config: EngineConfig(
                dtype: .float32, maxSequences: 4, kvCache: .blocks(32), threads: threads, tensorParallelSize: ranks,
                seed: 1, loadFormat: .dummy)
        ) { config in try await LLM.quiet(folder, config) }
    }

    static func answers(
        _ replicas: Replicas, count: Int, during: @escaping @Sendable (Int) async -> Void = { _ in }
    ) async throws -> [[TokenID]] {
        let done = Counter()
        return try await withThrowingTaskGroup(of: (Int, [TokenID]).self) { group in
            for index in 0..<count {
                group.addTask {
                    let params = SamplingParams(
                        temperature: 0.8, seed: UInt64(index), maxTokens: 20, ignoreEOS: true)
                    let prompt = (0..<20).map { TokenID(($0 * 5 + index) % 250) }
                    let output = try await replicas.run { replica in
                        try await replica.llm.generate([.tokens(prompt)], params)[0]
                    }
                    await during(done.next())
                    return (index, output.tokenIDs)
                }
            }
            var all: [Int: [TokenID]] = [:]
            for try await (index, ids) in group { all[index] = ids }
            return (0..<count).map { all[$0]! }
        }
    }

    @Test("Whichever replica answers, a request's tokens are the same, and each replica answers some")
    func sameAnswers() async throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let one = try await Self.load(1, folder.path)
        let expected = try await Self.answers(one, count: 24)
        await one.shutdown()
        let three = try await Self.load(3, folder.path, threads: 3)
        #expect(try await Self.answers(three, count: 24) == expected)
        // The last step is counted when the engine is done with it.
        await three.shutdown()
        for engine in three.engines { #expect(engine.statistics.generatedTokens > 0) }
        #expect(three.statistics.generatedTokens == 24 * 20 && three.failedCount == 0)
    }

    @Test("Replicas of several ranks each")
    func withRanks() async throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let one = try await Self.load(1, folder.path, ranks: 2)
        let expected = try await Self.answers(one, count: 12)
        await one.shutdown()
        let two = try await Self.load(2, folder.path, ranks: 2)
        #expect(try await Self.answers(two, count: 12) == expected)
        await two.shutdown()
    }

    @Test("What a dead replica had in work is done by the others; without any left it is an error")
    func deadReplica() async throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let one = try await Self.load(1, folder.path)
        let expected = try await Self.answers(one, count: 60)
        await one.shutdown()
        let three = try await Self.load(3, folder.path, threads: 3)
        let found = try await Self.answers(three, count: 60) { done in
            // In the middle of everything else.
            if done == 5 { await three.engines[1].shutdown() }
            if done == 20 { await three.engines[2].shutdown() }
        }
        #expect(found == expected)
        // One that had nothing left in work is found out by the next request.
        _ = try await Self.answers(three, count: 12)
        #expect(three.failedCount == 2 && three.restartedCount > 0)
        await three.engines[0].shutdown()
        let error = await #expect(throws: LLMError.self) { try await Self.answers(three, count: 3) }
        #expect(error?.code == .engineFailed && three.failedCount == 3)
    }

    @Test("A request's own error is its answer, whatever the number of replicas")
    func requestErrors() async throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        let two = try await Self.load(2, folder.path)
        let error = await #expect(throws: LLMError.self) {
            try await two.run { try await $0.llm.generate([.tokens([9999])]) }
        }
        #expect(error?.code == .invalidRequest && two.failedCount == 0)
        await two.shutdown()
    }

    @Test("Cores, threads and memory are shared out without gaps")
    func shares() {
        for count in 1...5 {
            let parts = (0..<count).map { ProcessShare(index: $0, count: count).part(of: 17) }
            #expect(parts.first?.lowerBound == 0 && parts.last?.upperBound == 17)
            for (part, next) in zip(parts, parts.dropFirst()) { #expect(part.upperBound == next.lowerBound) }
        }
    }
}

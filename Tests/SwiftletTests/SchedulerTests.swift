// SchedulerTests: the queues and the budget, step by step, by the numbers of the pitfalls. Each runs on the simulator,
// so every step is also checked against the emulated KV store and every output against the request run alone.

import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Scheduler")
struct SchedulerTests {
    /// Tokens that no other start shares.
    private func prompt(_ start: TokenID, count: Int) -> [TokenID] {
        (0..<count).map { start * 1_000 + TokenID($0) }
    }

    private func workload(
        blockSize: Int = 4, blockCount: Int, maxSequences: Int = 16, maxBatchedTokens: Int = 1_000,
        _ requests: [SimulatedRequest]
    ) -> SimulatorWorkload {
        SimulatorWorkload(
            seed: 1, blockSize: blockSize, blockCount: blockCount, maxSequences: maxSequences,
            maxBatchedTokens: maxBatchedTokens, requests: requests)
    }

    /// A simulator that these requests have been submitted to.
    private func simulator(_ workload: SimulatorWorkload) -> Simulator {
        let simulator = Simulator(workload)
        for (index, request) in workload.requests.enumerated() { simulator.submit(index, request) }
        return simulator
    }

    /// Runs to the end what was submitted.
    private func finish(_ simulator: Simulator) throws {
        for _ in 0..<10_000 where simulator.scheduler.hasWork { try simulator.step() }
        #expect(!simulator.scheduler.hasWork && simulator.live.isEmpty && simulator.blocks.usedCount == 0)
    }

    @Test("A1: the same prompt again computes at least one token", arguments: [15, 16, 17, 31, 32, 33])
    func a1SamePromptTwice(count: Int) throws {
        let again = SimulatedRequest(prompt: prompt(1, count: count), maxTokens: 3)
        let simulator = simulator(workload(blockSize: 16, blockCount: 16, [again]))
        try finish(simulator)
        simulator.submit(1, again)
        let batch = simulator.scheduler.schedule()
        #expect(batch.count == 1 && batch[0].cachedTokenCount == (count - 1) / 16 * 16)
        #expect(batch[0].scheduledTokenCount == count - batch[0].cachedTokenCount)
        // Its output equals the cold run's: both are checked against the naive engine.
        try simulator.cancel(0)
        simulator.submit(2, again)
        try finish(simulator)
    }

    @Test("A2: after its blocks were overwritten a prompt is computed again")
    func a2OverwrittenPrompt() throws {
        let first = SimulatedRequest(prompt: prompt(1, count: 13), maxTokens: 3)
        let simulator = simulator(workload(blockCount: 4, [first]))
        try finish(simulator)
        simulator.submit(1, SimulatedRequest(prompt: prompt(2, count: 13), maxTokens: 3))
        try finish(simulator)
        simulator.submit(2, first)
        try finish(simulator)
        #expect(simulator.coverage.hits == 0 && simulator.coverage.evictions > 0)
    }

    @Test("A3: hit, free, hit, free, hit")
    func a3RepeatedHits() throws {
        let request = SimulatedRequest(prompt: prompt(1, count: 13), maxTokens: 6)
        let simulator = simulator(workload(blockCount: 8, [request]))
        for round in 1...4 {
            try finish(simulator)
            #expect(simulator.coverage.hits == round - 1)
            simulator.submit(round, request)
        }
        #expect(simulator.scheduler.schedule()[0].cachedTokenCount == 12)
    }

    @Test("A5: the budget counts what is left after the hits; 512 requests, shared prefixes, a tiny pool")
    func a5BudgetAfterHits() throws {
        var random = Generator(seed: 5)
        let requests = (0..<512).map { index in
            SimulatedRequest(
                prompt: prompt(TokenID(index % 3), count: 16) + [TokenID(random.int(0...3))],
                maxTokens: random.int(1...12), isGreedy: false)
        }
        let simulator = simulator(workload(blockCount: 24, maxBatchedTokens: 20, requests))
        try finish(simulator)
        #expect(simulator.coverage.finished == 512)
        #expect(simulator.scheduler.preemptionCount > 20 && simulator.coverage.resumedHits > 20)
    }

    @Test("A5: a cached prompt takes only what it computes from the budget")
    func a5HitsAreFree() throws {
        let request = SimulatedRequest(prompt: prompt(1, count: 18), maxTokens: 2)
        let simulator = simulator(workload(blockCount: 32, maxBatchedTokens: 18, [request]))
        try finish(simulator)
        for index in 1...4 { simulator.submit(index, request) }
        let batch = simulator.scheduler.schedule()
        #expect(batch.map(\.scheduledTokenCount) == [2, 2, 2, 2])
    }

    @Test("A6: a chunk reads what is written and no more", arguments: [1, 7, 16, 17, 100])
    func a6Chunks(budget: Int) throws {
        let request = SimulatedRequest(prompt: prompt(1, count: 50), maxTokens: 5)
        let simulator = simulator(workload(blockSize: 16, blockCount: 4, maxBatchedTokens: budget, [request]))
        let chunks = (50 + budget - 1) / budget
        for chunk in 0..<chunks {
            #expect(simulator.live[0].choices[0].cachedTokenCount == chunk * budget)
            #expect(simulator.live[0].choices[0].outputTokenCount == 0)
            try simulator.step()
        }
        #expect(simulator.live[0].choices[0].outputTokenCount == 1)
        try finish(simulator)
        #expect(simulator.coverage.steps == chunks + 4)
    }

    @Test("A7: a prompt half written is hit only as far as it is written")
    func a7HitsEndWhereWritingEnded() throws {
        let request = SimulatedRequest(prompt: prompt(1, count: 20), maxTokens: 5)
        let simulator = simulator(workload(blockCount: 32, maxBatchedTokens: 15, [request]))
        try simulator.step()
        simulator.submit(1, request)
        simulator.submit(2, request)
        // Fifteen tokens of the first one are written, three whole blocks; the rest of it is in this very step.
        try simulator.step()
        #expect(simulator.live.map { $0.choices[0].prefixHitCount } == [0, 12, 12])
        try finish(simulator)
    }

    @Test("A8: equal prompts in one step end up in one copy")
    func a8TwinsInOneStep() throws {
        let request = SimulatedRequest(prompt: prompt(1, count: 17), maxTokens: 8)
        let simulator = simulator(workload(blockCount: 20, [request, request, request]))
        try simulator.step()
        #expect(simulator.coverage.merges == 8)
        #expect(simulator.blocks.usedCount == 4 + 3)
        try finish(simulator)
    }

    @Test("A10: preempted at any length around a block's end, a sequence resumes with the same output")
    func a10ResumeAtBoundaries() throws {
        for count in 1...13 {
            let older = SimulatedRequest(prompt: prompt(1, count: count), maxTokens: 24)
            let newer = SimulatedRequest(prompt: prompt(2, count: 4), maxTokens: 24)
            for blockCount in 9...12 {
                for isPrefixCacheEnabled in [true, false] {
                    var workload = workload(blockCount: blockCount, [older, newer])
                    workload.isPrefixCacheEnabled = isPrefixCacheEnabled
                    let simulator = simulator(workload)
                    try finish(simulator)
                    #expect(simulator.scheduler.preemptionCount > 0 || blockCount > 9)
                }
            }
        }
    }

    @Test("A11: what fits alone always finishes, however many compete", arguments: [1, 4, 9])
    func a11FitsAloneFinishes(blockSize: Int) throws {
        // Each needs every block of the pool for its last token.
        let requests = (0..<6).map {
            SimulatedRequest(prompt: prompt(TokenID($0), count: blockSize), maxTokens: 4 * blockSize + 1)
        }
        let simulator = simulator(workload(blockSize: blockSize, blockCount: 5, requests))
        try finish(simulator)
        #expect(simulator.coverage.finished == 6 && simulator.scheduler.preemptionCount > 0)
    }

    @Test("A12: cancelled while waiting, in mid-chunk, in mid-decode, and the last one")
    func a12CancelAnywhere() throws {
        let requests = (1...4).map { SimulatedRequest(prompt: prompt(TokenID($0), count: 20), maxTokens: 8) }
        let simulator = simulator(workload(blockCount: 20, maxBatchedTokens: 16, requests))
        // Nothing has run yet: the last one waits.
        try simulator.cancel(3)
        #expect(simulator.coverage.cancelledWaiting == 1)
        for _ in 0..<3 { try simulator.step() }
        let midChunk = try #require(simulator.live.firstIndex { $0.choices[0].pendingTokenCount > 1 })
        #expect(simulator.live[midChunk].choices[0].cachedTokenCount > 0)
        try simulator.cancel(midChunk)
        #expect(simulator.coverage.cancelledMidPrefill == 1)
        while simulator.live.last!.choices[0].outputTokenCount == 0 { try simulator.step() }
        try simulator.cancel(simulator.live.count - 1)
        #expect(simulator.coverage.cancelledDecoding == 1)
        while let place = simulator.live.indices.last { try simulator.cancel(place) }
        #expect(simulator.coverage.cancelledLast == 1 && simulator.blocks.usedCount == 0)
        #expect(!simulator.scheduler.hasWork && simulator.scheduler.schedule().isEmpty)
    }

    @Test("A22: a decode computes the last token's position, len - 1")
    func a22PositionOfADecode() throws {
        let simulator = simulator(
            workload(blockCount: 8, [SimulatedRequest(prompt: prompt(1, count: 5), maxTokens: 6)]))
        try simulator.step()
        for count in 6...9 {
            let batch = simulator.scheduler.schedule()
            #expect(batch[0].tokenCount == count)
            #expect(batch[0].cachedTokenCount == count - 1 && batch[0].scheduledTokenCount == 1)
            // Take the schedule back, so that the simulator can make this step itself.
            batch[0].scheduledTokenCount = 0
            try simulator.step()
        }
    }

    @Test("A24: never more than maxSequences run", arguments: [1, 2, 3, 7])
    func a24MaxSequences(limit: Int) throws {
        let requests = (0..<20).map {
            SimulatedRequest(prompt: prompt(TokenID($0), count: 3), maxTokens: 10)
        }
        let simulator = simulator(workload(blockCount: 200, maxSequences: limit, requests))
        while simulator.scheduler.hasWork {
            let batch = simulator.scheduler.schedule()
            #expect(batch.count == min(limit, simulator.live.count) && simulator.scheduler.running.count == batch.count)
            batch.forEach { $0.scheduledTokenCount = 0 }
            try simulator.step()
        }
        // A budget below it lowers it: each running sequence must have its token in every step.
        #expect(Scheduler(blocks: simulator.blocks, maxSequences: 8, maxBatchedTokens: 3).maxSequences == 3)
    }

    @Test("A26: after everything was taken out in mid-run the next run is clean")
    func a26CleanAfterAbort() throws {
        let requests = (1...5).map {
            SimulatedRequest(prompt: prompt(TokenID($0), count: 12), maxTokens: 9, choiceCount: 1 + $0 % 2)
        }
        let simulator = simulator(workload(blockCount: 9, maxBatchedTokens: 16, requests))
        for _ in 0..<5 { try simulator.step() }
        while !simulator.live.isEmpty { try simulator.cancel(0) }
        #expect(!simulator.scheduler.hasWork && simulator.blocks.usedCount == 0)
        let finished = simulator.coverage.finished
        simulator.submit(9, SimulatedRequest(prompt: prompt(9, count: 12), maxTokens: 4))
        #expect(simulator.scheduler.schedule().map(\.id) == [9 * 64])
        simulator.live[0].choices[0].scheduledTokenCount = 0
        try finish(simulator)
        #expect(simulator.coverage.finished == finished + 1)
    }

    @Test("The choices of a request share its prompt's whole blocks, in order, ahead of those who wait")
    func siblingsShareThePrompt() throws {
        let requests = [
            SimulatedRequest(prompt: prompt(1, count: 18), maxTokens: 6, choiceCount: 3, isGreedy: false),
            SimulatedRequest(prompt: prompt(2, count: 18), maxTokens: 6),
        ]
        let simulator = simulator(workload(blockCount: 32, maxBatchedTokens: 18, requests))
        try simulator.step()
        let batch = simulator.scheduler.schedule()
        #expect(batch.map(\.id) == [0, 1, 2, 64])
        #expect(batch.map(\.cachedTokenCount) == [18, 16, 16, 0])
        #expect(simulator.blocks.usedCount == 4 + 3 + 5)
    }

    @Test("Without chunked prefill a prompt waits for a budget that holds it, and evicts nothing meanwhile")
    func unchunkedWaitsForTheBudget() throws {
        let cached = SimulatedRequest(prompt: prompt(1, count: 13), maxTokens: 1)
        var workload = workload(blockCount: 9, maxBatchedTokens: 20, [cached])
        workload.isChunkedPrefillEnabled = false
        let simulator = simulator(workload)
        try finish(simulator)
        simulator.submit(1, SimulatedRequest(prompt: prompt(2, count: 4), maxTokens: 10))
        try simulator.step()
        // Nineteen tokens of budget are left while the other one decodes. Its five blocks would take two of the cached.
        simulator.submit(2, SimulatedRequest(prompt: prompt(3, count: 20), maxTokens: 1))
        for _ in 0..<5 { try simulator.step() }
        #expect(simulator.scheduler.running.count == 1)
        try simulator.cancel(1)
        simulator.submit(3, cached)
        #expect(simulator.scheduler.schedule().map(\.cachedTokenCount) == [9, 12])
    }

    @Test("The lowest priority value goes first, equal ones in order of arrival; the highest gives way")
    func priorities() throws {
        func request(_ start: TokenID, _ priority: Int) -> SimulatedRequest {
            var request = SimulatedRequest(prompt: prompt(start, count: 8), maxTokens: 9)
            request.priority = priority
            return request
        }
        let requests = [request(1, 5), request(2, -1), request(3, 5), request(4, 0), request(5, -1)]
        let simulator = simulator(workload(blockCount: 15, requests))
        #expect(simulator.scheduler.waiting.map { $0.id / 64 } == [1, 4, 3, 0, 2])
        try simulator.step()
        #expect(simulator.scheduler.running.map { $0.id / 64 } == [1, 4, 3, 0, 2])
        // Each needs a fourth block in the end; five of three each fill the pool.
        while simulator.scheduler.preemptionCount == 0 { try simulator.step() }
        // The two of the highest value have given way to the three others, which hold four blocks each.
        #expect(simulator.scheduler.waiting.map { $0.id / 64 } == [0, 2])
        #expect(simulator.scheduler.running.map { $0.id / 64 } == [1, 4, 3])
        try finish(simulator)
    }
}

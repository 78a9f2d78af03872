// SimulatorChecks: what must hold of every schedule, said without looking at how the scheduler makes it.

import Swiftlet
import SwiftletTokenizer

/// The scheduler's queues before a step.
struct SchedulerSnapshot {
    let running: [SequenceState]
    let waiting: [SequenceState]
    /// Of the running ones.
    let pending: [Int]
    let preemptionCount: Int

    init(_ scheduler: Scheduler) {
        running = scheduler.running
        waiting = Array(scheduler.waiting)
        pending = running.map(\.pendingTokenCount)
        preemptionCount = scheduler.preemptionCount
    }
}

extension Simulator {
    func checkInvariants() throws {
        let holders = scheduler.running
        if let broken = blocks.brokenInvariant(holders: holders) { throw SimulatorFailure(description: broken) }
        for sequence in Array(scheduler.waiting) {
            try check(
                sequence.blockTable.isEmpty && sequence.cachedTokenCount == 0 && sequence.scheduledTokenCount == 0,
                "sequence \(sequence.id) waits and holds blocks")
        }
        for sequence in holders {
            try check(
                sequence.cachedTokenCount + sequence.scheduledTokenCount <= sequence.tokenCount,
                "the counters of sequence \(sequence.id) add up to more than its tokens")
        }
        try checkSharing(holders)
    }

    /// Equal published prefixes are one chain of blocks (twins are merged).
    private func checkSharing(_ holders: [SequenceState]) throws {
        for (place, first) in holders.enumerated() {
            for second in holders[(place + 1)...] {
                let common = commonBlocks(first, second)
                try check(
                    first.blockTable.prefix(common) == second.blockTable.prefix(common),
                    "sequences \(first.id) and \(second.id) hold two copies of one prefix")
            }
        }
    }

    /// Whole blocks at the start that both sequences have equal and the first one published.
    private func commonBlocks(_ holder: SequenceState, _ other: SequenceState, most: Int = .max) -> Int {
        let most = min(holder.publishedBlockCount, other.publishedBlockCount, most)
        return commonBlocks(holder, tokens: other.tokens, most: most)
    }

    private func commonBlocks(_ holder: SequenceState, tokens: [TokenID], most: Int) -> Int {
        var common = 0
        while common < most {
            let range = (common * workload.blockSize)..<((common + 1) * workload.blockSize)
            guard holder.tokens[range] == tokens[range] else { break }
            common += 1
        }
        return common
    }

    func checkSchedule(_ batch: [SequenceState], _ before: SchedulerSnapshot) throws {
        try checkInvariants()
        try checkSizes(batch)
        let preempted = scheduler.preemptionCount - before.preemptionCount
        let admitted = scheduler.running.filter { sequence in !before.running.contains { $0 === sequence } }
        let kept = try checkPreemption(before, preempted, admitted)
        try check(
            preempted == 0 || admitted.isEmpty, "sequences were admitted in a step that preempted others")
        try check(
            admitted.elementsEqual(before.waiting.prefix(admitted.count), by: ===), "not first come, first served")
        if let last = before.running.last, admitted.contains(where: { $0.priority < last.priority }) {
            coverage.overtakings += 1
        }
        for sequence in admitted { try checkAdmission(of: sequence) }
        try checkOrder(batch, before, kept: kept, admitted)
        if preempted == 0, let head = scheduler.waiting.first { try checkRefusal(of: head, batch) }
        if batch.contains(where: { $0.pendingTokenCount == 1 }) && batch.contains(where: { $0.pendingTokenCount > 1 }) {
            coverage.mixedSteps += 1
        }
        coverage.splitPrefills += batch.count { $0.scheduledTokenCount < $0.pendingTokenCount }
    }

    private func checkSizes(_ batch: [SequenceState]) throws {
        try check(!batch.isEmpty || !scheduler.hasWork, "nothing was scheduled and there is work")
        let tokens = batch.reduce(0) { $0 + $1.scheduledTokenCount }
        try check(tokens <= workload.maxBatchedTokens, "\(tokens) tokens in one step")
        try check(scheduler.running.count <= workload.maxSequences, "\(scheduler.running.count) sequences run")
        try check(Set(batch.map(\.id)).count == batch.count, "a sequence is scheduled twice")
        for sequence in scheduler.running {
            try check(
                sequence.blockTable.count == blocks.blocksNeeded(forTokens: sequence.tokenCount),
                "sequence \(sequence.id) has \(sequence.tokenCount) tokens and \(sequence.blockTable.count) blocks")
            let isScheduled = batch.contains { $0 === sequence }
            try check(
                isScheduled == (sequence.scheduledTokenCount > 0), "sequence \(sequence.id) is scheduled for nothing")
            try check(
                sequence.scheduledTokenCount <= sequence.pendingTokenCount, "sequence \(sequence.id) lacks tokens")
            try check(
                workload.isChunkedPrefillEnabled || sequence.scheduledTokenCount == sequence.pendingTokenCount,
                "the prefill of sequence \(sequence.id) was split")
        }
        for sequence in batch {
            let isRunning = scheduler.running.contains { $0 === sequence }
            try check(isRunning, "sequence \(sequence.id) is scheduled, not running")
        }
    }

    /// Those that were preempted are the newest of the highest priority values, and wait ahead of their equals. Returns
    /// how many stayed.
    private func checkPreemption(
        _ before: SchedulerSnapshot, _ preempted: Int, _ admitted: [SequenceState]
    ) throws -> Int {
        let kept = before.running.count - preempted
        try check(
            kept >= min(1, before.running.count)
                && scheduler.running.elementsEqual(
                    Self.inOrder(before.running.prefix(max(kept, 0)) + admitted), by: ===),
            "the oldest sequences did not keep their places")
        if preempted > 0 {
            let queue = Self.inOrder(before.running[kept...] + before.waiting)
            try check(scheduler.waiting.elementsEqual(queue, by: ===), "others than the newest were preempted")
            if before.running[kept].priority > before.running[0].priority { coverage.priorityPreemptions += 1 }
        }
        return kept
    }

    /// By priority, those of equal priority as they stand.
    private static func inOrder(_ sequences: some Sequence<SequenceState>) -> [SequenceState] {
        sequences.enumerated().sorted { first, second in
            (first.element.priority, first.offset) < (second.element.priority, second.offset)
        }.map(\.element)
    }

    private func checkAdmission(of sequence: SequenceState) throws {
        let hits = sequence.cachedTokenCount
        try check(hits % workload.blockSize == 0 && hits < sequence.tokenCount, "\(hits) tokens are no whole blocks")
        try check(
            hits == 0 || (workload.isPrefixCacheEnabled && sequence.readsPrefixCache),
            "sequence \(sequence.id) read the prefix cache")
        coverage.admissions += 1
        guard hits > 0 else { return }
        coverage.hits += 1
        if sequence.outputTokenCount > 0 { coverage.resumedHits += 1 }
        if hits == sequence.tokenCount - workload.blockSize { coverage.fullPrefixHits += 1 }
        if sequence.choiceIndex > 0 { coverage.siblingHits += 1 }
    }

    /// Decodes in order of age, then continued prefills, then new ones, none left out while the budget lasts.
    private func checkOrder(
        _ batch: [SequenceState], _ before: SchedulerSnapshot, kept: Int, _ admitted: [SequenceState]
    ) throws {
        let old = zip(before.running, before.pending).prefix(kept)
        let decodes = old.filter { $0.1 == 1 }.map(\.0)
        let prefills = old.filter { $0.1 > 1 }.map(\.0)
        let order = decodes + prefills + admitted
        try check(batch.elementsEqual(order.prefix(batch.count), by: ===), "the batch is out of order")
        try check(batch.count >= decodes.count, "a decode was left out")
        if let oldest = before.running.first {
            try check(batch.contains { $0 === oldest }, "the oldest sequence was left out")
        }
        let left = workload.maxBatchedTokens - batch.reduce(0) { $0 + $1.scheduledTokenCount }
        try check(batch.count == order.count || left == 0, "\(left) tokens of the budget were left to waste")
        for sequence in batch.dropLast() {
            try check(
                sequence.scheduledTokenCount == sequence.pendingTokenCount, "a prefill was split within the budget")
        }
    }

    /// The first in the queue may wait for a place, for the budget or for blocks: of those it needs, only the ones that
    /// a running sequence shares with it are not taken from the free ones.
    private func checkRefusal(of head: SequenceState, _ batch: [SequenceState]) throws {
        let left = workload.maxBatchedTokens - batch.reduce(0) { $0 + $1.scheduledTokenCount }
        guard left > 0 && scheduler.running.count < scheduler.maxSequences else { return }
        var shared = 0
        if workload.isPrefixCacheEnabled && head.readsPrefixCache {
            for holder in scheduler.running {
                let most = min(holder.publishedBlockCount, (head.tokenCount - 1) / workload.blockSize)
                shared = max(shared, commonBlocks(holder, tokens: head.tokens, most: most))
            }
        }
        let needed = blocks.blocksNeeded(forTokens: head.tokenCount) - shared
        let isTooLong = !workload.isChunkedPrefillEnabled && head.tokenCount - shared * workload.blockSize > left
        try check(
            needed > blocks.freeCount || isTooLong,
            "sequence \(head.id) waits; it needs \(needed) blocks and \(blocks.freeCount) are free")
        coverage.refusals += 1
    }
}

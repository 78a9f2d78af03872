// Scheduler: which tokens of which sequences the next step computes. Owned by the Engine.
//
// Invariant: after schedule(), at most maxBatchedTokens tokens of at most maxSequences running sequences are
// scheduled, each with blocks for them. Running sequences stand in order of priority, then of admission, and the last
// one gives way; those who wait stand in order of priority, then of arrival.

package import DequeModule

package final class Scheduler {
    package let blocks: BlockManager
    package let maxSequences: Int
    package let maxBatchedTokens: Int
    package let isChunkedPrefillEnabled: Bool
    package let isMixingEnabled: Bool

    package private(set) var waiting: Deque<SequenceState> = []
    package private(set) var running: [SequenceState] = []
    /// This step's sequences: decodes first, then continued prefills, then new ones.
    package private(set) var scheduled: [SequenceState] = []
    package private(set) var preemptionCount = 0
    /// Requests of which nothing has run yet. (Choices that follow and preempted sequences wait too, but they are no
    /// new load.)
    package private(set) var waitingRequestCount = 0

    package init(
        blocks: BlockManager, maxSequences: Int, maxBatchedTokens: Int, isChunkedPrefillEnabled: Bool = true,
        isMixingEnabled: Bool = true
    ) {
        self.blocks = blocks
        // Each running sequence has a token in every step's budget and holds a block at least.
        self.maxSequences = min(maxSequences, maxBatchedTokens, blocks.blockCount)
        self.maxBatchedTokens = maxBatchedTokens
        self.isChunkedPrefillEnabled = isChunkedPrefillEnabled
        self.isMixingEnabled = isMixingEnabled
        running.reserveCapacity(self.maxSequences)
        scheduled.reserveCapacity(self.maxSequences)
    }

    package var hasWork: Bool { !waiting.isEmpty || !running.isEmpty }

    package func enqueue(_ sequence: SequenceState) {
        waiting.insert(sequence, at: (waiting.lastIndex { $0.priority <= sequence.priority } ?? -1) + 1)
        waitingRequestCount += 1
    }

    /// Ahead of everyone of its priority who waits: a choice whose sibling has just written their common prompt, or a
    /// sequence that ran already.
    package func enqueueFirst(_ sequence: SequenceState) {
        waiting.insert(sequence, at: waiting.firstIndex { $0.priority >= sequence.priority } ?? waiting.count)
    }

    /// Chooses this step's tokens. Empty only when there is no work.
    package func schedule() -> [SequenceState] {
        scheduled.removeAll(keepingCapacity: true)
        var budget = maxBatchedTokens
        let preemptionsBefore = preemptionCount
        if isMixingEnabled { scheduleDecodes(&budget) }
        for sequence in running where sequence.pendingTokenCount > 1 && budget > 0 {
            // Its blocks are there since admission.
            schedule(sequence, &budget)
        }
        // Whoever was just preempted would be admitted again at once.
        if preemptionCount == preemptionsBefore { admitWaiting(&budget) }
        if !isMixingEnabled && scheduled.isEmpty { scheduleDecodes(&budget) }
        precondition(!scheduled.isEmpty || !hasWork, "a request was accepted that can never run")
        return scheduled
    }

    /// Records that the forward pass wrote what was scheduled.
    package func complete(_ sequence: SequenceState) {
        sequence.cachedTokenCount += sequence.scheduledTokenCount
        sequence.scheduledTokenCount = 0
        blocks.publish(sequence)
    }

    /// Takes a finished or cancelled sequence out, wherever it is, and frees its blocks.
    package func remove(_ sequence: SequenceState) {
        if let index = running.firstIndex(where: { $0 === sequence }) {
            running.remove(at: index)
        } else if let index = waiting.firstIndex(where: { $0 === sequence }) {
            waiting.remove(at: index)
            if isNewRequest(sequence) { waitingRequestCount -= 1 }
        }
        blocks.release(sequence)
    }

    private func isNewRequest(_ sequence: SequenceState) -> Bool {
        sequence.choiceIndex == 0 && sequence.prefixHitCount == nil
    }

    private func schedule(_ sequence: SequenceState, _ budget: inout Int) {
        sequence.scheduledTokenCount = min(sequence.pendingTokenCount, budget)
        budget -= sequence.scheduledTokenCount
        scheduled.append(sequence)
    }

    /// One token of each decoding sequence, in order. When blocks run out, the last running one is preempted.
    private func scheduleDecodes(_ budget: inout Int) {
        var index = 0
        while index < running.count {
            let sequence = running[index]
            index += 1
            guard sequence.pendingTokenCount == 1 else { continue }
            var fits = blocks.grow(sequence)
            while !fits {
                let victim = running.removeLast()
                preempt(victim)
                if victim === sequence { break }
                fits = blocks.grow(sequence)
            }
            if fits { schedule(sequence, &budget) }
        }
    }

    /// Back to the head of its queue. Its tokens stay; their KV is found in the prefix cache or computed again.
    private func preempt(_ sequence: SequenceState) {
        blocks.release(sequence)
        enqueueFirst(sequence)
        preemptionCount += 1
    }

    /// First come, first served; each only when blocks for all its tokens are there, so that no prefill is begun
    /// that can't be ended.
    private func admitWaiting(_ budget: inout Int) {
        while budget > 0 && running.count < maxSequences, let sequence = waiting.first {
            guard blocks.admit(sequence, pendingTokenLimit: isChunkedPrefillEnabled ? .max : budget) else { break }
            waiting.removeFirst()
            if isNewRequest(sequence) { waitingRequestCount -= 1 }
            if sequence.prefixHitCount == nil {
                sequence.prefixHitCount = sequence.cachedTokenCount
                sequence.reserveOutput(blockSize: blocks.blockSize)
            }
            running.insert(sequence, at: (running.lastIndex { $0.priority <= sequence.priority } ?? -1) + 1)
            schedule(sequence, &budget)
        }
    }
}

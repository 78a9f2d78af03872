// Simulator: drives Scheduler, BlockManager and SequenceState as the engine does, with an emulated KV store in place
// of the model. Every position that a step reads must hold the KV of exactly its sequence's prefix, so a wrong block
// table, hit, eviction or count shows at once; SimulatorChecks says what else must hold of every step.
//
// Invariant: what a sequence outputs is computed from what the store holds, never from the tokens beside it.

import Swiftlet
import SwiftletTokenizer

struct SimulatorFailure: Error, CustomStringConvertible {
    let description: String
}

/// How often the interesting cases occurred, so that a test can tell that they did.
struct SimulatorCoverage {
    var steps = 0, preemptions = 0, finished = 0, admissions = 0
    var hits = 0, resumedHits = 0, fullPrefixHits = 0, siblingHits = 0
    var splitPrefills = 0, mixedSteps = 0, merges = 0, evictions = 0, refusals = 0
    var overtakings = 0, priorityPreemptions = 0
    var cancelledWaiting = 0, cancelledMidPrefill = 0, cancelledDecoding = 0, cancelledLast = 0

    static func += (left: inout Self, right: Self) {
        for field: WritableKeyPath<Self, Int> in [
            \.steps, \.preemptions, \.finished, \.admissions, \.hits, \.resumedHits, \.fullPrefixHits, \.siblingHits,
            \.splitPrefills, \.mixedSteps, \.merges, \.evictions, \.refusals, \.overtakings, \.priorityPreemptions,
            \.cancelledWaiting, \.cancelledMidPrefill, \.cancelledDecoding, \.cancelledLast,
        ] { left[keyPath: field] += right[keyPath: field] }
    }
}

final class Simulator {
    /// A request that has arrived and is not done.
    struct Live {
        var index: Int
        var request: SimulatedRequest
        /// By choice; all but the first wait here until the first one's prompt is written.
        var choices: [SequenceState]
        var areSiblingsEnqueued: Bool
    }

    let workload: SimulatorWorkload
    let scheduler: Scheduler
    var blocks: BlockManager { scheduler.blocks }
    var coverage = SimulatorCoverage()

    private(set) var live: [Live] = []
    /// Emulated KV: what the model wrote there last. [block, slot]
    private var store: [UInt64]
    /// Whether a block's contents are in the prefix cache, as far as seen from outside. [block]
    private var isPublished: [Bool]
    /// For sequences that want prompt log-probabilities: rows of the prompt computed so far.
    private var promptRows: [Int: Int] = [:]
    /// Sequences that got a token in this step, and whether its text ends them.
    private var produced: [(SequenceState, isStopString: Bool)] = []
    private var random: Generator

    init(_ workload: SimulatorWorkload) {
        self.workload = workload
        scheduler = Scheduler(
            blocks: BlockManager(
                blockCount: workload.blockCount, blockSize: workload.blockSize,
                isPrefixCacheEnabled: workload.isPrefixCacheEnabled, hashSeed: Generator.mix(workload.seed, 1)),
            maxSequences: workload.maxSequences, maxBatchedTokens: workload.maxBatchedTokens,
            isChunkedPrefillEnabled: workload.isChunkedPrefillEnabled)
        random = Generator(seed: Generator.mix(workload.seed, 2))
        isPublished = Array(repeating: false, count: workload.blockCount)
        store = (0..<(workload.blockCount * workload.blockSize)).map { Generator.mix(UInt64($0), workload.seed) }
    }

    /// Runs the workload to its end. Throws a description of the first thing that is wrong.
    func run() throws {
        let lastArrival = workload.requests.map(\.arrivalStep).max() ?? 0
        // The oldest running sequence gains a token in every step and is never preempted, so that many steps are enough.
        // (With priorities, whoever comes later may take its place, and it computes what it had again.)
        let places = Set(workload.requests.map(\.priority)).count > 1 ? workload.requests.count + 1 : 1
        let work = workload.requests.reduce(0) { $0 + $1.tokenLimit * $1.choiceCount }
        let mostSteps = lastArrival + 2 + work * places
        for step in 0...mostSteps {
            for (index, request) in workload.requests.enumerated() where request.arrivalStep == step {
                submit(index, request)
            }
            if random.chance(workload.cancelProbability) { try cancelSome() }
            if !scheduler.hasWork && step >= lastArrival { break }
            try self.step()
        }
        try check(live.isEmpty && !scheduler.hasWork, "requests \(live.map(\.index)) never ended")
        try check(blocks.usedCount == 0, "\(blocks.usedCount) blocks are still in use at the end")
        coverage.preemptions += scheduler.preemptionCount
    }

    func submit(_ index: Int, _ request: SimulatedRequest) {
        let choices = (0..<request.choiceCount).map { choice in
            SequenceState(
                id: index * 64 + choice, prompt: request.prompt, params: request.params, choiceIndex: choice,
                seed: request.seed, tokenLimit: request.tokenLimit, priority: request.priority)
        }
        live.append(Live(index: index, request: request, choices: choices, areSiblingsEnqueued: choices.count == 1))
        scheduler.enqueue(choices[0])
    }

    /// Half of the time one in the midst of its prefill, which is rare otherwise.
    private func cancelSome() throws {
        let splits = live.indices.filter { place in
            let first = live[place].choices[0]
            return first.cachedTokenCount > 0 && first.pendingTokenCount > 1
        }
        let place = splits.isEmpty || random.chance(0.5) ? random.int(0...max(live.count - 1, 0)) : splits[0]
        try cancel(place)
    }

    /// Cancels the live request in this place, if there is one.
    func cancel(_ place: Int) throws {
        guard place < live.count else { return }
        let cancelled = live.remove(at: place)
        for sequence in cancelled.choices where !sequence.isFinished {
            switch true {
            case sequence.blockTable.isEmpty: coverage.cancelledWaiting += 1
            case sequence.pendingTokenCount > 1: coverage.cancelledMidPrefill += 1
            default: coverage.cancelledDecoding += 1
            }
            sequence.finishReason = .abort
            scheduler.remove(sequence)
            try checkOutput(of: sequence, cancelled, isWhole: false)
        }
        if live.isEmpty { coverage.cancelledLast += 1 }
        try checkInvariants()
    }

    /// One step of the engine: schedule, forward, bookkeeping, delivery.
    func step() throws {
        coverage.steps += 1
        let before = SchedulerSnapshot(scheduler)
        let batch = scheduler.schedule()
        try checkSchedule(batch, before)
        try forward(batch)
        produced.removeAll()
        for sequence in batch {
            try complete(sequence)
            try checkInvariants()
        }
        for (sequence, isStopString) in produced {
            try deliver(sequence, isStopString)
            try checkInvariants()
        }
        live.removeAll { $0.choices.allSatisfy(\.isFinished) }
    }

    // MARK: - The forward pass

    /// All the batch's rows are written, then read: in each layer the stores go before attention.
    private func forward(_ batch: [SequenceState]) throws {
        for sequence in batch { try checkReads(sequence, upTo: sequence.cachedTokenCount) }
        var writers = Set<Int>()
        for sequence in batch {
            let first = sequence.cachedTokenCount
            for position in first..<(first + sequence.scheduledTokenCount) {
                let slot = slot(sequence, position)
                try check(writers.insert(slot).inserted, "slot \(slot) is written twice in one step")
                if isPublished[slot / workload.blockSize] {
                    isPublished[slot / workload.blockSize] = false
                    coverage.evictions += 1
                }
                store[slot] = EmulatedModel.keyValue(
                    after: keyValue(sequence, before: position), sequence.tokens[position])
                if position == promptRows[sequence.id, default: 0] { promptRows[sequence.id] = position + 1 }
            }
        }
        for sequence in batch {
            try checkReads(sequence, upTo: sequence.cachedTokenCount + sequence.scheduledTokenCount)
        }
    }

    private func slot(_ sequence: SequenceState, _ position: Int) -> Int {
        Int(sequence.blockTable[position / workload.blockSize]) * workload.blockSize + position % workload.blockSize
    }

    private func keyValue(_ sequence: SequenceState, before position: Int) -> UInt64 {
        position == 0 ? EmulatedModel.emptyPrefix : store[slot(sequence, position - 1)]
    }

    private func checkReads(_ sequence: SequenceState, upTo end: Int) throws {
        var expected = EmulatedModel.emptyPrefix
        for position in 0..<end {
            expected = EmulatedModel.keyValue(after: expected, sequence.tokens[position])
            try check(
                store[slot(sequence, position)] == expected,
                "sequence \(sequence.id) reads another prefix's KV at position \(position) of \(end)")
        }
    }

    // MARK: - Bookkeeping

    private func complete(_ sequence: SequenceState) throws {
        let wasPublished = sequence.publishedBlockCount
        let table = sequence.blockTable
        scheduler.complete(sequence)
        for index in wasPublished..<max(sequence.publishedBlockCount, wasPublished) {
            if table[index] != sequence.blockTable[index] { coverage.merges += 1 }
            isPublished[Int(sequence.blockTable[index])] = true
        }
        guard sequence.pendingTokenCount == 0 else { return }
        let (token, isStop) = EmulatedModel.nextToken(
            keyValue(sequence, before: sequence.tokenCount), live[try place(of: sequence)].request,
            choice: sequence.choiceIndex, workload)
        sequence.append(token)
        // A stop token ends it at once, a stop string when its text is delivered.
        let isStopString = isStop && sequence.outputTokenCount % 2 == 0
        produced.append((sequence, isStopString))
        if isStop && !isStopString {
            sequence.finishReason = .stop
        } else if sequence.tokenCount == sequence.tokenLimit {
            sequence.finishReason = .length
        }
        if sequence.isFinished { scheduler.remove(sequence) }
    }

    /// What the engine does once the whole batch's bookkeeping is done.
    private func deliver(_ sequence: SequenceState, _ isStopString: Bool) throws {
        let place = try place(of: sequence)
        if !live[place].areSiblingsEnqueued {
            live[place].areSiblingsEnqueued = true
            for sibling in live[place].choices.dropFirst().reversed() { scheduler.enqueueFirst(sibling) }
        }
        if isStopString && !sequence.isFinished {
            sequence.finishReason = .stop
            scheduler.remove(sequence)
        }
        guard sequence.isFinished else { return }
        coverage.finished += 1
        try checkOutput(of: sequence, live[place], isWhole: true)
    }

    private func place(of sequence: SequenceState) throws -> Int {
        guard let place = live.firstIndex(where: { $0.index == sequence.id / 64 }) else {
            throw SimulatorFailure(description: "sequence \(sequence.id) was scheduled after its end")
        }
        return place
    }

    private func checkOutput(of sequence: SequenceState, _ live: Live, isWhole: Bool) throws {
        let expected = EmulatedModel.output(of: live.request, choice: sequence.choiceIndex, workload)
        let output = sequence.tokens[sequence.promptTokenCount...]
        try check(
            isWhole ? output.elementsEqual(expected) : expected.starts(with: output),
            "sequence \(sequence.id) put out \(Array(output)), alone it would have been \(expected)")
        if isWhole && sequence.wantsPromptLogprobs {
            try check(
                promptRows[sequence.id, default: 0] >= sequence.promptTokenCount,
                "sequence \(sequence.id) did not compute every row of its prompt")
        }
    }
}

func check(_ holds: Bool, _ failure: @autoclosure () -> String) throws {
    if !holds { throw SimulatorFailure(description: failure()) }
}

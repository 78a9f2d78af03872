// Engine: requests in, deltas out, one step at a time. Owned by its EngineThread, like everything it owns.
//
// Invariant: a request that was accepted gets exactly one end: its last delta, or an error. step() has two halves:
// compute() goes from schedule to bookkeeping and allocates nothing once warm; deliver() makes text and hands it out.

package import SwiftletTokenizer

/// A request as it reaches the engine: validated, tokenised, with its stream's other end.
package struct Submission: Sendable {
    package var id: Int
    package var prompt: [TokenID]
    package var params: SamplingParams
    package var seed: UInt64
    package var tokenLimit: Int
    package var priority: Int
    package var times = RequestTimes()
    package var sink: TokenSink

    package init(
        id: Int, prompt: [TokenID], params: SamplingParams, seed: UInt64, tokenLimit: Int, priority: Int = 0,
        sink: TokenSink
    ) {
        self.id = id
        self.prompt = prompt
        self.params = params
        self.seed = seed
        self.tokenLimit = tokenLimit
        self.priority = priority
        self.sink = sink
    }
}

package final class Engine<B: Backend> {
    /// A request in the engine.
    private final class ActiveRequest {
        let submission: Submission
        var choices: [Choice] = []
        var unfinishedCount: Int
        var usage = Usage()
        var promptLogprobsDelivered = false

        init(_ submission: Submission) {
            self.submission = submission
            unfinishedCount = submission.params.n
            usage.promptTokens = submission.prompt.count
        }
    }

    /// One of a request's choices.
    private final class Choice {
        unowned let request: ActiveRequest
        let sequence: SequenceState
        var detokenizer: Detokenizer?

        init(request: ActiveRequest, sequence: SequenceState, detokenizer: Detokenizer?) {
            self.request = request
            self.sequence = sequence
            self.detokenizer = detokenizer
        }
    }

    package let scheduler: Scheduler
    package private(set) var statistics = EngineStatistics()
    private let runner: ModelRunner<B>
    private let batch: Batch
    private let tokenizer: Tokenizer?
    private let eosTokenIDs: Set<TokenID>
    /// Only of an engine that is traced.
    private let recorder: TraceRecorder?
    private let sampled: UnsafeMutablePointer<TokenID>  // [maxSequences]
    /// Sequences that got a token in this step and wait for deliver().
    private var produced: [SequenceState] = []
    private var requests: [Int: ActiveRequest] = [:]  // by request id
    private var choices: [Int: Choice] = [:]  // by sequence id
    private var nextSequenceID = 0

    package init(
        scheduler: Scheduler, runner: ModelRunner<B>, batch: Batch, tokenizer: Tokenizer?, eosTokenIDs: Set<TokenID>,
        recorder: TraceRecorder? = nil
    ) {
        self.scheduler = scheduler
        self.runner = runner
        self.batch = batch
        self.tokenizer = tokenizer
        self.eosTokenIDs = eosTokenIDs
        self.recorder = recorder
        sampled = .allocate(capacity: scheduler.maxSequences)
        sampled.initialize(repeating: 0, count: scheduler.maxSequences)
        produced.reserveCapacity(scheduler.maxSequences)
        statistics.blockCount = scheduler.blocks.blockCount
    }

    deinit { sampled.deallocate() }

    package var hasWork: Bool { scheduler.hasWork }

    // MARK: - Requests

    package func submit(_ submission: Submission) {
        let request = ActiveRequest(submission)
        requests[submission.id] = request
        scheduler.enqueue(addChoice(0, of: request))
    }

    /// Ends a request at once and frees its blocks, wherever it stands. Unknown ids are requests that ended already.
    package func abort(_ id: Int) {
        guard let request = requests.removeValue(forKey: id) else { return }
        drop(request)
        statistics.aborted += request.unfinishedCount
        recordGauges()
        request.submission.sink.finish(throwing: nil)
    }

    /// Ends all requests with an error.
    package func failAll(_ error: LLMError) {
        for request in requests.values {
            drop(request)
            request.submission.sink.finish(throwing: error)
        }
        requests.removeAll()
        recordGauges()
    }

    private func drop(_ request: ActiveRequest) {
        for choice in request.choices where !choice.sequence.isFinished {
            choice.sequence.finishReason = .abort
            scheduler.remove(choice.sequence)
            choices[choice.sequence.id] = nil
        }
    }

    private func addChoice(_ index: Int, of request: ActiveRequest) -> SequenceState {
        let submission = request.submission
        let sequence = SequenceState(
            id: nextSequenceID, prompt: submission.prompt, params: submission.params, choiceIndex: index,
            seed: submission.seed, tokenLimit: submission.tokenLimit, priority: submission.priority)
        sequence.times = submission.times
        nextSequenceID += 1
        let detokenizer = tokenizer.map {
            Detokenizer(tokenizer: $0, prompt: submission.prompt, params: submission.params)
        }
        let choice = Choice(request: request, sequence: sequence, detokenizer: detokenizer)
        request.choices.append(choice)
        choices[sequence.id] = choice
        return sequence
    }

    // MARK: - A step

    /// Runs one step and hands out what it made. False when there was nothing to do. After an error nothing can be
    /// computed any more.
    @discardableResult
    package func step() throws(LLMError) -> Bool {
        let start = Platform.monotonicSeconds()
        guard try compute() else { return false }
        recorder?.mark()
        deliver()
        recorder?.record(.deliver, rows: produced.count)
        recorder?.record(statistics, batchTokens: batch.tokenCount)
        statistics.stepSeconds += Platform.monotonicSeconds() - start
        return true
    }

    /// Schedule, forward, sample, bookkeeping.
    package func compute() throws(LLMError) -> Bool {
        produced.removeAll(keepingCapacity: true)
        recorder?.mark()
        let sequences = scheduler.schedule()
        guard !sequences.isEmpty else { return false }
        let now = Platform.monotonicSeconds()
        for sequence in sequences { statistics.recordAdmission(&sequence.times, now) }
        batch.fill(sequences)
        let scheduled = recorder?.record(.schedule, rows: sequences.count) ?? 0
        try runner.run(batch, sequences, into: sampled)
        recorder?.recordForward(from: scheduled, rows: batch.tokenCount)
        for (index, sequence) in sequences.enumerated() {
            let isDecode = sequence.scheduledTokenCount == 1 && sequence.outputTokenCount > 0
            if !isDecode { statistics.prefillTokens += sequence.scheduledTokenCount }
            scheduler.complete(sequence)
            guard sequence.pendingTokenCount == 0 else { continue }
            sequence.append(sampled[index])
            produced.append(sequence)
            checkEnd(of: sequence)
            if sequence.isFinished { scheduler.remove(sequence) }
        }
        recordStep()
        return true
    }

    /// End of sequence, stop tokens, length. (Stop strings need text: see deliver().)
    private func checkEnd(of sequence: SequenceState) {
        let params = sequence.params
        let token = sequence.lastToken
        let mayStop = sequence.outputTokenCount >= params.minTokens
        if mayStop && !params.ignoreEOS && eosTokenIDs.contains(token) {
            sequence.finishReason = .stop
        } else if mayStop && params.stopTokenIDs.contains(token) {
            sequence.finishReason = .stop
            sequence.stopReason = .token(token)
        } else if sequence.tokenCount >= sequence.tokenLimit {
            sequence.finishReason = .length
        }
    }

    private func recordStep() {
        statistics.steps += 1
        statistics.generatedTokens += produced.count
        statistics.preemptions = scheduler.preemptionCount
    }

    /// Where everyone stands; also when no step follows, such as after the last request was aborted.
    private func recordGauges() {
        statistics.runningSequences = scheduler.running.count
        statistics.waitingSequences = scheduler.waiting.count
        statistics.usedBlocks = scheduler.blocks.usedCount
    }

    // MARK: - Delivery

    /// Makes text of this step's tokens, ends what a stop string ends, and hands a delta to each request's stream.
    package func deliver() {
        let now = Platform.monotonicSeconds()
        statistics.iterationTokens.record(Double(batch.tokenCount))
        for sequence in produced {
            guard let choice = choices[sequence.id] else { continue }
            statistics.recordToken(&sequence.times, now)
            deliver(choice, now)
        }
        recordGauges()
    }

    private func deliver(_ choice: Choice, _ now: Double) {
        let (sequence, request) = (choice.sequence, choice.request)
        if sequence.outputTokenCount == 1 && choice.sequence.choiceIndex == 0 { promptIsWritten(request, sequence) }
        var delta = Delta(index: sequence.choiceIndex, tokenIDs: [sequence.lastToken])
        if let logprob = sequence.pendingLogprob {
            delta.logprobs = [logprob]
            sequence.pendingLogprob = nil
        }
        if sequence.wantsPromptLogprobs && !request.promptLogprobsDelivered {
            // A prompt of one token has nothing to score.
            delta.promptLogprobs = sequence.promptLogprobs.isEmpty ? [nil] : sequence.promptLogprobs
            request.promptLogprobsDelivered = true
        }
        delta.text = text(of: choice)
        delta.moment.seconds = now
        request.usage.completionTokens += 1
        delta.usage = request.usage
        delta.finishReason = sequence.finishReason
        delta.stopReason = sequence.stopReason
        request.submission.sink.yield(delta)
        if sequence.isFinished { end(choice) }
    }

    /// The first choice has written the prompt: its siblings can share it now.
    private func promptIsWritten(_ request: ActiveRequest, _ first: SequenceState) {
        request.usage.cachedTokens = first.prefixHitCount ?? 0
        statistics.prefixCacheQueries += first.promptTokenCount
        statistics.prefixCacheHits += request.usage.cachedTokens
        let siblings = (1..<max(1, request.submission.params.n)).map { addChoice($0, of: request) }
        for sibling in siblings.reversed() { scheduler.enqueueFirst(sibling) }
    }

    /// The text that the newest token made final. May find a stop string and end the sequence.
    private func text(of choice: Choice) -> String {
        let sequence = choice.sequence
        guard choice.detokenizer != nil else { return "" }
        let isStopToken = sequence.finishReason == .stop
        if isStopToken && !sequence.params.includeStopStringInOutput { return choice.detokenizer!.finish() }
        var (text, stop) = choice.detokenizer!.append(
            sequence.lastToken, looksForStops: sequence.outputTokenCount > sequence.params.minTokens)
        if let stop {
            if !sequence.isFinished { scheduler.remove(sequence) }
            sequence.finishReason = .stop
            sequence.stopReason = .string(stop)
        } else if sequence.isFinished {
            text += choice.detokenizer!.finish()
        }
        return text
    }

    private func end(_ choice: Choice) {
        choices[choice.sequence.id] = nil
        statistics.recordEnd(choice.sequence.times)
        switch choice.sequence.finishReason {
        case .length: statistics.finishedByLength += 1
        default: statistics.finishedByStop += 1
        }
        let request = choice.request
        request.unfinishedCount -= 1
        if request.unfinishedCount == 0 {
            requests[request.submission.id] = nil
            request.submission.sink.finish(throwing: nil)
        }
    }
}

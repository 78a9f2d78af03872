// Sampler: from logits to the next token. The policy (what is masked, penalised, reported) is here; choosing one of the
// remaining tokens is one kernel. Owned by the ModelRunner.
//
// Invariant: a token depends on its own row and on (seed, choice, position) alone. Order as in vLLM: log-probabilities
// are of the raw logits; then allowed tokens, min_tokens, logit bias, penalties, temperature, min_p, top_k, top_p.

package import SwiftletTokenizer

package final class Sampler<B: Backend> {
    private let backend: B
    private let vocabularySize: Int
    private let eosTokenIDs: [TokenID]
    private let processors: [any LogitsProcessor]
    private let rows: UnsafeMutableBufferPointer<SampleRow>  // [maxRows]
    private let targets: UnsafeMutablePointer<Int>  // [maxRows], the sequence that each of them is for
    private let scratch: B.Buffer  // [maxRows, vocabulary]
    /// Raw logits of rows that are changed and reported too. (Pages that nobody touches cost nothing.)
    private let rawLogits: UnsafeMutablePointer<Float>  // [maxRows, vocabulary]
    private let topIDs: UnsafeMutablePointer<Int32>  // [maxLogprobs]
    private let topValues: UnsafeMutablePointer<Float>  // [maxLogprobs]

    package init(
        backend: B, vocabularySize: Int, eosTokenIDs: Set<TokenID>, maxRows: Int, maxLogprobs: Int,
        processors: [any LogitsProcessor] = []
    ) throws(LLMError) {
        self.backend = backend
        self.vocabularySize = vocabularySize
        self.processors = processors
        self.eosTokenIDs = eosTokenIDs.filter { $0 >= 0 && $0 < vocabularySize }
        scratch = try backend.makeBuffer(rows: maxRows, columns: vocabularySize, type: .float)
        rawLogits = .allocate(capacity: maxRows * vocabularySize)
        rows = .allocate(capacity: maxRows)
        targets = .allocate(capacity: maxRows)
        topIDs = .allocate(capacity: max(maxLogprobs, 1))
        topValues = .allocate(capacity: max(maxLogprobs, 1))
    }

    deinit {
        rawLogits.deallocate()
        rows.deallocate()
        targets.deallocate()
        topIDs.deallocate()
        topValues.deallocate()
    }

    /// Handles the given logit rows of a batch; row i of `logits` is the batch's logit row rows.lowerBound + i.
    package func process(
        _ logits: B.Buffer, of batch: Batch, rows logitRows: Range<Int>, _ sequences: [SequenceState],
        into sampled: UnsafeMutablePointer<TokenID>
    ) throws(LLMError) {
        var count = 0
        for (index, logitRow) in logitRows.enumerated() {
            let target = Int(batch.logitSequences[logitRow])
            let sequence = sequences[target]
            let position = batch.position(ofRow: Int(batch.logitRows[logitRow]), sequence: target)
            guard position == sequence.tokenCount - 1 else {
                score(sequence, position + 1, backend.hostRow(logits, index))
                continue
            }
            // Rows that are only chosen from need not come to the host.
            let isChanged = changesLogits(sequence)
            if isChanged { change(sequence, backend.hostRow(logits, index), index) }
            rows[count] = SampleRow(
                row: index, isChanged: isChanged,
                // As in vLLM, almost zero is greedy: dividing by it would overflow.
                temperature: sequence.params.temperature < 1e-5 ? 0 : sequence.params.temperature,
                topK: min(sequence.params.topK ?? 0, vocabularySize), topP: sequence.params.topP,
                minP: sequence.params.minP,
                uniform: Philox.uniform(
                    seed: sequence.seed, choice: sequence.choiceIndex, position: sequence.tokenCount))
            targets[count] = target
            count += 1
        }
        guard count > 0 else { return }
        try backend.sample(
            UnsafeMutableBufferPointer(rebasing: rows[..<count]), of: logits, count: vocabularySize, scratch: scratch)
        for (row, target) in zip(rows[..<count], UnsafeBufferPointer(start: targets, count: count)) {
            sampled[target] = row.token
            let sequence = sequences[target]
            guard let topCount = sequence.params.logprobs else { continue }
            let raw = row.isChanged ? rawRow(row.row) : backend.hostRow(logits, row.row)
            sequence.pendingLogprob = logprob(of: row.token, in: raw, top: topCount)
        }
    }

    // MARK: - Log-probabilities

    /// Records the log-probability of prompt token `position` given the ones before it.
    private func score(_ sequence: SequenceState, _ position: Int, _ row: UnsafePointer<Float>) {
        if sequence.promptLogprobs.isEmpty { sequence.promptLogprobs.append(nil) }
        precondition(sequence.promptLogprobs.count == position)
        let token = sequence.tokens[position]
        sequence.promptLogprobs.append(logprob(of: token, in: row, top: sequence.params.promptLogprobs ?? 0))
    }

    private func logprob(of token: TokenID, in row: UnsafePointer<Float>, top count: Int) -> TokenLogprob {
        let norm = backend.logSumExp(row, count: vocabularySize)
        let topCount = min(count, vocabularySize)
        backend.top(topCount, of: row, count: vocabularySize, ids: topIDs, values: topValues)
        let value = row[Int(token)]
        return TokenLogprob(
            tokenID: token, logprob: value - norm, rank: backend.rank(of: value, in: row, count: vocabularySize),
            top: (0..<topCount).map { .init(tokenID: topIDs[$0], logprob: topValues[$0] - norm) })
    }

    // MARK: - Changing logits

    private func changesLogits(_ sequence: SequenceState) -> Bool {
        let params = sequence.params
        return params.allowedTokenIDs != nil || sequence.outputTokenCount < params.minTokens
            || !params.logitBias.isEmpty || sequence.occurrences != nil || !processors.isEmpty
    }

    private func rawRow(_ index: Int) -> UnsafeMutablePointer<Float> { rawLogits + index * vocabularySize }

    /// Applies everything that changes logits themselves, in vLLM's order.
    private func change(_ sequence: SequenceState, _ row: UnsafeMutablePointer<Float>, _ index: Int) {
        let (params, raw) = (sequence.params, rawRow(index))
        if params.logprobs != nil || params.allowedTokenIDs != nil { raw.update(from: row, count: vocabularySize) }
        if let allowed = params.allowedTokenIDs {
            row.update(repeating: -.infinity, count: vocabularySize)
            for id in allowed { row[Int(id)] = raw[Int(id)] }
        }
        if sequence.outputTokenCount < params.minTokens {
            for id in eosTokenIDs { row[Int(id)] = -.infinity }
            for id in params.stopTokenIDs { row[Int(id)] = -.infinity }
        }
        for (id, bias) in params.logitBias { row[Int(id)] += bias }
        if let occurrences = sequence.occurrences { penalise(occurrences, params, row) }
        runProcessors(sequence, row)
    }

    private func penalise(
        _ occurrences: [TokenID: Int32], _ params: SamplingParams, _ row: UnsafeMutablePointer<Float>
    ) {
        for (id, count) in occurrences {
            var logit = row[Int(id)]
            logit = logit > 0 ? logit / params.repetitionPenalty : logit * params.repetitionPenalty
            logit -= params.frequencyPenalty * Float(count)
            if count > 0 { logit -= params.presencePenalty }
            row[Int(id)] = logit
        }
    }

    private func runProcessors(_ sequence: SequenceState, _ row: UnsafeMutablePointer<Float>) {
        guard !processors.isEmpty else { return }
        let context = LogitsContext(
            tokens: sequence.tokens, promptTokenCount: sequence.promptTokenCount, choiceIndex: sequence.choiceIndex,
            params: sequence.params)
        for processor in processors {
            var logits = UnsafeMutableBufferPointer(start: row, count: vocabularySize).mutableSpan
            processor.process(&logits, context)
        }
    }
}

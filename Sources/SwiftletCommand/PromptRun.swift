// PromptRun: prompts given by hand, their continuations printed as they come, statistics at the end.
// Every prompt runs at once; what is printed keeps their order.
// Invariant: one prompt's error is reported and leaves the others alone.

package import Swiftlet
import SwiftletTokenizer
import Synchronization

package struct PromptRun: Sendable {
    /// What the statistics are made of.
    private struct Measured: Sendable {
        var promptTokens = 0
        var cachedTokens = 0
        var generatedTokens = 0
        /// From the start to each prompt's first token.
        var firstTokens: [Duration] = []
        var end = Duration.zero
    }

    private let llm: LLM
    private let prompts: [String]
    private let params: SamplingParams
    private let shrinksMaxTokens: Bool
    private let printer: SectionPrinter
    private let clock = ContinuousClock()

    package init(llm: LLM, prompts: [String], params: SamplingParams, shrinksMaxTokens: Bool, to output: File) {
        self.llm = llm
        self.prompts = prompts
        self.params = params
        self.shrinksMaxTokens = shrinksMaxTokens
        printer = SectionPrinter(count: prompts.count * params.n) { try output.write(Array($0.utf8)) }
    }

    /// Runs the prompts.
    ///
    /// - Returns: Whether all succeeded, and a line of statistics when there was something to measure.
    package func run() async throws -> (succeeded: Bool, statistics: String?) {
        let start = clock.now
        var succeeded = true
        var total = Measured()
        try await withThrowingTaskGroup(of: Measured?.self) { group in
            for index in prompts.indices {
                group.addTask { try await answer(index, since: start) }
            }
            for try await measured in group {
                guard let measured else {
                    succeeded = false
                    continue
                }
                total.promptTokens += measured.promptTokens
                total.cachedTokens += measured.cachedTokens
                total.generatedTokens += measured.generatedTokens
                total.firstTokens += measured.firstTokens
                total.end = max(total.end, measured.end)
            }
        }
        return (succeeded, total.generatedTokens > 0 ? Self.describe(total) : nil)
    }

    /// One prompt; nil when it failed.
    private func answer(_ index: Int, since start: ContinuousClock.Instant) async throws -> Measured? {
        let sections = index * params.n..<(index + 1) * params.n
        if prompts.count > 1 {
            let place = "[\(index + 1)/\(prompts.count)]"
            let gap = index > 0 ? "\n" : ""
            try printer.append("\(gap)\(place) \(Format.heading(prompts[index]))\n", to: sections.lowerBound)
        }
        // After Ctrl-C what waits for its turn stays unprinted.
        defer { if !Task.isCancelled { for section in sections { try? printer.finish(section) } } }
        do {
            var request = Request(.text(prompts[index]), params)
            request.shrinksMaxTokens = shrinksMaxTokens
            return try await print(llm.stream(request), sections.lowerBound, since: start)
        } catch let error as LLMError where error.code != .engineFailed && error.code != .inputOutput {
            if Task.isCancelled { throw CancellationError() }
            Console.error((prompts.count > 1 ? "prompt \(index + 1): " : "") + error.message)
            return nil
        }
    }

    private func print(
        _ stream: TokenStream, _ firstSection: Int, since start: ContinuousClock.Instant
    ) async throws -> Measured {
        var measured = Measured()
        var endsWithNewline = [Bool](repeating: false, count: params.n)
        var table = LogprobTable(tokenizer: llm.tokenizer)
        for try await delta in stream {
            let section = firstSection + delta.index
            if measured.firstTokens.isEmpty, !delta.tokenIDs.isEmpty {
                measured.firstTokens = [clock.now - start]
                for index in 0..<params.n where params.n > 1 {
                    try printer.append("--- choice \(index + 1) of \(params.n)\n", to: firstSection + index)
                }
            }
            measured.generatedTokens += delta.tokenIDs.count
            measured.promptTokens = delta.usage.promptTokens
            measured.cachedTokens = delta.usage.cachedTokens
            table.add(delta)
            if let last = delta.text.utf8.last { endsWithNewline[delta.index] = last == UInt8(ascii: "\n") }
            if !delta.text.isEmpty { try printer.append(delta.text, to: section) }
            if delta.finishReason != nil {
                if !endsWithNewline[delta.index] { try printer.append("\n", to: section) }
                try printer.append(table.text(of: delta.index), to: section)
                try printer.finish(section)
            }
        }
        measured.end = clock.now - start
        try Task.checkCancellation()
        return measured
    }

    /// `prompt 5 tokens, generated 256 tokens; time to first token …; prefill …, decode …`
    private static func describe(_ total: Measured) -> String {
        let cached = total.cachedTokens > 0 ? " (\(Format.count(total.cachedTokens)) cached)" : ""
        var line = "prompt \(Format.count(total.promptTokens, "token"))\(cached), "
        line += "generated \(Format.count(total.generatedTokens, "token"))"
        guard let first = total.firstTokens.min(), let last = total.firstTokens.max() else { return line }
        // Prefill lasts until every prompt has its first token; decoding starts at the first one's.
        let computed = total.promptTokens - total.cachedTokens
        let decoded = total.generatedTokens - total.firstTokens.count
        line += "; time to first token \(Format.seconds(first.inSeconds))"
        line += ", prefill \(Format.rate(computed, last.inSeconds))"
        if decoded > 0 { line += ", decode \(Format.rate(decoded, (total.end - first).inSeconds))" }
        return line
    }
}

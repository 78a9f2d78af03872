// ChatAnswer: one answer of a chat, written as it comes, and what is known of it at its end.
// Invariant: a cancelled answer is one that ended early, and no error.

import Swiftlet
import SwiftletTemplate

struct ChatAnswer: Sendable {
    /// What it consists of.
    var parts = ParsedAnswer()
    var usage = Usage()
    var finishReason: FinishReason?
    /// From the start to the first token.
    var firstToken: Duration?
    var end = Duration.zero

    var isEmpty: Bool { parts.content.isEmpty && parts.reasoning.isEmpty }
    var isStopped: Bool { finishReason == nil || finishReason == .abort }

    /// Starts to answer in a task of its own, whose cancellation aborts the request.
    static func start(
        _ request: Request, _ parser: AnswerParser, on llm: LLM, to output: ChatOutput
    ) -> Task<ChatAnswer, any Error> {
        Task { try await read(llm.stream(request), parser, to: output) }
    }

    private static func read(
        _ stream: TokenStream, _ parser: AnswerParser, to output: ChatOutput
    ) async throws -> ChatAnswer {
        let clock = ContinuousClock()
        let start = clock.now
        var printer = AnswerPrinter(to: output, parser: parser)
        var answer = ChatAnswer()
        for try await delta in stream {
            if answer.firstToken == nil { answer.firstToken = clock.now - start }
            answer.usage = delta.usage
            answer.finishReason = delta.finishReason
            try printer.print(delta.text)
        }
        answer.end = clock.now - start
        try printer.finish()
        answer.parts = printer.answer
        return answer
    }

    /// `24 tokens, 310 tok/s; first after 4.20 ms; 64 of 70 prompt tokens cached`
    var statistics: String {
        var line = Format.count(usage.completionTokens, "token")
        if let firstToken {
            if usage.completionTokens > 1 {
                line += ", \(Format.rate(usage.completionTokens - 1, (end - firstToken).inSeconds))"
            }
            line += "; first after \(Format.seconds(firstToken.inSeconds))"
        }
        let counts = "\(Format.count(usage.cachedTokens)) of \(Format.count(usage.promptTokens))"
        return line + "; \(counts) prompt tokens cached"
    }
}

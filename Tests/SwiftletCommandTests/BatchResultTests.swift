// Batch output lines: the exact bytes, with and without log-probabilities.

import Swiftlet
import SwiftletCommand
import SwiftletJSON
import Testing

@Suite("Batch output lines")
struct BatchResultTests {
    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test("A result without log-probabilities")
    func plain() {
        var choice = CompletionOutput(index: 0)
        choice.text = "a\"b\n\u{1}é"
        choice.tokenIDs = [5, 6]
        choice.finishReason = .length
        let output = RequestOutput(
            prompt: "x", promptTokenIDs: [1, 2], promptLogprobs: nil, choices: [choice],
            usage: Usage(promptTokens: 2, cachedTokens: 1, completionTokens: 2))
        #expect(
            text(BatchResult.line(id: "q\\", output))
                == #"{"id":"q\\","prompt_token_ids":[1,2],"outputs":[{"index":0,"text":"a\"b\n\u0001é","token_ids":[5,6],"#
                + #""finish_reason":"length","stop_reason":null}],"#
                + #""usage":{"prompt_tokens":2,"cached_tokens":1,"completion_tokens":2}}"# + "\n")
    }

    @Test("Log-probabilities and stop reasons")
    func logprobs() throws {
        let infinite = TokenLogprob(
            tokenID: 7, logprob: -.infinity, rank: 9,
            top: [.init(tokenID: 3, logprob: -0.25), .init(tokenID: 7, logprob: -.infinity)])
        var first = CompletionOutput(index: 0)
        first.finishReason = .stop
        first.stopReason = .token(7)
        first.logprobs = [infinite]
        var second = CompletionOutput(index: 1)
        second.finishReason = .stop
        second.stopReason = .string("END")
        second.logprobs = []
        let output = RequestOutput(
            prompt: nil, promptTokenIDs: [1, 2], promptLogprobs: [nil, infinite], choices: [first, second],
            usage: Usage())
        let line = BatchResult.line(id: "a", output)
        let entry = #"{"token_id":7,"logprob":-9999.0,"top":[[3,-0.25],[7,-9999.0]]}"#
        #expect(text(line).contains(#""stop_reason":7,"logprobs":[\#(entry)]}"#))
        #expect(text(line).contains(#""stop_reason":"END","logprobs":[]}"#))
        #expect(text(line).contains(#""prompt_logprobs":[null,\#(entry)]"#))
        let root = try JSONDocument(parsing: line).root
        #expect(root.members.map(\.key) == ["id", "prompt_token_ids", "outputs", "prompt_logprobs", "usage"])
    }

    @Test("Errors, with and without an id")
    func errors() {
        let error = LLMError(.invalidRequest, "no \"x\"")
        #expect(
            text(BatchResult.line(id: "a", error))
                == #"{"id":"a","error":{"code":"invalidRequest","message":"no \"x\""}}"# + "\n")
        #expect(text(BatchResult.line(id: nil, error)).hasPrefix(#"{"id":null,"#))
    }
}

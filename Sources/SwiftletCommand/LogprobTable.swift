// LogprobTable: the log-probabilities of a request as lines of text, for `swiftlet generate --logprobs`.
// Owned by the task that prints one prompt.
// Invariant: a line per token, in order; a token's text is quoted, so that no token breaks a line.

import Swiftlet
import SwiftletTokenizer

struct LogprobTable {
    private let tokenizer: Tokenizer?
    private var prompt: [String] = []
    private var choices: [Int: [String]] = [:]

    init(tokenizer: Tokenizer?) {
        self.tokenizer = tokenizer
    }

    mutating func add(_ delta: Delta) {
        for case let logprob? in delta.promptLogprobs ?? [] { prompt.append(line("prompt", logprob)) }
        for logprob in delta.logprobs ?? [] { choices[delta.index, default: []].append(line("output", logprob)) }
    }

    /// What was asked for of a choice; the prompt's lines come with the first one.
    func text(of choice: Int) -> String {
        let lines = (choice == 0 ? prompt : []) + (choices[choice] ?? [])
        return lines.map { $0 + "\n" }.joined()
    }

    private func line(_ kind: String, _ logprob: TokenLogprob) -> String {
        var line = "\(kind) \(logprob.logprob) \(quoted(logprob.tokenID))"
        if !logprob.top.isEmpty {
            line += "  top: " + logprob.top.map { "\($0.logprob) \(quoted($0.tokenID))" }.joined(separator: ", ")
        }
        return line
    }

    private func quoted(_ id: TokenID) -> String {
        guard let tokenizer else { return String(id) }
        return "\(id) \(tokenizer.decode([id], skipSpecialTokens: false).debugDescription)"
    }
}

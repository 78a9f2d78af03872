// ChatSession: one conversation: its messages, its parameters, the answer that runs. Lines in, answers out.
// Owned by ChatCommand, which gets the lines; used by one task. Ctrl-C reaches it through AnswerStopper from anywhere.
// Invariant: a line that fails leaves the messages as they were.

package import Swiftlet
import SwiftletTemplate
import SwiftletTokenizer
import Synchronization

/// Stops the answer that runs.
package final class AnswerStopper: Sendable {
    private let stop = Mutex<(@Sendable () -> Void)?>(nil)

    package init() {}

    /// Whether there was an answer to stop.
    package func callAsFunction() -> Bool {
        guard let stop = stop.withLock({ $0 }) else { return false }
        stop()
        return true
    }

    fileprivate func set(_ new: (@Sendable () -> Void)?) { stop.withLock { $0 = new } }
}

package final class ChatSession {
    /// What became of a line.
    package enum Outcome: Sendable { case done, failed, exit }

    private let llm: LLM
    private let output: ChatOutput
    private let options: ChatOptions
    private let showsStatistics: Bool
    private let stopper: AnswerStopper
    private let home: String?
    private(set) package var messages: [ChatMessage]
    private var params: SamplingParams
    /// The messages before the line that is handled, for when it fails.
    private var before: [ChatMessage] = []
    /// How often the last question was answered again.
    private var retries: UInt64 = 0

    package init(
        _ llm: LLM, params: SamplingParams, system: String?, options: ChatOptions, output: ChatOutput,
        showsStatistics: Bool, stopper: AnswerStopper, home: String?
    ) {
        self.llm = llm
        self.params = params
        self.options = options
        self.output = output
        self.showsStatistics = showsStatistics
        self.stopper = stopper
        self.home = home
        messages = system.map { [.system($0)] } ?? []
    }

    /// Obeys or answers a line. Failures of the line are reported here; what ends the chat is thrown.
    package func handle(_ line: String) async throws -> Outcome {
        try await reporting {
            if let command = try SlashCommand(line) { return try await obey(command) }
            let text = SlashCommand.text(of: line)
            return text.trimmed.isEmpty ? .done : try await answer(text)
        }
    }

    /// Answers a question, whatever it begins with.
    package func ask(_ question: String) async throws -> Outcome {
        try await reporting { try await answer(question) }
    }

    private func reporting(_ body: () async throws -> Outcome) async throws -> Outcome {
        before = messages
        do {
            return try await body()
        } catch let error as LLMError where error.code != .engineFailed {
            messages = before
            Console.error(output.isTerminal ? error.message.harmless : error.message)
            return .failed
        }
    }

    // MARK: Commands

    private func obey(_ command: SlashCommand) async throws -> Outcome {
        switch command {
        case .system(let text): setSystem(text)
        case .reset:
            messages.removeAll { $0.role != "system" }
            output.say("The conversation is empty.")
        case .undo:
            guard removeLastExchange() else { throw Self.invalid("there is nothing to take back") }
            output.say("Taken back; \(describeLength()).")
        case .retry:
            guard messages.contains(where: { $0.role == "user" }) else {
                throw Self.invalid("there is no question to answer again")
            }
            if messages.last?.role == "assistant" { messages.removeLast() }
            retries += 1
            return try await answer()
        case .params(let text):
            if !text.isEmpty {
                params = try ParameterText.read(text, over: params, vocabularySize: llm.vocabularySize)
            }
            output.say(ParameterText.describe(params))
        case .save(let path):
            try ConversationFile.save(messages, to: expanded(path))
            output.say("\(Format.count(messages.count, "message")) in \(path)")
        case .load(let path):
            messages = try ConversationFile.load(expanded(path))
            output.say("\(path) has \(Format.count(messages.count, "message")); the next question goes on from there.")
        case .help: output.say(SlashCommand.helpText)
        case .exit: return .exit
        }
        return .done
    }

    private func setSystem(_ text: String?) {
        messages.removeAll { $0.role == "system" }
        if let text { messages.insert(.system(text), at: 0) }
        output.say(text == nil ? "There is no system message now." : "The system message is set.")
    }

    /// Takes back the last question with everything behind it.
    private func removeLastExchange() -> Bool {
        guard let last = messages.lastIndex(where: { $0.role == "user" }) else { return false }
        messages.removeSubrange(last...)
        return true
    }

    private func describeLength() -> String {
        let count = messages.count { $0.role == "user" }
        return count == 0 ? "the conversation is empty" : "\(Format.count(count, "question")) left"
    }

    /// A path as a shell would read it.
    private func expanded(_ path: String) -> String {
        guard path.hasPrefix("~/"), let home else { return path }
        return home + path.dropFirst()
    }

    private static func invalid(_ message: String) -> LLMError { LLMError(.invalidRequest, message) }

    // MARK: Answers

    private func answer(_ question: String) async throws -> Outcome {
        messages.append(.user(question))
        retries = 0
        return try await answer()
    }

    /// Answers the last question and keeps what came, stopped or not.
    private func answer() async throws -> Outcome {
        var params = params
        if let seed = params.seed { params.seed = seed &+ retries }
        let (request, parser) = try self.request(params)
        let task = ChatAnswer.start(request, parser, on: llm, to: output)
        stopper.set { task.cancel() }
        defer { stopper.set(nil) }
        let answer = try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
        try Task.checkCancellation()
        if answer.isStopped, answer.isEmpty {
            // Stopped before it began: as if it had not been asked.
            messages = before
        } else {
            let reasoning = answer.parts.reasoning
            messages.append(.assistant(answer.parts.content, reasoning: reasoning.isEmpty ? nil : reasoning))
        }
        report(answer)
        return .done
    }

    /// The request that the messages make, which may take what the context has left, and what reads its answer.
    private func request(_ params: SamplingParams) throws(LLMError) -> (Request, AnswerParser) {
        var request = try llm.chatRequest(messages, params, options: options)
        let parser = try llm.answerParser(for: request, options: options)
        request.shrinksMaxTokens = true
        guard case .text(let text) = request.prompt, let tokenizer = llm.tokenizer else { return (request, parser) }
        let tokens = tokenizer.encode(text, addSpecialTokens: request.addsSpecialTokens)
        guard tokens.count < contextLength else {
            throw Self.invalid(
                """
                the conversation has \(Format.count(tokens.count, "token")) and the context holds \
                \(Format.count(contextLength)), so the last line was taken back. /undo takes back a question and its \
                answer, /reset begins anew, a larger --max-model-len (now \(llm.maxModelLength)) or \
                --kv-cache-memory-bytes (now for \(llm.kvTokenCapacity)) makes room
                """)
        }
        request.prompt = .tokens(tokens)
        return (request, parser)
    }

    /// The most tokens that a conversation and its answer may have.
    private var contextLength: Int { min(llm.maxModelLength, llm.kvTokenCapacity + 1) }

    private func report(_ answer: ChatAnswer) {
        let used = answer.usage.promptTokens + answer.usage.completionTokens
        if answer.isStopped {
            output.whisper("(stopped)")
        } else if answer.finishReason == .length, used >= contextLength {
            output.say(
                "(The context of \(Format.count(contextLength, "token")) is full: /undo makes room, /reset begins anew.)"
            )
        }
        if showsStatistics, answer.firstToken != nil { output.whisper(answer.statistics) }
    }
}

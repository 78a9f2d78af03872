// `swiftlet chat`: a conversation on a terminal, line by line through a pipe, or one question from the arguments.
// Answers go to standard output.
// Invariant: Ctrl-C stops an answer on a terminal; everywhere else it ends the command with 130, as in the other commands.

package import ArgumentParser
import Swiftlet
import SwiftletTemplate

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

package struct ChatCommand: AsyncParsableCommand, EngineCommand {
    package static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "Talk with a model.",
        discussion: """
            On a terminal, lines can be edited, Up and Down lead through what was typed before, and a line that ends \
            with \\ goes on in the next one. Ctrl-C stops an answer, /help lists the commands.

            Otherwise each line of standard input is answered in turn, and only the answers are printed. With a \
            question as argument that one is answered.
            """)

    @Argument(help: "One question; without it the chat goes on until the input ends.")
    package var question: [String] = []

    @Option(help: ArgumentHelp("System message, what the conversation begins with.", valueName: "text"))
    package var system: String?

    @Option(help: ArgumentHelp("A template's file, used instead of the model's.", valueName: "file"))
    package var chatTemplate: String?

    @Option(
        help: ArgumentHelp(
            "Variables for the template, a JSON object such as {\"enable_thinking\": false}.", valueName: "json"))
    package var chatTemplateKwargs: TemplateVariables?

    @OptionGroup(title: "Sampling options")
    package var sampling: SamplingOptions

    @OptionGroup(title: "Engine options")
    package var engine: EngineOptions

    package init() {}

    package mutating func run() async throws {
        let command = self
        let interrupts = Interrupts()
        try await interrupts.run { try await command.chat(interrupts) }
    }

    private func chat(_ interrupts: Interrupts) async throws {
        let environment = ProcessInfo.processInfo.environment
        // Before the model is loaded for nothing.
        let template = try chatTemplate.map { try ChatTemplate(file: $0) }
        let options = ChatOptions(templateVariables: chatTemplateKwargs?.values ?? [:], template: template)
        let llm = try await engine.load(environment: environment)
        interrupts.needEnding()
        let result: Result<Void, any Error>
        do {
            // A model without a template is told at once, and not at every line.
            if template == nil { _ = try llm.chatTemplates.template(forTools: false) }
            result = .success(try await talk(llm, options, interrupts, environment))
        } catch {
            result = .failure((error as? TemplateError).map { LLMError(chatTemplateError: $0) } ?? error)
        }
        await llm.shutdown()
        if case .failure(let error) = result {
            if interrupts.isInterrupted { throw Interrupts.exitCode }
            throw error
        }
    }

    private func talk(
        _ llm: LLM, _ options: ChatOptions, _ interrupts: Interrupts, _ environment: [String: String]
    ) async throws {
        let terminal = question.isEmpty ? Terminal(environment: environment) : nil
        let output = ChatOutput(isInteractive: terminal != nil, environment: environment)
        let stopper = AnswerStopper()
        defer { interrupts.offer { false } }
        let session = ChatSession(
            llm,
            params: sampling.params(
                over: llm.defaultChatSamplingParams, seed: engine.seed,
                maxTokens: llm.defaultChatSamplingParams.maxTokens),
            system: system, options: options, output: output,
            showsStatistics: terminal != nil && !engine.quiet, stopper: stopper, home: environment["HOME"])
        if !question.isEmpty {
            let outcome = try await session.ask(question.joined(separator: " "))
            if outcome == .failed { throw ExitCode.failure }
        } else if let terminal {
            interrupts.offer {
                if !stopper() { terminal.post(.interrupted) }
                return true
            }
            try await terminal.handlingSignals { try await converse(session, on: terminal, output) }
        } else {
            let isTyped = File.standardInput.isTerminal
            if isTyped { interrupts.offer { stopper() } }
            let lines = PlainLines(.standardInput, prompt: isTyped ? "> " : nil)
            if try await !converse(session, { try await lines.read() }) { throw ExitCode.failure }
        }
    }

    private func converse(_ session: ChatSession, on terminal: Terminal, _ output: ChatOutput) async throws {
        if !engine.quiet { output.whisper("/help lists the commands, Ctrl-C stops an answer, Ctrl-D ends.") }
        let editor = TerminalEditor(
            on: terminal, prompt: "> ", style: output.isStyled ? ("\u{1B}[1m", "\u{1B}[22m") : ("", ""),
            completions: SlashCommand.all.map(\.name))
        // A person has seen what failed and went on.
        _ = try await converse(session) { try await editor.read() }
    }

    /// Whether everything went well.
    private func converse(_ session: ChatSession, _ read: () async throws -> ChatInput) async throws -> Bool {
        var succeeded = true
        loop: while true {
            switch try await read() {
            case .text(let line):
                switch try await session.handle(line) {
                case .done: break
                case .failed: succeeded = false
                case .exit: break loop
                }
            case .refused(let reason):
                Console.error(reason)
                succeeded = false
            case .interrupt: throw Interrupts.exitCode
            case .end: break loop
            }
        }
        return succeeded
    }
}

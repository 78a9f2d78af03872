// `swiftlet template`: what a chat template makes of conversations, to look at or from a file to a file.
// No weights are loaded.
// Invariant: every line of the input that is not blank has one line in the output, in order.

package import ArgumentParser
import Swiftlet
import SwiftletJSON
import SwiftletTemplate

package struct TemplateCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "template",
        abstract: "Show the prompt that a chat template makes of a conversation.",
        discussion: """
            Takes one message of the user, as an argument or on standard input, and prints the prompt as it is.

            Batches: each line of --input is {"messages": […], "tools": […], "documents": […], \
            "add_generation_prompt": true, "kwargs": {…}, "bos_token": "…", "eos_token": "…", "now": \
            "2025-03-07T14:05:09"}, of which only messages must be there; the options here are the defaults. The \
            output has {"text": "…"} or {"error": "…"} for each, in order. An error is an answer like any other and \
            leaves the exit code 0.
            """)

    @Argument(help: "What the user says.")
    package var text: String?

    @Option(
        name: [.long, .customShort("m")],
        help: ArgumentHelp(
            "Folder whose template is used, or OWNER/NAME on the hub (default: the built-in demo model).",
            valueName: "model"))
    package var model: String?

    @Option(help: ArgumentHelp("A template's file, used instead of the model's.", valueName: "file"))
    package var template: String?

    @Option(help: ArgumentHelp("A system message in front of the text.", valueName: "text"))
    package var system: String?

    @Flag(inversion: .prefixedNo, help: "End the prompt with the beginning of an answer.")
    package var addGenerationPrompt = true

    @Option(
        help: ArgumentHelp(
            "Variables for the template, a JSON object such as {\"enable_thinking\": false}.", valueName: "json"))
    package var chatTemplateKwargs: TemplateVariables?

    @OptionGroup package var batch: BatchOptions

    package init() {}

    package func validate() throws {
        if batch.input != nil, text != nil || system != nil {
            throw ValidationError("Give a conversation or --input, not both.")
        }
    }

    package mutating func run() async throws {
        let templates = try await loadTemplates()
        if let input = batch.input, let output = batch.output {
            let command = self
            try await Interrupts().run { try await command.runBatch(from: input, to: output, templates) }
            return
        }
        guard let content = try text ?? Self.textFromStandardInput() else {
            throw ValidationError("A text is missing; give it as an argument or on standard input.")
        }
        var messages: [TemplateValue] = [["role": "user", "content": .string(content)]]
        if let system { messages.insert(["role": "system", "content": .string(system)], at: 0) }
        var request = defaults()
        request.messages = messages
        do {
            var prompt = try templates.render(request)
            if File.standardOutput.isTerminal, !prompt.hasSuffix("\n") { prompt += "\n" }
            try File.standardOutput.write(Array(prompt.utf8))
        } catch let error as TemplateError {
            throw LLMError(chatTemplateError: error)
        }
    }

    /// nil on a terminal, where nobody wants to type a prompt unasked.
    private static func textFromStandardInput() throws -> String? {
        File.standardInput.isTerminal ? nil : try StandardInput.text(called: "text")
    }

    // MARK: Templates

    /// The templates to use: a file's, or the model's.
    private struct Templates: Sendable {
        var model: ModelTemplates?
        var file: ChatTemplate?

        func render(_ request: TemplateRequest) throws(TemplateError) -> String {
            let template: ChatTemplate
            if let file {
                template = file
            } else if let model {
                template = try model.template(forTools: request.tools != nil)
            } else {
                throw TemplateError(.missingTemplate, "there is no template")
            }
            return try template.render(
                messages: request.messages, tools: request.tools, documents: request.documents,
                addGenerationPrompt: request.addGenerationPrompt,
                variables: (model?.specialTokens ?? [:]).merging(request.variables) { $1 }, now: request.now)
        }
    }

    private func loadTemplates() async throws -> Templates {
        var templates = Templates()
        do {
            if let template { templates.file = try ChatTemplate(file: template) }
            // A template's file stands alone; a model named beside it gives its special tokens.
            if model != nil || template == nil { templates.model = try await modelFiles().chatTemplates() }
            if templates.file == nil, let model = templates.model { _ = try model.template(forTools: false) }
        } catch let error as TemplateError {
            throw LLMError(.invalidModel, "\(error)")
        }
        return templates
    }

    private func modelFiles() async throws -> ModelFiles {
        guard let model = try await ModelArgument.folder(of: model, needs: .withoutWeights) else {
            return ModelLoader.demoModel
        }
        guard Platform.kind(of: model) == .directory else {
            throw LLMError(.inputOutput, "\(model) is not a folder")
        }
        return ModelFiles(tokenizerDirectory: model)
    }

    // MARK: Requests

    private func defaults() -> TemplateRequest {
        TemplateRequest([], addGenerationPrompt: addGenerationPrompt, variables: chatTemplateKwargs?.values ?? [:])
    }

    private func runBatch(from input: String, to path: String, _ templates: Templates) async throws {
        let file = try BatchJob.input(input)
        let output = try BatchJob.output(path, input: file)
        let reader = LineReader(file)
        let defaults = defaults()
        var (count, failed) = (0, 0)
        while let entry = try await reader.nextRequest() {
            var json = JSONWriter()
            do throws(TemplateError) {
                let text = try templates.render(try TemplateRequest(entry.line, defaults: defaults))
                json.object { json in
                    json.key("text")
                    json.string(text)
                }
            } catch {
                failed += 1
                json.object { json in
                    json.key("error")
                    // The words of raise_exception are the template's and stay as they are.
                    json.string(error.code == .raised ? error.message : "\(error)")
                }
            }
            json.newline()
            try output.write(json.bytes, at: count)
            count += 1
        }
        try output.finish(count: count)
        if failed > 0 { Console.note("\(Format.count(failed)) of \(Format.count(count, "conversation")) failed") }
    }
}

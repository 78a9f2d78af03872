// AnswerOptions: what OpenAI's requests are answered with, for `serve` and `run-batch`, with vLLM's names.
// Invariant: what is not given leaves the configuration's default, and none is accepted without effect.

package import ArgumentParser
package import Swiftlet
package import SwiftletServer
package import SwiftletTemplate

package struct AnswerOptions: ParsableArguments {
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Names of the model in requests, the first one in answers (default: the model as it was given).",
            valueName: "name"))
    package var servedModelName: [String] = []

    @Option(help: ArgumentHelp("A template's file, used instead of the model's.", valueName: "file"))
    package var chatTemplate: String?

    @Option(
        help: ArgumentHelp("Variables for the template, where a request gives no others.", valueName: "json"))
    package var defaultChatTemplateKwargs: TemplateVariables?

    @Flag(
        inversion: .prefixedNo, help: "Let the model decide whether to call tools that a request has.")
    package var enableAutoToolChoice = true

    @Option(help: "How the model writes tool calls (default: what its chat template says).")
    package var toolCallParser: ToolCallParserName?

    @Option(help: "How the model marks its reasoning (default: what its chat template says).")
    package var reasoningParser: ReasoningParserName?

    package init() {}

    /// The configuration of the routes.
    ///
    /// - Parameter modelName: The model as it was given; nil is the demo model.
    /// - Throws: ``LLMError`` for a template that can't be read or is none.
    package func configuration(modelName: String?) throws(LLMError) -> OpenAIConfiguration {
        var configuration = OpenAIConfiguration(
            modelNames: servedModelName.isEmpty ? [modelName ?? "demo"] : servedModelName)
        if let chatTemplate { configuration.chatTemplate = try ChatTemplate(file: chatTemplate) }
        configuration.templateVariables = defaultChatTemplateKwargs?.values ?? [:]
        configuration.enablesAutoToolChoice = enableAutoToolChoice
        configuration.toolCallFormat = toolCallParser?.format
        configuration.reasoningFormat = reasoningParser?.format
        return configuration
    }
}

/// A name of vLLM's `--tool-call-parser`.
package struct ToolCallParserName: ExpressibleByArgument, Sendable, Hashable {
    package var format: ToolCallFormat

    package init?(argument: String) {
        guard let format = ToolCallFormat(parserName: argument) else { return nil }
        self.format = format
    }

    package static let allValueStrings = ToolCallFormat.allCases.map(\.rawValue)
}

/// A name of vLLM's `--reasoning-parser`.
package struct ReasoningParserName: ExpressibleByArgument, Sendable, Hashable {
    package var format: ReasoningFormat

    package init?(argument: String) {
        guard let format = ReasoningFormat(parserName: argument) else { return nil }
        self.format = format
    }

    package static let allValueStrings = ReasoningFormat.allCases.map(\.rawValue)
}

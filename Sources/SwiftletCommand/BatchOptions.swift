// Options that several commands have, and what they mean: files of a batch, the tokenizer that is looked at.

package import ArgumentParser

/// The files of a batch.
package struct BatchOptions: ParsableArguments {
    @Option(
        name: [.long, .customShort("i")],
        help: ArgumentHelp("Requests, one JSON object a line; - is standard input.", valueName: "in.jsonl"))
    package var input: String?

    @Option(
        name: [.long, .customShort("o")],
        help: ArgumentHelp("Where the results of --input go.", valueName: "out.jsonl"))
    package var output: String?

    package init() {}

    package func validate() throws {
        if (input == nil) != (output == nil) { throw ValidationError("--input and --output go together.") }
    }
}

/// Whose tokenizer it is.
package struct TokenizerOptions: ParsableArguments {
    @Option(
        name: [.long, .customShort("m")],
        help: ArgumentHelp(
            "Folder of a Hugging Face model, OWNER/NAME on the hub, or a tokenizer.json (default: the built-in demo model).",
            valueName: "model"))
    package var model: String?

    package init() {}

    /// Where it lies; a model of the hub is downloaded if need be, without its weights.
    func folder() async throws -> String? { try await ModelArgument.folder(of: model, needs: .withoutWeights) }
}

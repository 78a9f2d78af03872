// `swiftlet pull`: a model of the hub into the cache that Hugging Face's own tools use.
// The folder goes to standard output, everything else to standard error.
// Invariant: exit code 0 only when the model is there, whole and checked.

#if Server
package import ArgumentParser
import Swiftlet
import SwiftletHub

package struct PullCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Download a model from the Hugging Face hub.",
        discussion: """
            Downloads what running the model takes (configuration, tokenizer, chat templates, safetensors) into the \
            cache that Hugging Face's own tools use, checks sizes and checksums, and prints the folder. What is there \
            already is not downloaded again; what a broken download left is completed. Afterwards --model OWNER/NAME \
            finds the model without a network.

            Environment: HF_TOKEN for gated and private models (or the token that `hf auth login` keeps), HF_HOME or \
            HF_HUB_CACHE for another place than ~/.cache/huggingface, HF_ENDPOINT for a mirror, HF_HUB_OFFLINE=1 to \
            forbid downloads.
            """)

    @Argument(help: ArgumentHelp("The model's name on the hub, such as Qwen/Qwen3-0.6B.", valueName: "owner/name"))
    package var model: String

    @Option(help: ArgumentHelp("Branch, tag or commit (default: main).", valueName: "name"))
    package var revision: String?

    @Flag(name: .long, help: "Only the folder and errors: no progress.")
    package var quiet = false

    package init() {}

    package func run() async throws {
        let command = self
        let interrupts = Interrupts()
        try await interrupts.run {
            interrupts.needEnding()
            do {
                let folder = try await PullRun(
                    model: command.model, revision: command.revision, contents: .model, quiet: command.quiet
                ).run()
                try File.standardOutput.write(Array((folder + "\n").utf8))
            } catch {
                if interrupts.isInterrupted { throw Interrupts.exitCode }
                throw error
            }
        }
    }
}
#endif

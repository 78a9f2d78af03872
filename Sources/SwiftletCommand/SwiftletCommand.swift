// The command line `swiftlet`: parses arguments, runs a subcommand, turns errors into exit codes.
// Invariant: 0 success, 1 failure, 64 wrong usage, 130 after Ctrl-C; messages go to standard error.

package import ArgumentParser
import Swiftlet

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A command that runs a model.
package protocol EngineCommand {
    var engine: EngineOptions { get }
}

@main
package struct SwiftletCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "swiftlet",
        abstract: "An LLM inference engine that is small enough to read in an hour.",
        version: "0.1.0",
        subcommands: [
            GenerateCommand.self, ChatCommand.self, TokenizeCommand.self, TemplateCommand.self, BenchCommand.self,
            InfoCommand.self,
        ])

    package init() {}

    package static func main() async {
        do {
            var command = try parseAsRoot()
            if let engine = (command as? any EngineCommand)?.engine, (LaunchedRanks.current?.rank ?? 0) > 0 {
                try await engine.follow(environment: ProcessInfo.processInfo.environment)
            } else if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let error as LLMError {
            Console.error(error.message)
            exit(withError: ExitCode.failure)
        } catch {
            exit(withError: error)
        }
    }
}

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
        version: LLM.version,
        subcommands: subcommands)

    private static var subcommands: [any ParsableCommand.Type] {
        var commands: [any ParsableCommand.Type] = [GenerateCommand.self, ChatCommand.self]
        #if Server
        commands += [ServeCommand.self, PullCommand.self] as [any ParsableCommand.Type]
        #endif
        return commands + [
            RunBatchCommand.self, TokenizeCommand.self, TemplateCommand.self, BenchCommand.self, InfoCommand.self,
            SelfTestCommand.self,
        ]
    }

    package init() {}

    package static func main() async {
        do {
            if try await follows() { return }
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
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

    /// In the processes but the first of several that were started together: what a command of the engine does there.
    private static func follows() async throws -> Bool {
        guard let launched = LaunchedRanks.current, launched.rank > 0,
            let engine = (try parseAsRoot() as? any EngineCommand)?.engine
        else { return false }
        try await engine.follow(environment: ProcessInfo.processInfo.environment)
        return true
    }
}

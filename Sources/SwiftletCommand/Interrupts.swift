// Interrupts: what Ctrl-C does. The first one cancels the work, which ends cleanly; the second one kills.
// While nothing has been started that needs an ending (a model is loading), the first one ends the process too.
// Somebody may be asked before: a chat takes Ctrl-C as the end of an answer.
// Invariant: after `run` returned, Ctrl-C is the system's again.

package import ArgumentParser
import Dispatch
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

package final class Interrupts: Sendable {
    /// The exit code of a command that Ctrl-C ended.
    package static let exitCode = ExitCode(130)

    private struct State {
        var count = 0
        var needsEnding = false
        var cancel: (@Sendable () -> Void)?
        var handler: (@Sendable () -> Bool)?
    }
    private let state = Mutex(State())

    /// Whether Ctrl-C was pressed.
    package var isInterrupted: Bool { state.withLock { $0.count > 0 } }

    /// From here on the first Ctrl-C cancels the task instead of ending the process.
    package func needEnding() { state.withLock { $0.needsEnding = true } }

    /// Runs `body` in a task that the first Ctrl-C cancels.
    package func run(_ body: @escaping @Sendable () async throws -> Void) async throws {
        let task = Task(operation: body)
        state.withLock { $0.cancel = { task.cancel() } }
        signal(SIGINT, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global(qos: .userInteractive))
        source.setEventHandler { [self] in interrupt() }
        source.resume()
        defer {
            source.cancel()
            signal(SIGINT, SIG_DFL)
        }
        try await task.value
    }

    /// Has `handler` asked first from here on: where it says true, Ctrl-C is dealt with.
    package func offer(_ handler: @escaping @Sendable () -> Bool) { state.withLock { $0.handler = handler } }

    private func interrupt() {
        if let handler = state.withLock({ $0.handler }), handler() { return }
        let (count, needsEnding, cancel) = state.withLock { state in
            state.count += 1
            return (state.count, state.needsEnding, state.cancel)
        }
        if count > 1 || !needsEnding {
            Console.note("\ninterrupted")
            _exit(Self.exitCode.rawValue)
        }
        cancel?()
    }
}

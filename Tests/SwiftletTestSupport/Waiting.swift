// Waiting for what another thread or process brings about.
// Invariant: no wait is without an end. What never comes fails the test that waits for it and holds up no other.

package struct NeverHappened: Error, CustomStringConvertible {
    package var description: String
}

/// Looks again and again until `condition` holds, for `seconds` at most.
package func wait(
    for what: String, seconds: Double = 60, until condition: () throws -> Bool
) async throws {
    let end = ContinuousClock.now + .seconds(seconds)
    while try !condition() {
        guard ContinuousClock.now < end else {
            throw NeverHappened(description: "waited \(seconds) s in vain for \(what)")
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}

extension RunningCommand {
    /// The same of what the command does while it runs.
    package func wait(for what: String, seconds: Double = 60, until condition: () -> Bool) async throws {
        try await SwiftletTestSupport.wait(for: what, seconds: seconds) {
            if condition() { return true }
            guard isRunning || condition() else {
                throw NeverHappened(description: "the command ended without \(what): \(errors)")
            }
            return false
        }
    }

    /// Waits until standard error has this text.
    package func wait(forError text: String) async throws { try await wait(for: text) { errors.contains(text) } }

    /// Waits until standard output has something.
    package func waitForOutput() async throws { try await wait(for: "output") { !output.isEmpty } }
}

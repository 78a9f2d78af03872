// FuzzRun: how long a fuzzer of the tests runs, and from which seed. A test run gives each a few seconds and always the
// same seed; Tools/fuzz/run gives them minutes and seeds of their own through the environment.
// Invariant: one seed makes the same inputs in the same order on every machine.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// One run of a fuzzer.
package struct FuzzRun: Sendable {
    /// Seeds the generator; a failure's message has it.
    package let seed: UInt64
    private let deadline: ContinuousClock.Instant

    /// - Parameters:
    ///   - seconds: How long it runs in a test run; `SWIFTLET_FUZZ_SECONDS` overrides it.
    ///   - seed: Its seed in a test run; `SWIFTLET_FUZZ_SEED` is added to it.
    package init(seconds: Int, seed: UInt64) {
        self.seed = seed &+ UInt64(Self.number("SWIFTLET_FUZZ_SEED") ?? 0)
        deadline = .now + .seconds(Self.number("SWIFTLET_FUZZ_SECONDS") ?? seconds)
    }

    /// Whether time is left.
    package var goesOn: Bool { ContinuousClock.now < deadline }

    /// A time limit for a fuzzer that hangs: a minute more than it may run.
    package static var limitInMinutes: Int { (number("SWIFTLET_FUZZ_SECONDS") ?? 0) / 60 + 2 }

    private static func number(_ variable: String) -> Int? {
        guard let text = getenv(variable), let number = Int(String(cString: text)), number >= 0 else { return nil }
        return number
    }
}

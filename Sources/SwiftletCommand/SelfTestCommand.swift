// `swiftlet selftest`: whether this machine computes right, kernel by kernel, one line each, as text or as JSON lines.
// Invariant: the exit code is 0 only when every check passed.

package import ArgumentParser
package import Swiftlet
import SwiftletJSON
import Synchronization

package struct SelfTestCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "selftest",
        abstract: "Check that this machine computes right.",
        discussion: """
            Runs every kernel on small shapes and compares it with plain Swift; then a model, on every level of the \
            CPU's kernels that this machine has, or on the GPU against the CPU and with graphs against without. One \
            line for each check: passed or FAILED, what, on what, the relative error and its limit.
            """)

    @Option(help: "What to check.")
    package var device: EngineConfig.Device = .cpu

    @Option(
        name: [.long, .customShort("m")],
        help: ArgumentHelp(
            "Folder of a Hugging Face model, or OWNER/NAME in the hub's cache (default: the built-in demo model).",
            valueName: "model"))
    package var model: String?

    @Flag(help: "Print JSON, an object a line.")
    package var json = false

    package init() {}

    package func run() throws {
        let (counts, json) = (Counts(), json)
        try SelfTest(device: chosenDevice, model: model).run { result in
            counts.add(result)
            try? File.standardOutput.write(json ? result.json : Array(result.text.utf8))
        }
        let (passed, failed) = counts.both
        if !json { try File.standardOutput.write(Array("\(passed) passed, \(failed) failed\n".utf8)) }
        if failed > 0 || passed == 0 { throw ExitCode.failure }
    }

    private final class Counts: Sendable {
        private let counts = Mutex((passed: 0, failed: 0))

        func add(_ result: SelfTestResult) {
            counts.withLock { if result.hasPassed { $0.passed += 1 } else { $0.failed += 1 } }
        }

        var both: (passed: Int, failed: Int) { counts.withLock { $0 } }
    }

    /// A GPU where auto may choose and there is one.
    private var chosenDevice: EngineConfig.Device {
        guard device == .automatic else { return device }
        return CUDAInfo().gpus.isEmpty ? .cpu : .cuda
    }
}

extension SelfTestResult {
    /// One line.
    package var text: String {
        let found = problem ?? "error \(Self.number(error)), limit \(Self.number(limit))"
        return "\(hasPassed ? "passed" : "FAILED")  \(name)  \(subject): \(found)\n"
    }

    package var json: [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.member("check", name)
            json.member("subject", subject)
            json.key("passed")
            json.bool(hasPassed)
            json.member("error", error.isFinite ? error : nil)
            json.member("limit", limit)
            json.member("problem", problem)
        }
        json.newline()
        return json.bytes
    }

    /// Two digits of a small number: 0.0000123 is 1.2e-5.
    private static func number(_ value: Double) -> String {
        guard value > 0, value.isFinite else { return value == 0 ? "0" : "-" }
        var (mantissa, exponent) = (value, 0)
        while mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
        while mantissa >= 10 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
        return exponent < -1 ? "\((mantissa * 10).rounded() / 10)e\(exponent)" : Format.number(value)
    }
}

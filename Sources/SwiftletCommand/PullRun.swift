// PullRun: a download with its bar and its last line.
// Invariant: the bar is gone when `run` returns, however it does.

#if Server
import Logging
import Swiftlet
package import SwiftletHub
import Synchronization

package struct PullRun: Sendable {
    package var model: String
    package var revision: String?
    package var contents: Hub.Contents
    package var quiet: Bool

    package init(model: String, revision: String?, contents: Hub.Contents, quiet: Bool) {
        self.model = model
        self.revision = revision
        self.contents = contents
        self.quiet = quiet
    }

    /// Downloads and gives the folder.
    package func run() async throws -> String {
        let latest = Latest()
        let bar = !quiet && File.standardError.isTerminal ? ProgressBar(PullRate(latest)) { $0.line() } : nil
        let clock = ContinuousClock()
        let start = clock.now
        var logger = Logger(label: "swiftlet") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = quiet ? .error : .notice
        let outcome: Result<String, any Error>
        do {
            outcome = .success(
                try await Hub.pull(model, revision: revision, contents: contents, logger: logger) { latest.set($0) })
        } catch {
            outcome = .failure(error)
        }
        await bar?.stop()
        let progress = latest.progress
        switch outcome {
        case .success(let folder):
            if !quiet { Console.note(Self.summary(model, progress, seconds: (clock.now - start).inSeconds)) }
            return folder
        case .failure(let error):
            if error is CancellationError, !quiet {
                Console.note(
                    "\ninterrupted; \(Format.bytes(progress.bytes)) are kept, and the same command goes on from there")
            }
            throw error
        }
    }

    package static func summary(_ model: String, _ progress: Hub.Progress, seconds: Double) -> String {
        guard progress.transferredBytes > 0 else { return "\(model): all of it was there" }
        return "\(model): \(Format.count(progress.totalFiles, "file")), \(Format.bytes(progress.totalBytes)); "
            + "\(Format.bytes(progress.transferredBytes)) in \(Format.seconds(seconds))"
    }

    /// The last report, for the bar.
    final class Latest: Sendable {
        private let value = Mutex(Hub.Progress())

        var progress: Hub.Progress { value.withLock { $0 } }
        func set(_ progress: Hub.Progress) { value.withLock { $0 = progress } }
    }
}

/// The bar's line: how far, how fast, how long still.
struct PullRate: Sendable {
    private let latest: PullRun.Latest
    private let clock = ContinuousClock()
    /// The last seconds, for a rate that does not jump about.
    private var samples: [(time: ContinuousClock.Instant, bytes: Int)] = []

    init(_ latest: PullRun.Latest) { self.latest = latest }

    mutating func line() -> String {
        let progress = latest.progress
        samples.append((clock.now, progress.transferredBytes))
        if samples.count > 25 { samples.removeFirst() }
        let first = samples[0]
        let seconds = (clock.now - first.time).inSeconds
        let rate = seconds > 0 ? Double(progress.transferredBytes - first.bytes) / seconds : 0
        return Self.line(progress, bytesPerSecond: max(0, rate))
    }

    static func line(_ progress: Hub.Progress, bytesPerSecond: Double) -> String {
        guard progress.totalBytes > 0 else { return "asking the hub" }
        let share = min(1, Double(progress.bytes) / Double(progress.totalBytes))
        var line =
            "\(ProgressBar.bar(share)) \(Format.bytes(progress.bytes)) of \(Format.bytes(progress.totalBytes)), "
            + "\(progress.files) of \(Format.count(progress.totalFiles, "file"))"
        if bytesPerSecond >= 1 {
            line += ", \(Format.bytes(Int(min(bytesPerSecond, 1e15))))/s"
            let left = Double(progress.totalBytes - progress.bytes) / bytesPerSecond
            if left >= 1, left < 360_000 { line += ", \(Self.time(Int(left))) left" }
        }
        return line
    }

    private static func time(_ seconds: Int) -> String {
        let parts = [seconds / 3600, seconds / 60 % 60, seconds % 60]
        let shown = parts[0] > 0 ? parts : Array(parts.dropFirst())
        return shown.enumerated().map { $0 > 0 && $1 < 10 ? "0\($1)" : "\($1)" }.joined(separator: ":")
    }
}
#endif

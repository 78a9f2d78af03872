// ProgressBar: one line on a terminal's standard error that says how far a batch or a download is.
// Drawn by a task of its own a few times a second; nothing is drawn when standard error is no terminal.
// Invariant: after `stop` the line is gone and nothing more is drawn.

package import Swiftlet

package struct ProgressBar: Sendable {
    private static let interval = Duration.milliseconds(200)

    private let task: Task<Void, Never>

    /// - Parameters:
    ///   - state: What lines are made of, kept from one to the next.
    ///   - line: The line to draw.
    package init<State: Sendable>(_ state: State, line: @escaping @Sendable (inout State) -> String) {
        task = Task {
            var state = state
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.interval)
                if Task.isCancelled { break }
                Self.draw(line(&state))
            }
            Self.draw("")
        }
    }

    /// - Parameter totalBytes: Size of the input; nil when it is a pipe.
    package init(of run: BatchRun, on engines: Replicas, totalBytes: Int?) {
        let clock = ContinuousClock()
        self.init((statistics: engines.statistics, time: clock.now)) { before in
            let now = engines.statistics
            let seconds = (clock.now - before.time).inSeconds
            let line = Self.line(
                run.progress, totalBytes: totalBytes,
                prefill: Format.rate(now.prefillTokens - before.statistics.prefillTokens, seconds),
                decode: Format.rate(now.generatedTokens - before.statistics.generatedTokens, seconds))
            // Rates are of the last second or so: shorter windows jump about.
            if seconds > 1 { before = (now, clock.now) }
            return line
        }
    }

    /// Removes the line.
    package func stop() async {
        task.cancel()
        await task.value
    }

    package static func line(
        _ progress: BatchRun.Progress, totalBytes: Int?, prefill: String, decode: String
    ) -> String {
        var line = ""
        if let totalBytes, totalBytes > 0 {
            line += bar(min(1, Double(progress.finishedBytes) / Double(totalBytes))) + " "
        }
        line += Format.count(progress.done, "request") + " done"
        if progress.failed > 0 { line += ", \(Format.count(progress.failed)) failed" }
        return line + ", prefill \(prefill), decode \(decode)"
    }

    /// A share in 0...1 as a picture and a number.
    package static func bar(_ share: Double) -> String {
        let filled = Int(share * 20)
        return "[" + String(repeating: "#", count: filled) + String(repeating: "-", count: 20 - filled) + "] "
            + "\(Int(share * 100))%"
    }

    private static func draw(_ text: String) {
        // Back to the line's start, then erase what the last, longer text left.
        try? File.standardError.write(Array("\r\(text)\u{1B}[K".utf8))
    }
}

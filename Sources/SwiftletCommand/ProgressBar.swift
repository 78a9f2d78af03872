// ProgressBar: one line on a terminal's standard error that says how far a batch is.
// Drawn by a task of its own a few times a second; nothing is drawn when standard error is no terminal.
// Invariant: after `stop` the line is gone and nothing more is drawn.

package import Swiftlet

package struct ProgressBar: Sendable {
    private static let interval = Duration.milliseconds(200)

    private let task: Task<Void, Never>

    /// - Parameter totalBytes: Size of the input; nil when it is a pipe.
    package init(of run: BatchRun, on llm: LLM, totalBytes: Int?) {
        task = Task {
            let clock = ContinuousClock()
            var before = llm.statistics
            var time = clock.now
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.interval)
                if Task.isCancelled { break }
                let now = llm.statistics
                let seconds = (clock.now - time).inSeconds
                Self.draw(
                    Self.line(
                        run.progress, totalBytes: totalBytes,
                        prefill: Format.rate(now.prefillTokens - before.prefillTokens, seconds),
                        decode: Format.rate(now.generatedTokens - before.generatedTokens, seconds)))
                // Rates are of the last second or so: shorter windows jump about.
                if seconds > 1 {
                    before = now
                    time = clock.now
                }
            }
            Self.draw("")
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
            let share = min(1, Double(progress.finishedBytes) / Double(totalBytes))
            let filled = Int(share * 20)
            line += "[" + String(repeating: "#", count: filled) + String(repeating: "-", count: 20 - filled) + "] "
            line += "\(Int(share * 100))% "
        }
        line += Format.count(progress.done, "request") + " done"
        if progress.failed > 0 { line += ", \(Format.count(progress.failed)) failed" }
        return line + ", prefill \(prefill), decode \(decode)"
    }

    private static func draw(_ text: String) {
        // Back to the line's start, then erase what the last, longer text left.
        try? File.standardError.write(Array("\r\(text)\u{1B}[K".utf8))
    }
}

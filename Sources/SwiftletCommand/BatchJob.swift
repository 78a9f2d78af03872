// BatchJob: what a command does around a batch: opens the input, shows how far it is, ends the engine, tells what came
// of it. Owned by the command that runs it.
// Invariant: the engine is shut down however the batch ends, and what was finished is said to be where it is.

package import Swiftlet

package struct BatchJob {
    package let run: BatchRun
    package let engines: Replicas
    package let input: File
    package let output: OrderedOutput
    /// No progress and no statistics.
    package let quiet: Bool
    package let interrupts: Interrupts
    /// What is said behind "… finished requests are in OUT.partial" when it ends early.
    package var advice = ""

    /// The input of a batch: a file's path, or `-` for standard input.
    package static func input(_ path: String) throws(LLMError) -> File {
        let file = path == "-" ? File.standardInput : try File(path, .read)
        if file.isDirectory { throw LLMError(.inputOutput, "can't read \(path): it is a folder") }
        return file
    }

    /// Opens the output of a batch, and says so when it moves an earlier run's lines away.
    package static func output(_ path: String, input: File) throws(LLMError) -> OrderedOutput {
        let output = try OrderedOutput(path, input: input)
        output.noteKept()
        return output
    }

    /// Runs to the end.
    ///
    /// - Returns: What came of the requests.
    package func callAsFunction() async throws -> BatchRun.Progress {
        interrupts.needEnding()
        let showsBar = File.standardError.isTerminal && !quiet
        let bar = showsBar ? ProgressBar(of: run, on: engines, totalBytes: input.size) : nil
        let clock = ContinuousClock()
        let start = clock.now
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await run.run()) } catch { outcome = .failure(error) }
        let seconds = (clock.now - start).inSeconds
        await bar?.stop()
        await engines.shutdown()
        let statistics = engines.statistics
        if case .failure(let error) = outcome {
            let finished = Format.count(output.count, "finished request")
            let state = "\(output.path) is unchanged; \(finished) in \(output.partialPath)\(advice)"
            if !interrupts.isInterrupted { throw LLMError(.inputOutput, "\(error); \(state)") }
            Console.note("interrupted: \(state); \(Self.describe(statistics))")
            throw Interrupts.exitCode
        }
        if engines.failedCount > 0 {
            Console.note(
                "\(Format.count(engines.failedCount)) of \(Format.count(engines.count, "replica")) failed; "
                    + "the others began \(Format.count(engines.restartedCount, "request")) again")
        }
        if !quiet { report(statistics, seconds: seconds) }
        return run.progress
    }

    /// What was done before an interruption.
    package static func describe(_ statistics: EngineStatistics) -> String {
        "\(Format.count(statistics.prefillTokens, "prompt token")) read, "
            + "\(Format.count(statistics.generatedTokens, "token")) generated"
    }

    private func report(_ statistics: EngineStatistics, seconds: Double) {
        Console.note(
            """
            \(Format.count(run.progress.done, "request")) in \(Format.seconds(seconds)); \
            prefill \(Format.count(statistics.prefillTokens, "token")) \
            (\(Format.count(statistics.prefixCacheHits)) more were cached), \
            \(Format.rate(statistics.prefillTokens, seconds)); \
            generated \(Format.count(statistics.generatedTokens, "token")), \
            \(Format.rate(statistics.generatedTokens, seconds)); results in \(output.path)
            """)
    }
}

extension BatchRun.Progress {
    /// How many failed and why the first one did; nil when none failed.
    package var failures: String? {
        guard failed > 0 else { return nil }
        return "\(Format.count(failed)) of \(Format.count(done, "request")) failed"
            + (firstFailure.map { "; the first: \($0)" } ?? "")
    }
}

extension OrderedOutput {
    /// Says where an earlier run's lines are.
    package func noteKept() {
        if let keptPath { Console.note("results of an earlier run are kept in \(keptPath)") }
    }
}

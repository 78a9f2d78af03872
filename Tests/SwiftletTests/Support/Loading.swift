// Engines behind the public handle, for tests: quiet, small, and a way to wait for what happens on their threads.

import Logging
import Swiftlet
import Synchronization

/// Keeps what is logged.
final class LogRecorder: Sendable {
    struct Handler: LogHandler {
        let recorder: LogRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel: Logger.Level = .trace

        func log(event: LogEvent) {
            recorder.entries.withLock { $0.append((event.level, "\(event.message)")) }
        }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
    }

    private let entries = Mutex<[(level: Logger.Level, message: String)]>([])

    var logger: Logger { Logger(label: "test") { _ in Handler(recorder: self) } }

    func messages(_ level: Logger.Level) -> [String] {
        entries.withLock { $0.filter { $0.level == level }.map(\.message) }
    }
}

extension SamplingParams {
    /// See ``LLM/endless(_:)``.
    static let endless = SamplingParams(temperature: 0, maxTokens: 60_000, ignoreEOS: true)
}

extension LLM {
    /// An engine that says nothing; nil is the demo model.
    static func quiet(_ model: String? = nil, _ config: EngineConfig) async throws -> LLM {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return try await LLM(model, config: config, logger: logger)
    }

    /// An engine for requests that take minutes, so that whoever leaves does so before their end, however long other
    /// tests keep this one waiting. Pool and context hold 65,536 tokens.
    static func endless(_ change: (inout EngineConfig) -> Void = { _ in }) async throws -> LLM {
        let model = DummyModel.qwen3.replacing(
            "\"max_position_embeddings\": 512", with: "\"max_position_embeddings\": 65536")
        let folder = DummyModel.folder(model)
        var config = EngineConfig(dtype: .float32, kvCache: .blocks(1024), threads: 1, seed: 1, loadFormat: .dummy)
        change(&config)
        return try await quiet(folder.path, config)
    }

    /// Waits until the engine's statistics are as asked, for ten seconds at most.
    func wait(until condition: (EngineStatistics) -> Bool) async -> Bool {
        for _ in 0..<2000 {
            if condition(statistics) { return true }
            try? await Task.sleep(for: .milliseconds(5))
        }
        return condition(statistics)
    }
}

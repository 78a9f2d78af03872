// LLM: the processes but the first of those that mpirun or srun started together.
// Invariant: they have no handle and take no requests; they end with the first one's engine, or with an error.

public import Logging

extension LLM {
    /// What every process but the first one does, with the same arguments: loads its part of the model and computes
    /// with the first one, until that one's engine is shut down. See ``EngineConfig/RankPlacement/processes``.
    ///
    /// - Throws: ``LLMError``. Its process has to end then, which ends the others too.
    public static func follow(
        _ model: String? = nil, config: EngineConfig, logger: Logger = Logger(label: "swiftlet")
    ) async throws {
        try config.validate()
        let loader = ModelLoader(model: model, tokenizerPath: nil, config: config, logger: logger)
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            do {
                try Platform.startThread {
                    do {
                        done.resume(returning: try loader.follow())
                    } catch {
                        done.resume(throwing: error)
                    }
                }
            } catch {
                done.resume(throwing: error)
            }
        }
    }
}

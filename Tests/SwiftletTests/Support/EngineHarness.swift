// EngineHarness: an engine driven step by step on the test's own thread, so that a schedule is a function of a seed.

import Logging
import Swiftlet
import SwiftletTokenizer

final class EngineHarness {
    let engine: Engine<CPUBackend>
    let loaded: LoadedModel
    private var nextID = 0

    /// nil is the demo model.
    init(_ model: String? = nil, _ config: EngineConfig, processors: [any LogitsProcessor] = []) throws {
        var logger = Logger(label: "test")
        logger.logLevel = .error
        (engine, loaded) = try ModelLoader(
            model: model, tokenizerPath: nil, config: config, logger: logger, processors: processors
        ).load()
    }

    /// Queues a request; its output is read with `collect()` when it has finished.
    func submit(_ prompt: [TokenID], _ params: SamplingParams) -> (id: Int, stream: TokenStream) {
        nextID += 1
        let (stream, sink) = TokenStream.make(
            prompt: nil, promptTokenIDs: prompt, choiceCount: params.n, abort: {})
        let limit = min(loaded.maxModelLength, prompt.count + (params.maxTokens ?? loaded.maxModelLength))
        engine.submit(
            Submission(
                id: nextID, prompt: prompt, params: params, seed: params.seed ?? 0, tokenLimit: limit, sink: sink))
        return (nextID, stream)
    }

    /// Steps until nothing is left to do; false when that takes unreasonably long.
    func finish(maxSteps: Int = 100_000) throws -> Bool {
        for _ in 0..<maxSteps where try !engine.step() { return true }
        return !engine.hasWork
    }

    var brokenInvariant: String? {
        engine.scheduler.blocks.brokenInvariant(holders: engine.scheduler.running)
    }
}

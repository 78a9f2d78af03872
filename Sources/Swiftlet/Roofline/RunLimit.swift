// RunLimit: the shortest time that a set of requests can take on this machine, to hold a measured run against.
// Used by the command's measurements: work from the requests' lengths, limits from probes around each run.
// Invariant: nothing depends on how the engine ran: two engines with the same options have the same limit.

import Logging

/// The least that a set of requests has to do, when all of them are there at once.
package struct RunWork: Sendable {
    /// A request's tokens.
    package struct Lengths: Sendable {
        package var prompt: Int
        package var output: Int

        package init(prompt: Int, output: Int) {
            self.prompt = prompt
            self.output = output
        }
    }

    /// All prompts, as one step.
    let prompts: OperationWork
    /// One step after the other: each sequence that has a place gets a token.
    let decodes: [OperationWork]
    /// A step in the middle of the time in which all sequences generate, and its tokens; nil when they never do.
    let middle: (work: OperationWork, tokens: Int)?

    /// - Parameter places: Sequences that run at the same time, at most.
    package init(_ requests: [Lengths], of model: ModelWork, places: Int) {
        let read = requests.map { ModelWork.Sequence(rows: $0.prompt, context: $0.prompt) }
        prompts = model.step(read, logitRows: requests.count)
        var waiting = requests.makeIterator()
        // What is left of each running request, and what it has in the cache.
        var running: [(left: Int, context: Int)] = []
        var decodes: [OperationWork] = []
        while true {
            while running.count < places, let next = waiting.next() {
                // A prompt's last row is where the first token comes from.
                if next.output > 1 { running.append((next.output - 1, next.prompt)) }
            }
            if running.isEmpty { break }
            for index in running.indices { running[index] = (running[index].left - 1, running[index].context + 1) }
            decodes.append(model.decode(contexts: running.map(\.context)))
            running.removeAll { $0.left == 0 }
        }
        self.decodes = decodes
        let shortest = requests.map(\.output).min() ?? 0
        middle =
            requests.count <= places && shortest > 1
            ? (model.decode(contexts: requests.map { $0.prompt + (shortest + 1) / 2 }), requests.count) : nil
    }

    /// Prompts first, then the decodes; within each, moving and computing overlap perfectly.
    package func seconds(on limits: MachineLimits) -> Double {
        limits.seconds(for: prompts) + decodes.reduce(0) { $0 + limits.seconds(for: $1) }
    }

    /// Tokens a second while all sequences generate.
    package func decodeRate(on limits: MachineLimits) -> Double? {
        middle.map { Double($0.tokens) / limits.seconds(for: $0.work) }
    }
}

/// Looks at the machine before and after each run, with the threads and kernels that the engine uses.
package final class RunProbe {
    package let model: ModelWork
    /// The most memory that this process had resident up to the end of the first run, probes left out.
    package private(set) var peakMemory: Int?
    private let backend: CPUBackend
    private let integers: EngineConfig.Quantization?
    /// Only from the end of the first run on: its memory is not the engine's.
    private var probe: MachineProbe?
    private var last: MachineLimits

    /// Looks at the machine; the first run is to begin at once.
    ///
    /// - Parameter model: A Hugging Face directory; nil is the demo model.
    package init(_ model: String?, config engine: EngineConfig) throws(LLMError) {
        let files = try ModelFiles(model, engine)
        let silent = Logger(label: "swiftlet") { _ in SwiftLogNoOpLogHandler() }
        let loader = ModelLoader(model: model, tokenizerPath: nil, config: engine, logger: silent)
        let shape = try loader.shape(of: files)
        let quantization = WeightQuantization(engine, stored: shape.storedQuantization)
        let dtype = loader.dataType(of: shape, engine.loadFormat == .dummy ? nil : try Checkpoint(files))
        backend = try CPUBackend(
            level: engine.cpuLevel, threads: engine.threads ?? Platform.coreCount(), isPinned: engine.pinThreads,
            dtype: dtype, kvCacheType: engine.kvCacheType)
        let integerProducts = backend.integerProducts
        self.model = ModelWork(
            shape, dtype: dtype, quantization: quantization, kvCacheType: engine.kvCacheType,
            integerProducts: integerProducts)
        integers = quantization.layers.flatMap { integerProducts.contains($0) ? $0 : nil }
        last = try MachineProbe(backend, integers: integers).measureWarm()
        Platform.resetPeakMemory()
    }

    /// The limits of the run that has just ended.
    package func limits() throws(LLMError) -> MachineLimits {
        if probe == nil {
            peakMemory = Platform.peakMemory()
            probe = try MachineProbe(backend, integers: integers)
        }
        let before = last
        last = probe!.measureWarm()
        return .mean(before, last)
    }

    /// What products with weights are made of.
    package var instruction: String { backend.multiplyInstruction(integers) }
}

extension MachineProbe {
    /// The first readings warm up clocks and pages.
    fileprivate func measureWarm() -> MachineLimits {
        _ = measure(times: 2)
        return measure(times: 3)
    }
}

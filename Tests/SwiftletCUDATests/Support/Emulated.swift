// What the tests of the CUDA backend run on: the emulated driver, and engines driven step by step on one thread, because a
// context belongs to a thread.

import CSwiftletCUDAEmulator
import Logging
import Swiftlet
import SwiftletTestSupport
import SwiftletTokenizer
import Synchronization

enum Emulated {
    static let missing = "there is no clang++ to compile kernels with"
    static var isHere: Bool { swiftlet_emulator_is_available() != 0 }

    static let libraries = CUDALibraries { swiftlet_emulated_symbol($0) }

    /// Kept from run to run: compiling the kernels for a model takes seconds. The key has their source in it.
    static let cubins: String = {
        let folder = Platform.environment("TMPDIR").flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        return folder + "/swiftlet-emulated-kernels"
    }()

    static func loader(
        _ model: String?, _ config: EngineConfig, processors: [any LogitsProcessor] = [], cubins: String? = cubins
    ) -> ModelLoader {
        var logger = Logger(label: "test")
        logger.logLevel = .error
        var loader = ModelLoader(
            model: model, tokenizerPath: nil, config: config, logger: logger, processors: processors)
        loader.cubinFolder = cubins
        return loader
    }

    /// What `body` does with an engine on the emulated GPU, which is gone afterwards, with all that it had there.
    static func run<Result>(
        _ model: String? = nil, _ config: EngineConfig = small(), processors: [any LogitsProcessor] = [],
        libraries: CUDALibraries = libraries, _ body: (Driven<CUDABackend>) throws -> Result
    ) throws -> Result {
        do {
            let (engine, loaded) = try loader(model, config, processors: processors).load(libraries)
            return try body(Driven(engine, loaded))
        } catch var error as LLMError {
            // The emulator knows more than the driver's status says.
            let message = String(cString: swiftlet_emulator_message())
            if !message.isEmpty { error.message += ": " + message }
            throw error
        }
    }

    /// The same on the CPU.
    static func runOnCPU<Result>(
        _ model: String? = nil, _ config: EngineConfig = small(), processors: [any LogitsProcessor] = [],
        _ body: (Driven<CPUBackend>) throws -> Result
    ) throws -> Result {
        var config = config
        config.device = .cpu
        config.enforceEager = false
        config.threads = 1
        let (engine, loaded) = try loader(model, config, processors: processors).load()
        return try body(Driven(engine, loaded))
    }

    /// A folder without weights: two layers, seven query heads to one key/value head, odd widths.
    static func writeModel(in folder: TemporaryFolder) throws -> String {
        _ = try folder.write(
            """
            {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 72, "num_hidden_layers": 2,
             "num_attention_heads": 7, "num_key_value_heads": 1, "head_dim": 24, "intermediate_size": 100,
             "vocab_size": 331, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true,
             "max_position_embeddings": 512, "hidden_act": "silu", "torch_dtype": "bfloat16", "eos_token_id": 7}
            """, "config.json")
        return folder.path
    }

    /// Everything small: emulated memory is filled with NaN when it is allocated.
    static func small(
        _ dtype: EngineConfig.DataType = .float32, blocks: Int = 24, sequences: Int = 8, tokens: Int = 64,
        maxModelLength: Int = 256, ranks: Int = 1, eager: Bool = false, dummySeed: UInt64? = nil
    ) -> EngineConfig {
        EngineConfig(
            device: .cuda, dtype: dtype, maxModelLength: maxModelLength, maxSequences: sequences,
            maxBatchedTokens: tokens, blockSize: 16, kvCache: .blocks(blocks), tensorParallelSize: ranks,
            seed: dummySeed,
            loadFormat: dummySeed == nil ? .automatic : .dummy, enforceEager: eager)
    }
}

/// An engine whose steps the test makes.
final class Driven<B: Backend> {
    let engine: Engine<B>
    let loaded: LoadedModel
    private var outputs: [Int: Output] = [:]
    private var nextID = 0

    /// What a request got, filled while the engine steps.
    final class Output: Sendable {
        struct Choice {
            var tokens: [TokenID] = []
            var logprobs: [TokenLogprob] = []
            var isFinished = false
        }

        struct State {
            var choices: [Choice]
            var promptLogprobs: [TokenLogprob?]?
            var error: LLMError?
            var cachedTokens = 0
        }

        let state: Mutex<State>

        init(_ count: Int) { state = Mutex(State(choices: Array(repeating: Choice(), count: count))) }

        var tokens: [[TokenID]] { state.withLock { $0.choices.map(\.tokens) } }
        var logprobs: [[TokenLogprob]] { state.withLock { $0.choices.map(\.logprobs) } }
        var promptLogprobs: [TokenLogprob?] { state.withLock { $0.promptLogprobs ?? [] } }
        var error: LLMError? { state.withLock { $0.error } }
        var cachedTokens: Int { state.withLock { $0.cachedTokens } }
    }

    init(_ engine: Engine<B>, _ loaded: LoadedModel) {
        self.engine = engine
        self.loaded = loaded
    }

    @discardableResult
    func submit(_ prompt: [TokenID], _ params: SamplingParams) -> (id: Int, output: Output) {
        nextID += 1
        let output = Output(params.n)
        let sink = TokenSink { event in
            output.state.withLock { state in
                switch event {
                case .accepted: break
                case .finished(let error): state.error = error
                case .delta(let delta):
                    state.choices[delta.index].tokens += delta.tokenIDs
                    state.choices[delta.index].logprobs += delta.logprobs ?? []
                    state.choices[delta.index].isFinished = delta.finishReason != nil
                    if let logprobs = delta.promptLogprobs { state.promptLogprobs = logprobs }
                    state.cachedTokens = delta.usage.cachedTokens
                }
            }
        }
        let limit = min(loaded.maxModelLength, prompt.count + (params.maxTokens ?? loaded.maxModelLength))
        engine.submit(
            Submission(
                id: nextID, prompt: prompt, params: params, seed: params.seed ?? 0, tokenLimit: limit, sink: sink))
        return (nextID, output)
    }

    /// Steps until nothing is left to do.
    func finish() throws { while try engine.step() {} }

    /// All requests at once.
    func outputs(_ requests: [(prompt: [TokenID], params: SamplingParams)]) throws -> [Output] {
        let outputs = requests.map { submit($0.prompt, $0.params).output }
        try finish()
        return outputs
    }
}

/// Keeps the logits that tokens were chosen by.
final class Recorder: LogitsProcessor {
    let rows = Mutex<[[Float]]>([])

    func process(_ logits: inout MutableSpan<Float>, _ context: LogitsContext) {
        let row = logits.withUnsafeBufferPointer { Array($0) }
        rows.withLock { $0.append(row) }
    }

    var taken: [[Float]] { rows.withLock { $0 } }
}

extension SamplingParams {
    static func greedy(_ count: Int, logprobs: Int? = nil, n: Int = 1) -> SamplingParams {
        var params = SamplingParams(temperature: 0, maxTokens: count, ignoreEOS: true, logprobs: logprobs)
        params.n = n
        return params
    }

    static func random(_ count: Int, seed: UInt64) -> SamplingParams {
        SamplingParams(temperature: 1, seed: seed, maxTokens: count, ignoreEOS: true)
    }
}

/// |a - b| / |b| in the Euclidean norm; NaN counts as infinitely far.
func distance(_ a: [Float], _ b: [Float]) -> Double {
    precondition(a.count == b.count)
    var (difference, norm) = (0.0, 0.0)
    for (x, y) in zip(a, b) {
        difference += Double(x - y) * Double(x - y)
        norm += Double(y) * Double(y)
    }
    let result = (difference / norm).squareRoot()
    return result.isFinite ? result : .infinity
}

/// Token ids that look like a prompt's.
func prompt(_ count: Int, seed: UInt64, below vocabulary: Int = 250) -> [TokenID] {
    var random = SeededGenerator(seed: seed)
    return (0..<count).map { _ in TokenID(Int.random(in: 3..<vocabulary, using: &random)) }
}

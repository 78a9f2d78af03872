// LLM: the public handle. It tokenises and validates on the caller's task, posts to the engine's mailbox and hands out
// streams. Sendable; shared freely.
//
// Invariant: a request that reaches the mailbox fits: its prompt and all its tokens have places in the context and in
// the KV pool, so the scheduler can always finish it.

public import Logging
public import SwiftletTemplate
public import SwiftletTokenizer

/// A loaded model that generates text.
///
///     let llm = try await LLM()                                    // the built-in demo model
///     let outputs = try await llm.generate(["Once upon a time"])
///     for try await delta in llm.stream("Once upon a time", .greedy) { print(delta.text, terminator: "") }
public final class LLM: Sendable {
    /// The model's tokenizer; nil when the folder has none (`load-format dummy`).
    public let tokenizer: Tokenizer?
    /// The model's chat templates and the special tokens they are given.
    public let chatTemplates: ModelTemplates
    /// From the model's generation_config.json, as vLLM reads it; what requests without parameters get.
    public let defaultSamplingParams: SamplingParams
    /// Longest prompt plus output in tokens.
    public let maxModelLength: Int
    /// Token ids lie below it.
    public let vocabularySize: Int
    /// Tokens that the KV cache holds.
    public let kvTokenCapacity: Int
    /// What computes: `cpu` or `cuda`.
    public let device: EngineConfig.Device
    /// One line: model, kernels, threads, KV cache.
    public let summary: String
    private let eosTokenIDs: Set<TokenID>
    private let config: EngineConfig
    private let mailbox: Mailbox
    private let seeds: UInt64

    /// Loads a model and starts its engine.
    ///
    /// - Parameters:
    ///   - model: A Hugging Face directory, or `OWNER/NAME` of a model in the hub's cache (nothing is downloaded:
    ///     `Hub.pull` of SwiftletHub does that); nil is the demo model inside this library.
    ///   - tokenizer: A directory or `tokenizer.json` to use instead of the model's own.
    ///   - config: What is fixed for the engine's life.
    ///   - logitsProcessors: Rules of one's own in the choice of tokens, run in this order (`logits_processors`).
    ///   - logger: Gets one line at start and warnings.
    /// - Throws: ``LLMError``.
    public init(
        _ model: String? = nil, tokenizer: String? = nil, config: EngineConfig = EngineConfig(),
        logitsProcessors: [any LogitsProcessor] = [], logger: Logger = Logger(label: "swiftlet")
    ) async throws {
        try config.validate()
        let mailbox = Mailbox()
        let loader = ModelLoader(
            model: model, tokenizerPath: tokenizer, config: config, logger: logger,
            processors: logitsProcessors)
        let loaded = try await loader.start(mailbox)
        self.mailbox = mailbox
        self.config = config
        self.tokenizer = loaded.tokenizer
        chatTemplates = loaded.chatTemplates
        defaultSamplingParams = loaded.defaultSamplingParams
        maxModelLength = loaded.maxModelLength
        vocabularySize = loaded.vocabularySize
        kvTokenCapacity = loaded.kvTokenCapacity
        device = loaded.device
        summary = loaded.summary
        eosTokenIDs = loaded.eosTokenIDs
        seeds = config.seed ?? .random(in: .min ... .max)
        logger.info("\(summary)")
    }

    deinit { mailbox.post(.stop) }

    /// False when the engine has failed or was shut down.
    public var isRunning: Bool { mailbox.isOpen }

    /// Counters and gauges as of the last step.
    public var statistics: EngineStatistics { mailbox.statistics }

    /// Stops the engine. Streams still open end with `engineFailed`; returns when its memory is free.
    public func shutdown() async {
        await withCheckedContinuation { done in
            mailbox.whenClosed { done.resume() }
            mailbox.post(.stop)
        }
    }

    // MARK: - Requests

    /// Generates for all prompts, in one batch as far as they fit; outputs in the order of the prompts.
    ///
    /// - Parameter params: For all of them; nil takes ``defaultSamplingParams``.
    /// - Throws: ``LLMError`` for the first request that is refused or fails; the others are aborted then.
    public func generate(_ prompts: [Prompt], _ params: SamplingParams? = nil) async throws -> [RequestOutput] {
        try await generate(prompts.map { Request($0, params) })
    }

    /// Generates for requests with parameters of their own.
    public func generate(_ requests: [Request]) async throws -> [RequestOutput] {
        // All are checked before the first one starts.
        let prepared = try requests.map { try prepare($0) }
        let streams = prepared.map { start($0) }
        var outputs: [RequestOutput] = []
        for stream in streams { outputs.append(try await stream.collect()) }
        return outputs
    }

    /// Generates for one prompt and gives the text as it comes. Leaving the loop or cancelling the task aborts the
    /// request. A refused request throws from the first `next()`.
    public func stream(_ prompt: Prompt, _ params: SamplingParams? = nil) -> TokenStream {
        stream(Request(prompt, params))
    }

    /// Generates for one request and gives the text as it comes.
    public func stream(_ request: Request) -> TokenStream {
        do {
            return start(try prepare(request))
        } catch {
            return .failed(error, prompt: request.prompt)
        }
    }

    /// A validated request.
    private struct Prepared {
        var text: String?
        var prompt: [TokenID]
        var params: SamplingParams
        var tokenLimit: Int
        var priority: Int
    }

    /// Starts a request whose events go to `receive`, on the engine's thread.
    ///
    /// - Throws: ``LLMError`` when it can't be served; that the queue is full comes as an event.
    package func start(
        _ request: Request, receive: @escaping @Sendable (TokenSink.Event) -> Void
    ) throws(LLMError) -> RunningRequest {
        let prepared = try prepare(request)
        let id = mailbox.makeRequestID()
        submit(prepared, id, TokenSink(receive))
        return RunningRequest(promptTokenIDs: prepared.prompt, owner: self) { [mailbox] in mailbox.post(.abort(id)) }
    }

    private func start(_ prepared: Prepared) -> TokenStream {
        let id = mailbox.makeRequestID()
        let (stream, sink) = TokenStream.make(
            prompt: prepared.text, promptTokenIDs: prepared.prompt, choiceCount: prepared.params.n, owner: self
        ) { [mailbox] in mailbox.post(.abort(id)) }
        submit(prepared, id, sink)
        return stream
    }

    private func submit(_ prepared: Prepared, _ id: Int, _ sink: TokenSink) {
        let drawn = Philox.block(
            key: (UInt32(truncatingIfNeeded: seeds), UInt32(truncatingIfNeeded: seeds >> 32)),
            counter: (UInt32(truncatingIfNeeded: id), 0, 0, 1))
        let seed = prepared.params.seed ?? (UInt64(drawn.0) << 32 | UInt64(drawn.1))
        mailbox.post(
            .submit(
                Submission(
                    id: id, prompt: prepared.prompt, params: prepared.params, seed: seed,
                    tokenLimit: prepared.tokenLimit, priority: prepared.priority, sink: sink)))
    }

    /// Tokenises and checks a request.
    private func prepare(_ request: Request) throws(LLMError) -> Prepared {
        let params = request.params ?? defaultSamplingParams
        try params.validate(vocabularySize: vocabularySize, maxLogprobs: config.maxLogprobs)
        guard request.priority == 0 || config.schedulingPolicy == .priority else {
            throw LLMError(.invalidRequest, "priority is \(request.priority); it needs scheduling-policy priority")
        }
        var text: String?
        var prompt: [TokenID]
        switch request.prompt {
        case .text(let string):
            guard let tokenizer else {
                throw LLMError(.invalidRequest, "this model has no tokenizer.json; give the prompt as token ids")
            }
            text = string
            prompt = tokenizer.encode(string, addSpecialTokens: request.addsSpecialTokens)
        case .tokens(let ids): prompt = ids
        }
        guard !prompt.isEmpty else { throw LLMError(.invalidRequest, "the prompt is empty; it needs a token at least") }
        if let stray = prompt.first(where: { $0 < 0 || $0 >= vocabularySize }) {
            throw LLMError(.invalidRequest, "prompt token \(stray) is outside of the vocabulary, 0..<\(vocabularySize)")
        }
        if tokenizer == nil && !params.stop.isEmpty {
            throw LLMError(.invalidRequest, "stop strings need a tokenizer, and this model has none")
        }
        if params.minTokens > 0, let allowed = params.allowedTokenIDs {
            let ends = eosTokenIDs.union(params.stopTokenIDs)
            guard !ends.isSuperset(of: allowed) else {
                throw LLMError(
                    .invalidRequest, "allowed_token_ids has stop tokens only, and min_tokens forbids those at first")
            }
        }
        let limit = try tokenLimit(
            promptCount: prompt.count, params, shrinks: request.params == nil || request.shrinksMaxTokens)
        return Prepared(text: text, prompt: prompt, params: params, tokenLimit: limit, priority: request.priority)
    }

    /// The length at which the request ends. The KV of its last token is never written, so it needs no slot.
    private func tokenLimit(promptCount: Int, _ params: SamplingParams, shrinks: Bool) throws(LLMError) -> Int {
        guard promptCount < maxModelLength else {
            throw LLMError(
                .contextLengthExceeded,
                "the prompt has \(promptCount) tokens; with max-model-len \(maxModelLength) it may have at most \(maxModelLength - 1)"
            )
        }
        let capacity = min(maxModelLength, kvTokenCapacity + 1)
        guard promptCount < capacity else {
            throw LLMError(
                .contextLengthExceeded,
                "the prompt has \(promptCount) tokens; the KV cache holds \(kvTokenCapacity) (kv-cache-memory-bytes)")
        }
        let room = capacity - promptCount
        let wanted = shrinks ? min(params.maxTokens ?? room, room) : params.maxTokens ?? room
        guard wanted <= maxModelLength - promptCount else {
            throw LLMError(
                .contextLengthExceeded,
                "prompt (\(promptCount)) and max_tokens (\(wanted)) exceed max-model-len \(maxModelLength); max_tokens can be \(maxModelLength - promptCount) at most"
            )
        }
        guard wanted <= room else {
            throw LLMError(
                .contextLengthExceeded,
                "prompt (\(promptCount)) and max_tokens (\(wanted)) exceed the KV cache of \(kvTokenCapacity) tokens; lower max_tokens or raise kv-cache-memory-bytes"
            )
        }
        guard params.minTokens <= wanted else {
            throw LLMError(.invalidRequest, "min_tokens is \(params.minTokens); the context has room for \(wanted)")
        }
        return promptCount + wanted
    }
}

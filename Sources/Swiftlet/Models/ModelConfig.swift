// ModelConfig: what the forward pass has to know about a model, read from config.json and its companions.
// Families are data (ModelFamily); this type is the result of one family's description and one folder's numbers.
// Made once at load by ModelConfig+Parsing, read by WeightLoader, DecoderModel and the engine's memory plan.
// Invariant: a value of this type describes a model that can be run: all shapes are positive, bounded and
// consistent, products of two of them don't overflow, and nothing that config.json asks for was left out.

package struct ModelConfig: Sendable, Hashable {
    package var family: ModelFamily

    // Shapes.
    package var hiddenSize: Int
    package var layerCount: Int
    package var queryHeadCount: Int
    package var keyValueHeadCount: Int
    package var headDimension: Int
    package var intermediateSize: Int
    package var vocabularySize: Int
    /// What layers have in place of an MLP; nil: none has it.
    package var experts: MixtureOfExperts?

    // Arithmetic.
    package var rmsNormEpsilon: Float
    /// Factor of the embeddings; nil: none.
    package var embeddingScale: Float?
    /// Normalise each head's queries and keys before the rotary embedding.
    package var hasQKNorm: Bool
    /// Bias on the query, key and value projections.
    package var qkvBias: Bool
    /// Bias on the attention's output projection.
    package var outputBias: Bool
    /// Bias on gate, up and down projections.
    package var mlpBias: Bool
    package var activation: Activation
    /// The logits use the embedding matrix; a stored `lm_head.weight` is ignored.
    package var hasTiedHead: Bool
    /// Per layer: a row sees this many positions, itself included; nil: all before it.
    package var slidingWindows: [Int?]
    package var rope: RopeScaling
    /// Of layers with a window, where they turn otherwise.
    package var windowRope: RopeScaling?
    /// Layers that don't turn queries and keys at all.
    package var layersWithoutRope: Set<Int>
    /// The first so many dimensions of a head are turned; all of them in most models.
    package var rotaryDimension: Int
    /// Query-key products are divided by this number's square root: the head's dimension in most models.
    package var attentionScalar: Float
    /// Scores s become cap * tanh(s / cap) before the softmax; nil: they are not capped.
    package var attentionSoftCap: Float?
    /// The same for logits.
    package var logitSoftCap: Float?

    // Limits and types.
    package var maxPositionEmbeddings: Int
    /// `torch_dtype` or `dtype`, as it is written (`bfloat16`); nil if not given.
    package var checkpointDtype: String?

    // Tokens.
    package var bosTokenID: Int?
    /// The union of config.json's and generation_config.json's, inside the vocabulary. The tokenizer's own is
    /// ``tokenizerEOSToken``, which the caller maps to an id and adds.
    package var eosTokenIDs: Set<Int>
    /// `eos_token` of tokenizer_config.json, the text of a token.
    package var tokenizerEOSToken: String?
    /// Sampling defaults of generation_config.json.
    package var generationDefaults: GenerationDefaults

    package enum Activation: Sendable, Hashable {
        case silu
        /// gelu in its tanh form
        case geluTanh

        /// The product that gates with it.
        package var epilogue: LinearEpilogue { self == .silu ? .gatedSiLU : .gatedGELU }
    }

    /// What is refused as absurd before anything is computed or allocated from it.
    package enum Limits {
        package static let layers = 1024
        package static let width = 1 << 20
        /// Of all experts of a layer side by side.
        package static let expertWidth = 1 << 24
        package static let heads = 1 << 14
        package static let headDimension = 256
        package static let vocabulary = 1 << 24
        package static let positions = 1 << 24
    }

    /// The longest context the model can be run with, by its own description.
    package var maximumLength: Int { family.isLengthScaled ? rope.maximumLength : maxPositionEmbeddings }
    /// Width of all query heads side by side.
    package var queryWidth: Int { queryHeadCount * headDimension }
    /// Width of all key (or value) heads side by side.
    package var keyValueWidth: Int { keyValueHeadCount * headDimension }
    /// Layers with an MLP of `intermediateSize`.
    package var denseLayerCount: Int { layerCount - (experts?.layerCount ?? 0) }
    /// Factor of query-key products before the softmax.
    package var attentionScale: Float { 1 / attentionScalar.squareRoot() }
}

/// What generation_config.json gives; nil: not given. vLLM's meaning: a field that is there becomes the default of
/// requests, whatever `do_sample` says.
package struct GenerationDefaults: Sendable, Hashable {
    package var temperature: Double?
    /// Never 0 or less: those mean off, which is nil.
    package var topK: Int?
    package var topP: Double?
    package var minP: Double?
    package var repetitionPenalty: Double?
    package var maxNewTokens: Int?
    package var doSample: Bool?

    package init() {}
}

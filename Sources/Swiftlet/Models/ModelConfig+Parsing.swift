// ModelConfig+Parsing: from the bytes of config.json, generation_config.json and tokenizer_config.json to a
// checked ModelConfig. Both forms of config.json are read, that of transformers 5 (`rope_parameters`, `dtype`) and
// the older one (`rope_theta`, `rope_scaling`, `torch_dtype`).
// Invariant: numbers are bounded before they are multiplied, and every error names the file and the key.

internal import SwiftletJSON

extension ModelConfig {
    /// - Parameters:
    ///   - config: config.json.
    ///   - generation: generation_config.json, if there is one.
    ///   - tokenizer: tokenizer_config.json, if there is one.
    package init(
        config: [UInt8], generation: [UInt8]? = nil, tokenizer: [UInt8]? = nil
    ) throws(LLMError) {
        let outer = try ConfigReader(parsing: config, file: "config.json")
        let family = try ModelFamily(outer)
        let reader = try Self.textReader(outer, family: family)
        self.family = family

        hiddenSize = try reader.requiredInteger("hidden_size", in: 1...Limits.width, of: family)
        layerCount = try reader.requiredInteger("num_hidden_layers", in: 1...Limits.layers, of: family)
        intermediateSize = try reader.requiredInteger("intermediate_size", in: 1...Limits.width, of: family)
        vocabularySize = try reader.requiredInteger("vocab_size", in: 1...Limits.vocabulary, of: family)
        experts = try MixtureOfExperts(reader, family: family, layerCount: layerCount)
        (queryHeadCount, keyValueHeadCount, headDimension) = try Self.heads(
            reader, family: family, hiddenSize: hiddenSize)

        let epsilon = try reader.number("rms_norm_eps", "a number from 0 to 1") { $0 >= 0 && $0 <= 1 }
        rmsNormEpsilon = Float(epsilon ?? family.defaults["rms_norm_eps"] ?? 1e-6)
        embeddingScale = family.scalesEmbedding ? Float(Double(hiddenSize).squareRoot()) : nil
        activation = try Self.activation(reader, family: family)
        let (outerTied, innerTied) = (try outer.flag("tie_word_embeddings"), try reader.flag("tie_word_embeddings"))
        hasTiedHead = outerTied ?? innerTied ?? family.tiesHead
        hasQKNorm = family.hasQKNorm
        let attentionBias = try reader.flag("attention_bias") ?? false
        qkvBias = family.attentionBias == .queryKeyValue || (family.attentionBias == .configured && attentionBias)
        outputBias = family.attentionBias == .configured && attentionBias
        let hasMLPBias = try reader.flag("mlp_bias") ?? false
        mlpBias = family.readsMLPBias && hasMLPBias

        maxPositionEmbeddings =
            try reader.integer("max_position_embeddings", in: 1...Limits.positions)
            ?? family.integer("max_position_embeddings") ?? 2048
        layersWithoutRope = try Self.layersWithoutRope(reader, family: family, layerCount: layerCount)
        slidingWindows = try Self.slidingWindows(
            reader, family: family, layerCount: layerCount, layersWithoutRope: layersWithoutRope)
        rotaryDimension = try Self.rotaryDimension(reader, family: family, headDimension: headDimension)
        (rope, windowRope) = try RopeScaling.all(
            reader, family: family, trainedLength: maxPositionEmbeddings, rotaryDimension: rotaryDimension)
        attentionScalar =
            Float(try reader.feature("query_pre_attn_scalar", of: family) ?? Double(headDimension))
        attentionSoftCap = try reader.feature("attn_logit_softcapping", of: family).map { Float($0) }
        logitSoftCap = try reader.feature("final_logit_softcapping", of: family).map { Float($0) }
        let (innerDtype, outerDtype) = (try Self.checkpointDtype(reader), try Self.checkpointDtype(outer))
        checkpointDtype = innerDtype ?? outerDtype

        let bosTokens = try outer.tokenIDs("bos_token_id") + reader.tokenIDs("bos_token_id")
        bosTokenID = bosTokens.first { [vocabularySize] in $0 < vocabularySize }
        var eosTokens = try outer.tokenIDs("eos_token_id") + reader.tokenIDs("eos_token_id")
        generationDefaults = GenerationDefaults()
        if let generation {
            let reader = try ConfigReader(parsing: generation, file: "generation_config.json")
            eosTokens += try reader.tokenIDs("eos_token_id")
            generationDefaults = try GenerationDefaults(reader)
        }
        // An id past the vocabulary can never be sampled, and would index past the logits.
        eosTokenIDs = Set(eosTokens.filter { [vocabularySize] in $0 < vocabularySize })
        tokenizerEOSToken = try tokenizer.flatMap { (bytes) throws(LLMError) in try Self.eosToken(bytes) }
    }

    /// The part of config.json that describes the language model, all keys checked.
    private static func textReader(_ outer: ConfigReader, family: ModelFamily) throws(LLMError) -> ConfigReader {
        try UnsupportedKeys.check(outer, family: family)
        guard let member = family.textMember else { return outer }
        guard let reader = try outer.member(member) else { throw outer.invalid("\(member) is missing") }
        try UnsupportedKeys.check(reader, family: family)
        return reader
    }

    private static func heads(
        _ reader: ConfigReader, family: ModelFamily, hiddenSize: Int
    ) throws(LLMError) -> (query: Int, keyValue: Int, dimension: Int) {
        let query = try reader.requiredInteger("num_attention_heads", in: 1...Limits.heads, of: family)
        // Given as null it means "as many as query heads"; not given, the family's default.
        let isNull = reader.object["num_key_value_heads"]?.isNull ?? false
        let keyValue =
            try reader.integer("num_key_value_heads", in: 1...Limits.heads)
            ?? (isNull ? query : family.integer("num_key_value_heads") ?? query)
        guard query.isMultiple(of: keyValue) else {
            throw reader.invalid("num_attention_heads \(query) is not a multiple of num_key_value_heads \(keyValue)")
        }
        let dimension: Int
        if let given = try reader.integer("head_dim", in: 1...Limits.width) ?? family.integer("head_dim") {
            dimension = given
        } else {
            guard hiddenSize.isMultiple(of: query) else {
                throw reader.invalid(
                    "hidden_size \(hiddenSize) is not a multiple of num_attention_heads \(query), and there is no "
                        + "head_dim")
            }
            dimension = hiddenSize / query
        }
        guard dimension.isMultiple(of: 8), dimension <= Limits.headDimension else {
            throw LLMError(
                .unsupportedModel,
                "config.json: a head has \(dimension) dimensions; supported are multiples of 8 up to "
                    + "\(Limits.headDimension)")
        }
        return (query, keyValue, dimension)
    }

    private static func activation(_ reader: ConfigReader, family: ModelFamily) throws(LLMError) -> Activation {
        let key = family.activationKey
        switch try reader.text(key) {
        case nil: return family.activation
        case "silu", "swish": return .silu  // torch calls the same function both names
        case "gelu_pytorch_tanh": return .geluTanh
        case let name?:
            throw LLMError(
                .unsupportedModel,
                "config.json: \(key) \"\(name)\" is not supported (supported: silu, gelu_pytorch_tanh)")
        }
    }

    private static func checkpointDtype(_ reader: ConfigReader) throws(LLMError) -> String? {
        let (new, old) = (try reader.text("dtype"), try reader.text("torch_dtype"))
        guard let name = new ?? old else { return nil }
        return name.hasPrefix("torch.") ? String(name.dropFirst(6)) : name
    }

    /// `eos_token` is a string, or an object that describes an added token.
    private static func eosToken(_ bytes: [UInt8]) throws(LLMError) -> String? {
        let reader = try ConfigReader(parsing: bytes, file: "tokenizer_config.json")
        guard let value = reader.value("eos_token") else { return nil }
        guard let token = value.string ?? value["content"]?.string else {
            throw reader.invalid(
                "eos_token is \(ConfigReader.text(of: value)); it must be a string or an object with content")
        }
        return token
    }
}

extension ModelFamily {
    init(_ reader: ConfigReader) throws(LLMError) {
        let architectures = try reader.strings("architectures") ?? []
        let modelType = try reader.text("model_type")
        let known = Self.all.first { family in
            architectures.isEmpty ? family.modelType == modelType : architectures.contains(family.architecture)
        }
        guard let known else {
            let name =
                architectures.isEmpty
                ? modelType.map { "model_type \($0)" } : "architecture \(architectures.joined(separator: ", "))"
            guard let name else { throw reader.invalid("it has neither architectures nor model_type") }
            throw LLMError(
                .unsupportedModel, "config.json: \(name) is not supported (supported: \(Self.supported))")
        }
        self = known
    }
}

extension GenerationDefaults {
    init(_ reader: ConfigReader) throws(LLMError) {
        temperature = try reader.number("temperature", "a number, 0 or more") { $0 >= 0 }
        topK = try reader.integer("top_k", in: -1...Int(Int32.max)).flatMap { $0 > 0 ? $0 : nil }
        topP = try reader.number("top_p", "a number above 0, at most 1") { $0 > 0 && $0 <= 1 }
        minP = try reader.number("min_p", "a number from 0 to 1") { $0 >= 0 && $0 <= 1 }
        repetitionPenalty = try reader.number("repetition_penalty", "a number above 0") { $0 > 0 }
        maxNewTokens = try reader.integer("max_new_tokens", in: 1...Int(Int32.max))
        doSample = try reader.flag("do_sample")
    }
}

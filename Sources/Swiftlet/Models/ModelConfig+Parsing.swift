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
    ///   - quantization: quantize_config.json, if there is one: what GPTQ's folders had before config.json said it.
    package init(
        config: [UInt8], generation: [UInt8]? = nil, tokenizer: [UInt8]? = nil, quantization: [UInt8]? = nil
    ) throws(LLMError) {
        let reader = try ConfigReader(parsing: config, file: "config.json")
        let family = try ModelFamily(reader)
        try UnsupportedKeys.check(reader, family: family)
        self.family = family

        hiddenSize = try reader.requiredInteger("hidden_size", in: 1...Limits.width)
        layerCount = try reader.requiredInteger("num_hidden_layers", in: 1...Limits.layers)
        intermediateSize = try reader.requiredInteger("intermediate_size", in: 1...Limits.width)
        vocabularySize = try reader.requiredInteger("vocab_size", in: 1...Limits.vocabulary)
        (queryHeadCount, keyValueHeadCount, headDimension) = try Self.heads(
            reader, family: family, hiddenSize: hiddenSize)

        let epsilon = try reader.number("rms_norm_eps", "a number from 0 to 1") { $0 >= 0 && $0 <= 1 }
        rmsNormEpsilon = Float(epsilon ?? 1e-6)
        activation = try Self.activation(reader)
        hasTiedHead = try reader.flag("tie_word_embeddings") ?? false
        hasQKNorm = family.hasQKNorm
        let attentionBias = try reader.flag("attention_bias") ?? false
        qkvBias = family.attentionBias == .queryKeyValue || (family.attentionBias == .configured && attentionBias)
        outputBias = family.attentionBias == .configured && attentionBias
        let hasMLPBias = try reader.flag("mlp_bias") ?? false
        mlpBias = family.readsMLPBias && hasMLPBias

        maxPositionEmbeddings =
            try reader.integer("max_position_embeddings", in: 1...Limits.positions) ?? family.maxPositionEmbeddings
        slidingWindows = try Self.slidingWindows(reader, family: family, layerCount: layerCount)
        rope = try RopeScaling(reader, trainedLength: maxPositionEmbeddings)
        checkpointDtype = try Self.checkpointDtype(reader)
        storedQuantization = try QuantizationConfig(of: reader, beside: quantization)

        bosTokenID = try reader.tokenIDs("bos_token_id").first { [vocabularySize] in $0 < vocabularySize }
        var eosTokens = try reader.tokenIDs("eos_token_id")
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

    private static func heads(
        _ reader: ConfigReader, family: ModelFamily, hiddenSize: Int
    ) throws(LLMError) -> (query: Int, keyValue: Int, dimension: Int) {
        let query = try reader.requiredInteger("num_attention_heads", in: 1...Limits.heads)
        // Given as null it means "as many as query heads"; not given, the family's default.
        let isNull = reader.object["num_key_value_heads"]?.isNull ?? false
        let keyValue =
            try reader.integer("num_key_value_heads", in: 1...Limits.heads)
            ?? (isNull ? query : family.keyValueHeadCount ?? query)
        guard query.isMultiple(of: keyValue) else {
            throw reader.invalid("num_attention_heads \(query) is not a multiple of num_key_value_heads \(keyValue)")
        }
        let dimension: Int
        if let given = try reader.integer("head_dim", in: 1...Limits.width) ?? family.headDimension {
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

    private static func activation(_ reader: ConfigReader) throws(LLMError) -> Activation {
        let name = try reader.text("hidden_act") ?? "silu"
        // torch calls the same function "swish" too.
        guard name == "silu" || name == "swish" else {
            throw LLMError(
                .unsupportedModel, "config.json: hidden_act \"\(name)\" is not supported (supported: silu)")
        }
        return .silu
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

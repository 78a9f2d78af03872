// RopeScaling+Parsing: reads the rope description of config.json, in either of its two forms.
// Transformers 5 writes one object `rope_parameters`; before it there were `rope_theta` and `rope_scaling`, whose
// kind is called `rope_type` or, older, `type`. Where both forms are given, `rope_scaling` wins, as in the reference.
// Invariant: unknown kinds and unknown keys are errors; numbers are finite and of the right sign.

internal import SwiftletJSON

extension RopeScaling {
    package static let supportedKinds = ["default", "linear", "dynamic", "llama3", "yarn", "longrope"]

    /// All keys of all supported kinds. One of another kind is idle, in the reference as here.
    private static let knownKeys: Set<String> = [
        "rope_type", "type", "rope_theta", "partial_rotary_factor", "factor", "original_max_position_embeddings",
        "low_freq_factor", "high_freq_factor", "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate", "finetuned", "short_factor", "long_factor", "short_mscale", "long_mscale",
    ]

    /// What else a description is read with.
    private struct Context {
        var config: ConfigReader
        var family: ModelFamily
        var trainedLength: Int
        var rotaryDimension: Int
    }

    /// The rope of a model's layers, and that of layers with a window where it is another.
    static func all(
        _ config: ConfigReader, family: ModelFamily, trainedLength: Int, rotaryDimension: Int
    ) throws(LLMError) -> (RopeScaling, RopeScaling?) {
        let old = try config.member("rope_scaling").flatMap { $0.object.count > 0 ? $0 : nil }
        let new = try config.member("rope_parameters")
        let theta = try Self.theta(config) ?? family.defaults["rope_theta"] ?? 10_000
        let context = Context(
            config: config, family: family, trainedLength: trainedLength, rotaryDimension: rotaryDimension)
        guard family.windowRope != .same else {
            return (try RopeScaling(old ?? new, theta: theta, context), nil)
        }
        let types = ["full_attention", "sliding_attention"]
        if let new, let key = new.object.members.map(\.0).first(where: { !types.contains($0) }) {
            throw LLMError(
                .unsupportedModel,
                "\(new.file): the key \(key) is not supported; \(family.architecture) has one rope for each of "
                    + types.joined(separator: " and "))
        }
        let full = try new?.member(types[0])
        let main = try RopeScaling(old ?? full, theta: theta, context)
        var windowTheta = main.theta
        if family.windowRope == .ownBase {
            let key = "rope_local_base_freq"
            windowTheta = try Self.theta(config, key) ?? family.defaults[key] ?? windowTheta
        }
        let sliding = try new?.member(types[1])
        return (main, try RopeScaling(sliding, theta: windowTheta, context))
    }

    private init(_ parameters: ConfigReader?, theta: Double, _ context: Context) throws(LLMError) {
        let trainedLength = context.trainedLength
        self.init(theta: theta, kind: .standard, trainedLength: trainedLength)
        guard let parameters else { return }
        try Self.checkKeys(parameters)
        if let inner = try Self.theta(parameters) { self.theta = inner }
        let partial = try parameters.number("partial_rotary_factor", "a number", where: { _ in true })
        if let partial, partial != 1, !context.family.keys.contains("partial_rotary_factor") {
            throw LLMError(.unsupportedModel, "config.json: partial_rotary_factor \(partial) is not supported")
        }
        // Some publishers keep it beside the rope description; that one comes first in the reference.
        let key = "original_max_position_embeddings"
        let outer = try context.config.integer(key, in: 1...ModelConfig.Limits.positions)
        let inner = try parameters.integer(key, in: 1...ModelConfig.Limits.positions)
        let originalLength = outer ?? context.family.integer(key) ?? inner ?? trainedLength

        let (name, oldName) = (try parameters.text("rope_type"), try parameters.text("type"))
        // Old Phi-3 folders call longrope "su" or "yarn".
        let isLongrope = parameters.value("short_factor") != nil
        switch isLongrope && (name ?? oldName) == "yarn" ? "longrope" : name ?? oldName ?? "default" {
        case "default": kind = .standard
        case "linear": kind = .linear(factor: try Self.factor(parameters))
        case "dynamic": kind = .dynamic(factor: try Self.factor(parameters))
        case "llama3": kind = try Self.llama3(parameters, originalLength: originalLength)
        case "longrope", "su":
            kind = .longrope(
                try Longrope(
                    parameters, originalLength: originalLength, trainedLength: trainedLength,
                    rotaryDimension: context.rotaryDimension))
        case "yarn":
            kind = .yarn(try Yarn(parameters, originalLength: originalLength, trainedLength: trainedLength))
        case let unknown:
            throw LLMError(
                .unsupportedModel,
                "config.json: rope type \(unknown) is not supported (supported: "
                    + "\(Self.supportedKinds.joined(separator: ", ")))")
        }
    }

    private static func checkKeys(_ parameters: ConfigReader) throws(LLMError) {
        for (key, value) in parameters.object.members {
            if value.kind == .object {
                throw LLMError(.unsupportedModel, "\(parameters.file): a rope of its own for \(key) is not supported")
            }
            guard knownKeys.contains(key) || value.isNull else {
                throw LLMError(.unsupportedModel, "\(parameters.file): the key \(key) is not supported")
            }
        }
    }

    private static func theta(_ reader: ConfigReader, _ key: String = "rope_theta") throws(LLMError) -> Double? {
        try reader.number(key, "a number above 1") { $0 > 1 && Float($0).isFinite }
    }

    static func factor(_ parameters: ConfigReader) throws(LLMError) -> Double {
        guard let factor = try optionalFactor(parameters) else { throw parameters.invalid("factor is missing") }
        return factor
    }

    static func optionalFactor(_ parameters: ConfigReader) throws(LLMError) -> Double? {
        try parameters.number("factor", "a number, 1 or more") { $0 >= 1 && $0 <= 1e6 }
    }

    private static func llama3(_ parameters: ConfigReader, originalLength: Int) throws(LLMError) -> Kind {
        guard let low = try parameters.number("low_freq_factor", "a number above 0", where: { $0 > 0 && $0 <= 1e6 }),
            let high = try parameters.number("high_freq_factor", "a number above 0", where: { $0 > 0 && $0 <= 1e6 })
        else {
            throw parameters.invalid("low_freq_factor or high_freq_factor is missing")
        }
        guard low < high else {
            throw parameters.invalid("low_freq_factor \(low) must be less than high_freq_factor \(high)")
        }
        return .llama3(
            factor: try factor(parameters), lowFrequencyFactor: low, highFrequencyFactor: high,
            originalLength: originalLength)
    }
}

extension RopeScaling.Yarn {
    fileprivate init(
        _ parameters: ConfigReader, originalLength: Int, trainedLength: Int
    ) throws(LLMError) {
        func positive(_ key: String) throws(LLMError) -> Double? {
            try parameters.number(key, "a number, 0 or more") { $0 >= 0 && $0 <= 1e6 }.flatMap { $0 > 0 ? $0 : nil }
        }
        // Attention gets sharper as the context is stretched: 0.1 ln(factor) + 1 (Peng et al. 2023, section 3.4).
        func magnitude(_ scale: Double, weight: Double = 1) -> Double {
            scale <= 1 ? 1 : 0.1 * weight * Platform.logarithm(scale) + 1
        }
        let factor = try RopeScaling.optionalFactor(parameters) ?? Double(trainedLength) / Double(originalLength)
        self.factor = factor
        self.originalLength = originalLength
        if let given = try parameters.number("attention_factor", "a number, 0 or more", where: { $0 >= 0 && $0 <= 1e6 })
        {
            attentionFactor = given
        } else if let weight = try positive("mscale"), let all = try positive("mscale_all_dim") {
            attentionFactor = magnitude(factor, weight: weight) / magnitude(factor, weight: all)
        } else {
            attentionFactor = magnitude(factor)
        }
        betaFast = try positive("beta_fast") ?? 32
        betaSlow = try positive("beta_slow") ?? 1
        truncates = try parameters.flag("truncate") ?? true
    }
}

extension RopeScaling.Longrope {
    fileprivate init(
        _ parameters: ConfigReader, originalLength: Int, trainedLength: Int, rotaryDimension: Int
    ) throws(LLMError) {
        func factors(_ key: String) throws(LLMError) -> [Double] {
            guard let factors = try parameters.numbers(key, "above 0", where: { $0 > 0 && $0 <= 1e6 }) else {
                throw parameters.invalid("\(key) is missing")
            }
            guard factors.count == rotaryDimension / 2 else {
                throw parameters.invalid("\(key) has \(factors.count) numbers; a head has \(rotaryDimension / 2) pairs")
            }
            return factors
        }
        func magnitude(_ key: String) throws(LLMError) -> Double? {
            try parameters.number(key, "a number, 0 or more") { $0 >= 0 && $0 <= 1e6 }
        }
        guard originalLength > 1 else {
            throw parameters.invalid("original_max_position_embeddings is \(originalLength); it must be above 1")
        }
        self.originalLength = originalLength
        shortFactors = try factors("short_factor")
        longFactors = try factors("long_factor")
        let stretch = try RopeScaling.optionalFactor(parameters) ?? Double(trainedLength) / Double(originalLength)
        let growth = Platform.logarithm(max(stretch, 1)) / Platform.logarithm(Double(originalLength))
        let common = try magnitude("attention_factor") ?? (1 + growth).squareRoot()
        // The two are vLLM's; transformers knows attention_factor alone.
        shortMagnitude = try magnitude("short_mscale") ?? common
        longMagnitude = try magnitude("long_mscale") ?? common
    }
}

// RopeScaling+Parsing: reads the rope description of config.json, in either of its two forms.
// Transformers 5 writes one object `rope_parameters`; before it there were `rope_theta` and `rope_scaling`, whose
// kind is called `rope_type` or, older, `type`. Where both forms are given, `rope_scaling` wins, as in the reference.
// Invariant: unknown kinds and unknown keys are errors; numbers are finite and of the right sign.

internal import SwiftletJSON

extension RopeScaling {
    package static let supportedKinds = ["default", "linear", "dynamic", "llama3", "yarn"]

    /// All keys of all supported kinds. One of another kind is idle, in the reference as here.
    private static let knownKeys: Set<String> = [
        "rope_type", "type", "rope_theta", "partial_rotary_factor", "factor", "original_max_position_embeddings",
        "low_freq_factor", "high_freq_factor", "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate", "finetuned",
    ]

    init(_ config: ConfigReader, trainedLength: Int) throws(LLMError) {
        self.init(theta: 10_000, kind: .standard, trainedLength: trainedLength)
        let scaling = try config.member("rope_scaling").flatMap { $0.object.count > 0 ? $0 : nil }
        let newForm = try config.member("rope_parameters")
        if let outer = try Self.theta(config) { theta = outer }
        guard let parameters = scaling ?? newForm else { return }
        try Self.checkKeys(parameters)
        if let inner = try Self.theta(parameters) { theta = inner }
        if let partial = try parameters.number("partial_rotary_factor", "a number", where: { _ in true }), partial != 1
        {
            throw LLMError(.unsupportedModel, "config.json: partial_rotary_factor \(partial) is not supported")
        }
        // Some publishers keep it beside the rope description; that one comes first in the reference.
        let outer = try config.integer("original_max_position_embeddings", in: 1...ModelConfig.Limits.positions)
        let inner = try parameters.integer("original_max_position_embeddings", in: 1...ModelConfig.Limits.positions)
        let originalLength = outer ?? inner ?? trainedLength

        let (name, oldName) = (try parameters.text("rope_type"), try parameters.text("type"))
        switch name ?? oldName ?? "default" {
        case "default": kind = .standard
        case "linear": kind = .linear(factor: try Self.factor(parameters))
        case "dynamic": kind = .dynamic(factor: try Self.factor(parameters))
        case "llama3": kind = try Self.llama3(parameters, originalLength: originalLength)
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

    private static func theta(_ reader: ConfigReader) throws(LLMError) -> Double? {
        try reader.number("rope_theta", "a number above 1") { $0 > 1 && Float($0).isFinite }
    }

    fileprivate static func factor(_ parameters: ConfigReader) throws(LLMError) -> Double {
        guard let factor = try optionalFactor(parameters) else { throw parameters.invalid("factor is missing") }
        return factor
    }

    fileprivate static func optionalFactor(_ parameters: ConfigReader) throws(LLMError) -> Double? {
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

// ModelConfig+Rope: which layers turn queries and keys, and how much of a head; RopeScaling says by which angles.
// Invariant: the turned part of a head is made of whole pairs, and of more than one.

internal import SwiftletJSON

extension ModelConfig {
    /// `no_rope_layers` has a 0 for each of them (its name has it the wrong way round), or each so-manieth is one.
    static func layersWithoutRope(
        _ reader: ConfigReader, family: ModelFamily, layerCount: Int
    ) throws(LLMError) -> Set<Int> {
        guard family.hasLayersWithoutRope else { return [] }
        if let flags = try reader.numbers("no_rope_layers", "0 or 1", where: { $0 == 0 || $0 == 1 }) {
            guard flags.count == layerCount else {
                throw reader.invalid("no_rope_layers has \(flags.count) entries; num_hidden_layers is \(layerCount)")
            }
            return Set(flags.indices.filter { flags[$0] == 0 })
        }
        let interval = try reader.integer("no_rope_layer_interval", in: 1...Int(Int32.max)) ?? 4
        return Set((0..<layerCount).filter { ($0 + 1).isMultiple(of: interval) })
    }

    /// How many of a head's dimensions are turned: `partial_rotary_factor`, in the rope description or beside it.
    static func rotaryDimension(
        _ reader: ConfigReader, family: ModelFamily, headDimension: Int
    ) throws(LLMError) -> Int {
        let key = "partial_rotary_factor"
        guard family.keys.contains(key) else { return headDimension }
        let isShare = { (value: Double) in value > 0 && value <= 1 }
        var factor = try reader.number(key, "a number above 0, at most 1", where: isShare)
        for member in ["rope_parameters", "rope_scaling"] {
            factor =
                try reader.member(member)?.number(key, "a number above 0, at most 1", where: isShare) ?? factor
        }
        let dimension = Int(Double(headDimension) * (factor ?? 1))
        guard dimension > 2, dimension.isMultiple(of: 2) else {
            throw LLMError(
                .unsupportedModel,
                "config.json: \(key) \(factor ?? 1) turns \(dimension) of a head's \(headDimension) dimensions; "
                    + "supported are even numbers above 2")
        }
        return dimension
    }
}

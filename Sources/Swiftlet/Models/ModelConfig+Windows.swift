// ModelConfig+Windows: which layers see only the last so many positions.
// `layer_types` decides where it is given; otherwise the family's rule.
// Invariant: one entry per layer.

internal import SwiftletJSON

extension ModelConfig {
    static func slidingWindows(
        _ reader: ConfigReader, family: ModelFamily, layerCount: Int, layersWithoutRope: Set<Int>
    ) throws(LLMError) -> [Int?] {
        let window = try configuredWindow(reader, family: family)
        if let types = try reader.strings("layer_types") {
            return try windows(of: types, window: window, layerCount: layerCount, reader: reader)
        }
        switch family.window {
        case .layerTypes:
            // A `sliding_window` without `layer_types` has no effect in these families' reference either.
            return Array(repeating: nil, count: layerCount)
        case .everyLayer, .everyLayerIfUsed:
            return Array(repeating: window, count: layerCount)
        case .upperLayers:
            let first = try reader.integer("max_window_layers", in: 0...Int(Int32.max)) ?? 28
            return (0..<layerCount).map { $0 >= first ? window : nil }
        case .allBut(let every):
            let period = try reader.integer("sliding_window_pattern", in: 1...Int(Int32.max)) ?? every
            return (0..<layerCount).map { ($0 + 1).isMultiple(of: period) ? nil : window }
        case .layersWithoutRope:
            return (0..<layerCount).map { layersWithoutRope.contains($0) ? window : nil }
        }
    }

    /// `sliding_window`, or the reference's default where the key is absent (null means none).
    private static func configuredWindow(_ reader: ConfigReader, family: ModelFamily) throws(LLMError) -> Int? {
        if [.upperLayers, .layersWithoutRope, .everyLayerIfUsed].contains(family.window) {
            guard try reader.flag("use_sliding_window") ?? false else { return nil }
        }
        let window = try reader.integer("sliding_window", in: 1...Int(Int32.max))
        return reader.object["sliding_window"] == nil ? family.integer("sliding_window") : window
    }

    private static func windows(
        of types: [String], window: Int?, layerCount: Int, reader: ConfigReader
    ) throws(LLMError) -> [Int?] {
        guard types.count == layerCount else {
            throw reader.invalid("layer_types has \(types.count) entries; num_hidden_layers is \(layerCount)")
        }
        var windows: [Int?] = []
        for type in types {
            switch type {
            case "full_attention": windows.append(nil)
            case "sliding_attention":
                guard let window else {
                    throw reader.invalid("layer_types has sliding_attention, but no sliding_window is in force")
                }
                windows.append(window)
            default:
                throw LLMError(
                    .unsupportedModel,
                    "config.json: layer type \(type) is not supported (supported: full_attention, sliding_attention)")
            }
        }
        return windows
    }
}

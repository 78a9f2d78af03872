// MixtureOfExperts: which layers of a model have experts in place of their MLP, and how a token chooses among them.
// Read from config.json with the defaults of the family's reference. Part of ModelConfig.
// Invariant: there are at least as many experts as a token goes to, and at least one layer has them.

import CSwiftletKernels
internal import SwiftletJSON

package struct MixtureOfExperts: Sendable, Hashable {
    /// Experts of a layer (`num_experts`).
    package var count: Int
    /// Experts that a token goes to (`num_experts_per_tok`): those with its largest logits.
    package var perToken: Int
    /// Width of an expert (`moe_intermediate_size`).
    package var intermediateSize: Int
    /// A token's weights add up to one (`norm_topk_prob`); else they are shares of the softmax over all experts.
    package var renormalizes: Bool
    /// Per layer: whether it has experts (`decoder_sparse_step`, `mlp_only_layers`).
    package var layers: [Bool]

    /// Parameters of a layer's router and experts.
    package func parameterCount(hiddenSize: Int) -> Int { count * hiddenSize * (3 * intermediateSize + 1) }

    package var layerCount: Int { layers.reduce(0) { $0 + ($1 ? 1 : 0) } }

    /// Experts of a layer that `tokens` tokens go to, when routing is even and tokens are independent.
    package func expectedExperts(tokens: Int) -> Double {
        var missed = 1.0
        let others = 1 - Double(perToken) / Double(count)
        for _ in 0..<tokens {
            missed *= others
            if missed < 1e-9 { break }
        }
        return Double(count) * (1 - missed)
    }
}

extension ModelConfig {
    /// Parameters of the experts that a token does not go to.
    var idleParameterCount: Int {
        guard let experts else { return 0 }
        return experts.layerCount * (experts.count - experts.perToken) * 3 * hiddenSize * experts.intermediateSize
    }
}

extension MixtureOfExperts {
    /// nil when no layer has experts.
    init?(_ reader: ConfigReader, family: ModelFamily, layerCount: Int) throws(LLMError) {
        guard family.keys.contains("num_experts") else { return nil }
        let counts = 0...SWIFTLET_MAX_EXPERTS
        // transformers 5 writes another name.
        let other = try reader.integer("num_local_experts", in: counts)
        let usual = try reader.requiredInteger("num_experts", in: counts, of: family)
        count = other ?? usual
        perToken = try reader.requiredInteger(
            "num_experts_per_tok", in: 1...SWIFTLET_MAX_EXPERTS_PER_TOKEN, of: family)
        intermediateSize = try reader.requiredInteger(
            "moe_intermediate_size", in: 1...ModelConfig.Limits.width, of: family)
        renormalizes = try reader.flag("norm_topk_prob") ?? false
        let step = try reader.integer("decoder_sparse_step", in: 1...Int(Int32.max)) ?? 1
        let dense = Set(try reader.integers("mlp_only_layers") ?? [])
        layers = (0..<layerCount).map { [count] in count > 0 && !dense.contains($0) && ($0 + 1).isMultiple(of: step) }
        guard layers.contains(true) else { return nil }
        guard count * intermediateSize <= ModelConfig.Limits.expertWidth else {
            throw reader.invalid(
                "\(count) experts of width \(intermediateSize) are \(count * intermediateSize) wide; the limit is "
                    + "\(ModelConfig.Limits.expertWidth)")
        }
        guard perToken <= count else {
            throw reader.invalid("num_experts_per_tok is \(perToken); there are \(count) experts")
        }
    }
}

// ReferenceSampler: what vLLM's sampling parameters mean, written down plainly: whole arrays, a sort, doubles.
// The engine's sampler is compared with it token by token.

import Foundation
import Swiftlet
import SwiftletTokenizer

struct ReferenceSampler {
    let params: SamplingParams
    let seed: UInt64
    var eosTokenIDs: [TokenID] = []

    /// Logits after masks, bias and penalties, in vLLM's order.
    func changed(_ logits: [Float], prompt: [TokenID], output: [TokenID]) -> [Double] {
        var values = logits.map(Double.init)
        if let allowed = params.allowedTokenIDs {
            for id in values.indices where !allowed.contains(TokenID(id)) { values[id] = -.infinity }
        }
        if output.count < params.minTokens {
            for id in eosTokenIDs + params.stopTokenIDs { values[Int(id)] = -.infinity }
        }
        for (id, bias) in params.logitBias { values[Int(id)] += Double(bias) }
        for id in Set(prompt + output) {
            let value = values[Int(id)]
            let factor = Double(params.repetitionPenalty)
            values[Int(id)] = value > 0 ? value / factor : value * factor
        }
        for id in Set(output) {
            let count = output.filter { $0 == id }.count
            values[Int(id)] -= Double(params.frequencyPenalty) * Double(count) + Double(params.presencePenalty)
        }
        return values
    }

    /// What each token's probability is in the end: temperature, min_p, top_k, top_p.
    func probabilities(_ values: [Double]) -> [Double] {
        let maximum = values.max()!
        var weights = values.map { exp(($0 - maximum) / Double(params.temperature)) }
        for id in weights.indices where weights[id] < Double(params.minP) { weights[id] = 0 }
        let order = weights.indices.sorted { (weights[$0], $1) > (weights[$1], $0) }
        if let k = params.topK { for id in order.dropFirst(k) { weights[id] = 0 } }
        let total = weights.reduce(0, +)
        var mass = 0.0
        for id in order {
            // The token that crosses top_p stays.
            if mass >= Double(params.topP) * total && params.topP < 1 { weights[id] = 0 }
            mass += weights[id]
        }
        let kept = weights.reduce(0, +)
        return weights.map { $0 / kept }
    }

    /// The token that follows. `isClose`: the choice hangs on a rounding error, so that another one is right too.
    func next(_ logits: [Float], prompt: [TokenID], output: [TokenID], choice: Int) -> (token: TokenID, isClose: Bool) {
        let values = changed(logits, prompt: prompt, output: output)
        if params.temperature == 0 {
            let maximum = values.max()!
            return (TokenID(values.firstIndex(of: maximum)!), values.filter { $0 > maximum - 1e-4 }.count > 1)
        }
        let uniform = Double(Philox.uniform(seed: seed, choice: choice, position: prompt.count + output.count))
        var sum = 0.0
        for (id, probability) in probabilities(values).enumerated() where probability > 0 {
            let start = sum
            sum += probability
            if sum > uniform { return (TokenID(id), min(sum - uniform, uniform - start) < 1e-4) }
        }
        return (0, true)
    }
}

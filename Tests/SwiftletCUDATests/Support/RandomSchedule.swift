// Requests that come, and are cancelled, at random between an engine's steps: the same for the same seed, whatever computes.

import Swiftlet
import SwiftletTestSupport
import SwiftletTokenizer

struct RandomSchedule {
    private let seed: UInt64

    init(seed: UInt64) { self.seed = seed }

    /// Runs it to its end.
    ///
    /// - Returns: The tokens of each choice of each request.
    func run<B: Backend>(_ engine: Driven<B>) throws -> [[[TokenID]]] {
        var random = SeededGenerator(seed: seed)
        var outputs: [Driven<B>.Output] = []
        var waiting = 8
        var cancelled: [Int] = []
        while waiting > 0 || engine.engine.hasWork {
            if waiting > 0, Bool.random(using: &random) {
                waiting -= 1
                let length = Int.random(in: 1...70, using: &random)
                var params = SamplingParams.greedy(Int.random(in: 1...20, using: &random))
                params.n = Int.random(in: 0..<4, using: &random) == 0 ? 2 : 1
                let (id, output) = engine.submit(prompt(length, seed: UInt64(waiting % 4)), params)
                outputs.append(output)
                if Int.random(in: 0..<4, using: &random) == 0 { cancelled.append(id) }
            }
            try engine.engine.step()
            if let id = cancelled.last, Int.random(in: 0..<6, using: &random) == 0 {
                engine.engine.abort(id)
                cancelled.removeLast()
            }
        }
        return outputs.map(\.tokens)
    }
}

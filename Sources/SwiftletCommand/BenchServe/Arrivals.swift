#if Server
// Arrivals: when the requests of a load come, made from a seed before it begins.
// Invariant: in order; the last one comes when a steady stream of that rate would have it.

import Swiftlet

package enum Arrivals {
    /// Seconds from the start to each request.
    ///
    /// Gaps are drawn from a gamma distribution of shape `burstiness`: 1 is a Poisson process, below it requests come in
    /// bursts, above it they come more evenly. Then all of them are stretched to the rate that was asked for, as vLLM's
    /// `bench serve` does, so that two seeds make the same load.
    ///
    /// - Parameter rate: Requests a second; infinity has them all at once.
    package static func times(count: Int, rate: Double, burstiness: Double, seed: UInt64) -> [Double] {
        guard rate.isFinite, count > 0 else { return Array(repeating: 0, count: count) }
        var random = Gamma(seed: seed)
        var time = 0.0
        let times = (0..<count).map { _ in
            time += random.next(shape: burstiness)
            return time
        }
        // A gap can be too small for a number when the shape is.
        guard time > 0, time.isFinite else { return (1...count).map { Double($0) / rate } }
        let scale = Double(count) / rate / time
        return times.map { $0 * scale }
    }

    /// Gamma-distributed numbers of scale 1 (Marsaglia and Tsang, 2000).
    private struct Gamma {
        private var random: PythonRandom

        init(seed: UInt64) { random = PythonRandom(seed: seed) }

        /// In 0..<1, as CPython's `random.random()`.
        private mutating func uniform() -> Double {
            let (high, low) = (random.bits(27), random.bits(26))
            return (Double(high) * 67_108_864 + Double(low)) / 9_007_199_254_740_992
        }

        /// Marsaglia's polar method.
        private mutating func normal() -> Double {
            while true {
                let (x, y) = (2 * uniform() - 1, 2 * uniform() - 1)
                let square = x * x + y * y
                if square > 0 && square < 1 { return x * (-2 * Platform.logarithm(square) / square).squareRoot() }
            }
        }

        mutating func next(shape: Double) -> Double {
            if shape < 1 {
                let factor = Platform.power(1 - uniform(), 1 / shape)
                return next(shape: shape + 1) * factor
            }
            let d = shape - 1.0 / 3
            let c = 1 / (9 * d).squareRoot()
            while true {
                let x = normal()
                let v = (1 + c * x) * (1 + c * x) * (1 + c * x)
                guard v > 0 else { continue }
                if Platform.logarithm(1 - uniform()) < x * x / 2 + d - d * v + d * Platform.logarithm(v) {
                    return d * v
                }
            }
        }
    }
}
#endif

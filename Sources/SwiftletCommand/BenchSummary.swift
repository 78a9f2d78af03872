// Summary: mean, percentiles and spread of measured values, as numpy computes them (vLLM's reports do).
// Invariant: of no values at all everything is nil, which reports write as a dash or null.

package struct Summary: Sendable {
    private let sorted: [Double]

    package init(_ values: [Double]) { sorted = values.sorted() }

    package var count: Int { sorted.count }
    package var minimum: Double? { sorted.first }
    package var maximum: Double? { sorted.last }
    package var mean: Double? { sorted.isEmpty ? nil : sorted.reduce(0, +) / Double(sorted.count) }
    package var median: Double? { percentile(50) }

    /// Between the two nearest values on a straight line, as numpy.percentile does it.
    package func percentile(_ percent: Double) -> Double? {
        guard let last = sorted.last else { return nil }
        let place = Double(sorted.count - 1) * percent / 100
        let below = Int(place)
        guard below + 1 < sorted.count else { return last }
        return sorted[below] + (sorted[below + 1] - sorted[below]) * (place - Double(below))
    }

    /// The sample standard deviation; nil of fewer than two values.
    package var standardDeviation: Double? {
        guard let mean, sorted.count > 1 else { return nil }
        let squares = sorted.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (squares / Double(sorted.count - 1)).squareRoot()
    }
}

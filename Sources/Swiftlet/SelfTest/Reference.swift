// Reference: what the kernels have to compute, written down plainly: whole arrays, doubles, one row after the other.
// Used by the self-test alone. Invariant: nothing here is shared with a kernel.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

enum Reference {
    /// |a - b| / |b| in the Euclidean norm; infinite where something is not finite.
    static func distance(_ a: [Float], _ b: [Float]) -> Double {
        guard a.count == b.count else { return .infinity }
        var (difference, norm) = (0.0, 0.0)
        for (x, y) in zip(a, b) {
            difference += Double(x - y) * Double(x - y)
            norm += Double(y) * Double(y)
        }
        let result = norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
        return result.isFinite ? result : .infinity
    }

    /// Numbers in [-scale, scale) that a matrix of random weights has: `Backend.fillRandom`.
    static func weights(rows: Int, columns: Int, seed: UInt64, scale: Float) -> [Float] {
        func mix(_ value: UInt64) -> UInt64 {
            var x = value
            x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
            x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
            return x ^ (x >> 31)
        }
        return (0..<rows * columns).map { index in
            let key = mix(seed ^ mix(UInt64(index / columns) + 1))
            let bits = mix(key &+ UInt64(index % columns) &* 0x9E37_79B9_7F4A_7C15)
            return (Float(bits >> 40) * 0x1p-23 - 1) * scale
        }
    }

    /// Numbers in [-1, 1).
    static func values(_ count: Int, seed: UInt64) -> [Float] { weights(rows: 1, columns: count, seed: seed, scale: 1) }

    static func norm(_ row: ArraySlice<Float>, _ weight: [Float], epsilon: Float) -> [Float] {
        let squares = row.reduce(0.0) { $0 + Double($1) * Double($1) }
        let scale = 1 / (squares / Double(row.count) + Double(epsilon)).squareRoot()
        return zip(row, weight).map { Float(Double($0) * scale * Double($1)) }
    }

    /// x [rows, columns] times the transpose of w [outputs, columns].
    static func product(_ x: [Float], _ w: [Float], rows: Int, columns: Int) -> [Float] {
        let outputs = w.count / columns
        return (0..<rows * outputs).map { index in
            let (row, output) = (index / outputs * columns, index % outputs * columns)
            var sum = 0.0
            for column in 0..<columns { sum += Double(x[row + column]) * Double(w[output + column]) }
            return Float(sum)
        }
    }

    static func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }
    static func gelu(_ x: Double) -> Double { 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))) }
    static func capped(_ x: Double, _ cap: Float?) -> Double { cap.map { Double($0) * tanh(x / Double($0)) } ?? x }

    /// Dimensions d and d + half of the first `rope.count` ones are turned together.
    static func turned(_ head: [Float], _ rope: ArraySlice<Float>) -> [Float] {
        let (half, rope) = (rope.count / 2, Array(rope))
        var out = head
        for d in 0..<half {
            out[d] = head[d] * rope[d] - head[d + half] * rope[half + d]
            out[d + half] = head[d + half] * rope[d] + head[d] * rope[half + d]
        }
        return out
    }

    /// One query over keys and values [positions, headDim].
    static func attention(
        _ query: [Float], _ keys: [[Float]], _ values: [[Float]], scale: Float, softCap: Float?
    ) -> [Float] {
        let scores = keys.map { key in
            capped(zip(query, key).reduce(0.0) { $0 + Double($1.0) * Double($1.1) } * Double(scale), softCap)
        }
        let most = scores.max() ?? 0
        let weights = scores.map { exp($0 - most) }
        let total = weights.reduce(0, +)
        return query.indices.map { d in
            Float(zip(weights, values).reduce(0.0) { $0 + $1.0 * Double($1.1[d]) } / total)
        }
    }

    /// The token that a number of [0, 1) chooses: temperature, min_p, top_k, top_p, then by mass in the order of ids.
    /// nil when it hangs on a rounding error.
    static func token(_ logits: [Float], _ row: SampleRow) -> Int32? {
        let most = logits.max()!
        guard row.temperature > 0 else { return Int32(logits.firstIndex(of: most)!) }
        var weights = logits.map { exp(Double($0 - most) / Double(row.temperature)) }
        for id in weights.indices where weights[id] < Double(row.minP) { weights[id] = 0 }
        let order = weights.indices.sorted { (weights[$0], $1) > (weights[$1], $0) }
        if row.topK > 0 { for id in order.dropFirst(row.topK) { weights[id] = 0 } }
        let total = weights.reduce(0, +)
        var mass = 0.0
        for id in order {
            // The one that reaches top_p stays.
            if row.topP < 1 && mass >= Double(row.topP) * total { weights[id] = 0 }
            mass += weights[id]
        }
        let target = Double(row.uniform) * weights.reduce(0, +)
        var sum = 0.0
        for id in weights.indices where weights[id] > 0 {
            let start = sum
            sum += weights[id]
            if sum > target { return min(sum - target, target - start) < 1e-5 * sum ? nil : Int32(id) }
        }
        return nil
    }
}

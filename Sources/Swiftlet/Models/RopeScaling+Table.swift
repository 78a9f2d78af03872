// RopeTable: cosines and sines of all positions, made once at load and read by every layer.
// Angles are Float products of a Float position and a Float frequency, as in the reference; cosine and sine of
// exactly that angle are computed here in Double, which is fast (a long context has millions of them) and gives the
// same table on every machine, whatever its math library.
// Invariant: values is [positions, rotaryDimension]: rotaryDimension / 2 cosines, then as many sines.

package struct RopeTable: Sendable {
    package let positionCount: Int
    package let rotaryDimension: Int
    /// [positions, rotaryDimension]
    package let values: [Float]

    package init(_ scaling: RopeScaling, rotaryDimension: Int, positionCount: Int) {
        precondition(rotaryDimension > 2 && rotaryDimension.isMultiple(of: 2))
        precondition(positionCount > 0 && positionCount <= ModelConfig.Limits.positions)
        self.positionCount = positionCount
        self.rotaryDimension = rotaryDimension
        let (inverse, attentionFactor) = scaling.frequencies(
            rotaryDimension: rotaryDimension, maximumLength: positionCount)
        let half = rotaryDimension / 2
        values = [Float](unsafeUninitializedCapacity: positionCount * rotaryDimension) { buffer, count in
            for position in 0..<positionCount {
                let row = position * rotaryDimension
                for pair in 0..<half {
                    let (cosine, sine) = Self.circle(Double(Float(position) * inverse[pair]))
                    buffer.initializeElement(at: row + pair, to: Float(cosine) * attentionFactor)
                    buffer.initializeElement(at: row + half + pair, to: Float(sine) * attentionFactor)
                }
            }
            count = positionCount * rotaryDimension
        }
    }

    /// Cosine and sine of an angle from 0 to 2^24 that is a Float's value, to about 1e-13.
    @inline(__always)
    package static func circle(_ angle: Double) -> (cosine: Double, sine: Double) {
        // Adding 1.5 * 2^52 leaves the nearest integer in the low bits: quarter turns, counted.
        let shifted = angle * (2 / Double.pi) + 0x1.8p52
        let quarter = shifted - 0x1.8p52
        // A quarter turn in three parts, so short that the first two products are exact (Cody and Waite).
        let first = Double(bitPattern: (Double.pi / 2).bitPattern & ~0xFF_FFFF)
        let second = Double.pi / 2 - first
        let rest = ((angle - quarter * first) - quarter * second) - quarter * 6.123233995736766e-17
        // Taylor's series up to rest^15 and rest^14, for |rest| <= pi / 4.
        let square = rest * rest
        var odd = -1 / 1_307_674_368_000.0
        odd = odd * square + 1 / 6_227_020_800.0
        odd = odd * square - 1 / 39_916_800.0
        odd = odd * square + 1 / 362_880.0
        odd = odd * square - 1 / 5040.0
        odd = odd * square + 1 / 120.0
        odd = odd * square - 1 / 6.0
        let sine = rest + rest * square * odd
        var even = -1 / 87_178_291_200.0
        even = even * square + 1 / 479_001_600.0
        even = even * square - 1 / 3_628_800.0
        even = even * square + 1 / 40_320.0
        even = even * square - 1 / 720.0
        even = even * square + 1 / 24.0
        even = even * square - 0.5
        let cosine = 1 + square * even
        switch shifted.bitPattern & 3 {
        case 0: return (cosine, sine)
        case 1: return (-sine, cosine)
        case 2: return (-cosine, -sine)
        default: return (sine, -cosine)
        }
    }
}

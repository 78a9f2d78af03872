// RopeTable: cosines and sines of all positions, made once at load and read by every layer.
// Angles are Float products of a Float position and a Float frequency, as in the reference; cosine and sine are
// taken of exactly that angle, in Double, so that the table is the same on every machine's math library but for
// the last bit.
// Invariant: values is [positions, rotaryDimension]: rotaryDimension / 2 cosines, then as many sines.

package struct RopeTable: Sendable {
    package let positionCount: Int
    package let rotaryDimension: Int
    /// [positions, rotaryDimension]
    package let values: [Float]

    package init(_ scaling: RopeScaling, rotaryDimension: Int, positionCount: Int) {
        precondition(rotaryDimension > 2 && rotaryDimension.isMultiple(of: 2) && positionCount > 0)
        self.positionCount = positionCount
        self.rotaryDimension = rotaryDimension
        let (inverse, attentionFactor) = scaling.frequencies(
            rotaryDimension: rotaryDimension, maximumLength: positionCount)
        let half = rotaryDimension / 2
        values = [Float](unsafeUninitializedCapacity: positionCount * rotaryDimension) { buffer, count in
            for position in 0..<positionCount {
                let row = position * rotaryDimension
                for pair in 0..<half {
                    let angle = Double(Float(position) * inverse[pair])
                    let cosine = Float(Platform.cosine(angle)) * attentionFactor
                    let sine = Float(Platform.sine(angle)) * attentionFactor
                    buffer.initializeElement(at: row + pair, to: cosine)
                    buffer.initializeElement(at: row + half + pair, to: sine)
                }
            }
            count = positionCount * rotaryDimension
        }
    }
}

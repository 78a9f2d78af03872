// RopeScaling: how the angles of rotary embeddings are made from positions, as config.json describes it.
// Both forms are read: `rope_parameters` of transformers 5, and `rope_theta` with `rope_scaling` before it.
// The arithmetic follows the reference implementation step by step in Float, because what a model was trained and
// published with is that rounding: an exact angle at position 100,000 would be the wrong one.
// Invariant: every key of the rope description is known; one that is not is an error, never ignored.

package struct RopeScaling: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case standard
        case linear(factor: Double)
        case dynamic(factor: Double)
        case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalLength: Int)
        case yarn(Yarn)
        case longrope(Longrope)
    }

    /// YaRN's parameters (Peng et al. 2023), with the reference's defaults filled in.
    package struct Yarn: Sendable, Hashable {
        package var factor: Double
        package var originalLength: Int
        package var attentionFactor: Double
        package var betaFast: Double
        package var betaSlow: Double
        package var truncates: Bool
    }

    /// LongRoPE's parameters (Ding et al. 2024): each pair's wave is stretched by a factor of its own.
    package struct Longrope: Sendable, Hashable {
        /// Up to here the short factors count, beyond it the long ones.
        package var originalLength: Int
        package var shortFactors: [Double]
        package var longFactors: [Double]
        package var shortMagnitude: Double
        package var longMagnitude: Double
    }

    package var theta: Double
    package var kind: Kind
    /// `max_position_embeddings`.
    package var trainedLength: Int

    package init(theta: Double, kind: Kind, trainedLength: Int) {
        self.theta = theta
        self.kind = kind
        self.trainedLength = trainedLength
    }

    /// The longest context, as vLLM derives it: what linear, dynamic and yarn stretch is stretched here, while
    /// llama3's and longrope's models already count it in `max_position_embeddings`.
    package var maximumLength: Int {
        switch kind {
        case .standard, .llama3, .longrope: trainedLength
        case .linear(let factor), .dynamic(let factor): Self.scaled(trainedLength, by: factor)
        case .yarn(let yarn): Self.scaled(yarn.originalLength, by: yarn.factor)
        }
    }

    private static func scaled(_ length: Int, by factor: Double) -> Int {
        max(1, Int(min(Double(length) * factor, Double(ModelConfig.Limits.positions))))
    }

    /// Radians per position of each rotated pair, and what cosines and sines are multiplied by.
    ///
    /// - Parameter maximumLength: the longest sequence that will be run. `dynamic` and `longrope` depend on it, and
    ///   the engine fixes it at load, as vLLM does: rotated keys are cached, so that all tokens must be turned alike.
    ///   `dynamic` scales nothing up to `max_position_embeddings`; `longrope` takes its short factors up to the
    ///   original length. (transformers goes by the present length of each sequence.)
    package func frequencies(
        rotaryDimension: Int, maximumLength: Int
    ) -> (inverse: [Float], attentionFactor: Float) {
        switch kind {
        case .standard:
            return (Self.inverse(theta: theta, rotaryDimension: rotaryDimension), 1)
        case .linear(let factor):
            return (Self.inverse(theta: theta, rotaryDimension: rotaryDimension).map { $0 / Float(factor) }, 1)
        case .dynamic(let factor):
            let length = Double(max(maximumLength, trainedLength))
            let stretch = factor * length / Double(trainedLength) - (factor - 1)
            let dimension = Double(rotaryDimension)
            let base = theta * Platform.power(stretch, dimension / (dimension - 2))
            return (Self.inverse(theta: base, rotaryDimension: rotaryDimension), 1)
        case .llama3(let factor, let low, let high, let originalLength):
            let plain = Self.inverse(theta: theta, rotaryDimension: rotaryDimension)
            return (
                plain.map {
                    Self.llama3(
                        $0, factor: factor, lowFrequencyFactor: low, highFrequencyFactor: high,
                        originalLength: Double(originalLength))
                }, 1
            )
        case .yarn(let yarn):
            return (yarnInverse(yarn, rotaryDimension: rotaryDimension), Float(yarn.attentionFactor))
        case .longrope(let longrope):
            let isLong = maximumLength > longrope.originalLength
            let powers = Self.powers(theta: theta, rotaryDimension: rotaryDimension)
            let factors = isLong ? longrope.longFactors : longrope.shortFactors
            return (
                zip(factors, powers).map { 1 / (Float($0) * $1) },
                Float(isLong ? longrope.longMagnitude : longrope.shortMagnitude)
            )
        }
    }

    /// theta^(2i / dimension), rounded where the reference rounds.
    private static func powers(theta: Double, rotaryDimension: Int) -> [Float] {
        stride(from: 0, to: rotaryDimension, by: 2).map { index in
            let exponent = Float(index) / Float(rotaryDimension)
            return Float(Platform.power(Double(Float(theta)), Double(exponent)))
        }
    }

    private static func inverse(theta: Double, rotaryDimension: Int) -> [Float] {
        powers(theta: theta, rotaryDimension: rotaryDimension).map { 1 / $0 }
    }

    /// Long waves are stretched by the factor, short ones stay, those between are blended.
    private static func llama3(
        _ frequency: Float, factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double,
        originalLength: Double
    ) -> Float {
        let wavelength = Float(2 * Double.pi) / frequency
        if wavelength < Float(originalLength / highFrequencyFactor) { return frequency }
        if wavelength > Float(originalLength / lowFrequencyFactor) { return frequency / Float(factor) }
        let share =
            (Float(originalLength) / wavelength - Float(lowFrequencyFactor))
            / Float(highFrequencyFactor - lowFrequencyFactor)
        return (1 - share) * frequency / Float(factor) + share * frequency
    }

    /// Fast pairs keep their frequency, slow ones are divided by the factor, with a ramp between the pairs that turn
    /// `betaFast` and `betaSlow` times within the original length.
    private func yarnInverse(_ yarn: Yarn, rotaryDimension: Int) -> [Float] {
        func pair(turning rotations: Double) -> Double {
            let length = Double(yarn.originalLength)
            return Double(rotaryDimension) * Platform.logarithm(length / (rotations * 2 * Double.pi))
                / (2 * Platform.logarithm(theta))
        }
        var low = pair(turning: yarn.betaFast)
        var high = pair(turning: yarn.betaSlow)
        if yarn.truncates {
            low = low.rounded(.down)
            high = high.rounded(.up)
        }
        low = max(low, 0)
        high = min(high, Double(rotaryDimension - 1))
        if low == high { high += 0.001 }
        return Self.powers(theta: theta, rotaryDimension: rotaryDimension).enumerated().map { index, power in
            let ramp = min(max((Float(index) - Float(low)) / Float(high - low), 0), 1)
            let kept = 1 - ramp
            return 1 / (Float(yarn.factor) * power) * (1 - kept) + 1 / power * kept
        }
    }
}

// Generator: the seeded source of randomness of property tests (SplitMix64). A failing test prints its seed, and the
// seed alone makes the case again, on any machine.

struct Generator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Self.scramble(state)
    }

    mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    /// True with this probability.
    mutating func chance(_ probability: Double) -> Bool { Double(next() >> 11) * 0x1p-53 < probability }

    mutating func element<Element>(of choices: [Element]) -> Element { choices[int(0...(choices.count - 1))] }

    /// One hash of two values; different pairs collide as rarely as 64 bits allow.
    static func mix(_ first: UInt64, _ second: UInt64) -> UInt64 {
        scramble(scramble(first &+ 0x9E37_79B9_7F4A_7C15) ^ second)
    }

    private static func scramble(_ value: UInt64) -> UInt64 {
        var bits = value
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }
}

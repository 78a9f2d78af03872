// PythonRandom: CPython's `random.Random`, number for number, so that a workload is the same one as in Python.
// The generator is the Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998) with its array seeding.
// Invariant: after `init(seed:)` the calls give what `random.seed(seed)` and the same calls give in CPython 3.

package struct PythonRandom: Sendable {
    private static let size = 624
    private static let shift = 397

    private var state: [UInt32]
    private var position = PythonRandom.size

    /// `random.seed(seed)`: the integer's 32-bit words, lowest first, are the key.
    package init(seed: UInt64) {
        let (low, high) = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
        state = PythonRandom.scrambled(key: high == 0 ? [low] : [low, high])
    }

    /// The starting state of MT19937 for an array of words.
    private static func scrambled(key: [UInt32]) -> [UInt32] {
        var state = [UInt32](repeating: 19_650_218, count: size)
        for index in 1..<size {
            let before = state[index - 1]
            state[index] = 1_812_433_253 &* (before ^ before >> 30) &+ UInt32(index)
        }
        var index = 1
        func mixed(_ factor: UInt32) -> UInt32 {
            let before = state[index - 1]
            return state[index] ^ (before ^ before >> 30) &* factor
        }
        func advance() {
            index += 1
            if index == size {
                state[0] = state[size - 1]
                index = 1
            }
        }
        for step in 0..<max(size, key.count) {
            let place = step % key.count
            state[index] = mixed(1_664_525) &+ key[place] &+ UInt32(place)
            advance()
        }
        for _ in 1..<size {
            state[index] = mixed(1_566_083_941) &- UInt32(index)
            advance()
        }
        state[0] = 1 << 31
        return state
    }

    private mutating func refill() {
        for index in 0..<Self.size {
            let joined = state[index] & 1 << 31 | state[(index + 1) % Self.size] & ~(1 << 31)
            let twist: UInt32 = joined & 1 == 0 ? 0 : 0x9908_B0DF
            state[index] = state[(index + Self.shift) % Self.size] ^ joined >> 1 ^ twist
        }
        position = 0
    }

    private mutating func word() -> UInt32 {
        if position == Self.size { refill() }
        var word = state[position]
        position += 1
        word ^= word >> 11
        word ^= word << 7 & 0x9D2C_5680
        word ^= word << 15 & 0xEFC6_0000
        return word ^ word >> 18
    }

    /// `random.getrandbits(count)`, for 1...32 bits.
    package mutating func bits(_ count: Int) -> UInt32 { word() >> UInt32(32 - count) }

    /// `random.randint(first, last)`, for a range of fewer than 2^32 numbers.
    package mutating func integer(in range: ClosedRange<Int>) -> Int {
        let count = UInt32(range.count)
        let width = 32 - count.leadingZeroBitCount
        // CPython draws as many bits as the count has, and again while they are too many.
        while true {
            let drawn = bits(width)
            if drawn < count { return range.lowerBound + Int(drawn) }
        }
    }
}

// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
// A pure function: the same key and counter give the same number, on any thread, in any order, on a GPU as well.

package enum Philox {
    /// A number in [0, 1) for the token that choice `choice` of a request with this seed has at `position`.
    package static func uniform(seed: UInt64, choice: Int, position: Int) -> Float {
        let word = block(
            key: (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)),
            counter: (UInt32(truncatingIfNeeded: position), UInt32(truncatingIfNeeded: choice), 0, 0)
        ).0
        return Float(word >> 8) * 0x1p-24
    }

    package static func block(
        key: (UInt32, UInt32), counter: (UInt32, UInt32, UInt32, UInt32)
    ) -> (UInt32, UInt32, UInt32, UInt32) {
        var (key, counter) = (key, counter)
        for _ in 0..<10 {
            let first = UInt64(0xD251_1F53) * UInt64(counter.0)
            let second = UInt64(0xCD9E_8D57) * UInt64(counter.2)
            counter = (
                UInt32(second >> 32) ^ counter.1 ^ key.0, UInt32(truncatingIfNeeded: second),
                UInt32(first >> 32) ^ counter.3 ^ key.1, UInt32(truncatingIfNeeded: first)
            )
            key = (key.0 &+ 0x9E37_79B9, key.1 &+ 0xBB67_AE85)
        }
        return counter
    }
}

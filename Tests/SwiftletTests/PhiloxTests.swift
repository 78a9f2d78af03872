// Philox4x32-10 against the known answers that its authors publish with Random123, and the uniform numbers made of it.

import Swiftlet
import Testing

@Suite("Philox")
struct PhiloxTests {
    typealias Words = (UInt32, UInt32, UInt32, UInt32)

    @Test("Random123's known answers")
    func knownAnswers() {
        let ones = UInt32.max
        let cases: [(counter: Words, key: (UInt32, UInt32), expected: Words)] = [
            ((0, 0, 0, 0), (0, 0), (0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8)),
            ((ones, ones, ones, ones), (ones, ones), (0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD)),
            (
                (0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344), (0xA409_3822, 0x299F_31D0),
                (0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1)
            ),
        ]
        for (counter, key, expected) in cases {
            #expect(Philox.block(key: key, counter: counter) == expected)
        }
    }

    @Test("Uniform numbers lie in [0, 1) and fill it evenly")
    func uniformNumbers() {
        var bins = [Int](repeating: 0, count: 16)
        let count = 16_000
        for position in 0..<count {
            let value = Philox.uniform(seed: 7, choice: 0, position: position)
            #expect(value >= 0 && value < 1)
            bins[Int(value * 16)] += 1
        }
        // 1000 are expected in each; the standard deviation is 31.
        #expect(bins.allSatisfy { abs($0 - 1000) < 160 })
    }

    @Test("Seed, choice and position each matter, the seed with all its bits")
    func eachPartMatters() {
        let base = Philox.uniform(seed: 1, choice: 0, position: 5)
        #expect(base == Philox.uniform(seed: 1, choice: 0, position: 5))
        #expect(base != Philox.uniform(seed: 2, choice: 0, position: 5))
        #expect(base != Philox.uniform(seed: 1 | 1 << 40, choice: 0, position: 5))
        #expect(base != Philox.uniform(seed: 1, choice: 1, position: 5))
        #expect(base != Philox.uniform(seed: 1, choice: 0, position: 6))
    }
}

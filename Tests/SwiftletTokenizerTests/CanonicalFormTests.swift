// Normalization forms C and D against the standard library's canonical equivalence.
// Owned by this test target.
// Invariant: every Unicode scalar is tried.

import SwiftletTokenizer
import SwiftletTestSupport
import Testing

@Suite struct CanonicalFormTests {
    private func composed(_ text: String) -> String { CanonicalForm.normalized(text, isComposing: true) }
    private func decomposed(_ text: String) -> String { CanonicalForm.normalized(text, isComposing: false) }

    private func scalars(_ text: String) -> [UInt32] { text.unicodeScalars.map(\.value) }

    @Test func keepsEveryScalarEquivalent() {
        var changed = 0
        for value in UInt32(0)...0x10FFFF {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let text = String(Character(scalar))
            let form = composed(text)
            let parts = decomposed(text)
            // String's == is canonical equivalence.
            if form != text || parts != text { Issue.record("U+\(String(value, radix: 16))") }
            if scalars(composed(parts)) != scalars(form) { Issue.record("U+\(String(value, radix: 16)) by parts") }
            if scalars(form) != [value] { changed += 1 }
        }
        // Singletons and excluded compositions; their number is fixed by the standard's stability policy.
        #expect(changed == 1120)
    }

    @Test(
        arguments: [
            ("e\u{301}", [0xE9]), ("\u{212B}", [0xC5]), ("\u{1100}\u{1161}\u{11A8}", [0xAC01]),
            ("\u{AC00}\u{11A8}", [0xAC01]),
            ("a\u{323}\u{302}", [0x1EAD]), ("a\u{302}\u{323}", [0x1EAD]), ("\u{958}", [0x915, 0x93C]),
            ("a\u{315}\u{300}", [0xE0, 0x315]), ("e\u{301}\u{301}", [0xE9, 0x301]), ("\u{1D15E}", [0x1D157, 0x1D165]),
            ("q\u{307}\u{323}", [0x71, 0x323, 0x307]), ("\u{301}e", [0x301, 0x65]),
        ] as [(String, [UInt32])])
    func composesAsTheStandardSays(text: String, form: [UInt32]) {
        #expect(scalars(composed(text)) == form)
        #expect(scalars(composed(decomposed(text))) == form)
    }

    @Test func compatibilityFormsAreStable() {
        var changed = 0
        // Behind these there is nothing that is or becomes another.
        for value in UInt32(0)..<0x30000 {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let text = String(Character(scalar))
            let form = CanonicalForm.normalized(text, isComposing: true, isCompatible: true)
            let parts = CanonicalForm.normalized(text, isComposing: false, isCompatible: true)
            let again = CanonicalForm.normalized(parts, isComposing: true, isCompatible: true)
            if scalars(again) != scalars(form) { Issue.record("U+\(String(value, radix: 16))") }
            if scalars(composed(text)) != scalars(form) { changed += 1 }
        }
        // Those with a compatibility decomposition, by themselves or in a part; Unicode 9.0.
        #expect(changed > 3_600 && changed < 3_800, "\(changed)")
    }

    @Test func isStableOnRandomText() {
        var random = SeededGenerator(seed: 42)
        let ranges: [ClosedRange<UInt32>] = [
            0x41...0x24F, 0x300...0x36F, 0x900...0xDFF, 0x1100...0x11FF, 0xAC00...0xAD00,
        ]
        for round in 0..<20_000 {
            var text = ""
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let range = ranges.randomElement(using: &random)!
                text.unicodeScalars.append(Unicode.Scalar(UInt32.random(in: range, using: &random))!)
            }
            let form = composed(text)
            #expect(form == text, "seed 42 round \(round)")
            #expect(scalars(composed(form)) == scalars(form), "seed 42 round \(round)")
            #expect(scalars(composed(decomposed(text))) == scalars(form), "seed 42 round \(round)")
        }
    }
}

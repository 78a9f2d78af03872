// The matcher for the patterns of tokenizer files: constructs, limits, and patterns made to hurt.
// Owned by this test target.
// Invariant: expected matches follow Oniguruma, the engine of the reference implementation.

import SwiftletTestSupport
import SwiftletTokenizer
import Testing

@Suite struct RegexTests {
    @Test(arguments: [
        (#"a+b?"#, "aab a b", ["aab", "a"]),
        (#"(?i:'s|'LL)"#, "x'S'll's'ſ", ["'S", "'ll", "'s", "'ſ"]),
        (#"(?i)k"#, "kK\u{212A}q", ["k", "K", "\u{212A}"]),
        (#"\p{L}+|\p{N}{1,3}"#, "ab1234Ⅷé中", ["ab", "123", "4Ⅷ", "é中"]),
        (#"\s+(?!\S)|\s+"#, "a   b  ", ["  ", " ", "  "]),
        (#"\s*[\r\n]+"#, "a \n\n b", [" \n\n"]),
        (#"[^\s\p{L}]+"#, "a1! 2\u{3000}.", ["1!", "2", "."]),
        (#"[\p{L}&&[^a-c]]+"#, "abcdef中", ["def中"]),
        (#"[^(\s|[.,])]+"#, "a,b (c)", ["a", "b", "c"]),
        (#"(?=(\d{3})+(?!\d))"#, "1234567", ["", ""]),
        (#"(?:ab|a)(?:c|bcd)"#, "abcd", ["abc"]),
        (#"(?>a+)ab|b"#, "aab", ["b"]),
        (#"a++a|b"#, "aab", ["b"]),
        (#"a*?b|c{2}|d{2,}|e{,2}f"#, "aabccdddeef", ["aab", "cc", "ddd", "eef"]),
        (#"(?:a*)*b"#, "aaab", ["aaab"]),
        (#"^a|b$"#, "ab\nab", ["a", "b", "a", "b"]),
        (#"\ba|\Ab"#, "a ab ba", ["a", "a"]),
        (#"[\u4e00-\u9fa5\x{3041}-ん]+"#, "a中ひb", ["中ひ"]),
        (#"\p{Han}+|\p{^L}"#, "漢x1", ["漢", "1"]),
        (#"[[:alpha:]]+|[[:punct:]]"#, "ab+1", ["ab", "+"]),
        (#"[[:punct:]]+|\p{Punct}x"#, "$▁.!x", ["$▁.!"]), (#"\w+"#, "Ⅷa_\u{301}ⓐ²½-³", ["Ⅷa_\u{301}ⓐ²½", "³"]),
        (#"[]a-]+|\h"#, "]-a f", ["]-a", "f"]),
        (#"x{,}|a{b"#, "a{b x{,}", ["a{b", "x{,}"]),
        (#"a*"#, "baac", ["", "aa", ""]),
        (#"(?<=a)b|(?<!a)c"#, "abcac", ["b", "c"]),
        (#"(?<=é中|x{2})."#, "é中1xx2x3", ["1", "2"]),
        (#"(?<!^|a|bc)d"#, "dadbcded", ["d"]),
        (#"\R"#, "a\r\n\n\u{2028}", ["\r\n", "\n", "\u{2028}"]),
        (#"(?i)σ+|ß|[à-þ]"#, "Σς\u{1E9E}Å\u{212B}", ["Σς", "\u{1E9E}", "Å", "\u{212B}"]),
        (#"[[:upper:]]+|[[:word:]]"#, "ⅣA²a", ["ⅣA", "a"]),
    ])
    func matches(pattern: String, text: String, found: [String]) throws {
        #expect(try RegexMatcher.matches(of: pattern, in: text) == found)
    }

    @Test(arguments: [
        "(", ")", "[a", "a{3,2}", "*", "a{2000}", #"\p{Klingon}"#, #"\p{L"#, "(?<=a*)b", "(?<!a{1,2})b", "(?<=a",
        #"\X"#, #"\q"#, "[b-a]", #"\x{110000}"#,
        "(?z)", #"a\"#, "((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))))",
        "(?:(?:(?:a{900}){900}){900}){900}", "(?:(?:(?:){1000}){1000}){1000}",
    ])
    func refuses(pattern: String) {
        #expect(throws: TokenizerError.self) { try RegexMatcher.matches(of: pattern, in: "a") }
    }

    @Test(arguments: [
        "(?:a*)*b", "(?:a|a)*b", "(?:a|aa)+$", "a*a*a*a*a*a*b", "(?:(?:a+)+)+b", "a+b", "(?=a*b)", "(?:a?){1000}b",
        "(?:(?<=a{255})a*)*b",
    ])
    func boundsTheWorkOfHostilePatterns(pattern: String) throws {
        let start = ContinuousClock.now
        _ = try RegexMatcher.matches(of: pattern, in: String(repeating: "a", count: 100_000))
        #expect(ContinuousClock.now - start < .seconds(20))
    }

    @Test(.timeLimit(.minutes(FuzzRun.limitInMinutes))) func survivesRandomPatterns() throws {
        let run = FuzzRun(seconds: 2, seed: 9)
        var random = SeededGenerator(seed: run.seed)
        let parts =
            Array(#"ab[](){}^$|*+?.\\pLNsSd-&:=!<>i,13é"#).map(String.init) + [#"\p{L}"#, "(?:", "(?!", "[^", "{1,3}"]
        var compiled = 0
        while run.goesOn {
            let pattern = (0..<Int.random(in: 1...12, using: &random)).map { _ in parts.randomElement(using: &random)! }
            guard let found = try? RegexMatcher.matches(of: pattern.joined(), in: "abé aab11 \nLNs") else { continue }
            compiled += 1
            #expect(found.joined().utf8.count <= 15, "seed \(run.seed)")
        }
        #expect(compiled > 100)
    }
}

// What encoding and decoding do, component by component, on small files whose answers are known by hand.
// Owned by this test target.
// Invariant: no test depends on files from outside.

import SwiftletTestSupport
import SwiftletTokenizer
import Testing

@Suite struct TokenizerTests {
    @Test func encodesByteLevel() throws {
        let tokenizer = try Tokenizer(json: Fixture.byteLevel)
        #expect(tokenizer.tokens("hello world") == ["hello", "Ġworld"])
        #expect(tokenizer.tokens("hello, held") == ["hello", ",", "Ġ", "he", "ld"])
        #expect(tokenizer.tokens("é中") == ["Ã©", "ä", "¸", "Ń"])
        #expect(tokenizer.tokens("a   b") == ["a", "ĠĠ", "Ġ", "b"])
        #expect(tokenizer.tokens("") == [])
        #expect(tokenizer.decode(tokenizer.encode("hello\n\u{0} 中🙂")) == "hello\n\u{0} 中🙂")
        #expect(tokenizer.vocabularySize == 256 + Fixture.byteLevelMerges.count + 2)
        #expect(tokenizer.id(of: "hello") == 259 && tokenizer.token(259) == "hello")
        #expect(tokenizer.token(-1) == nil && tokenizer.token(9999) == nil && tokenizer.id(of: "none") == nil)
    }

    @Test func mergesOnlyWithinPieces() throws {
        let whole = try Tokenizer(json: Fixture.byteLevel(options: #""type":"BPE","ignore_merges":true"#))
        #expect(whole.tokens("hello") == ["hello"])
        // Without the merge list's help "Ġworld" is found because it is in the vocabulary.
        #expect(whole.tokens(" world") == ["Ġworld"])
        let digits =
            #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":"ll"},"#
            + #""behavior":"Isolated"},{"type":"ByteLevel","add_prefix_space":true,"use_regex":false}]}"#
        let tokenizer = try Tokenizer(json: Fixture.byteLevel(preTokenizer: digits))
        #expect(tokenizer.tokens("hello") == ["Ġ", "he", "Ġ", "ll", "Ġ", "o"])
    }

    @Test func findsAddedTokens() throws {
        let tokenizer = try Tokenizer(json: Fixture.byteLevel)
        let end = try #require(tokenizer.id(of: "<|end|>"))
        #expect(end == 269 && tokenizer.isSpecial(end) && !tokenizer.isSpecial(270))
        #expect(tokenizer.tokens("hello<|end|>hello<tool>") == ["hello", "<|end|>", "hello", "<tool>"])
        let ids = tokenizer.encode("hello<|end|><tool>")
        #expect(tokenizer.decode(ids) == "hello<tool>")
        #expect(tokenizer.decode(ids, skipSpecialTokens: false) == "hello<|end|><tool>")
        #expect(tokenizer.decode([end, 12345, -7, end], skipSpecialTokens: false) == "<|end|><|end|>")
    }

    @Test func honoursTheFlagsOfAddedTokens() throws {
        let added =
            #"{"content":"<l>","lstrip":true},{"content":"<r>","rstrip":true},"#
            + #"{"content":"hell","single_word":true},{"content":"<l><l>"},{"content":"HE","normalized":true}"#
        let tokenizer = try Tokenizer(
            json: Fixture.byteLevel(added: added, normalizer: #"{"type":"Lowercase"}"#))
        #expect(tokenizer.tokens("a \t <l> b") == ["a", "<l>", "Ġ", "b"])
        #expect(tokenizer.tokens("a <r> \n b") == ["a", "Ġ", "<r>", "b"])
        #expect(tokenizer.tokens("a<l><l><l>") == ["a", "<l><l>", "<l>"])
        // "hell" inside of a word is no match; "HE" is looked for in lowercase.
        #expect(tokenizer.tokens("hell.") == ["hell", "."])
        #expect(tokenizer.tokens("ahell") == ["a", "hell"])
        #expect(tokenizer.tokens("ahex") == ["a", "HE", "x"])
    }

    @Test func encodesSentencePieceStyle() throws {
        let tokenizer = try Tokenizer(json: Fixture.sentencePiece())
        #expect(tokenizer.tokens("ab c abc") == ["▁ab", "▁c", "▁ab", "c"])
        #expect(tokenizer.tokens("aé中") == ["▁", "a", "é", "<0xE4>", "<0xB8>", "<0xAD>"])
        #expect(tokenizer.tokens("ab", addSpecialTokens: true) == ["<s>", "▁ab"])
        #expect(tokenizer.decode(tokenizer.encode("ab  c中\nb")) == "ab  c中\nb")
        // A run of bytes that is no UTF-8 becomes one replacement character a byte, valid parts included.
        let bytes = [0xC3, 0xA9, 0xE4].map { TokenID($0 + 2) }
        #expect(tokenizer.decode(bytes) == "\u{FFFD}\u{FFFD}\u{FFFD}")
        #expect(tokenizer.decode(Array(bytes[..<2])) == "é")
    }

    @Test func replacesUnknownCharacters() throws {
        let fused = #""type":"BPE","unk_token":"<unk>","fuse_unk":true"#
        let single = #""type":"BPE","unk_token":"<unk>","fuse_unk":false"#
        #expect(try Tokenizer(json: Fixture.sentencePiece(options: fused)).tokens("axyb") == ["▁", "a", "<unk>", "b"])
        #expect(
            try Tokenizer(json: Fixture.sentencePiece(options: single)).tokens("axyb")
                == ["▁", "a", "<unk>", "<unk>", "b"])
        #expect(try Tokenizer(json: Fixture.sentencePiece(options: #""type":"BPE""#)).tokens("axb") == ["▁ab"])
        // Long pieces are cut where no merge reaches across; unknown characters must not be cut off their neighbours.
        let long = String(repeating: "abcx ", count: 50) + "yy"
        let tokens = try Tokenizer(json: Fixture.sentencePiece(options: fused)).tokens(long)
        #expect(tokens.count == 50 * 3 + 2 && tokens.suffix(2) == ["▁", "<unk>"])
        #expect(tokens.prefix(6) == ["▁ab", "c", "<unk>", "▁ab", "c", "<unk>"])
    }

    @Test(arguments: [
        (#"{"type":"Digits","individual_digits":false}"#, "a12b", ["a", "12", "b"]),
        (#"{"type":"Digits","individual_digits":true}"#, "a12b", ["a", "1", "2", "b"]),
        (#"{"type":"Punctuation"}"#, "a,.b«", ["a", ",", ".", "b", "«"]),
        (#"{"type":"Punctuation","behavior":"MergedWithPrevious"}"#, "a,.b", ["a,", ".", "b"]),
        (#"{"type":"Punctuation","behavior":"MergedWithNext"}"#, "a,.b,", ["a", ",", ".b", ","]),
        (#"{"type":"Punctuation","behavior":"Contiguous"}"#, "a,.b", ["a", ",.", "b"]),
        (#"{"type":"Punctuation","behavior":"Removed"}"#, "a,.b", ["a", "b"]),
        (#"{"type":"WhitespaceSplit"}"#, " a\u{3000}b, ", ["a", "b,"]),
        (#"{"type":"Whitespace"}"#, "a b,c\u{200D}²", ["a", "b", ",", "c\u{200D}", "²"]),
        // A match that is empty keeps its neighbours apart and is no piece.
        (
            #"{"type":"Split","pattern":{"Regex":"x*"},"behavior":"MergedWithPrevious","invert":true}"#, "ab",
            ["a", "b"]
        ),
        (#"{"type":"Split","pattern":{"Regex":"(?=b)"},"behavior":"Isolated"}"#, "abab", ["a", "ba", "b"]),
        (
            #"{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},"#
                + #"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}]}"#, " a b", ["a", "b"]
        ),
        (#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}"#, "a  b", ["▁a", "▁", "▁b"]),
        (#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false}"#, "a b", ["a▁b"]),
        (#"{"type":"Metaspace","replacement":"▁","add_prefix_space":true}"#, " a", ["▁a"]),
        (#"{"type":"Split","pattern":{"Regex":"b+"},"behavior":"Removed","invert":true}"#, "abbab", ["bb", "b"]),
        (#"{"type":"Split","pattern":{"String":"ab"},"behavior":"Isolated"}"#, "xabab", ["x", "ab", "ab"]),
    ])
    func cutsText(component: String, text: String, pieces: [String]) throws {
        let tokenizer = try Tokenizer(json: Fixture.byteLevel(preTokenizer: component))
        #expect(tokenizer.pieces(of: text) == pieces)
    }

    @Test(arguments: [
        (#"{"type":"Strip","strip_left":true,"strip_right":false}"#, " \n a ", "a "),
        (#"{"type":"Strip","strip_left":true,"strip_right":true}"#, "\u{3000}a ", "a"),
        (#"{"type":"Lowercase"}"#, "AÉİß", "aéi\u{307}ß"),
        (#"{"type":"Prepend","prepend":"▁"}"#, "a", "▁a"),
        (#"{"type":"Replace","pattern":{"Regex":"\\s+"},"content":"_"}"#, "a \n b ", "a_b_"),
        (#"{"type":"Replace","pattern":{"String":"aa"},"content":"b"}"#, "aaa", "ba"),
        (#"{"type":"NFKC"}"#, "ﬁ ２\u{FDFA}e\u{301}ｶ\u{FF9E}", "fi 2صلى الله عليه وسلمéガ"),
        (#"{"type":"NFKD"}"#, "①Å가㎏", "1A\u{30A}\u{1100}\u{1161}kg"),
        (#"{"type":"StripAccents"}"#, "e\u{301}é\u{20DD}", "eé"),
        (#"{"type":"Nmt"}"#, "a\u{1}\u{200B}b\t", "a b "),
        (#"{"type":"BertNormalizer"}"#, "Ä\u{0}中\t", "a 中  "),
        (#"{"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"Prepend","prepend":"A"}]}"#, "B", "Ab"),
    ])
    func normalizes(component: String, text: String, normalized: String) throws {
        let tokenizer = try Tokenizer(
            json: Fixture.byteLevel(normalizer: component, preTokenizer: "null"))
        #expect(tokenizer.pieces(of: text) == [normalized])
    }

    @Test func namesWhatItDoesNotSupport() {
        func message(_ json: [UInt8]) -> String {
            do {
                _ = try Tokenizer(json: json)
                return ""
            } catch {
                return "\(error)"
            }
        }
        #expect(message(Fixture.byteLevel(normalizer: #"{"type":"Foo"}"#)) == "normalizer type Foo is not supported")
        #expect(
            message(Fixture.byteLevel(preTokenizer: #"{"type":"Bar"}"#)) == "pre_tokenizer type Bar is not supported")
        #expect(message(Fixture.byteLevel(options: #""type":"Foo""#)) == "model type Foo is not supported")
        #expect(message(Fixture.byteLevel(options: #""type":"BPE","dropout":0.1"#)).contains("dropout"))
        #expect(message(Fixture.byteLevel(postProcessor: #"{"type":"X"}"#)) == "post_processor type X is not supported")
        #expect(message(Fixture.sentencePiece(decoder: #"{"type":"CTC"}"#)) == "decoder type CTC is not supported")
        #expect(message(Array("{}".utf8)) == "model is missing")
        #expect(message(Array("{".utf8)).hasPrefix("not valid JSON: "))
        let merge = #"{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}}"#
        #expect(message(Array(merge.utf8)).hasPrefix("model BPE: merge 0 is not a pair of tokens"))
        let bytes = Array(repeating: #"{"type":"ByteLevel"}"#, count: 20).joined(separator: ",")
        let growing = Fixture.byteLevel(preTokenizer: #"{"type":"Sequence","pretokenizers":[\#(bytes)]}"#)
        #expect(message(growing).hasPrefix("pre_tokenizer: can make text over 4096 times longer"))
        let escaped = #"{"model":{"type":"BPE","vocab":{"a":0,"\n":1,"a\n":2},"merges":["a \u000a",["a","\n","a"]]}}"#
        #expect(message(Array(escaped.utf8)).hasPrefix("model BPE: merge 1 is not a pair of tokens"))
        let id = #"{"model":{"type":"BPE","vocab":{"a":99999999999},"merges":[]}}"#
        #expect(message(Array(id.utf8)).contains("outside of 0..."))
        func model(_ text: String) -> [UInt8] { Array(#"{"model":{\#(text)}}"#.utf8) }
        #expect(
            message(model(#""type":"Unigram","vocab":{"a":0}"#)).hasPrefix("model Unigram: vocab is missing or not"))
        #expect(
            message(model(#""type":"Unigram","vocab":[["a",0],["b"]]"#)).hasPrefix("model Unigram: entry 1 of vocab"))
        #expect(message(model(#""vocab":[["a",1e400]]"#)).hasPrefix("model Unigram: entry 0 of vocab"))
        #expect(message(model(#""vocab":[["a",0]],"unk_id":1"#)).hasPrefix("model Unigram: unk_id is not"))
        let long = String(repeating: "a", count: 2000)
        #expect(message(model(#""vocab":[["\#(long)",0]]"#)).contains("longer than 1024 bytes"))
        #expect(message(model(#""type":"WordPiece","vocab":{"a":"b"}"#)).contains("is not an integer"))
        #expect(message(model(#""vocab":{"a":0}"#)) == "model: type is missing")
        func map(_ text: String) -> String {
            message(Fixture.byteLevel(normalizer: #"{"type":"Precompiled","precompiled_charsmap":"\#(text)"}"#))
        }
        #expect(map("AAA").contains("is not base64") && map("A===").contains("is not base64"))
        #expect(map("CAAAAAAAAAA=").contains("has no trie that fits"))
        // One unit that says its replacement lies at 16, in a text of none.
        #expect(map("BAAAABAAAIA=").contains("has a replacement at 16"))
        #expect(map("BAAAAAAAAAD/").contains("not UTF-8"))
        let bert = #"{"type":"BertProcessing","sep":["a",0],"cls":["b",1]}"#
        let twice = Fixture.byteLevel(postProcessor: #"{"type":"Sequence","processors":[\#(bert),\#(bert)]}"#)
        #expect(message(twice).contains("more than one"))
        #expect(throws: TokenizerError.self) { try Tokenizer(contentsOf: "/nonexistent/tokenizer.json") }
    }

    @Test func longInputWithoutSpacesIsNearLinear() throws {
        let count = 1 << 20
        let text = String(repeating: "a", count: count)
        let start = ContinuousClock.now
        let ids = try Tokenizer(json: Fixture.byteLevel).encode(text)
        #expect(ids.count == count / 4)
        let letters: [Character] = ["a", "b", "c", "é"]
        var random = SeededGenerator(seed: 3)
        let mixed = String((0..<count / 2).map { _ in letters[Int.random(in: 0..<4, using: &random)] })
        let sentencePiece = try Tokenizer(json: Fixture.sentencePiece())
        #expect(sentencePiece.decode(sentencePiece.encode(mixed)) == mixed)
        // Seconds on a slow machine; hours if merging were quadratic.
        #expect(ContinuousClock.now - start < .seconds(30))
    }

    @Test func spacesThatATokenHasTakenAreNotFoundAgain() throws {
        let added = #"{"content":"\n","lstrip":true,"rstrip":true},{"content":" ","lstrip":true}"#
        let tokenizer = try Tokenizer(json: Fixture.byteLevel(added: added))
        #expect(tokenizer.tokens("a\n\n b") == ["a", "\n", "b"])
        #expect(tokenizer.tokens("a  b") == ["a", " ", " ", "b"])
    }

    @Test func whatLosesItsStartIsNotTheStart() throws {
        let first = #"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}"#
        let strip = #"{"type":"Strip","strip_left":true,"strip_right":false}"#
        let tokenizer = try Tokenizer(json: Fixture.sentencePiece(normalizer: strip, preTokenizer: first))
        #expect(tokenizer.tokens("ab") == ["▁ab"] && tokenizer.tokens(" ab") == ["ab"])
    }

    @Test(.timeLimit(.minutes(FuzzRun.limitInMinutes))) func survivesMutation() throws {
        let run = FuzzRun(seconds: 5, seed: 5)
        var random = SeededGenerator(seed: run.seed)
        let seeds = [Fixture.byteLevel(normalizer: #"{"type":"NFC"}"#), Fixture.sentencePiece()]
        var loaded = 0
        var rounds = 0
        while run.goesOn {
            rounds += 1
            let bytes = mutated(seeds[rounds % 2], using: &random)
            guard let tokenizer = try? Tokenizer(json: bytes) else { continue }
            loaded += 1
            let ids = tokenizer.encode("hello <|end|> wörld\u{301} 中 123 ab\n\n🙂<s>")
            _ = tokenizer.decode(ids + [0, 300, -1, .max, .min], skipSpecialTokens: rounds % 3 == 0)
        }
        #expect(loaded > 20 && rounds > loaded, "\(loaded) of \(rounds), seed \(run.seed)")
    }
}

// Text as it comes: stop strings wherever they lie, and characters that are never split. On the demo model's tokenizer,
// first the Detokenizer alone, then whole requests.

import Foundation
import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("Detokenizer and stop strings", .serialized)
struct DetokenizerTests {
    let tokenizer: Tokenizer

    init() throws { tokenizer = try Tokenizer(json: try #require(try ModelLoader.demoModel.data("tokenizer.json"))) }

    /// A text as this detokenizer gives it, piece by piece, until a stop string.
    struct Run {
        var pieces: [String] = []
        var stop: String?
        var tokenCount = 0
        var text: String { pieces.joined() }
    }

    func run(_ ids: [TokenID], _ params: SamplingParams) -> Run {
        var detokenizer = Detokenizer(tokenizer: tokenizer, prompt: [tokenizer.encode("a")[0]], params: params)
        var run = Run()
        for id in ids {
            run.tokenCount += 1
            let (text, stop) = detokenizer.append(id, looksForStops: run.tokenCount > params.minTokens)
            run.pieces.append(text)
            run.stop = stop
            if stop != nil { return run }
        }
        run.pieces.append(detokenizer.finish())
        return run
    }

    /// One token a character, so that strings cross tokens.
    func characters(_ text: String) -> [TokenID] { text.flatMap { tokenizer.encode(String($0)) } }

    @Test("A stop string inside of a token, over several tokens, and at the very end")
    func wherever() {
        let text = "The little red boat went over the river and came home."
        for ids in [tokenizer.encode(text), characters(text)] {
            #expect(tokenizer.decode(ids) == text)
            for stop in ["ittl", " red boat", "home.", ".", "The", "over the river"] {
                let start = text.ranges(of: stop)[0]
                let plain = run(ids, SamplingParams(stop: [stop]))
                #expect(plain.stop == stop && plain.text == String(text[..<start.lowerBound]))
                let kept = run(ids, SamplingParams(stop: [stop], includeStopStringInOutput: true))
                #expect(kept.stop == stop && kept.text == String(text[..<start.upperBound]))
                // It ends with the very token that completes the stop string.
                let before = tokenizer.decode(ids.prefix(plain.tokenCount - 1))
                #expect(!before.contains(stop) && tokenizer.decode(ids.prefix(plain.tokenCount)).contains(stop))
            }
        }
    }

    @Test("Of several the earliest wins, at one place the one listed first")
    func several() {
        let ids = characters("one two three four")
        #expect(run(ids, SamplingParams(stop: ["four", "three", "zwei"])).stop == "three")
        #expect(run(ids, SamplingParams(stop: ["two thr", "wo"])).text == "one t")
        #expect(run(tokenizer.encode("abc"), SamplingParams(stop: ["bc", "b"])).stop != nil)
        #expect(run(ids, SamplingParams(stop: ["tw", "two"])).stop == "tw")
    }

    @Test("What begins like a stop string and is none comes in the end, and no later than it must")
    func prefixes() {
        let text = "aab aaab aabaac"
        let ids = characters(text)
        let run = run(ids, SamplingParams(stop: ["aabaad"]))
        #expect(run.stop == nil && run.text == text)
        #expect(self.run(characters("the en"), SamplingParams(stop: ["end"])).text == "the en")
        #expect(self.run(characters("aaaaab"), SamplingParams(stop: ["aaab"])).text == "aa")
        // Nothing is held back that can't begin the stop string.
        var detokenizer = Detokenizer(tokenizer: tokenizer, prompt: [], params: SamplingParams(stop: ["xyz"]))
        for id in tokenizer.encode("plain words") {
            #expect(detokenizer.append(id, looksForStops: true).text == tokenizer.decode([id]))
        }
    }

    @Test("Stop strings of more than one byte a character")
    func multiByte() {
        let text = "naïve 日本語 text"
        for ids in [tokenizer.encode(text), characters(text)] {
            #expect(run(ids, SamplingParams(stop: ["本"])).text == "naïve 日")
            #expect(run(ids, SamplingParams(stop: ["ïv"], includeStopStringInOutput: true)).text == "naïv")
            #expect(run(ids, SamplingParams(stop: ["日語"])).text == text)
        }
    }

    @Test("min_tokens delays stop strings; one that its end completes later still counts")
    func minTokens() {
        let ids = characters("stop, stop, stop")
        let delayed = run(ids, SamplingParams(minTokens: 4, stop: ["stop"]))
        #expect(delayed.stop == "stop" && delayed.text == "stop, ")
        let crossing = run(ids, SamplingParams(minTokens: 8, stop: ["stop"]))
        #expect(crossing.stop == "stop" && crossing.text == "stop, ")
        // "stop" ended before; that it also begins another one does not make it count.
        let both = run(ids, SamplingParams(minTokens: 4, stop: ["stop", "stop it"]))
        #expect(both.stop == "stop" && both.text == "stop, ")
        #expect(run(ids, SamplingParams(minTokens: 100, stop: ["stop"])).text == "stop, stop, stop")
    }

    @Test("Random tokens: pieces are whole characters and add up to the decoded text", arguments: [false, true])
    func randomTokens(skips: Bool) throws {
        var generator = Generator(seed: 77)
        let stops = [[], ["e"], ["an", "�"], [" the", "\n"], ["ab", "abab", "b"], ["é"]]
        // Tokens of one byte each make broken characters likely.
        let bytes = (0..<TokenID(tokenizer.vocabularySize)).filter { tokenizer.token($0)?.unicodeScalars.count == 1 }
        #expect(bytes.count >= 256)
        for round in 0..<600 {
            let ids = (0..<generator.int(1...30)).map { _ in
                generator.chance(0.5)
                    ? generator.element(of: bytes) : TokenID(generator.int(0...(tokenizer.vocabularySize - 1)))
            }
            var params = SamplingParams(stop: generator.element(of: stops), skipSpecialTokens: skips)
            params.includeStopStringInOutput = generator.chance(0.3)
            let run = run(ids, params)
            let whole = tokenizer.decode(ids, skipSpecialTokens: skips)
            if let stop = run.stop {
                let ended = run.text + (params.includeStopStringInOutput ? "" : stop)
                #expect(whole.utf8.starts(with: ended.utf8) || stop == "�", "round \(round)")
                #expect(ended.utf8.elementsEqual(run.text.utf8) == params.includeStopStringInOutput)
            } else {
                #expect(run.text.utf8.elementsEqual(whole.utf8), "round \(round)")
                #expect(params.stop.allSatisfy { !whole.utf8.contains($0.utf8) }, "round \(round)")
            }
            if !whole.contains("�") { #expect(!run.text.contains("�")) }
        }
    }
}

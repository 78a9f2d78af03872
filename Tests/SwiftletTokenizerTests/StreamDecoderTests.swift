// Streaming: what comes out piece by piece is what decoding everything at once gives, and is never half a character.
// Owned by this test target.
// Invariant: random cases are seeded; the seed is in the message of a failure.

import SwiftletJSON
import SwiftletTokenizer
import SwiftletTestSupport
import Testing

@Suite struct StreamDecoderTests {
    /// Streams ids and checks every property on the way; the whole text.
    @discardableResult
    private func stream(
        _ ids: [TokenID], _ tokenizer: Tokenizer, skip: Bool, _ place: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> String {
        var decoder = tokenizer.makeStreamDecoder(skipSpecialTokens: skip)
        var text = ""
        for (index, id) in ids.enumerated() {
            text += decoder.append(id)
            if index % 7 == 0 {
                // What is final and what is pending are together what decoding the tokens so far gives.
                let soFar = tokenizer.decode(ids[...index], skipSpecialTokens: skip)
                #expect(
                    (text + decoder.pendingText).utf8.elementsEqual(soFar.utf8), "\(place)",
                    sourceLocation: sourceLocation)
            }
        }
        text += decoder.finish()
        let whole = tokenizer.decode(ids, skipSpecialTokens: skip)
        #expect(text.utf8.elementsEqual(whole.utf8), "\(place)", sourceLocation: sourceLocation)
        return text
    }

    @Test func holdsBackHalfCharacters() throws {
        let tokenizer = try Tokenizer(json: Fixture.byteLevel)
        var decoder = tokenizer.makeStreamDecoder()
        let ids = tokenizer.encode("a中🙂")
        #expect(ids.map { decoder.append($0) } == ["a", "", "", "中", "", "", "", "🙂"])
        #expect(decoder.finish() == "")
        #expect(decoder.append(ids[1]) == "")
        #expect(decoder.pendingText == "\u{FFFD}")
        #expect(decoder.append(ids[0]) == "\u{FFFD}a")
    }

    @Test func startsTextOnce() throws {
        let tokenizer = try Tokenizer(json: Fixture.sentencePiece())
        let ids = tokenizer.encode("ab c ab", addSpecialTokens: false)
        var decoder = tokenizer.makeStreamDecoder()
        #expect(ids.map { decoder.append($0) } == ["ab", " c", " ab"])
        decoder = tokenizer.makeStreamDecoder(isContinuation: true)
        #expect(ids.map { decoder.append($0) } == [" ab", " c", " ab"])
        // A special token that is skipped is no start.
        decoder = tokenizer.makeStreamDecoder(skipSpecialTokens: true)
        #expect(([1] + ids).map { decoder.append($0) } == ["", "ab", " c", " ab"])
        // Bytes are final when their run is over.
        decoder = tokenizer.makeStreamDecoder()
        let bytes = tokenizer.encode("\n中", addSpecialTokens: false)
        #expect((bytes + [TokenID(ids[0])]).map { decoder.append($0) }.joined() == "\n中 ab")
    }

    @Test(arguments: [
        #"{"type":"Fuse"}"#, #"{"type":"Metaspace","replacement":"▁"}"#, "null",
        #"{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"String":"aab"},"content":"-"}]}"#,
        #"{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"Regex":"a+"},"content":"x"}]}"#,
        #"{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":"a","start":2,"stop":2}]}"#,
        #"{"type":"Sequence","decoders":[{"type":"Strip","content":"a","start":1,"stop":1},{"type":"Fuse"}]}"#,
        #"{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Metaspace","replacement":"▁"}]}"#,
    ])
    func streamsEveryDecoder(decoder: String) throws {
        let tokenizer = try Tokenizer(json: Fixture.sentencePiece(decoder: decoder))
        var random = SeededGenerator(seed: 11)
        for round in 0..<200 {
            let ids = (0..<Int.random(in: 0...24, using: &random)).map { _ in
                TokenID(
                    Int.random(in: 0...3, using: &random) == 0
                        ? Int.random(in: 0..<267, using: &random) : 258 + Int.random(in: 0..<9, using: &random))
            }
            stream(ids, tokenizer, skip: round % 2 == 0, "round \(round)")
        }
    }

    @Test func replacesAndStripsAcrossTokens() throws {
        func decoded(_ decoder: String, _ text: String) throws -> String {
            let tokenizer = try Tokenizer(json: Fixture.sentencePiece(normalizer: "null", decoder: decoder))
            return stream(tokenizer.encode(text, addSpecialTokens: false), tokenizer, skip: true, text)
        }
        let replace = #"{"type":"Replace","pattern":{"String":"aab"},"content":"-"}"#
        #expect(try decoded(#"{"type":"Sequence","decoders":[{"type":"Fuse"},\#(replace)]}"#, "aaabaacaab") == "a-aac-")
        let strip = #"{"type":"Strip","content":"a","start":1,"stop":2}"#
        #expect(try decoded(#"{"type":"Sequence","decoders":[{"type":"Fuse"},\#(strip)]}"#, "aacaaa") == "aca")
        #expect(try decoded("null", "acé") == "a c é")
    }

    @Test func costsTheSameForEveryToken() throws {
        let tokenizer = try Tokenizer(json: Fixture.byteLevel)
        var decoder = tokenizer.makeStreamDecoder()
        let ids = tokenizer.encode("hello 中 ")
        var byteCount = 0
        let start = ContinuousClock.now
        for _ in 0..<200_000 { for id in ids { byteCount += decoder.append(id).utf8.count } }
        #expect(byteCount + decoder.finish().utf8.count == 200_000 * 10)
        #expect(ContinuousClock.now - start < .seconds(30))
    }

    @Test(.enabled(if: Golden.isPresent, "golden folder not found: set SWIFTLET_SHARED"), arguments: Golden.tokenizers)
    func streamsRealTokenizers(name: String) throws {
        let tokenizer = try Tokenizer(contentsOf: Golden.tokenizerPath(name))
        for line in try Golden.lines(name) {
            let ids = line["ids_special"] ?? line["ids"]
            let list = ids?.elements.compactMap { $0.int.map { TokenID($0) } } ?? []
            stream(list, tokenizer, skip: list.count % 2 == 0, "\(name) line \(line["n"]?.int ?? -1)")
        }
        var random = SeededGenerator(seed: 77)
        for round in 0..<400 {
            // The first few hundred ids hold the bytes: broken characters are most likely there.
            let bound = round % 2 == 0 ? 400 : tokenizer.vocabularySize + 10
            let ids = (0..<Int.random(in: 1...30, using: &random)).map { _ in
                TokenID(Int.random(in: 0..<bound, using: &random))
            }
            stream(ids, tokenizer, skip: round % 3 == 0, "\(name) seed 77 round \(round)")
            // Where the text of a prompt is whole, a continuation goes on exactly behind it.
            let cut = ids.count / 2
            let prompt = tokenizer.decode(ids[..<cut])
            let isByte = ids[max(cut - 1, 0)...cut].contains { tokenizer.token($0)?.hasPrefix("<0x") ?? false }
            if prompt.isEmpty || prompt.unicodeScalars.last == "\u{FFFD}" || isByte { continue }
            var decoder = tokenizer.makeStreamDecoder(isContinuation: true)
            var text = ids[cut...].map { decoder.append($0) }.joined()
            text += decoder.finish()
            let whole = tokenizer.decode(ids)
            #expect((prompt + text).utf8.elementsEqual(whole.utf8), "\(name) seed 77 round \(round)")
        }
    }
}

// Every kind of model, normalizer, pre-tokenizer, decoder and post-processor against what the reference library does
// with the same files and texts. The fixtures are made by Tools/fixtures/make_tokenizers.py and kept.
// Owned by this test target.
// Invariant: every text of every case is compared in encoding, decoding and streaming.

import SwiftletJSON
import SwiftletTestSupport
import SwiftletTokenizer
import Testing

@Suite struct ComponentTests {
    static let folder =
        "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fixtures/tokenizers"

    struct Case: Sendable, CustomStringConvertible {
        let line: JSONValue
        var description: String { line["name"]?.string ?? "?" }

        /// The whole file: its model with the sections of this case.
        func file() throws -> [UInt8] {
            let model = try #require(line["model"]?.string)
            let sections = try #require(line["sections"]).bytes
            let bytes = try #require(readFile("\(ComponentTests.folder)/models/\(model).json"))
            return Array(sections.dropLast()) + Array(",\"model\":".utf8) + bytes + [UInt8(ascii: "}")]
        }
    }

    static let cases: [Case] = (readFile(folder + "/cases.jsonl") ?? []).split(separator: UInt8(ascii: "\n"))
        .compactMap { try? Case(line: JSONDocument(parsing: Array($0)).root) }

    private static let texts: [String] =
        (try? JSONDocument(parsing: readFile(folder + "/texts.json") ?? []).root)?
        .elements.compactMap(\.string) ?? []

    @Test func hasItsFixtures() {
        #expect(Self.cases.count > 45 && Self.texts.count > 20)
        for model in ["bytelevel", "fallback", "suffix", "prefix", "wordpiece", "wordlevel", "unigram", "unigrambytes"]
        {
            #expect(Self.cases.contains { $0.line["model"]?.string == model }, "\(model)")
        }
    }

    @Test(arguments: cases) func doesWhatTheReferenceDoes(with test: Case) throws {
        let tokenizer = try Tokenizer(json: try test.file())
        func ids(_ name: String, _ index: Int) throws -> [TokenID] {
            let list = test.line[name] ?? test.line["special"]
            return try #require(list?[index]).elements.compactMap { $0.int.map { TokenID($0) } }
        }
        for (index, text) in Self.texts.enumerated() {
            let place = "text \(index)"
            let special = try ids("special", index)
            #expect(tokenizer.encode(text) == special, "\(place)")
            #expect(tokenizer.encode(text, addSpecialTokens: false) == (try ids("plain", index)), "\(place)")
            for skips in [false, true] {
                let list = (skips ? test.line["skipped"] : nil) ?? test.line["decoded"]
                let expected = try #require(list?[index]?.string)
                let decoded = tokenizer.decode(special, skipSpecialTokens: skips)
                #expect(decoded.utf8.elementsEqual(expected.utf8), "\(place): \(decoded)")
                var decoder = tokenizer.makeStreamDecoder(skipSpecialTokens: skips)
                let streamed = special.map { decoder.append($0) }.joined() + decoder.finish()
                #expect(streamed.utf8.elementsEqual(expected.utf8), "\(place) streamed")
            }
        }
    }

    @Test(.timeLimit(.minutes(FuzzRun.limitInMinutes))) func survivesMutation() throws {
        let run = FuzzRun(seconds: 3, seed: 31)
        var random = SeededGenerator(seed: run.seed)
        let files = try Self.cases.map { try $0.file() }
        var loaded = 0
        while run.goesOn {
            let bytes = mutated(try #require(files.randomElement(using: &random)), using: &random)
            guard let tokenizer = try? Tokenizer(json: bytes) else { continue }
            loaded += 1
            let text = try #require(Self.texts.randomElement(using: &random))
            let ids = tokenizer.encode(text + "running ##ing")
            _ = tokenizer.decode(ids + [0, 5, 300, -1, .max], skipSpecialTokens: loaded % 2 == 0)
        }
        #expect(loaded > 20, "seed \(run.seed)")
    }

    @Test(.timeLimit(.minutes(FuzzRun.limitInMinutes))) func survivesMutatedCharacterMaps() throws {
        let run = FuzzRun(seconds: 2, seed: 32)
        var random = SeededGenerator(seed: run.seed)
        let test = try #require(Self.cases.first { $0.description == "normalizer Precompiled" })
        let map = try #require(test.line["sections"]?["normalizer"]?["precompiled_charsmap"]?.stringBytes)
        let bytes = try #require(base64Decoded(map))
        var loaded = 0
        while run.goesOn {
            let text = String(decoding: base64Encoded(mutated(bytes, using: &random)), as: UTF8.self)
            let normalizer = #"{"type":"Precompiled","precompiled_charsmap":"\#(text)"}"#
            guard let tokenizer = try? Tokenizer(json: Fixture.byteLevel(normalizer: normalizer)) else { continue }
            loaded += 1
            for text in Self.texts { _ = tokenizer.encode(text) }
        }
        #expect(loaded > 20, "seed \(run.seed)")
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    private func base64Encoded(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = Array(bytes[start..<min(start + 3, bytes.count)])
            let bits = (0..<3).reduce(UInt32(0)) { $0 << 8 | UInt32($1 < group.count ? group[$1] : 0) }
            for place in 0..<4 {
                let index = Int(bits >> UInt32(18 - 6 * place) & 63)
                result.append(place <= group.count ? Self.alphabet[index] : UInt8(ascii: "="))
            }
        }
        return result
    }

    private func base64Decoded(_ text: [UInt8]) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits = UInt32(0)
        var count = 0
        for letter in text where letter != UInt8(ascii: "=") {
            guard let value = Self.alphabet.firstIndex(of: letter) else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }
}

// Real tokenizer files against what the reference library gives for them, line for line.
// Owned by this test target; skipped where the golden folder is absent.
// Invariant: every line of every golden.jsonl is checked, in encoding, decoding and streaming.

import SwiftletJSON
import SwiftletTokenizer
import SwiftletTestSupport
import Testing

@Suite(.enabled(if: Golden.isPresent, "golden folder not found: set SWIFTLET_SHARED"))
struct GoldenTests {
    private func ids(_ value: JSONValue?) throws -> [TokenID] {
        try #require(value).elements.map { TokenID(try #require($0.int)) }
    }

    /// Scalars, not characters: canonically equivalent texts are different here.
    private func same(_ left: String, _ right: String?) -> Bool {
        guard let right else { return false }
        return left.utf8.elementsEqual(right.utf8)
    }

    @Test(arguments: Golden.tokenizers)
    func matchesTheReference(name: String) throws {
        let tokenizer = try Tokenizer(contentsOf: Golden.tokenizerPath(name))
        let lines = try Golden.lines(name)
        #expect(lines.count > 500)
        for line in lines {
            let place = "\(name) line \(line["n"]?.int ?? -1) (\(line["kind"]?.string ?? ""))"
            let ids = try ids(line["ids"])
            guard let text = line["text"]?.string else {
                #expect(same(tokenizer.decode(ids, skipSpecialTokens: false), line["decoded"]?.string), "\(place)")
                #expect(same(tokenizer.decode(ids), line["decoded_skip"]?.string), "\(place)")
                continue
            }
            #expect(tokenizer.encode(text, addSpecialTokens: false) == ids, "\(place)")
            let special = try self.ids(line["ids_special"])
            #expect(tokenizer.encode(text) == special, "\(place)")
            #expect(same(tokenizer.decode(special, skipSpecialTokens: false), line["decoded"]?.string), "\(place)")
            #expect(same(tokenizer.decode(special), line["decoded_skip"]?.string), "\(place)")
            #expect(same(tokenizer.decode(ids, skipSpecialTokens: false), line["decoded_plain"]?.string), "\(place)")
        }
    }

    @Test(arguments: Golden.models)
    func loadsTheTokenizersOfCheckpoints(name: String) throws {
        let folder = (Golden.folder ?? "") + "/models/" + name
        let tokenizer = try Tokenizer(contentsOf: folder + "/tokenizer.json")
        #expect(tokenizer.vocabularySize > 100)
        let golden = try JSONDocument(parsing: try #require(readFile(folder + "/golden.json"))).root
        var checked = 0
        for line in golden["cases"]?.elements.map({ $0 }) ?? [] {
            guard let text = line["prompt"]?.string, line["input_ids"] != nil else { continue }
            let expected = try ids(line["input_ids"])
            #expect(tokenizer.encode(text) == expected)
            checked += 1
        }
        #expect(checked > 0 || !["stories260K", "babyllama-105"].contains(name))
    }
}

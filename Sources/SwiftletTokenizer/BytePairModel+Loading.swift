// Reads the `model` section of a tokenizer file into the tables of byte-pair encoding. Vocabulary and merges
// are read straight from the JSON tape: a file has half a million strings, and making them would cost more
// than everything else.
// Owned by BytePairModel.
// Invariant: every id in the tables exists in the vocabulary.

import SwiftletJSON

extension BytePairModel {
    convenience init(_ json: JSONValue) throws(TokenizerError) {
        if let dropout = json["dropout"]?.double, dropout != 0 {
            throw TokenizerError("model BPE: dropout is for training and is not supported")
        }
        guard let mergesSection = json["merges"], mergesSection.kind == .array else {
            throw TokenizerError("model BPE: merges are missing")
        }
        var options = Options()
        options.fusesUnknown = json["fuse_unk"]?.bool ?? false
        options.hasByteFallback = json["byte_fallback"]?.bool ?? false
        options.ignoresMerges = json["ignore_merges"]?.bool ?? false
        options.subwordPrefix = json["continuing_subword_prefix"]?.stringBytes ?? []
        options.wordSuffix = json["end_of_word_suffix"]?.stringBytes ?? []
        let tape = JSONTape(json.document)
        let vocabulary = try Vocabulary(json, of: "BPE")
        if let unknown = json["unk_token"]?.string { options.unknownID = vocabulary.id(of: unknown) ?? -1 }
        let merges = try BytePairModel.readMerges(mergesSection, tape, vocabulary, prefix: options.subwordPrefix)
        self.init(vocabulary: vocabulary, merges: merges, options: options)
    }

    private static func readMerges(
        _ section: JSONValue, _ tape: JSONTape, _ vocabulary: Vocabulary, prefix: [UInt8]
    ) throws(TokenizerError) -> MergeTable {
        var reader = MergeReader(MergeTable(count: section.count), vocabulary, prefixCount: prefix.count)
        let end = tape.next(section.index)
        var failed: Int?
        tape.withBytes { text in
            var node = section.index + 1
            while node < end, failed == nil {
                guard let (left, right) = tape.mergeRanges(node) else {
                    // The rare merge with escapes, or none at all: by itself, in its turn.
                    if !reader.flush() { break }
                    if !reader.readEscaped(JSONValue(document: section.document, index: node)) { failed = node }
                    node = tape.next(node)
                    continue
                }
                reader.add(Bytes(rebasing: text[left]), Bytes(rebasing: text[right]))
                if reader.isFull && !reader.flush() { break }
                node = tape.next(node)
            }
            if failed == nil { _ = reader.flush() }
        }
        guard failed == nil, reader.failedRank == nil else {
            let rank = reader.failedRank ?? reader.count
            throw TokenizerError(
                "model BPE: merge \(rank) is not a pair of tokens whose result is a token: "
                    + String(decoding: (section[Int(rank)]?.bytes ?? []).prefix(80), as: UTF8.self))
        }
        return reader.table
    }
}

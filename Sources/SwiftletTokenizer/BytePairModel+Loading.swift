// Reads the `model` section of a tokenizer file into the tables of byte-pair encoding. Vocabulary and merges
// are read straight from the JSON tape: a file has half a million strings, and making them would cost more
// than everything else.
// Owned by BytePairModel.
// Invariant: every id in the tables exists in the vocabulary.

import SwiftletJSON

extension BytePairModel {
    convenience init(_ json: JSONValue) throws(TokenizerError) {
        // Older files leave the type out; merges tell.
        let type = json["type"]?.string ?? (json["merges"] != nil ? "BPE" : "(none)")
        guard type == "BPE" else { throw TokenizerError("model type \(type) is not supported") }
        if let dropout = json["dropout"]?.double, dropout != 0 {
            throw TokenizerError("model BPE: dropout is for training and is not supported")
        }
        guard let vocabularySection = json["vocab"], vocabularySection.kind == .object else {
            throw TokenizerError("model BPE: vocab is missing")
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
        let vocabulary = try BytePairModel.readVocabulary(vocabularySection, tape)
        if let unknown = json["unk_token"]?.string { options.unknownID = vocabulary.id(of: unknown) ?? -1 }
        let merges = try BytePairModel.readMerges(mergesSection, tape, vocabulary, prefix: options.subwordPrefix)
        self.init(vocabulary: vocabulary, merges: merges, options: options)
    }

    private static func readVocabulary(
        _ section: JSONValue, _ tape: JSONTape
    ) throws(TokenizerError) -> Vocabulary {
        var vocabulary = Vocabulary(capacity: section.count + 1, byteCapacity: section.byteRange.count / 2)
        var scratch: [UInt8] = []
        var node = section.index + 1
        for _ in 0..<section.count {
            guard let id = tape.integer(node + 1) else {
                throw TokenizerError("model BPE: the id of \"\(tape.text(node))\" is not an integer")
            }
            let outcome = tape.withString(node, &scratch) { text in
                Result { () throws(TokenizerError) in try vocabulary.insert(text, id: id) }
            }
            try outcome.get()
            node = tape.next(node + 1)
        }
        return vocabulary
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

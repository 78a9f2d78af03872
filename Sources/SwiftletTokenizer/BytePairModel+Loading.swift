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
        var reader = MergeReader(MergeTable(count: section.count), prefixCount: prefix.count)
        var left: [UInt8] = []
        var right: [UInt8] = []
        var node = section.index + 1
        var rank: UInt32 = 0
        while node < tape.next(section.index) {
            var isRead = false
            if tape.isString(node) {
                isRead = tape.withString(node, &left) { reader.readLine($0, rank: rank, vocabulary) }
            } else if tape.isStringPair(node) {
                isRead = tape.withString(node + 1, &left) { first in
                    tape.withString(node + 2, &right) { reader.read(first, $0, rank: rank, vocabulary) }
                }
            }
            guard isRead else {
                throw TokenizerError(
                    "model BPE: merge \(rank) is not a pair of tokens whose result is a token: \(tape.text(node))")
            }
            rank += 1
            node = tape.next(node)
        }
        return reader.table
    }
}

/// Enters merges into a table.
private struct MergeReader {
    var table: MergeTable
    private let prefixCount: Int
    private var joined: [UInt8] = []
    /// Merges are mostly listed in the order of their results: the next result is likely the next id.
    private var lastMerged: TokenID = -1

    init(_ table: MergeTable, prefixCount: Int) {
        self.table = table
        self.prefixCount = prefixCount
    }

    /// A merge in the older form: two tokens and a space between.
    mutating func readLine(_ line: Bytes, rank: UInt32, _ vocabulary: borrowing Vocabulary) -> Bool {
        guard let space = line.firstIndex(of: UInt8(ascii: " ")) else { return false }
        return read(
            Bytes(rebasing: line[..<space]), Bytes(rebasing: line[(space + 1)...]), rank: rank, vocabulary)
    }

    /// False when a part or the result is no token.
    mutating func read(_ left: Bytes, _ right: Bytes, rank: UInt32, _ vocabulary: borrowing Vocabulary) -> Bool {
        guard right.count >= prefixCount else { return false }
        let added = Bytes(rebasing: right[prefixCount...])
        joined.removeAll(keepingCapacity: true)
        joined.append(contentsOf: left)
        joined.append(contentsOf: added)
        lastMerged = joined.withUnsafeBufferPointer { text in
            for guess in [lastMerged + 1, lastMerged] where vocabulary.isText(text, of: guess) { return guess }
            return vocabulary.id(of: text)
        }
        let merge = MergeTable.Merge(
            left: vocabulary.id(of: left), right: vocabulary.id(of: right), rank: rank, merged: lastMerged)
        guard merge.left >= 0, merge.right >= 0, merge.merged >= 0 else { return false }
        if !left.isEmpty && !added.isEmpty && UTF8Cursor.isBoundary(added[0]) {
            table.noteTouch(
                UTF8Cursor.scalarBefore(left.count, in: left).value, UTF8Cursor.scalar(in: added, at: 0).value)
        }
        table.insert(merge)
        return true
    }
}

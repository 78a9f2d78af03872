// Enters the merges of a file into the table, a batch at a time: what a merge needs lies all over memory, and a
// batch of lookups that are started together waits for it once.
// Owned by the model's loader for the length of one load.
// Invariant: ranks count the merges in the order of the file, whatever the batches.

import SwiftletJSON

struct MergeReader {
    private struct Pair {
        var left: Bytes
        var right: Bytes
        var leftHash: UInt64
        var rightHash: UInt64
        var merge = MergeTable.Merge()
    }

    private(set) var table: MergeTable
    /// How many merges have been entered.
    private(set) var count: UInt32 = 0
    /// The first merge whose part or result is no token.
    private(set) var failedRank: UInt32?
    private let vocabulary: Vocabulary
    private let prefixCount: Int
    private var batch: [Pair] = []
    private var joined: [UInt8] = []
    /// Merges are mostly listed in the order of their results: the next result is likely the next id.
    private var lastMerged: TokenID = -1
    /// Depends on everything touched ahead of its use, so that it is really read.
    private var touched: UInt32 = 0

    init(_ table: MergeTable, _ vocabulary: Vocabulary, prefixCount: Int) {
        self.table = table
        self.vocabulary = vocabulary
        self.prefixCount = prefixCount
    }

    var isFull: Bool { batch.count >= 64 }

    /// Takes a merge; the texts must stay where they are until the next flush.
    mutating func add(_ left: Bytes, _ right: Bytes) {
        batch.append(
            Pair(left: left, right: right, leftHash: vocabulary.hash(of: left), rightHash: vocabulary.hash(of: right)))
    }

    /// Takes one merge in either form with escapes in it; false when it is not a merge.
    mutating func readEscaped(_ json: JSONValue) -> Bool {
        var parts: [[UInt8]] = []
        if let line = json.stringBytes, let space = line.firstIndex(of: UInt8(ascii: " ")) {
            parts = [Array(line[..<space]), Array(line[(space + 1)...])]
        } else if json.count == 2 {
            parts = json.elements.compactMap(\.stringBytes)
        }
        guard parts.count == 2 else { return false }
        return parts[0].withUnsafeBufferPointer { left in
            parts[1].withUnsafeBufferPointer { right in
                add(left, right)
                return flush()
            }
        }
    }

    /// Enters what has been taken; false from the first merge on that is none.
    mutating func flush() -> Bool {
        for pair in batch { touched &+= vocabulary.touch(pair.leftHash) ^ vocabulary.touch(pair.rightHash) }
        for pair in batch {
            touched &+= vocabulary.touchText(vocabulary.touch(pair.leftHash))
            touched &+= vocabulary.touchText(vocabulary.touch(pair.rightHash))
        }
        for index in batch.indices {
            guard let merge = merge(of: batch[index]) else {
                failedRank = failedRank ?? count + UInt32(index)
                return false
            }
            batch[index].merge = merge
            touched &+= UInt32(bitPattern: table.touch(merge.left, merge.right))
        }
        for pair in batch {
            var merge = pair.merge
            merge.rank = count
            table.insert(merge)
            count += 1
        }
        batch.removeAll(keepingCapacity: true)
        return true
    }

    /// The ids of a merge, its rank left out; notes which scalars it joins.
    private mutating func merge(of pair: Pair) -> MergeTable.Merge? {
        guard pair.right.count >= prefixCount else { return nil }
        let added = Bytes(rebasing: pair.right[prefixCount...])
        joined.removeAll(keepingCapacity: true)
        joined.append(contentsOf: pair.left)
        joined.append(contentsOf: added)
        let guess = lastMerged
        lastMerged = joined.withUnsafeBufferPointer { text in
            if vocabulary.isText(text, of: guess + 1) { return guess + 1 }
            return vocabulary.isText(text, of: guess) ? guess : vocabulary.id(of: text)
        }
        let left = vocabulary.id(of: pair.left, hash: pair.leftHash)
        let right = vocabulary.id(of: pair.right, hash: pair.rightHash)
        guard left >= 0, right >= 0, lastMerged >= 0 else { return nil }
        if !pair.left.isEmpty && !added.isEmpty && UTF8Cursor.isBoundary(added[0]) {
            table.noteTouch(
                UTF8Cursor.scalarBefore(pair.left.count, in: pair.left).value,
                UTF8Cursor.scalar(in: added, at: 0).value)
        }
        return MergeTable.Merge(left: left, right: right, merged: lastMerged)
    }
}

// Batch: one step's input as one flat block of Int32, so that it can cross to other ranks or a GPU in one copy.
// Owned by the ModelRunner's caller, filled anew each step, allocated once.
//
// Invariant: row r of sequence s stands at position contextLengths[s] - (queryOffsets[s + 1] - queryOffsets[s]) + r;
// its KV slot follows from the block table. Nothing in here says "prefill" or "decode". What is used of the block lies
// at its beginning, without gaps: where each part starts follows from the counts in front of them.

import SwiftletTokenizer

package final class Batch {
    /// Words before the first part.
    private static var header: Int { 8 }

    package let maxTokens: Int
    package let maxSequences: Int
    private let capacity: Int
    private let storage: UnsafeMutablePointer<Int32>

    package private(set) var tokenCount: Int {
        get { self[0] }
        set { self[0] = newValue }
    }
    package private(set) var sequenceCount: Int {
        get { self[1] }
        set { self[1] = newValue }
    }
    /// Rows whose logits are wanted.
    package private(set) var logitRowCount: Int {
        get { self[2] }
        set { self[2] = newValue }
    }
    /// All block numbers in the tables are below it.
    package private(set) var blockLimit: Int {
        get { self[3] }
        set { self[3] = newValue }
    }
    /// From one sequence's block table to the next one's.
    package private(set) var tableStride: Int {
        get { self[4] }
        set { self[4] = newValue }
    }

    package var ids: UnsafeMutablePointer<Int32> { storage + Self.header }  // [tokens]
    package var logitRows: UnsafeMutablePointer<Int32> { ids + tokenCount }  // [logitRows], row numbers, ascending
    package var logitSequences: UnsafeMutablePointer<Int32> { logitRows + tokenCount }  // [logitRows]
    package var queryOffsets: UnsafeMutablePointer<Int32> { logitSequences + tokenCount }  // [sequences + 1]
    package var contextLengths: UnsafeMutablePointer<Int32> { queryOffsets + sequenceCount + 1 }  // [sequences]
    package var blockTables: UnsafeMutablePointer<Int32> { contextLengths + sequenceCount }  // [sequences, tableStride]

    /// The whole block.
    package var words: UnsafeMutableBufferPointer<Int32> {
        UnsafeMutableBufferPointer(start: storage, count: capacity)
    }

    /// What is used of the block.
    package var contents: UnsafeBufferPointer<Int32> {
        UnsafeBufferPointer(start: storage, count: blockTables - storage + sequenceCount * tableStride)
    }

    package init(maxTokens: Int, maxSequences: Int, maxBlocksPerSequence: Int) {
        self.maxTokens = maxTokens
        self.maxSequences = maxSequences
        capacity = Self.header + 3 * maxTokens + 2 * maxSequences + 1 + maxSequences * maxBlocksPerSequence
        storage = .allocate(capacity: capacity)
        storage.initialize(repeating: 0, count: capacity)
    }

    deinit { storage.deallocate() }

    private subscript(word: Int) -> Int {
        get { Int(storage[word]) }
        set { storage[word] = Int32(newValue) }
    }

    /// Becomes a copy of the batch whose contents begin there.
    package func copy(from other: UnsafePointer<Int32>) {
        storage.update(from: other, count: Self.header)
        precondition(contents.count <= capacity, "a batch of another engine")
        storage.update(from: other, count: contents.count)
    }

    /// Lays out the scheduled tokens of each sequence and notes which rows need logits: a sequence's newest token
    /// (to sample the next), and prompt tokens whose successor's log-probability is wanted.
    package func fill(_ sequences: [SequenceState]) {
        tokenCount = sequences.reduce(0) { $0 + $1.scheduledTokenCount }
        sequenceCount = sequences.count
        tableStride = sequences.reduce(0) { max($0, $1.blockTable.count) }
        precondition(contents.count <= capacity)
        logitRowCount = 0
        blockLimit = 0
        queryOffsets[0] = 0
        var row = 0
        for (index, sequence) in sequences.enumerated() {
            let first = sequence.cachedTokenCount
            let end = first + sequence.scheduledTokenCount
            for position in first..<end {
                let isNewest = position == sequence.tokenCount - 1
                let isScored =
                    sequence.wantsPromptLogprobs && position + 1 < sequence.promptTokenCount
                    && position + 1 >= sequence.promptLogprobs.count
                if isNewest || isScored {
                    logitRows[logitRowCount] = Int32(row)
                    logitSequences[logitRowCount] = Int32(index)
                    logitRowCount += 1
                }
                ids[row] = sequence.tokens[position]
                row += 1
            }
            queryOffsets[index + 1] = Int32(row)
            contextLengths[index] = Int32(end)
            let table = blockTables + index * tableStride
            for (place, block) in sequence.blockTable.enumerated() {
                table[place] = block
                blockLimit = max(blockLimit, Int(block) + 1)
            }
        }
    }

    /// The position of a row of a sequence.
    package func position(ofRow row: Int, sequence: Int) -> Int {
        Int(contextLengths[sequence]) - (Int(queryOffsets[sequence + 1]) - row)
    }
}

// Batch: one step's input as one flat block of Int32, so that it can cross to other ranks or a GPU in one copy.
// Owned by the ModelRunner's caller, filled anew each step, allocated once.
//
// Invariant: row r of sequence s stands at position contextLengths[s] - (queryOffsets[s + 1] - queryOffsets[s]) + r;
// its KV slot follows from the block table. Nothing in here says "prefill" or "decode".

import SwiftletTokenizer

package final class Batch {
    package let maxTokens: Int
    package let maxSequences: Int
    package let maxBlocksPerSequence: Int
    private let storage: UnsafeMutablePointer<Int32>

    package private(set) var tokenCount = 0
    package private(set) var sequenceCount = 0
    /// Rows whose logits are wanted.
    package private(set) var logitRowCount = 0
    /// All block numbers in the tables are below it.
    package private(set) var blockLimit = 0

    package var ids: UnsafeMutablePointer<Int32> { storage }  // [tokens]
    package var logitRows: UnsafeMutablePointer<Int32> { storage + maxTokens }  // [logitRows], row numbers, ascending
    package var logitSequences: UnsafeMutablePointer<Int32> { storage + 2 * maxTokens }  // [logitRows]
    package var queryOffsets: UnsafeMutablePointer<Int32> { storage + 3 * maxTokens }  // [sequences + 1]
    package var contextLengths: UnsafeMutablePointer<Int32> { queryOffsets + maxSequences + 1 }  // [sequences]
    package var blockTables: UnsafeMutablePointer<Int32> { contextLengths + maxSequences }  // [sequences, maxBlocks…]

    package init(maxTokens: Int, maxSequences: Int, maxBlocksPerSequence: Int) {
        self.maxTokens = maxTokens
        self.maxSequences = maxSequences
        self.maxBlocksPerSequence = maxBlocksPerSequence
        let count = 3 * maxTokens + 2 * maxSequences + 1 + maxSequences * maxBlocksPerSequence
        storage = .allocate(capacity: count)
        storage.initialize(repeating: 0, count: count)
    }

    deinit { storage.deallocate() }

    /// Lays out the scheduled tokens of each sequence and notes which rows need logits: a sequence's newest token
    /// (to sample the next), and prompt tokens whose successor's log-probability is wanted.
    package func fill(_ sequences: [SequenceState]) {
        tokenCount = 0
        logitRowCount = 0
        blockLimit = 0
        sequenceCount = sequences.count
        queryOffsets[0] = 0
        for (index, sequence) in sequences.enumerated() {
            let first = sequence.cachedTokenCount
            let end = first + sequence.scheduledTokenCount
            for position in first..<end {
                let isNewest = position == sequence.tokenCount - 1
                let isScored =
                    sequence.wantsPromptLogprobs && position + 1 < sequence.promptTokenCount
                    && position + 1 >= sequence.promptLogprobs.count
                if isNewest || isScored {
                    logitRows[logitRowCount] = Int32(tokenCount)
                    logitSequences[logitRowCount] = Int32(index)
                    logitRowCount += 1
                }
                ids[tokenCount] = sequence.tokens[position]
                tokenCount += 1
            }
            queryOffsets[index + 1] = Int32(tokenCount)
            contextLengths[index] = Int32(end)
            let table = blockTables + index * maxBlocksPerSequence
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

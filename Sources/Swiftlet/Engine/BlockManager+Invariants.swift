// What must hold of a BlockManager between any two calls. For tests: never called by the engine.

extension BlockManager {
    /// Describes the first broken invariant, given every sequence that holds blocks; nil when all hold.
    package func brokenInvariant(holders: [SequenceState]) -> String? {
        var counts = [Int32](repeating: 0, count: blockCount)
        for sequence in holders {
            for block in sequence.blockTable {
                guard block >= 0 && block < blockCount else { return "block \(block) is outside the pool" }
                counts[Int(block)] += 1
            }
            if sequence.cachedTokenCount > sequence.blockTable.count * blockSize {
                return "sequence \(sequence.id) has \(sequence.cachedTokenCount) cached tokens in \(sequence.blockTable.count) blocks"
            }
        }
        return brokenInvariant(referenceCounts: counts)
    }
}

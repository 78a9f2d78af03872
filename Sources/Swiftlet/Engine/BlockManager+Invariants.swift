// What must hold of a BlockManager between any two calls. For tests: never called by the engine.

import SwiftletTokenizer

extension BlockManager {
    /// Describes the first broken invariant, given every sequence that holds blocks; nil when all hold.
    package func brokenInvariant(holders: [SequenceState]) -> String? {
        var counts = [Int32](repeating: 0, count: blockCount)
        for sequence in holders {
            for block in sequence.blockTable {
                guard block >= 0 && block < blockCount else { return "block \(block) is outside the pool" }
                counts[Int(block)] += 1
            }
        }
        for sequence in holders {
            if let broken = brokenTable(of: sequence, holderCounts: counts) {
                return "sequence \(sequence.id): \(broken)"
            }
        }
        return brokenFreeList(holderCounts: counts) ?? brokenBuckets()
    }

    /// The sequence's published blocks are a chain of identities over exactly its tokens; the others are its own.
    private func brokenTable(of sequence: SequenceState, holderCounts: [Int32]) -> String? {
        let table = sequence.blockTable
        if sequence.cachedTokenCount > table.count * blockSize {
            return "\(sequence.cachedTokenCount) cached tokens in \(table.count) blocks"
        }
        let published = isPrefixCacheEnabled ? sequence.cachedTokenCount / blockSize : 0
        if sequence.publishedBlockCount != published {
            return "\(sequence.publishedBlockCount) published blocks, \(published) are full"
        }
        var parent: UInt64 = 0
        for (index, block) in table.enumerated() {
            let identity = identities[Int(block)]
            if index >= published {
                if identity != 0 { return "will write block \(block), which is published" }
                if holderCounts[Int(block)] != 1 { return "will write block \(block), which is shared" }
                continue
            }
            let tokens = blockTokens[(Int(block) * blockSize)..<((Int(block) + 1) * blockSize)]
            if identity == 0 { return "block \(block) is not published" }
            if parents[Int(block)] != parent { return "block \(block) has another parent" }
            if !tokens.elementsEqual(sequence.tokens[(index * blockSize)..<((index + 1) * blockSize)]) {
                return "block \(block) is published with other tokens"
            }
            parent = identity
        }
        return parent == sequence.prefixIdentity ? nil : "its prefix identity is not its last published block's"
    }

    private func brokenFreeList(holderCounts: [Int32]) -> String? {
        for block in 0..<blockCount where referenceCounts[block] != holderCounts[block] {
            return "block \(block) has count \(referenceCounts[block]), \(holderCounts[block]) sequences hold it"
        }
        var free = Set<Int32>()
        var block = nextFree[blockCount]
        while Int(block) != blockCount {
            guard free.insert(block).inserted else { return "block \(block) is in the free list twice" }
            guard referenceCounts[Int(block)] == 0 else { return "block \(block) is free and in use" }
            block = nextFree[Int(block)]
        }
        guard free.count == freeCount else { return "free list has \(free.count) blocks, count says \(freeCount)" }
        return free.count == holderCounts.count { $0 == 0 } ? nil : "a block is neither free nor in use"
    }

    /// Every published block is in one bucket's chain, once, and no two have the same key or the same identity.
    private func brokenBuckets() -> String? {
        struct Key: Hashable {
            let parent: UInt64
            let tokens: ArraySlice<TokenID>
        }
        var keys = Set<Key>()
        var found = Set<Int32>()
        for head in buckets {
            var block = head
            while block >= 0 {
                let start = Int(block) * blockSize
                let key = Key(parent: parents[Int(block)], tokens: blockTokens[start..<(start + blockSize)])
                guard identities[Int(block)] != 0 else { return "block \(block) is findable without an identity" }
                guard found.insert(block).inserted else { return "block \(block) is in the buckets twice" }
                guard keys.insert(key).inserted else { return "block \(block) has a published twin" }
                block = nextInBucket[Int(block)]
            }
        }
        let published = identities.filter { $0 != 0 }
        guard Set(published).count == published.count else { return "two blocks have one identity" }
        return found.count == published.count ? nil : "\(published.count) published, \(found.count) can be found"
    }
}

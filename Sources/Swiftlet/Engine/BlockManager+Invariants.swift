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
        var isFree = [Bool](repeating: false, count: blockCount)
        var block = nextFree[blockCount]
        while Int(block) != blockCount {
            guard !isFree[Int(block)] else { return "block \(block) is in the free list twice" }
            guard referenceCounts[Int(block)] == 0 else { return "block \(block) is free and in use" }
            isFree[Int(block)] = true
            block = nextFree[Int(block)]
        }
        let count = isFree.count { $0 }
        guard count == freeCount else { return "free list has \(count) blocks, count says \(freeCount)" }
        return count == holderCounts.count { $0 == 0 } ? nil : "a block is neither free nor in use"
    }

    /// Every published block is in one bucket's chain, once, and no two have the same key or the same identity.
    private func brokenBuckets() -> String? {
        var isFound = [Bool](repeating: false, count: blockCount)
        for head in buckets {
            var block = head
            while block >= 0 {
                guard identities[Int(block)] != 0 else { return "block \(block) is findable without an identity" }
                guard !isFound[Int(block)] else { return "block \(block) is in the buckets twice" }
                isFound[Int(block)] = true
                // Equal keys have equal hashes, so a twin would be in the same chain.
                var other = head
                while other != block {
                    if haveEqualKeys(block, other) { return "blocks \(other) and \(block) are published twins" }
                    other = nextInBucket[Int(other)]
                }
                block = nextInBucket[Int(block)]
            }
        }
        let published = identities.filter { $0 != 0 }
        guard Set(published).count == published.count else { return "two blocks have one identity" }
        let found = isFound.count { $0 }
        return found == published.count ? nil : "\(published.count) blocks are published, \(found) can be found"
    }

    private func haveEqualKeys(_ first: Int32, _ second: Int32) -> Bool {
        parents[Int(first)] == parents[Int(second)]
            && (0..<blockSize).allSatisfy { offset in
                blockTokens[Int(first) * blockSize + offset] == blockTokens[Int(second) * blockSize + offset]
            }
    }
}

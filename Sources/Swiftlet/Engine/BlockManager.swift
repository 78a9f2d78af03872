// BlockManager: who holds which block of the paged KV cache, and which blocks can be shared.
// Owned by the Scheduler; it moves indices only, the KV itself lives in the backend.
//
// Invariant: a block is free exactly when no sequence refers to it; free blocks keep their contents and their
// place in the prefix cache until they are handed out again: unpublished ones first, then least recently used first.
//
// The prefix cache is exact: a published block is found by (identity of the block before it, its own tokens), and
// identities are never used twice, so by induction equal keys mean equal prefixes. Hash collisions cost time only.

import SwiftletTokenizer

package final class BlockManager {
    package let blockCount: Int
    package let blockSize: Int
    package let isPrefixCacheEnabled: Bool

    // Per block.
    private(set) var referenceCounts: [Int32]
    private(set) var identities: [UInt64]  // 0: not published
    private(set) var parents: [UInt64]  // identity of the block before it
    private(set) var blockTokens: [TokenID]  // [block, blockSize], valid when published
    private(set) var nextInBucket: [Int32]

    // Prefix cache: heads of chains of blocks with equal hashes.
    private(set) var buckets: [Int32]
    private let hashSeed: UInt64
    private var lastIdentity: UInt64 = 0

    // Free list, doubly linked, oldest first; entry blockCount is the sentinel.
    private var previousFree: [Int32]
    private(set) var nextFree: [Int32]
    package private(set) var freeCount: Int

    package init(
        blockCount: Int, blockSize: Int, isPrefixCacheEnabled: Bool = true,
        hashSeed: UInt64 = .random(in: .min ... .max)
    ) {
        precondition(blockCount > 0 && blockSize > 0 && blockCount < Int32.max)
        self.blockCount = blockCount
        self.blockSize = blockSize
        self.isPrefixCacheEnabled = isPrefixCacheEnabled
        self.hashSeed = hashSeed
        referenceCounts = Array(repeating: 0, count: blockCount)
        identities = Array(repeating: 0, count: blockCount)
        parents = Array(repeating: 0, count: blockCount)
        blockTokens = Array(repeating: 0, count: isPrefixCacheEnabled ? blockCount * blockSize : 0)
        nextInBucket = Array(repeating: -1, count: blockCount)
        var bucketCount = 16
        while bucketCount < 2 * blockCount { bucketCount *= 2 }
        buckets = Array(repeating: -1, count: bucketCount)
        previousFree = (0...blockCount).map { Int32(($0 + blockCount) % (blockCount + 1)) }
        nextFree = (0...blockCount).map { Int32(($0 + 1) % (blockCount + 1)) }
        freeCount = blockCount
    }

    package var usedCount: Int { blockCount - freeCount }

    package func blocksNeeded(forTokens count: Int) -> Int { (count + blockSize - 1) / blockSize }

    // MARK: - Sequences

    /// Gives a waiting sequence blocks for all its tokens, those of its prefix from the cache where they are there.
    /// Takes all or nothing; false when too few blocks are free, or when more tokens than the limit are left to compute.
    package func admit(_ sequence: SequenceState, pendingTokenLimit: Int = .max) -> Bool {
        precondition(sequence.blockTable.isEmpty && sequence.cachedTokenCount == 0)
        var freeHits = 0
        if isPrefixCacheEnabled && sequence.readsPrefixCache {
            freeHits = matchPrefix(of: sequence)
        }
        let hits = sequence.blockTable.count
        let fresh = blocksNeeded(forTokens: sequence.tokenCount) - hits
        let pending = sequence.tokenCount - hits * blockSize
        guard fresh <= freeCount - freeHits && pending <= pendingTokenLimit else {
            sequence.blockTable.removeAll(keepingCapacity: true)
            sequence.prefixIdentity = 0
            return false
        }
        for block in sequence.blockTable { retain(block) }
        for _ in 0..<fresh { sequence.blockTable.append(takeOldestFree()) }
        sequence.publishedBlockCount = hits
        sequence.cachedTokenCount = hits * blockSize
        return true
    }

    /// Makes room for the sequence's last token. False when a block is needed and none is free.
    package func grow(_ sequence: SequenceState) -> Bool {
        if sequence.tokenCount <= sequence.blockTable.count * blockSize { return true }
        guard freeCount > 0 else { return false }
        sequence.blockTable.append(takeOldestFree())
        return true
    }

    /// Publishes the blocks that the forward pass has just filled. A block that another sequence has published with
    /// the same prefix meanwhile is given back and that one used instead: their contents are the same bit for bit.
    package func publish(_ sequence: SequenceState) {
        guard isPrefixCacheEnabled else { return }
        while (sequence.publishedBlockCount + 1) * blockSize <= sequence.cachedTokenCount {
            let index = sequence.publishedBlockCount
            let block = sequence.blockTable[index]
            let parent = sequence.prefixIdentity
            if let twin = find(parent: parent, tokens: sequence.tokens, from: index * blockSize) {
                if twin != block {
                    retain(twin)
                    release(block)
                    sequence.blockTable[index] = twin
                }
                sequence.prefixIdentity = identities[Int(twin)]
            } else {
                insert(block, parent: parent, tokens: sequence.tokens, from: index * blockSize)
                sequence.prefixIdentity = identities[Int(block)]
            }
            sequence.publishedBlockCount += 1
        }
    }

    /// Takes a sequence's blocks away, its tail first, so that its head is reused last.
    package func release(_ sequence: SequenceState) {
        for block in sequence.blockTable.reversed() { release(block) }
        sequence.blockTable.removeAll(keepingCapacity: true)
        sequence.publishedBlockCount = 0
        sequence.prefixIdentity = 0
        sequence.cachedTokenCount = 0
        sequence.scheduledTokenCount = 0
    }

    /// Appends the blocks of the longest cached prefix to the sequence's table, without retaining them. At least one
    /// token is left to compute, so a prompt that is cached whole gives up its last block. Returns how many are free.
    private func matchPrefix(of sequence: SequenceState) -> Int {
        var freeHits = 0
        for index in 0..<((sequence.tokenCount - 1) / blockSize) {
            guard
                let block = find(parent: sequence.prefixIdentity, tokens: sequence.tokens, from: index * blockSize)
            else { break }
            sequence.blockTable.append(block)
            sequence.prefixIdentity = identities[Int(block)]
            if referenceCounts[Int(block)] == 0 { freeHits += 1 }
        }
        return freeHits
    }

    // MARK: - Reference counts and the free list

    private func retain(_ block: Int32) {
        if referenceCounts[Int(block)] == 0 { unlinkFree(block) }
        referenceCounts[Int(block)] += 1
    }

    private func release(_ block: Int32) {
        precondition(referenceCounts[Int(block)] > 0, "block \(block) is released twice")
        referenceCounts[Int(block)] -= 1
        if referenceCounts[Int(block)] == 0 { linkFree(block) }
    }

    private func takeOldestFree() -> Int32 {
        let block = nextFree[blockCount]
        precondition(Int(block) != blockCount, "no block is free")
        unlinkFree(block)
        if identities[Int(block)] != 0 { evict(block) }
        referenceCounts[Int(block)] = 1
        return block
    }

    private func unlinkFree(_ block: Int32) {
        let (before, after) = (previousFree[Int(block)], nextFree[Int(block)])
        nextFree[Int(before)] = after
        previousFree[Int(after)] = before
        freeCount -= 1
    }

    /// Published blocks go to the newest end. Nobody can find the others: they are the first to be reused.
    private func linkFree(_ block: Int32) {
        let before = identities[Int(block)] == 0 ? Int32(blockCount) : previousFree[blockCount]
        let after = nextFree[Int(before)]
        nextFree[Int(before)] = block
        previousFree[Int(block)] = before
        nextFree[Int(block)] = after
        previousFree[Int(after)] = block
        freeCount += 1
    }

    // MARK: - The prefix cache

    private func bucket(parent: UInt64, tokens: [TokenID], from start: Int) -> Int {
        var hash = hashSeed ^ (parent &* 0x9E37_79B9_7F4A_7C15)
        for index in start..<(start + blockSize) {
            hash = (hash ^ UInt64(UInt32(bitPattern: tokens[index]))) &* 0xFF51_AFD7_ED55_8CCD
            hash ^= hash >> 32
        }
        return Int(hash & UInt64(buckets.count - 1))
    }

    private func find(parent: UInt64, tokens: [TokenID], from start: Int) -> Int32? {
        var block = buckets[bucket(parent: parent, tokens: tokens, from: start)]
        while block >= 0 {
            if parents[Int(block)] == parent && holds(block, tokens: tokens, from: start) { return block }
            block = nextInBucket[Int(block)]
        }
        return nil
    }

    private func holds(_ block: Int32, tokens: [TokenID], from start: Int) -> Bool {
        let base = Int(block) * blockSize
        for offset in 0..<blockSize where blockTokens[base + offset] != tokens[start + offset] { return false }
        return true
    }

    private func insert(_ block: Int32, parent: UInt64, tokens: [TokenID], from start: Int) {
        lastIdentity += 1
        identities[Int(block)] = lastIdentity
        parents[Int(block)] = parent
        for offset in 0..<blockSize { blockTokens[Int(block) * blockSize + offset] = tokens[start + offset] }
        let bucket = bucket(parent: parent, tokens: tokens, from: start)
        nextInBucket[Int(block)] = buckets[bucket]
        buckets[bucket] = block
    }

    /// Forgets a block that is about to get other contents. Blocks that follow it can't be found any more: nothing
    /// has their parent's identity again.
    private func evict(_ block: Int32) {
        let bucket = bucket(parent: parents[Int(block)], tokens: blockTokens, from: Int(block) * blockSize)
        if buckets[bucket] == block {
            buckets[bucket] = nextInBucket[Int(block)]
        } else {
            var before = buckets[bucket]
            while nextInBucket[Int(before)] != block { before = nextInBucket[Int(before)] }
            nextInBucket[Int(before)] = nextInBucket[Int(block)]
        }
        nextInBucket[Int(block)] = -1
        identities[Int(block)] = 0
    }
}

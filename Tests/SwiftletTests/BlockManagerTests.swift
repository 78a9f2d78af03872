// BlockManagerTests: the paged pool and its prefix cache, call by call. The numbers are those of the pitfalls: bugs
// that engines of this kind have had.

import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("BlockManager")
struct BlockManagerTests {
    /// A pool and the sequences that hold blocks of it.
    final class Pool {
        let blocks: BlockManager
        private var holders: [SequenceState] = []
        private var lastID = 0

        init(_ blockCount: Int, blockSize: Int = 4, isPrefixCacheEnabled: Bool = true, hashSeed: UInt64 = 7) {
            blocks = BlockManager(
                blockCount: blockCount, blockSize: blockSize, isPrefixCacheEnabled: isPrefixCacheEnabled,
                hashSeed: hashSeed)
        }

        func admit(_ prompt: [TokenID], params: SamplingParams = .greedy) -> SequenceState? {
            lastID += 1
            let sequence = SequenceState(
                id: lastID, prompt: prompt, params: params, tokenLimit: prompt.count + 64)
            guard blocks.admit(sequence) else {
                #expect(sequence.blockTable.isEmpty && sequence.prefixIdentity == 0 && sequence.cachedTokenCount == 0)
                check()
                return nil
            }
            holders.append(sequence)
            check()
            return sequence
        }

        /// The forward pass has written so many tokens more; all that are pending, when not said.
        func write(_ sequence: SequenceState, _ count: Int? = nil) {
            sequence.cachedTokenCount += count ?? sequence.pendingTokenCount
            blocks.publish(sequence)
            check()
        }

        func free(_ sequence: SequenceState) {
            holders.removeAll { $0 === sequence }
            blocks.release(sequence)
            check()
        }

        /// Admits, writes and frees: the prompt's whole blocks stay in the cache. Returns how many tokens were hits.
        @discardableResult
        func visit(_ prompt: [TokenID]) throws -> Int {
            let sequence = try #require(admit(prompt))
            let hits = sequence.cachedTokenCount
            write(sequence)
            free(sequence)
            return hits
        }

        func check() { #expect(blocks.brokenInvariant(holders: holders) == nil) }
    }

    /// Tokens that no other start shares.
    private func prompt(_ start: TokenID, count: Int) -> [TokenID] {
        (0..<count).map { start * 1_000 + TokenID($0) }
    }

    @Test("A1: a prompt that is cached whole gives up its last block", arguments: [1, 3, 4, 5, 7, 8, 9, 12])
    func a1FullPrefixHit(count: Int) throws {
        let pool = Pool(16)
        let tokens = prompt(1, count: count)
        #expect(try pool.visit(tokens) == 0)
        #expect(try pool.visit(tokens) == (count - 1) / 4 * 4)
        let again = try #require(pool.admit(tokens))
        #expect(again.pendingTokenCount >= 1 && again.pendingTokenCount <= 4)
    }

    @Test("A2: a block that got other contents is not found by its old ones")
    func a2NoStaleHit() throws {
        let pool = Pool(3)
        try pool.visit(prompt(1, count: 12))
        try pool.visit(prompt(2, count: 12))
        #expect(try pool.visit(prompt(1, count: 12)) == 0)
    }

    @Test("A3: hits on free blocks keep them published, and what follows chains from them")
    func a3HitFreeHitFreeHit() throws {
        let pool = Pool(8)
        let tokens = prompt(1, count: 13)
        try pool.visit(tokens)
        for _ in 0..<3 { #expect(try pool.visit(tokens) == 12) }
        // One block longer: its fourth block must be chained from the third one, not from nothing.
        #expect(try pool.visit(prompt(1, count: 17)) == 12)
        #expect(try pool.visit(Array(prompt(1, count: 17)[12...])) == 0)
        #expect(try pool.visit(prompt(1, count: 17)) == 16)
    }

    @Test("A4: blocks that are cached and in use need no free ones")
    func a4SharedBlocksAreNotCountedTwice() throws {
        let pool = Pool(4)
        let first = try #require(pool.admit(prompt(1, count: 12)))
        pool.write(first)
        #expect(pool.blocks.freeCount == 1)
        // Two blocks are shared, one is new: fits. (The last whole block is given up.)
        let second = try #require(pool.admit(prompt(1, count: 12)))
        #expect(second.cachedTokenCount == 8 && pool.blocks.freeCount == 0)
        #expect(second.blockTable[..<2] == first.blockTable[..<2])
    }

    @Test("A4: a free block that is hit does not count as free for the others")
    func a4FreeHitsAreTakenFromTheFree() throws {
        let pool = Pool(4)
        try pool.visit(prompt(1, count: 8))
        let other = try #require(pool.admit(prompt(2, count: 4)))
        // Needs four blocks; two hits are among the three free ones.
        #expect(pool.admit(prompt(1, count: 16)) == nil)
        pool.free(other)
        #expect(pool.admit(prompt(1, count: 16))?.cachedTokenCount == 8)
    }

    @Test("A7: nothing is published before it is written")
    func a7PublishedAfterTheForwardPass() throws {
        let pool = Pool(16)
        let first = try #require(pool.admit(prompt(1, count: 13)))
        #expect(pool.admit(prompt(1, count: 13))?.cachedTokenCount == 0)
        pool.write(first, 7)
        #expect(pool.admit(prompt(1, count: 13))?.cachedTokenCount == 4)
        pool.write(first, 1)
        #expect(pool.admit(prompt(1, count: 13))?.cachedTokenCount == 8)
    }

    @Test("A8: twins written in one step are merged, and counted right")
    func a8LateMerge() throws {
        let pool = Pool(8)
        let first = try #require(pool.admit(prompt(1, count: 9)))
        let second = try #require(pool.admit(prompt(1, count: 9)))
        #expect(pool.blocks.freeCount == 2)
        pool.write(first)
        pool.write(second)
        // The two whole blocks are shared, the tails are not.
        #expect(first.blockTable[..<2] == second.blockTable[..<2])
        #expect(first.blockTable[2] != second.blockTable[2])
        #expect(pool.blocks.freeCount == 4)
        pool.free(first)
        #expect(pool.blocks.freeCount == 5)
        pool.free(second)
        #expect(pool.blocks.usedCount == 0)
        #expect(try pool.visit(prompt(1, count: 9)) == 8)
    }

    @Test("A16: two pools of different block sizes live side by side")
    func a16BlockSizeIsInstanceState() throws {
        let (small, large) = (Pool(16, blockSize: 4), Pool(4, blockSize: 16))
        let tokens = prompt(1, count: 33)
        let first = try #require(small.admit(tokens))
        let second = try #require(large.admit(tokens))
        #expect(first.blockTable.count == 9 && second.blockTable.count == 3)
        small.write(first)
        large.write(second)
        #expect(first.publishedBlockCount == 8 && second.publishedBlockCount == 2)
        small.free(first)
        large.free(second)
        #expect(try small.visit(Array(tokens[..<20])) == 16)
        #expect(try large.visit(Array(tokens[..<20])) == 16)
        #expect(try large.visit(Array(tokens[..<16])) == 0)
    }

    @Test("Blocks are reused least recently used first, a tail before its head, unpublished ones before all")
    func leastRecentlyUsedFirst() throws {
        let pool = Pool(7)
        let first = try #require(pool.admit(prompt(1, count: 12)))
        let second = try #require(pool.admit(prompt(2, count: 12)))
        let (tableOfFirst, tableOfSecond) = (first.blockTable, second.blockTable)
        for sequence in [first, second] { pool.write(sequence) }
        for sequence in [first, second] { pool.free(sequence) }
        // Used again, so newer than the second one's; the block for its thirteenth token is never published.
        let third = try #require(pool.admit(prompt(1, count: 13)))
        let spare = third.blockTable[3]
        #expect(third.blockTable == tableOfFirst + [spare])
        pool.free(third)
        let all = try #require(pool.admit(prompt(3, count: 28)))
        #expect(all.blockTable == [spare] + tableOfSecond.reversed() + tableOfFirst.reversed())
    }

    @Test("A sequence that reads no cache still publishes, and is merged with blocks that are free")
    func promptLogprobsReadNothing() throws {
        let pool = Pool(8)
        let tokens = prompt(1, count: 9)
        let first = try #require(pool.admit(tokens))
        let table = first.blockTable
        pool.write(first)
        pool.free(first)
        let measured = try #require(pool.admit(tokens, params: SamplingParams(promptLogprobs: 0)))
        #expect(measured.cachedTokenCount == 0 && pool.blocks.usedCount == 3)
        #expect(Set(measured.blockTable[..<2]).isDisjoint(with: table[..<2]))
        pool.write(measured)
        #expect(measured.blockTable[..<2] == table[..<2] && pool.blocks.usedCount == 3)
        pool.free(measured)
        #expect(try pool.visit(tokens) == 8)
    }

    @Test("Without a prefix cache nothing is found, published or merged")
    func prefixCacheOff() throws {
        let pool = Pool(8, isPrefixCacheEnabled: false)
        let first = try #require(pool.admit(prompt(1, count: 13)))
        pool.write(first)
        #expect(first.publishedBlockCount == 0 && first.prefixIdentity == 0)
        let second = try #require(pool.admit(prompt(1, count: 13)))
        #expect(second.cachedTokenCount == 0 && Set(first.blockTable).isDisjoint(with: second.blockTable))
    }

    @Test("Growing takes a block at each boundary only, and says when there is none")
    func grow() throws {
        let pool = Pool(2)
        let sequence = try #require(pool.admit(prompt(1, count: 3)))
        for count in 4...8 {
            pool.write(sequence)
            sequence.append(9)
            #expect(pool.blocks.grow(sequence))
            #expect(sequence.blockTable.count == (count + 3) / 4)
        }
        pool.write(sequence)
        sequence.append(9)
        #expect(!pool.blocks.grow(sequence))
        #expect(sequence.blockTable.count == 2)
        pool.check()
    }

    @Test("Admission takes all or nothing: a refusal changes nothing, evicts nothing")
    func refusalChangesNothing() throws {
        let pool = Pool(4)
        try pool.visit(prompt(1, count: 13))
        #expect(pool.admit(prompt(2, count: 17)) == nil)
        let limited = SequenceState(id: 0, prompt: prompt(2, count: 16), params: .greedy, tokenLimit: 20)
        #expect(!pool.blocks.admit(limited, pendingTokenLimit: 15))
        #expect(pool.blocks.freeCount == 4)
        #expect(try pool.visit(prompt(1, count: 13)) == 12)
    }

    @Test("No identity is ever given twice")
    func identitiesAreNeverReused() throws {
        let pool = Pool(3, blockSize: 2)
        var seen = Set<UInt64>()
        for round in 0..<200 {
            // Five prompts in turn, so that the same tokens are evicted and published again and again.
            let sequence = try #require(pool.admit(prompt(TokenID(round % 5), count: 6)))
            #expect(sequence.cachedTokenCount == 0)
            pool.write(sequence, 2)
            #expect(seen.insert(sequence.prefixIdentity).inserted)
            pool.write(sequence, 2)
            #expect(seen.insert(sequence.prefixIdentity).inserted)
            pool.write(sequence, 2)
            #expect(seen.insert(sequence.prefixIdentity).inserted)
            pool.free(sequence)
        }
    }

    @Test("Neither the hash's seed nor collisions change what is found")
    func hashSeedDoesNotMatter() throws {
        // 64 blocks in 128 buckets: for almost every seed some share a bucket.
        func tables(hashSeed: UInt64) throws -> [[Int32]] {
            let pool = Pool(64, blockSize: 1, hashSeed: hashSeed)
            var random = Generator(seed: 1)
            return try (0..<120).map { _ in
                let start = TokenID(random.int(0...9))
                let sequence = try #require(pool.admit(prompt(start, count: random.int(1...12))))
                defer { pool.free(sequence) }
                let hits = sequence.cachedTokenCount
                pool.write(sequence)
                return [Int32(hits)] + sequence.blockTable
            }
        }
        let expected = try tables(hashSeed: 0)
        for seed in 1...40 { #expect(try tables(hashSeed: Generator.mix(UInt64(seed), 0)) == expected) }
    }

    @Test("Equal tokens behind different prefixes are different blocks")
    func equalTokensDifferentPrefixes() throws {
        let pool = Pool(16)
        let common: [TokenID] = [5, 5, 5, 5, 5]
        try pool.visit([1, 1, 1, 1] + common)
        #expect(try pool.visit([2, 2, 2, 2] + common) == 0)
        #expect(try pool.visit(common) == 0)
        #expect(try pool.visit([1, 1, 1, 1] + common) == 8)
        #expect(try pool.visit([1, 1, 1, 2] + common) == 0)
    }
}

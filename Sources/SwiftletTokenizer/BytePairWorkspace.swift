// The merging itself: repeatedly joins the adjacent pair of the lowest rank, the leftmost of equals.
// Owned by one encode call and reused from piece to piece, so that merging allocates nothing once warm.
// Invariant: short and long inputs give the same result; the long path costs O(n log n).

struct BytePairWorkspace {
    /// Before `merge` the tokens of single characters, afterwards the result.
    var symbols: [TokenID] = []

    /// ranks[i]: rank of the pair (symbols[i], symbols[i + 1]).
    private var ranks: [UInt32] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    /// Min-heap of rank << 32 | position.
    private var heap: [UInt64] = []
    private static let shortCount = 160

    mutating func merge(with merges: borrowing MergeTable) {
        if symbols.count < 2 { return }
        ranks.removeAll(keepingCapacity: true)
        for index in 1..<symbols.count { ranks.append(merges.merge(symbols[index - 1], symbols[index]).rank) }
        ranks.append(MergeTable.noRank)
        if symbols.count <= BytePairWorkspace.shortCount {
            mergeShort(merges)
        } else {
            mergeLong(merges)
        }
    }

    private mutating func mergeShort(_ merges: borrowing MergeTable) {
        var count = symbols.count
        symbols.withUnsafeMutableBufferPointer { symbols in
            ranks.withUnsafeMutableBufferPointer { ranks in
                while let place = BytePairWorkspace.lowestPlace(in: ranks, count: count) {
                    symbols[place] = merges.merge(symbols[place], symbols[place + 1]).merged
                    count -= 1
                    for index in place + 1..<count { symbols[index] = symbols[index + 1] }
                    for index in place + 1..<count { ranks[index] = ranks[index + 1] }
                    ranks[count - 1] = MergeTable.noRank
                    if place + 1 < count { ranks[place] = merges.merge(symbols[place], symbols[place + 1]).rank }
                    if place > 0 { ranks[place - 1] = merges.merge(symbols[place - 1], symbols[place]).rank }
                }
            }
        }
        symbols.removeLast(symbols.count - count)
    }

    /// The place of the lowest of the first ranks, the leftmost of equals; nil when none is a rank.
    @inline(__always)
    private static func lowestPlace(in ranks: UnsafeMutableBufferPointer<UInt32>, count: Int) -> Int? {
        // Two plain loops: the first becomes vector code.
        var lowest = MergeTable.noRank
        for index in 0..<count { lowest = min(lowest, ranks[index]) }
        if lowest == MergeTable.noRank { return nil }
        var place = 0
        while ranks[place] != lowest { place += 1 }
        return place
    }

    private mutating func mergeLong(_ merges: borrowing MergeTable) {
        let count = symbols.count
        next.removeAll(keepingCapacity: true)
        previous.removeAll(keepingCapacity: true)
        heap.removeAll(keepingCapacity: true)
        for index in 0..<count {
            next.append(Int32(index + 1))
            previous.append(Int32(index - 1))
            if ranks[index] != MergeTable.noRank { heap.append(UInt64(ranks[index]) << 32 | UInt64(index)) }
        }
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(index) }
        while let top = popLowest() {
            let place = Int(top & 0xFFFF_FFFF)
            // An entry is out of date when its pair has changed; the pair's new rank has an entry of its own.
            if ranks[place] != UInt32(top >> 32) { continue }
            let right = Int(next[place])
            symbols[place] = merges.merge(symbols[place], symbols[right]).merged
            symbols[right] = -1
            ranks[right] = MergeTable.noRank
            next[place] = next[right]
            if Int(next[place]) < count { previous[Int(next[place])] = Int32(place) }
            updateRank(at: place, merges)
            if previous[place] >= 0 { updateRank(at: Int(previous[place]), merges) }
        }
        symbols.removeAll { $0 < 0 }
    }

    @inline(__always)
    private mutating func updateRank(at place: Int, _ merges: borrowing MergeTable) {
        let right = Int(next[place])
        let rank = right < symbols.count ? merges.merge(symbols[place], symbols[right]).rank : MergeTable.noRank
        ranks[place] = rank
        if rank != MergeTable.noRank { push(UInt64(rank) << 32 | UInt64(place)) }
    }

    // MARK: Heap

    private mutating func push(_ entry: UInt64) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent] <= entry { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
    }

    private mutating func popLowest() -> UInt64? {
        guard let lowest = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            siftDown(0)
        }
        return lowest
    }

    private mutating func siftDown(_ start: Int) {
        let entry = heap[start]
        var parent = start
        while true {
            var child = 2 * parent + 1
            if child >= heap.count { break }
            if child + 1 < heap.count && heap[child + 1] < heap[child] { child += 1 }
            if heap[child] >= entry { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = entry
    }
}

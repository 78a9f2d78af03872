// The merges of byte-pair encoding: which pair of tokens becomes which token, and how early.
// Owned by BytePairModel; filled while loading, immutable afterwards.
// Invariant: the table is at most two thirds full; ranks are the places of the merges in the file.

struct MergeTable: Sendable {
    /// No merge: later than every rank.
    static let noRank = UInt32.max

    struct Merge: Sendable {
        var left: TokenID = -1
        var right: TokenID = -1
        var rank: UInt32 = MergeTable.noRank
        var merged: TokenID = -1
    }

    private var slots: [Merge]
    private let shift: UInt64
    private let seed = UInt64.random(in: 0...UInt64.max)
    /// Hashed pairs that have a merge; may hold more. Small enough to stay in the cache, it answers most lookups
    /// of pairs that have none.
    private var present: [UInt64]
    private let presentShift: UInt64
    /// Hashed pairs of scalars that touch where some merge joins two tokens; may hold more, never fewer.
    private var touching = [UInt64](repeating: 0, count: 1 << 12)

    init(count: Int) {
        var bits: UInt64 = 4
        while (1 << Int(bits)) * 2 < count * 3 { bits += 1 }
        shift = 64 - bits
        slots = [Merge](repeating: Merge(), count: 1 << Int(bits))
        presentShift = shift - 3
        present = [UInt64](repeating: 0, count: (8 << Int(bits)) / 64)
    }

    @inline(__always)
    private func hash(_ left: TokenID, _ right: TokenID) -> UInt64 {
        let key = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
        return (key ^ seed) &* 0x9E37_79B9_7F4A_7C15 ^ (key >> 32) &* 0xD6E8_FEB8_6659_FD93
    }

    /// Reads what entering this pair will read first.
    @inline(__always)
    func touch(_ left: TokenID, _ right: TokenID) -> Int32 { slots[Int(hash(left, right) >> shift)].left }

    /// Enters a merge; of two merges of a pair the later stays, as in the reference.
    mutating func insert(_ merge: Merge) {
        let hash = self.hash(merge.left, merge.right)
        present[Int(hash >> presentShift) >> 6] |= 1 << (hash >> presentShift & 63)
        var place = Int(hash >> shift)
        while slots[place].left >= 0, slots[place].left != merge.left || slots[place].right != merge.right {
            place = (place + 1) & (slots.count - 1)
        }
        slots[place] = merge
    }

    /// The merge of a pair; its rank is noRank when there is none.
    @inline(__always)
    func merge(_ left: TokenID, _ right: TokenID) -> Merge {
        let hash = self.hash(left, right)
        let bit = hash >> presentShift
        if present[Int(bit >> 6)] >> (bit & 63) & 1 == 0 { return Merge() }
        var place = Int(hash >> shift)
        while true {
            let slot = slots[place]
            if slot.left < 0 || (slot.left == left && slot.right == right) { return slot }
            place = (place + 1) & (slots.count - 1)
        }
    }

    // MARK: Where no merge can reach across

    @inline(__always)
    private static func touchBit(_ before: UInt32, _ after: UInt32) -> Int {
        let product = (UInt64(before) << 21 | UInt64(after)) &* 0x9E37_79B9_7F4A_7C15
        return Int(product >> 46)
    }

    /// Notes that a merge joins a token that ends in one scalar with a token that begins with another.
    mutating func noteTouch(_ before: UInt32, _ after: UInt32) {
        let bit = MergeTable.touchBit(before, after)
        touching[bit >> 6] |= 1 << UInt64(bit & 63)
    }

    /// False only when no merge can ever join what ends in `before` with what begins with `after`.
    @inline(__always)
    func mayTouch(_ before: UInt32, _ after: UInt32) -> Bool {
        let bit = MergeTable.touchBit(before, after)
        return touching[bit >> 6] >> UInt64(bit & 63) & 1 == 1
    }
}

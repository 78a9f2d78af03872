// Token texts and ids: one blob of UTF-8, spans by id, and an open-addressing table from text to id.
// Owned by the model; filled while loading, immutable afterwards.
// Invariant: every span lies inside the blob; the table is at most three quarters full, so probing ends.

struct Vocabulary: Sendable {
    /// Ids above this are taken for a damaged file: tables are sized by the largest id.
    static let maximumID = 1 << 23

    fileprivate struct Span: Sendable {
        var start: UInt32 = 0
        /// UInt32.max: there is no token of this id.
        var count: UInt32 = .max
    }

    private struct Slot: Sendable {
        var hash: UInt32 = 0
        /// -1: the slot is free.
        var id: TokenID = -1
        var start: UInt32 = 0
        var count: UInt32 = 0
    }

    private var blob: [UInt8] = []
    private var spans: [Span] = []
    private var slots: [Slot]
    private let seed = UInt64.random(in: 0...UInt64.max)
    /// How many texts there are.
    private(set) var count = 0
    /// Bytes of the longest text.
    private(set) var longestText = 0

    init(capacity: Int, byteCapacity: Int) {
        slots = [Slot](repeating: Slot(), count: Vocabulary.tableSize(for: capacity))
        blob.reserveCapacity(byteCapacity)
        spans.reserveCapacity(capacity)
    }

    private static func tableSize(for capacity: Int) -> Int {
        var size = 16
        while size * 2 < capacity * 3 { size *= 2 }
        return size
    }

    /// The largest id there is, plus one.
    var idBound: Int { spans.count }

    /// Enters a text; a text that is there already gets the new id.
    mutating func insert(_ text: Bytes, id: Int) throws(TokenizerError) {
        guard id >= 0, id <= Vocabulary.maximumID else {
            throw TokenizerError("token id \(id) is outside of 0...\(Vocabulary.maximumID)")
        }
        guard blob.count + text.count <= Int(UInt32.max) else { throw TokenizerError("vocabulary is over 4 GiB") }
        let hash = Vocabulary.hash(text, seed: seed)
        var place = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[place].id >= 0, !isText(text, hash, in: slots[place]) { place = (place + 1) & (slots.count - 1) }
        if slots[place].id < 0 {
            slots[place] = Slot(
                hash: UInt32(truncatingIfNeeded: hash >> 32), id: TokenID(id), start: UInt32(blob.count),
                count: UInt32(text.count))
            blob.append(contentsOf: text)
            count += 1
            longestText = max(longestText, text.count)
        } else {
            spans[Int(slots[place].id)] = Span()
            slots[place].id = TokenID(id)
        }
        while id > spans.count { spans.append(Span()) }
        let span = Span(start: slots[place].start, count: slots[place].count)
        if id == spans.count { spans.append(span) } else { spans[id] = span }
        if count * 4 > slots.count * 3 { grow() }
    }

    private mutating func grow() {
        let old = slots
        slots = [Slot](repeating: Slot(), count: old.count * 2)
        for slot in old where slot.id >= 0 {
            let hash = blob.withUnsafeBufferPointer {
                Vocabulary.hash(Bytes(rebasing: $0[Int(slot.start)..<Int(slot.start + slot.count)]), seed: seed)
            }
            var place = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while slots[place].id >= 0 { place = (place + 1) & (slots.count - 1) }
            slots[place] = slot
        }
    }

    /// The id of a text, or -1.
    func id(of text: Bytes) -> TokenID {
        if text.count > longestText { return -1 }
        return id(of: text, hash: hash(of: text))
    }

    /// The hash that ``id(of:hash:)`` wants.
    func hash(of text: Bytes) -> UInt64 { Vocabulary.hash(text, seed: seed) }

    /// Reads what a lookup by this hash will read first, so that a batch of lookups waits for memory only once.
    @inline(__always)
    func touch(_ hash: UInt64) -> UInt32 {
        let slot = slots[Int(truncatingIfNeeded: hash) & (slots.count - 1)]
        return slot.id >= 0 ? slot.start : 0
    }

    /// Reads the text at a place that ``touch(_:)`` gave.
    @inline(__always)
    func touchText(_ start: UInt32) -> UInt32 { Int(start) < blob.count ? UInt32(blob[Int(start)]) : 0 }

    /// The id of a text whose hash is known, or -1.
    func id(of text: Bytes, hash: UInt64) -> TokenID {
        var place = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while true {
            let slot = slots[place]
            if slot.id < 0 || isText(text, hash, in: slot) { return slot.id }
            place = (place + 1) & (slots.count - 1)
        }
    }

    /// Whether an id has a text; cheaper than ``id(of:)`` where the id can be guessed.
    func isText(_ text: Bytes, of id: TokenID) -> Bool {
        guard id >= 0, Int(id) < spans.count, Int(spans[Int(id)].count) == text.count else { return false }
        let start = Int(spans[Int(id)].start)
        return blob.withUnsafeBufferPointer { blob in
            for index in 0..<text.count where blob[start + index] != text[index] { return false }
            return true
        }
    }

    func id(of text: String) -> TokenID? {
        var text = text
        let id = text.withUTF8 { self.id(of: $0) }
        return id < 0 ? nil : id
    }

    /// Texts by id, as long as they are lent.
    struct Texts {
        fileprivate let blob: Bytes
        fileprivate let spans: UnsafeBufferPointer<Span>

        /// The text of an id that has one.
        @inline(__always)
        subscript(id: TokenID) -> Bytes {
            let span = spans[Int(id)]
            return Bytes(rebasing: blob[Int(span.start)..<Int(span.start + span.count)])
        }
    }

    /// Lends all texts at once.
    func withTexts<R>(_ body: (Texts) -> R) -> R {
        blob.withUnsafeBufferPointer { blob in
            spans.withUnsafeBufferPointer { body(Texts(blob: blob, spans: $0)) }
        }
    }

    /// Lends the text of an id; nil when there is none.
    func withText<R>(of id: TokenID, _ body: (Bytes) -> R) -> R? {
        guard id >= 0, Int(id) < spans.count, spans[Int(id)].count != .max else { return nil }
        let span = spans[Int(id)]
        return blob.withUnsafeBufferPointer {
            body(Bytes(rebasing: $0[Int(span.start)..<Int(span.start + span.count)]))
        }
    }

    @inline(__always)
    private func isText(_ text: Bytes, _ hash: UInt64, in slot: Slot) -> Bool {
        guard slot.hash == UInt32(truncatingIfNeeded: hash >> 32), Int(slot.count) == text.count else { return false }
        return blob.withUnsafeBufferPointer { blob in
            var index = 0
            let start = Int(slot.start)
            while index < text.count {
                if blob[start + index] != text[index] { return false }
                index += 1
            }
            return true
        }
    }

    /// A seeded multiply-and-fold hash of eight bytes at a time.
    @inline(__always)
    private static func hash(_ text: Bytes, seed: UInt64) -> UInt64 {
        let raw = UnsafeRawBufferPointer(text)
        var hash = seed ^ UInt64(text.count)
        var position = 0
        while position + 8 <= raw.count {
            hash = fold(hash ^ raw.loadUnaligned(fromByteOffset: position, as: UInt64.self))
            position += 8
        }
        if position + 4 <= raw.count {
            hash = fold(hash ^ UInt64(raw.loadUnaligned(fromByteOffset: position, as: UInt32.self)))
            position += 4
        }
        var tail: UInt64 = 0
        while position < raw.count {
            tail = tail << 8 | UInt64(raw[position])
            position += 1
        }
        return fold(hash ^ tail)
    }

    @inline(__always)
    private static func fold(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }
}

// Finds added tokens in text.
// Owned by AddedTokens; immutable.
// Invariant: matching is leftmost, then longest; every match is a scalar-aligned part of the text.

/// Finds a set of added tokens in text.
struct AddedTokenMatcher: Sendable {
    private struct Entry: Sendable {
        var id: TokenID
        var token: AddedToken
    }

    private struct Node: Sendable {
        var byte: UInt8
        var firstChild: Int32 = -1
        var sibling: Int32 = -1
        var entry: Int32 = -1
    }

    /// A trie; children are linked lists, except those of the root, which `roots` finds at once.
    private var nodes: [Node] = []
    private var roots = [Int32](repeating: -1, count: 256)
    private var entries: [Entry] = []

    var isEmpty: Bool { entries.isEmpty }

    /// Adds a token to look for; `pattern` is its content as it appears in the text.
    mutating func insert(_ token: AddedToken, id: TokenID, pattern: some Collection<UInt8>) {
        guard let first = pattern.first else { return }
        if roots[Int(first)] < 0 { roots[Int(first)] = append(first) }
        var node = Int(roots[Int(first)])
        for byte in pattern.dropFirst() {
            var child = nodes[node].firstChild
            while child >= 0, nodes[Int(child)].byte != byte { child = nodes[Int(child)].sibling }
            if child < 0 {
                child = append(byte)
                nodes[Int(child)].sibling = nodes[node].firstChild
                nodes[node].firstChild = child
            }
            node = Int(child)
        }
        // Of two tokens with one pattern the first is found.
        guard nodes[node].entry < 0 else { return }
        nodes[node].entry = Int32(entries.count)
        entries.append(Entry(id: id, token: token))
    }

    private mutating func append(_ byte: UInt8) -> Int32 {
        nodes.append(Node(byte: byte))
        return Int32(nodes.count - 1)
    }

    /// Cuts text into tokens (`id` >= 0) and what lies between them, in order.
    func split(_ text: Bytes, _ body: (Range<Int>, _ id: TokenID) -> Void) {
        var done = 0
        var position = 0
        var spaceEnd = 0
        while position < text.count {
            let root = roots[Int(text[position])]
            guard root >= 0, let (end, entry) = longestMatch(in: text, at: position, root: Int(root)) else {
                position += 1
                continue
            }
            let token = entries[entry].token
            var start = position
            var stop = end
            position = end
            if token.isSingleWord && !isSingleWord(start..<stop, in: text) { continue }
            if token.stripsLeft {
                // Spaces that a match before has taken stay with it.
                start = max(done, leftmostSpace(before: start, notBefore: done, in: text))
            }
            if token.stripsRight {
                // Inside of spaces that have been looked through the end is known.
                if stop >= spaceEnd { spaceEnd = endOfSpaces(from: stop, in: text) }
                stop = spaceEnd
            }
            if done < start { body(done..<start, -1) }
            // A token of nothing but spaces may lie in those that the match before has taken.
            if start < stop { body(start..<stop, entries[entry].id) }
            done = max(done, stop)
        }
        if done < text.count { body(done..<text.count, -1) }
    }

    private func longestMatch(in text: Bytes, at start: Int, root: Int) -> (end: Int, entry: Int)? {
        var node = root
        var position = start + 1
        var best: (end: Int, entry: Int)?
        while true {
            if nodes[node].entry >= 0 { best = (position, Int(nodes[node].entry)) }
            guard position < text.count else { return best }
            var child = nodes[node].firstChild
            while child >= 0, nodes[Int(child)].byte != text[position] { child = nodes[Int(child)].sibling }
            if child < 0 { return best }
            node = Int(child)
            position += 1
        }
    }

    private func isSingleWord(_ range: Range<Int>, in text: Bytes) -> Bool {
        if range.lowerBound > 0,
            CharacterClass.unicodeWord.contains(UTF8Cursor.scalarBefore(range.lowerBound, in: text).value)
        {
            return false
        }
        return range.upperBound == text.count
            || !CharacterClass.unicodeWord.contains(UTF8Cursor.scalar(in: text, at: range.upperBound).value)
    }

    private func leftmostSpace(before start: Int, notBefore limit: Int, in text: Bytes) -> Int {
        var position = start
        while position > limit {
            let (value, length) = UTF8Cursor.scalarBefore(position, in: text)
            guard UnicodeCategories.isWhitespace(value) else { break }
            position -= length
        }
        return position
    }

    private func endOfSpaces(from end: Int, in text: Bytes) -> Int {
        var position = end
        while position < text.count {
            let (value, length) = UTF8Cursor.scalar(in: text, at: position)
            guard UnicodeCategories.isWhitespace(value) else { break }
            position += length
        }
        return position
    }
}

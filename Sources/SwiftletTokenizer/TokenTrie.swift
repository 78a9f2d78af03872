// All texts of a vocabulary by their beginnings: one walk over a text finds every token it begins with.
// Owned by the models that look for the longest or the best tokens; built while loading, immutable afterwards.
// Invariant: the children of a node lie side by side, ordered by their byte, behind the node itself.

struct TokenTrie: Sendable {
    struct Node: Sendable {
        /// Where the children begin in `nodes`.
        fileprivate var firstChild: UInt32 = 0
        fileprivate var childCount: UInt16 = 0
        fileprivate var byte: UInt8 = 0
        /// The token that ends here, or -1.
        var id: TokenID = -1
    }

    private var nodes: [Node] = [Node()]
    /// The children of the root by their byte: most steps start there.
    private var roots = [Int32](repeating: -1, count: 256)

    /// Bytes of the longest token accepted: a walk takes at most so many steps.
    static let maximumDepth = 1024

    init(_ vocabulary: Vocabulary) throws(TokenizerError) {
        guard vocabulary.longestText <= TokenTrie.maximumDepth else {
            throw TokenizerError("model: a token is longer than \(TokenTrie.maximumDepth) bytes")
        }
        var order = (0..<TokenID(vocabulary.idBound)).filter { vocabulary.withText(of: $0) { !$0.isEmpty } ?? false }
        var spare = order
        vocabulary.withTexts { texts in
            // Ranges of tokens that begin alike, with the node of that beginning: sorted byte by byte, level by level.
            var level: [(node: Int, range: Range<Int>)] = [(0, 0..<order.count)]
            var depth = 0
            while !level.isEmpty {
                var below: [(node: Int, range: Range<Int>)] = []
                for (node, range) in level {
                    addChildren(of: node, range, depth, &order, &spare, texts, &below)
                }
                level = below
                depth += 1
            }
        }
        for index in 0..<Int(nodes[0].childCount) {
            let child = Int(nodes[0].firstChild) + index
            roots[Int(nodes[child].byte)] = Int32(child)
        }
    }

    /// Makes the children of a node from the tokens that begin with it, all longer than its depth.
    private mutating func addChildren(
        of node: Int, _ range: Range<Int>, _ depth: Int, _ order: inout [TokenID], _ spare: inout [TokenID],
        _ texts: Vocabulary.Texts, _ below: inout [(node: Int, range: Range<Int>)]
    ) {
        TokenTrie.sort(&order, range, depth, &spare, texts)
        nodes[node].firstChild = UInt32(nodes.count)
        var start = range.lowerBound
        while start < range.upperBound {
            let byte = texts[order[start]][depth]
            var end = start + 1
            while end < range.upperBound, texts[order[end]][depth] == byte { end += 1 }
            var child = Node(byte: byte)
            // At most one text ends here, for texts are unique.
            if let place = (start..<end).first(where: { texts[order[$0]].count == depth + 1 }) {
                child.id = order[place]
                order.swapAt(start, place)
                start += 1
            }
            if start < end { below.append((nodes.count, start..<end)) }
            nodes.append(child)
            nodes[node].childCount += 1
            start = end
        }
    }

    /// Orders tokens by the byte at a depth.
    private static func sort(
        _ order: inout [TokenID], _ range: Range<Int>, _ depth: Int, _ spare: inout [TokenID], _ texts: Vocabulary.Texts
    ) {
        if range.count < 2 { return }
        if range.count < 64 {
            for place in range.dropFirst() {
                let id = order[place]
                let byte = texts[id][depth]
                var hole = place
                while hole > range.lowerBound, texts[order[hole - 1]][depth] > byte {
                    order[hole] = order[hole - 1]
                    hole -= 1
                }
                order[hole] = id
            }
            return
        }
        var starts = [Int](repeating: 0, count: 257)
        for place in range { starts[Int(texts[order[place]][depth]) + 1] += 1 }
        for byte in 1...256 { starts[byte] += starts[byte - 1] }
        for place in range {
            let byte = Int(texts[order[place]][depth])
            spare[range.lowerBound + starts[byte]] = order[place]
            starts[byte] += 1
        }
        for place in range { order[place] = spare[place] }
    }

    // MARK: Walking

    /// The node of the empty text.
    var root: Int { 0 }

    /// The token that ends at a node, or -1.
    func id(at node: Int) -> TokenID { nodes[node].id }

    /// The node one byte further, or -1.
    @inline(__always)
    func child(of node: Int, _ byte: UInt8) -> Int {
        if node == 0 { return Int(roots[Int(byte)]) }
        return nodes.withUnsafeBufferPointer { nodes in
            var lower = Int(nodes[node].firstChild)
            var count = Int(nodes[node].childCount)
            while count > 4 {
                let half = count / 2
                if nodes[lower + half].byte <= byte {
                    lower += half
                    count -= half
                } else {
                    count = half
                }
            }
            for child in lower..<lower + count where nodes[child].byte == byte { return child }
            return -1
        }
    }

    /// The node of a text, or -1 when no token begins with it.
    func node(of text: [UInt8]) -> Int {
        var node = root
        for byte in text where node >= 0 { node = child(of: node, byte) }
        return node
    }
}

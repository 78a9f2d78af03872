// The unigram language model of sentencepiece: of all ways to cut a piece into tokens, the one of the highest score.
// Owned by Tokenizer; immutable.
// Invariant: scores are added from left to right in double precision and an equal one never replaces an earlier one,
// so that ties fall as in the reference.

import SwiftletJSON

struct UnigramModel: Sendable {
    let vocabulary: Vocabulary
    private let trie: TokenTrie
    private let scores: [Double]
    private let unknownID: TokenID
    private let unknownScore: Double
    /// Ids of `<0x00>` … `<0xFF>`; empty when unknown characters are not to become bytes.
    private let byteIDs: [TokenID]

    /// How much less likely an unknown character is than the least likely token.
    private static let unknownPenalty = 10.0

    init(_ json: JSONValue) throws(TokenizerError) {
        guard let section = json["vocab"], section.kind == .array else {
            throw TokenizerError("model Unigram: vocab is missing or not a list")
        }
        (vocabulary, scores) = try UnigramModel.readVocabulary(section)
        trie = try TokenTrie(vocabulary)
        var unknownID: TokenID = -1
        if let id = json["unk_id"], !id.isNull {
            guard let value = id.int, value >= 0, value < scores.count else {
                throw TokenizerError("model Unigram: unk_id is not the number of a token")
            }
            unknownID = TokenID(value)
        }
        self.unknownID = unknownID
        unknownScore = (scores.min() ?? 0) - UnigramModel.unknownPenalty
        byteIDs = json["byte_fallback"]?.bool ?? false ? vocabulary.byteTokenIDs : []
    }

    private static func readVocabulary(_ section: JSONValue) throws(TokenizerError) -> (Vocabulary, [Double]) {
        let tape = JSONTape(section.document)
        var vocabulary = Vocabulary(capacity: section.count + 1, byteCapacity: section.byteRange.count / 2)
        var scores: [Double] = []
        scores.reserveCapacity(section.count)
        var scratch: [UInt8] = []
        var node = section.index + 1
        for id in 0..<section.count {
            guard let (text, number) = tape.pair(node), let score = tape.score(number) else {
                throw TokenizerError("model Unigram: entry \(id) of vocab is not [text, score]: \(tape.text(node))")
            }
            let outcome = tape.withString(text, &scratch) { text in
                Result { () throws(TokenizerError) in try vocabulary.insert(text, id: id) }
            }
            try outcome.get()
            scores.append(score)
            node = tape.next(node)
        }
        return (vocabulary, scores)
    }

    /// Appends the ids of one piece.
    func encode(_ piece: Bytes, into ids: inout [TokenID], _ space: inout UnigramWorkspace) {
        space.start(byteCount: piece.count)
        findBestPath(through: piece, &space)
        space.collectPath(unknownID: unknownID)
        for part in space.path.reversed() { append(part, of: piece, to: &ids) }
    }

    private func findBestPath(through piece: Bytes, _ space: inout UnigramWorkspace) {
        var position = 0
        while position < piece.count {
            let length = UTF8Cursor.length(ofFirst: piece[position])
            let before = space.score(at: position)
            var hasSingle = false
            var node = trie.root
            var end = position
            while end < piece.count {
                node = trie.child(of: node, piece[end])
                if node < 0 { break }
                end += 1
                let id = trie.id(at: node)
                if id < 0 { continue }
                space.offer(before + scores[Int(id)], id, from: position, to: end)
                hasSingle = hasSingle || end == position + length
            }
            if !hasSingle { space.offer(before + unknownScore, unknownID, from: position, to: position + length) }
            position += length
        }
    }

    /// Appends a token, or what stands for characters that no token has.
    private func append(_ part: UnigramWorkspace.Part, of piece: Bytes, to ids: inout [TokenID]) {
        if part.id != unknownID { return ids.append(part.id) }
        // Unknown characters side by side are one; together they may be a token.
        let text = Bytes(rebasing: piece[part.start..<part.end])
        let id = vocabulary.id(of: text)
        if id >= 0 {
            ids.append(id)
        } else if !byteIDs.isEmpty, text.allSatisfy({ byteIDs[Int($0)] >= 0 }) {
            for byte in text { ids.append(byteIDs[Int(byte)]) }
        } else if unknownID >= 0 {
            ids.append(unknownID)
        }
    }
}

/// The best way to each place of a piece. Owned by one encode call and reused from piece to piece.
struct UnigramWorkspace {
    struct Part {
        var start: Int
        var end: Int
        var id: TokenID
    }

    private struct Node {
        var score = 0.0
        /// Where the last token on the way begins; -1: no way is known yet.
        var start: Int32 = -1
        var id: TokenID = -1
    }

    private var nodes: [Node] = []
    /// The parts of the best way, the last first.
    private(set) var path: [Part] = []

    mutating func start(byteCount: Int) {
        nodes.removeAll(keepingCapacity: true)
        nodes.append(contentsOf: repeatElement(Node(), count: byteCount + 1))
    }

    func score(at position: Int) -> Double { nodes[position].score }

    /// Takes a way to `end` if it is better than the one known.
    @inline(__always)
    mutating func offer(_ score: Double, _ id: TokenID, from start: Int, to end: Int) {
        if nodes[end].start < 0 || score > nodes[end].score {
            nodes[end] = Node(score: score, start: Int32(truncatingIfNeeded: start), id: id)
        }
    }

    /// Follows the best way back; unknown parts side by side become one.
    mutating func collectPath(unknownID: TokenID) {
        path.removeAll(keepingCapacity: true)
        var end = nodes.count - 1
        while end > 0 {
            let node = nodes[end]
            let start = Int(node.start)
            if node.id == unknownID, let last = path.last, last.id == unknownID {
                path[path.count - 1].start = start
            } else {
                path.append(Part(start: start, end: end, id: node.id))
            }
            end = start
        }
    }
}

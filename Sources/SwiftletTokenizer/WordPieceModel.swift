// WordPiece: each word is cut into the longest tokens there are, from left to right; what continues a word is marked
// by a prefix. A word that cannot be cut is one unknown token.
// Owned by Tokenizer; immutable.
// Invariant: a word gives the tokens of all of it or the unknown token, never a part.

import SwiftletJSON

struct WordPieceModel: Sendable {
    let vocabulary: Vocabulary
    private let trie: TokenTrie
    /// Where tokens that continue a word begin in the trie, or -1.
    private let continuation: Int
    private let unknownID: TokenID
    private let maximumScalarCount: Int

    init(_ json: JSONValue) throws(TokenizerError) {
        vocabulary = try Vocabulary(json, of: "WordPiece")
        trie = try TokenTrie(vocabulary)
        continuation = trie.node(of: json["continuing_subword_prefix"]?.stringBytes ?? Array("##".utf8))
        unknownID = vocabulary.id(of: json["unk_token"]?.string ?? "[UNK]") ?? -1
        maximumScalarCount = json["max_input_chars_per_word"]?.int ?? 100
    }

    /// Appends the ids of one word; nothing for an unknown one where there is no unknown token.
    func encode(_ word: Bytes, into ids: inout [TokenID]) {
        let first = ids.count
        var position = 0
        while position < word.count {
            guard let (id, end) = longestToken(in: word, at: position) else { break }
            ids.append(id)
            position = end
        }
        if position == word.count && !isTooLong(word) { return }
        ids.removeLast(ids.count - first)
        if unknownID >= 0 { ids.append(unknownID) }
    }

    private func isTooLong(_ word: Bytes) -> Bool {
        word.count > maximumScalarCount && word.count(where: UTF8Cursor.isBoundary) > maximumScalarCount
    }

    private func longestToken(in word: Bytes, at start: Int) -> (TokenID, end: Int)? {
        var node = start == 0 ? trie.root : continuation
        var found: (TokenID, end: Int)?
        var position = start
        while node >= 0, position < word.count {
            node = trie.child(of: node, word[position])
            position += 1
            if node >= 0, trie.id(at: node) >= 0 { found = (trie.id(at: node), position) }
        }
        return found
    }
}

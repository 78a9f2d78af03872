// Tokens that are found in the text before anything else is done to it: special ones and others.
// Owned by Tokenizer; read from `added_tokens` of the file, immutable.
// Invariant: ids are given as the reference gives them: by the vocabulary where it has the text, else in order
// behind it; the number in the file is not trusted.

import SwiftletJSON

/// One entry of `added_tokens`, as the file has it.
struct AddedToken: Sendable {
    var content: String
    var isSpecial = false
    var stripsLeft = false
    var stripsRight = false
    var isSingleWord = false
    /// Looked for in normalized text rather than in the text as it is.
    var isNormalized = true

    /// Longest content accepted; matching costs at most this much per byte of text.
    static let maximumByteCount = 4096

    init(_ json: JSONValue) throws(TokenizerError) {
        guard let content = json["content"]?.string else { throw TokenizerError("added token has no content") }
        guard content.utf8.count <= AddedToken.maximumByteCount else {
            throw TokenizerError("added token is longer than \(AddedToken.maximumByteCount) bytes")
        }
        self.content = content
        isSpecial = json["special"]?.bool ?? false
        stripsLeft = json["lstrip"]?.bool ?? false
        stripsRight = json["rstrip"]?.bool ?? false
        isSingleWord = json["single_word"]?.bool ?? false
        isNormalized = json["normalized"]?.bool ?? !isSpecial
    }
}

/// All added tokens of a file.
struct AddedTokens: Sendable {
    /// Texts and ids.
    private(set) var vocabulary = Vocabulary(capacity: 64, byteCapacity: 4096)
    private(set) var specialIDs: Set<TokenID> = []
    /// Looked for in the text as it is.
    private(set) var plain = AddedTokenMatcher()
    /// Looked for in normalized text.
    private(set) var normalized = AddedTokenMatcher()

    init(_ json: JSONValue?, vocabulary base: Vocabulary, normalizer: Normalizer?) throws(TokenizerError) {
        guard let json else { return }
        guard json.kind == .array else { throw TokenizerError("added_tokens is not an array") }
        var tokens: [(token: AddedToken, id: TokenID)] = []
        for element in json.elements {
            let token = try AddedToken(element)
            var content = token.content
            let isKnown = vocabulary.id(of: content) != nil
            if content.isEmpty || isKnown { continue }
            let id = base.id(of: content) ?? TokenID(max(base.count, vocabulary.idBound))
            let outcome = content.withUTF8 { text in
                Result { () throws(TokenizerError) in try vocabulary.insert(text, id: Int(id)) }
            }
            try outcome.get()
            if token.isSpecial { specialIDs.insert(id) }
            tokens.append((token, id))
        }
        for (token, id) in tokens.filter(\.token.isSpecial) + tokens.filter({ !$0.token.isSpecial }) {
            let content = Array(token.content.utf8)
            if token.isNormalized {
                normalized.insert(token, id: id, pattern: normalizer?.apply(to: content) ?? content)
            } else {
                plain.insert(token, id: id, pattern: content)
            }
        }
    }
}

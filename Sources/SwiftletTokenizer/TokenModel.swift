// The model of a file, whichever of the four kinds it is.
// Owned by Tokenizer; immutable.
// Invariant: the ids of a piece depend on the piece alone.

import SwiftletJSON

enum TokenModel: Sendable {
    case bytePair(BytePairModel)
    case unigram(UnigramModel)
    case wordPiece(WordPieceModel)
    /// A piece is a token or unknown (-1: left out).
    case wordLevel(Vocabulary, unknownID: TokenID)

    init(_ json: JSONValue) throws(TokenizerError) {
        switch try TokenModel.type(of: json) {
        case "BPE": self = .bytePair(try BytePairModel(json))
        case "Unigram": self = .unigram(try UnigramModel(json))
        case "WordPiece": self = .wordPiece(try WordPieceModel(json))
        case "WordLevel":
            let vocabulary = try Vocabulary(json, of: "WordLevel")
            let unknown = json["unk_token"]?.string ?? "<unk>"
            self = .wordLevel(vocabulary, unknownID: vocabulary.id(of: unknown) ?? -1)
        case let type: throw TokenizerError("model type \(type) is not supported")
        }
    }

    /// Older files leave the type out; what they have tells.
    private static func type(of json: JSONValue) throws(TokenizerError) -> String {
        if let type = json["type"]?.string { return type }
        if json["merges"] != nil { return "BPE" }
        if json["vocab"]?.kind == .array { return "Unigram" }
        if json["max_input_chars_per_word"] != nil || json["continuing_subword_prefix"] != nil { return "WordPiece" }
        throw TokenizerError("model: type is missing")
    }

    var vocabulary: Vocabulary {
        switch self {
        case .bytePair(let model): model.vocabulary
        case .unigram(let model): model.vocabulary
        case .wordPiece(let model): model.vocabulary
        case .wordLevel(let vocabulary, _): vocabulary
        }
    }

    /// Appends the ids of one piece.
    func encode(_ piece: Bytes, into ids: inout [TokenID], _ space: inout TokenWorkspace) {
        switch self {
        case .bytePair(let model): model.encode(piece, into: &ids, &space.bytePair)
        case .unigram(let model): model.encode(piece, into: &ids, &space.unigram)
        case .wordPiece(let model): model.encode(piece, into: &ids)
        case .wordLevel(let vocabulary, let unknownID):
            let id = vocabulary.id(of: piece)
            if id >= 0 || unknownID >= 0 { ids.append(id >= 0 ? id : unknownID) }
        }
    }
}

/// What encoding needs of memory, reused from piece to piece.
struct TokenWorkspace {
    var bytePair = BytePairWorkspace()
    var unigram = UnigramWorkspace()
}

// Puts special tokens around what was encoded.
// Owned by Tokenizer; read from `post_processor` of the file, immutable.
// Invariant: only ids in front and behind are added; an unknown type is an error that names it.

import SwiftletJSON

struct PostProcessor: Sendable {
    private(set) var prefix: [TokenID] = []
    private(set) var suffix: [TokenID] = []

    init() {}

    init(_ json: JSONValue, depth: Int = 0) throws(TokenizerError) {
        guard depth < 8 else { throw TokenizerError("post_processor: nesting is too deep") }
        guard let type = json["type"]?.string else { throw TokenizerError("post_processor: type is missing") }
        switch type {
        case "ByteLevel": break
        case "Sequence":
            for element in json["processors"]?.elements ?? json.elements {
                let inner = try PostProcessor(element, depth: depth + 1)
                if inner.prefix.isEmpty && inner.suffix.isEmpty { continue }
                // The reference would put the second's tokens around every one of the first's.
                guard prefix.isEmpty && suffix.isEmpty else {
                    throw TokenizerError("post_processor Sequence: more than one of it adds tokens")
                }
                self = inner
            }
        case "TemplateProcessing": try readTemplate(json)
        case "BertProcessing", "RobertaProcessing":
            prefix = [try PostProcessor.id(json["cls"]?[1])]
            suffix = [try PostProcessor.id(json["sep"]?[1])]
        default: throw TokenizerError("post_processor type \(type) is not supported")
        }
    }

    private static func id(_ json: JSONValue?) throws(TokenizerError) -> TokenID {
        guard let id = json?.int, id >= 0, id <= Vocabulary.maximumID else {
            throw TokenizerError("post_processor: a token id is missing or out of range")
        }
        return TokenID(id)
    }

    /// The template for one text: special tokens before and behind the text itself.
    private mutating func readTemplate(_ json: JSONValue) throws(TokenizerError) {
        guard let single = json["single"], single.kind == .array else {
            throw TokenizerError("post_processor TemplateProcessing: single is missing")
        }
        var hasSequence = false
        for item in single.elements {
            if item["Sequence"] != nil {
                guard !hasSequence else {
                    throw TokenizerError("post_processor TemplateProcessing: single names the text twice")
                }
                hasSequence = true
            } else if let name = item["SpecialToken"]?["id"]?.string {
                guard let ids = json["special_tokens"]?[name]?["ids"], ids.kind == .array else {
                    throw TokenizerError("post_processor TemplateProcessing: special token \(name) has no ids")
                }
                for id in ids.elements {
                    let id = try PostProcessor.id(id)
                    if hasSequence { suffix.append(id) } else { prefix.append(id) }
                }
            } else {
                throw TokenizerError("post_processor TemplateProcessing: an item is neither Sequence nor SpecialToken")
            }
        }
        guard hasSequence else { throw TokenizerError("post_processor TemplateProcessing: single lacks the text") }
    }
}

// Sampling parameters as a person writes and reads them in a chat: `temperature=0.5 top_p=0.9`.
// Names, meanings and ranges are SamplingParams' own.
// Invariant: what is shown can be given back.

package import Swiftlet
import SwiftletJSON

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

package enum ParameterText {
    /// What a chat has no use for: it has one answer, and shows its text only.
    private static let excluded = ["n", "logprobs", "prompt_logprobs"]

    /// The parameters that differ from "nothing is done", one `name=value` each, in the order of their names.
    package static func describe(_ params: SamplingParams) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(params), let root = try? JSONDocument(parsing: Array(data)).root else {
            return ""
        }
        return root.members
            .filter { key, value in !excluded.contains(key) && !(value.kind == .array && value.count == 0) }
            .filter { key, value in !(value.kind == .object && value.count == 0) }
            .map { key, value in "\(key)=\(String(decoding: value.bytes, as: UTF8.self))" }
            .joined(separator: " ")
    }

    /// Reads `name=value …` or a JSON object over other parameters.
    ///
    /// A value is JSON (`0.5`, `null`, `["a","b"]`) or else a text (`stop=END`); white space separates.
    /// - Throws: ``LLMError`` that names what can't be read or is out of its range.
    package static func read(
        _ text: String, over params: SamplingParams, vocabularySize: Int
    ) throws(LLMError) -> SamplingParams {
        let object: JSONValue
        let bytes = text.hasPrefix("{") ? Array(text.utf8) : try json(text)
        do throws(JSONError) {
            object = try JSONDocument(parsing: bytes, rejectDuplicateKeys: true).root
        } catch {
            throw LLMError(.invalidRequest, "the parameters can't be read: \(error.message)")
        }
        for key in excluded where object[key] != nil {
            throw LLMError(.invalidRequest, "\(key) can't be set in a chat")
        }
        let result = try SamplingParams(object, over: params)
        try result.validate(vocabularySize: vocabularySize)
        return result
    }

    /// The object that `name=value …` stands for.
    private static func json(_ text: String) throws(LLMError) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        for word in words(of: text) {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw LLMError(.invalidRequest, "\"\(word)\" is not NAME=VALUE, such as temperature=0.5")
            }
            json.key(String(parts[0]))
            let value = Array(parts[1].utf8)
            if (try? JSONDocument(parsing: value)) != nil { json.raw(value) } else { json.string(String(parts[1])) }
        }
        json.endObject()
        return json.bytes
    }

    /// The text between white space that is not in quotes.
    private static func words(of text: String) -> [Substring] {
        var isQuoted = false
        var isEscaped = false
        return text.split { character in
            if isEscaped {
                isEscaped = false
            } else if character == "\"" {
                isQuoted.toggle()
            } else {
                isEscaped = isQuoted && character == "\\"
            }
            return character.isWhitespace && !isQuoted
        }
    }
}

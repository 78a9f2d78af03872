// TokenizeRequest: one line of `tokenize --input`, and the line that answers it.
// Lines come from anyone: every key is checked, unknown ones are refused, and one bad line is one error.
// Invariant: every line gives one line, {"ids"}, {"text"} or {"error"}.

package import Swiftlet
import SwiftletJSON
package import SwiftletTokenizer

/// A line of `--input`: `{"text": …}` or `{"ids": […]}`, each with an option of its own.
package enum TokenizeRequest: Sendable, Hashable {
    case encode(String, addSpecialTokens: Bool)
    case decode([TokenID], skipSpecialTokens: Bool)

    /// What lines that do not say get.
    package struct Defaults: Sendable, Hashable {
        package var addSpecialTokens: Bool
        package var skipSpecialTokens: Bool

        package init(addSpecialTokens: Bool = true, skipSpecialTokens: Bool = false) {
            self.addSpecialTokens = addSpecialTokens
            self.skipSpecialTokens = skipSpecialTokens
        }
    }

    /// Reads a line.
    ///
    /// - Parameter number: The line's number, for messages.
    package init(_ line: LineReader.Line, number: Int, defaults: Defaults) throws(LLMError) {
        guard case .text(let bytes) = line else {
            let limit = LineReader.defaultLimit >> 20
            throw LLMError(.invalidRequest, "line \(number): the line is longer than \(limit) MiB; split it")
        }
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(parsing: bytes, rejectDuplicateKeys: true).root
        } catch {
            throw LLMError(.invalidRequest, "line \(number): bad JSON: \(error.message) at byte \(error.offset + 1)")
        }
        do throws(LLMError) {
            self = try Self.request(root, defaults)
        } catch {
            throw LLMError(error.code, "line \(number): \(error.message)")
        }
    }

    private static func request(_ root: JSONValue, _ defaults: Defaults) throws(LLMError) -> TokenizeRequest {
        func invalid(_ message: String) -> LLMError { LLMError(.invalidRequest, message) }
        guard root.kind == .object else { throw invalid("a request is an object, {\"text\": …} or {\"ids\": […]}") }
        switch (root["text"], root["ids"]) {
        case (nil, nil): throw invalid("\"text\" or \"ids\" is missing")
        case (_?, _?): throw invalid("\"text\" and \"ids\" are both given; one is needed")
        case (let value?, nil):
            try checkKeys(of: root, ["text", "add_special_tokens"])
            guard let text = value.string else {
                throw invalid("\"text\" is \(value.description); it must be a string")
            }
            return .encode(text, addSpecialTokens: try flag(root, "add_special_tokens") ?? defaults.addSpecialTokens)
        case (nil, let list?):
            try checkKeys(of: root, ["ids", "skip_special_tokens"])
            let ids = try BatchRequest.ids(list, of: "ids")
            return .decode(ids, skipSpecialTokens: try flag(root, "skip_special_tokens") ?? defaults.skipSpecialTokens)
        }
    }

    private static func checkKeys(of root: JSONValue, _ known: [String]) throws(LLMError) {
        for (key, _) in root.members where !known.contains(key) {
            throw LLMError(
                .invalidRequest, "key \"\(key)\" is not known beside \"\(known[0])\"; known is \(known[1])")
        }
    }

    private static func flag(_ root: JSONValue, _ key: String) throws(LLMError) -> Bool? {
        guard let value = root[key], !value.isNull else { return nil }
        guard let flag = value.bool else {
            throw LLMError(.invalidRequest, "\"\(key)\" is \(value.description); it must be true or false")
        }
        return flag
    }

    /// The line with the answer, its end included.
    package func answer(_ tokenizer: Tokenizer) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            switch self {
            case .encode(let text, let addSpecialTokens):
                json.key("ids")
                json.array(tokenizer.encode(text, addSpecialTokens: addSpecialTokens)) { json, id in json.int(id) }
            case .decode(let ids, let skipSpecialTokens):
                json.key("text")
                json.string(tokenizer.decode(ids, skipSpecialTokens: skipSpecialTokens))
            }
        }
        json.newline()
        return json.bytes
    }

    /// The line that says why there is no answer.
    package static func line(_ error: LLMError) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.key("error")
            json.string(error.message)
        }
        json.newline()
        return json.bytes
    }
}

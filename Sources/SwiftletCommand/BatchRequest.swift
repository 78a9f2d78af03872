// BatchRequest: one line of a batch's input file, read into a request or into an error that says what is wrong.
// Lines come from anyone: every key is checked, unknown ones are refused, and one bad line is one error.
// Invariant: an error keeps the line's id when there is one, so that it can be matched to its line.

package import Swiftlet
import SwiftletJSON
import SwiftletTokenizer

/// A line of `--input`: `{"id": …, "prompt": … or "prompt_token_ids": …, "sampling_params": …}`.
package struct BatchRequest: Sendable, Hashable {
    package var id: String
    package var request: Request
    /// Whether the line itself says `max_tokens`; otherwise the default may shrink to what the context has left.
    package var namesMaxTokens: Bool

    /// Why a line is no request.
    package struct Failure: Error, Hashable, Sendable {
        package var id: String?
        package var message: String
    }

    private static let keys = ["id", "prompt", "prompt_token_ids", "sampling_params"]

    /// Reads a line.
    ///
    /// - Parameters:
    ///   - number: The line's number, for messages.
    ///   - defaults: What sampling parameters that the line does not name take.
    package init(_ line: LineReader.Line, number: Int, defaults: SamplingParams) throws(Failure) {
        guard case .text(let bytes) = line else {
            let limit = LineReader.defaultLimit >> 20
            throw Failure(message: "line \(number): the line is longer than \(limit) MiB; split it")
        }
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(parsing: bytes, rejectDuplicateKeys: true).root
        } catch {
            throw Failure(message: "line \(number): bad JSON: \(error.message) at byte \(error.offset + 1)")
        }
        guard root.kind == .object else {
            throw Failure(message: "line \(number): a request is an object, {\"id\": …, \"prompt\": …}")
        }
        let id = root["id"]?.string
        do throws(LLMError) {
            for (key, _) in root.members where !Self.keys.contains(key) {
                throw Self.invalid("key \"\(key)\" is not known; known are \(Self.keys.joined(separator: ", "))")
            }
            guard let value = root["id"] else { throw Self.invalid("\"id\" is missing") }
            guard let id else { throw Self.invalid("\"id\" is \(value.description); it must be a string") }
            let (params, namesMaxTokens) = try Self.params(root["sampling_params"], defaults)
            self.id = id
            self.request = Request(try Self.prompt(root), params)
            self.namesMaxTokens = namesMaxTokens
        } catch {
            throw Failure(id: id, message: "line \(number): \(error.message)")
        }
    }

    private static func invalid(_ message: String) -> LLMError { LLMError(.invalidRequest, message) }

    private static func prompt(_ root: JSONValue) throws(LLMError) -> Prompt {
        switch (root["prompt"], root["prompt_token_ids"]) {
        case (nil, nil): throw invalid("\"prompt\" or \"prompt_token_ids\" is missing")
        case (_?, _?): throw invalid("\"prompt\" and \"prompt_token_ids\" are both given; one is needed")
        case (let text?, nil):
            guard let text = text.string else {
                throw invalid("\"prompt\" is \(text.description); it must be a string")
            }
            return .text(text)
        case (nil, let list?):
            return .tokens(try ids(list, of: "prompt_token_ids"))
        }
    }

    /// A list of token ids; `key` names it in messages.
    static func ids(_ list: JSONValue, of key: String) throws(LLMError) -> [TokenID] {
        guard list.kind == .array else {
            throw invalid("\"\(key)\" is \(list.description); it must be a list of token ids")
        }
        var ids: [TokenID] = []
        ids.reserveCapacity(list.count)
        for (position, element) in list.elements.enumerated() {
            guard let value = element.int, let id = TokenID(exactly: value) else {
                throw invalid("\"\(key)\"[\(position)] is \(element.description); it must be a token id")
            }
            ids.append(id)
        }
        return ids
    }

    private static func params(
        _ value: JSONValue?, _ defaults: SamplingParams
    ) throws(LLMError) -> (SamplingParams, namesMaxTokens: Bool) {
        guard let value, !value.isNull else { return (defaults, false) }
        guard value.kind == .object else {
            throw invalid("\"sampling_params\" is \(value.description); it must be an object")
        }
        do {
            return (try SamplingParams(value, over: defaults), value["max_tokens"] != nil)
        } catch {
            throw invalid("\"sampling_params\": " + error.message)
        }
    }
}

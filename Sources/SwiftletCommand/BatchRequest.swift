// BatchRequest: one line of a batch's input file, read into a request or into an error that says what is wrong.
// Lines come from anyone: every key is checked, unknown ones are refused, and one bad line is one error.
// Invariant: an error keeps the line's id when there is one, so that it can be matched to its line.

package import Swiftlet
import SwiftletJSON
import SwiftletTokenizer

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

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
            guard let id else { throw Self.invalid("\"id\" is \(Self.describe(value)); it must be a string") }
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
                throw invalid("\"prompt\" is \(describe(text)); it must be a string")
            }
            return .text(text)
        case (nil, let list?):
            return .tokens(try ids(list, of: "prompt_token_ids"))
        }
    }

    /// A list of token ids; `key` names it in messages.
    static func ids(_ list: JSONValue, of key: String) throws(LLMError) -> [TokenID] {
        guard list.kind == .array else {
            throw invalid("\"\(key)\" is \(describe(list)); it must be a list of token ids")
        }
        var ids: [TokenID] = []
        ids.reserveCapacity(list.count)
        for (position, element) in list.elements.enumerated() {
            guard let value = element.int, let id = TokenID(exactly: value) else {
                throw invalid("\"\(key)\"[\(position)] is \(describe(element)); it must be a token id")
            }
            ids.append(id)
        }
        return ids
    }

    static func describe(_ value: JSONValue) -> String {
        switch value.kind {
        case .null: "null"
        case .bool: value.bool == true ? "true" : "false"
        case .number: String(decoding: value.bytes.prefix(32), as: UTF8.self)
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }

    private static func params(
        _ value: JSONValue?, _ defaults: SamplingParams
    ) throws(LLMError) -> (SamplingParams, namesMaxTokens: Bool) {
        guard let value, !value.isNull else { return (defaults, false) }
        guard value.kind == .object else {
            throw invalid("\"sampling_params\" is \(describe(value)); it must be an object")
        }
        let decoder = JSONDecoder()
        decoder.userInfo[.samplingDefaults] = defaults
        do {
            return (try decoder.decode(SamplingParams.self, from: Data(value.bytes)), value["max_tokens"] != nil)
        } catch let error as LLMError {
            throw error
        } catch let error as DecodingError {
            throw invalid("\"sampling_params\": " + message(error, value))
        } catch {
            throw invalid("\"sampling_params\": \(error)")
        }
    }

    /// A decoding error as a sentence that names the field.
    private static func message(_ error: DecodingError, _ params: JSONValue) -> String {
        func field(_ context: DecodingError.Context) -> String {
            var path = ""
            for key in context.codingPath {
                if let index = key.intValue {
                    path += "[\(index)]"
                } else {
                    path += (path.isEmpty ? "" : ".") + key.stringValue
                }
            }
            return path.isEmpty ? "the value" : path
        }
        switch error {
        case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
            return "\(field(context)) must be \(describe(type))"
        case .keyNotFound(let key, _): return "\(key.stringValue) is missing"
        case .dataCorrupted: break
        @unknown default: break
        }
        // A number out of range comes without its key: look for the member that fails alone.
        for (key, value) in params.members {
            var json = JSONWriter()
            json.object { json in
                json.key(key)
                json.raw(value.bytes)
            }
            if (try? JSONDecoder().decode(SamplingParams.self, from: Data(json.bytes))) == nil {
                return "\(key) can't be \(describe(value))"
            }
        }
        return "a value can't be read"
    }

    private static func describe(_ type: any Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is Bool.Type: "true or false"
        case is Int.Type, is TokenID.Type: "an integer"
        case is UInt64.Type: "an integer of 0 or more"
        case is Float.Type, is Double.Type: "a number"
        case is [TokenID].Type, is [String].Type, is [Any].Type: "a list"
        case is [String: Float].Type, is [String: Any].Type: "an object"
        default: "a \(type)"
        }
    }
}

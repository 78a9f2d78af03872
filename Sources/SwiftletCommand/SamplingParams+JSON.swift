// Sampling parameters in JSON, as people write them: what can't be read becomes a sentence that names the field.
// Invariant: nothing of a text that has a fault is taken over.

package import Swiftlet
package import SwiftletJSON
import SwiftletTokenizer

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension SamplingParams {
    /// Reads an object with vLLM's names.
    ///
    /// - Parameter defaults: What parameters that are not named take.
    /// - Throws: ``LLMError`` with code `invalidRequest`. Ranges are checked by ``validate(vocabularySize:maxLogprobs:)``.
    package init(_ value: JSONValue, over defaults: SamplingParams) throws(LLMError) {
        let decoder = JSONDecoder()
        decoder.userInfo[.samplingDefaults] = defaults
        do {
            self = try decoder.decode(SamplingParams.self, from: Data(value.bytes))
        } catch let error as LLMError {
            throw error
        } catch let error as DecodingError {
            throw LLMError(.invalidRequest, Self.message(error, value))
        } catch {
            throw LLMError(.invalidRequest, "\(error)")
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
                return "\(key) can't be \(value.description)"
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

extension JSONValue {
    /// The value in a few words, for messages.
    package var description: String {
        switch kind {
        case .null: "null"
        case .bool: bool == true ? "true" : "false"
        case .number: String(decoding: bytes.prefix(32), as: UTF8.self)
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }
}

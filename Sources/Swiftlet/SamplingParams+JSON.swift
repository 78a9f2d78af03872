// Sampling parameters out of JSON that people write: lines of files, request bodies. What can't be read becomes a
// sentence that names the field.
// Invariant: the names and meanings are those of the Codable conformance; ranges are validate()'s business.

package import SwiftletJSON
import SwiftletTokenizer

extension SamplingParams {
    /// Reads an object with vLLM's names.
    ///
    /// - Parameter defaults: What parameters that are not named take.
    /// - Throws: ``LLMError`` with code `invalidRequest`. Ranges are checked by ``validate(vocabularySize:maxLogprobs:)``.
    package init(_ object: JSONValue, over defaults: SamplingParams) throws(LLMError) {
        self = defaults
        for (name, value) in object.members {
            if try read(name, value) { continue }
            let known = Key.allCases.map(\.rawValue).sorted().joined(separator: ", ")
            throw LLMError(
                .invalidRequest, "sampling parameter \"\(name.prefix(40))\" is not known; known are \(known)")
        }
    }

    /// Takes over one member. Null means "off" where there is such a thing, else nothing.
    ///
    /// - Returns: False when no parameter has this name.
    package mutating func read(_ name: String, _ value: JSONValue) throws(LLMError) -> Bool {
        guard let key = Key(rawValue: name) else { return false }
        let field = Field(name: name, value: value)
        switch key {
        case .n: n = try field.int() ?? n
        case .temperature: temperature = try field.float() ?? temperature
        case .topK: topK = try field.int().flatMap { $0 == 0 || $0 == -1 ? nil : $0 }
        case .topP: topP = try field.float() ?? topP
        case .minP: minP = try field.float() ?? minP
        case .presencePenalty: presencePenalty = try field.float() ?? presencePenalty
        case .frequencyPenalty: frequencyPenalty = try field.float() ?? frequencyPenalty
        case .repetitionPenalty: repetitionPenalty = try field.float() ?? repetitionPenalty
        case .seed: seed = try field.seed()
        case .maxTokens: maxTokens = try field.int()
        case .minTokens: minTokens = try field.int() ?? minTokens
        case .stop: stop = try field.strings() ?? stop
        case .includeStopStringInOutput: includeStopStringInOutput = try field.bool() ?? includeStopStringInOutput
        case .stopTokenIDs: stopTokenIDs = try field.tokenIDs() ?? stopTokenIDs
        case .ignoreEOS: ignoreEOS = try field.bool() ?? ignoreEOS
        case .logitBias: logitBias = try field.biases() ?? logitBias
        case .allowedTokenIDs: allowedTokenIDs = try field.tokenIDs()
        case .logprobs: logprobs = try field.int()
        case .promptLogprobs: promptLogprobs = try field.int()
        case .skipSpecialTokens: skipSpecialTokens = try field.bool() ?? skipSpecialTokens
        }
        return true
    }

    /// One member; each reader is nil for null.
    private struct Field {
        var name: String
        var value: JSONValue

        private func mistyped(_ expected: String) -> LLMError {
            LLMError(.invalidRequest, "\(name) must be \(expected)")
        }

        private func outOfRange() -> LLMError {
            LLMError(.invalidRequest, "\(name) can't be \(value.description)")
        }

        func bool() throws(LLMError) -> Bool? {
            guard !value.isNull else { return nil }
            guard let flag = value.bool else { throw mistyped("true or false") }
            return flag
        }

        func int() throws(LLMError) -> Int? {
            guard !value.isNull else { return nil }
            guard value.kind == .number else { throw mistyped("an integer") }
            guard let number = value.int else { throw outOfRange() }
            return number
        }

        func float() throws(LLMError) -> Float? {
            guard !value.isNull else { return nil }
            guard value.kind == .number else { throw mistyped("a number") }
            guard let number = value.double.map({ Float($0) }), number.isFinite else { throw outOfRange() }
            return number
        }

        /// As in vLLM, any integer is a seed, and -1 means none.
        func seed() throws(LLMError) -> UInt64? {
            guard !value.isNull else { return nil }
            guard value.kind == .number else { throw mistyped("an integer") }
            if let signed = value.int { return signed == -1 ? nil : UInt64(bitPattern: Int64(signed)) }
            guard let large = UInt64(String(decoding: value.bytes, as: UTF8.self)) else { throw outOfRange() }
            return large
        }

        /// A list, or one string.
        func strings() throws(LLMError) -> [String]? {
            guard !value.isNull else { return nil }
            if let one = value.string { return [one] }
            return try list(of: "a string") { $0.string }
        }

        func tokenIDs() throws(LLMError) -> [TokenID]? {
            guard !value.isNull else { return nil }
            return try list(of: "an integer") { element in element.int.flatMap { TokenID(exactly: $0) } }
        }

        private func list<T>(of expected: String, _ read: (JSONValue) -> T?) throws(LLMError) -> [T] {
            guard value.kind == .array else { throw mistyped("a list") }
            var elements: [T] = []
            elements.reserveCapacity(value.count)
            for element in value.elements {
                guard let element = read(element) else {
                    throw LLMError(.invalidRequest, "\(name)[\(elements.count)] must be \(expected)")
                }
                elements.append(element)
            }
            return elements
        }

        func biases() throws(LLMError) -> [TokenID: Float]? {
            guard !value.isNull else { return nil }
            guard value.kind == .object else { throw mistyped("an object") }
            var biases: [TokenID: Float] = [:]
            for (key, member) in value.members {
                guard let id = TokenID(key) else {
                    throw LLMError(
                        .invalidRequest, "logit_bias has the key \"\(key.prefix(40))\"; keys must be token ids")
                }
                guard let bias = member.double.map({ Float($0) }), bias.isFinite else {
                    throw LLMError(.invalidRequest, "logit_bias.\(key) must be a number")
                }
                biases[id] = bias
            }
            return biases
        }
    }
}

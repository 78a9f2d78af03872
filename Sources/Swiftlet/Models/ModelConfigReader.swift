// ConfigReader: typed access to the members of one JSON object, with errors that name the file and the key.
// Used for config.json, generation_config.json and the rope description inside of it.
// Invariant: a member that is there with the wrong type or out of range is an error; null counts as not there.

internal import SwiftletJSON

package struct ConfigReader {
    /// What messages start with: the file's name.
    let file: String
    let object: JSONValue

    /// Parses a whole file that must be one JSON object.
    package init(parsing bytes: [UInt8], file: String) throws(LLMError) {
        let document: JSONDocument
        do {
            document = try JSONDocument(
                parsing: bytes, maximumDepth: 64, maximumNodeCount: 1 << 20, rejectDuplicateKeys: true)
        } catch {
            throw LLMError(.invalidModel, "\(file) is not valid JSON: \(error)")
        }
        try self.init(document.root, file: file)
    }

    init(_ value: JSONValue, file: String) throws(LLMError) {
        guard value.kind == .object else { throw LLMError(.invalidModel, "\(file) is not a JSON object") }
        self.file = file
        self.object = value
    }

    /// The member, unless it is null.
    func value(_ key: String) -> JSONValue? {
        guard let value = object[key], !value.isNull else { return nil }
        return value
    }

    func invalid(_ text: String) -> LLMError { LLMError(.invalidModel, "\(file): \(text)") }

    private func mistyped(_ key: String, _ value: JSONValue, expected: String) -> LLMError {
        invalid("\(key) is \(Self.text(of: value)); it must be \(expected)")
    }

    /// A value as it is written, cut to what fits a message.
    static func text(of value: JSONValue) -> String {
        let written = String(decoding: value.bytes.prefix(60), as: UTF8.self)
        return value.byteRange.count > 60 ? written + "…" : written
    }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(LLMError) -> Int? {
        guard let value = value(key) else { return nil }
        guard let number = value.int, range.contains(number) else {
            throw mistyped(key, value, expected: "an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// The number, or the one that the family's reference takes where it is left out.
    func requiredInteger(
        _ key: String, in range: ClosedRange<Int>, of family: ModelFamily
    ) throws(LLMError) -> Int {
        guard let number = try integer(key, in: range) ?? family.integer(key) else {
            throw invalid("\(key) is missing")
        }
        return number
    }

    /// A positive number that switches something on in families that have it: left out, it is the family's default; null, it is off.
    func feature(_ key: String, of family: ModelFamily) throws(LLMError) -> Double? {
        guard family.keys.contains(key) else { return nil }
        guard object[key] != nil else { return family.defaults[key] }
        return try number(key, "a number above 0") { $0 > 0 && $0 <= 1e6 }
    }

    func number(_ key: String, _ expected: String, where isValid: (Double) -> Bool) throws(LLMError) -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value.double, number.isFinite, isValid(number) else {
            throw mistyped(key, value, expected: expected)
        }
        return number
    }

    func flag(_ key: String) throws(LLMError) -> Bool? {
        guard let value = value(key) else { return nil }
        guard let flag = value.bool else { throw mistyped(key, value, expected: "true or false") }
        return flag
    }

    func text(_ key: String) throws(LLMError) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw mistyped(key, value, expected: "a string") }
        return text
    }

    func integers(_ key: String) throws(LLMError) -> [Int]? {
        guard let value = value(key) else { return nil }
        let integers = value.elements.compactMap(\.int)
        guard value.kind == .array, integers.count == value.count else {
            throw mistyped(key, value, expected: "a list of integers")
        }
        return integers
    }

    func strings(_ key: String) throws(LLMError) -> [String]? {
        guard let value = value(key) else { return nil }
        let strings = value.elements.compactMap(\.string)
        guard value.kind == .array, strings.count == value.count else {
            throw mistyped(key, value, expected: "a list of strings")
        }
        return strings
    }

    func numbers(_ key: String, _ expected: String, where isValid: (Double) -> Bool) throws(LLMError) -> [Double]? {
        guard let value = value(key) else { return nil }
        let numbers = value.elements.compactMap(\.double)
        guard value.kind == .array, numbers.count == value.count, numbers.allSatisfy({ $0.isFinite && isValid($0) })
        else { throw mistyped(key, value, expected: "a list of numbers, \(expected)") }
        return numbers
    }

    /// A token id, a list of them, or none. Negative ids stand for "none" in old files.
    func tokenIDs(_ key: String) throws(LLMError) -> [Int] {
        guard let value = value(key) else { return [] }
        let entries = value.kind == .array ? Array(value.elements) : [value]
        var ids: [Int] = []
        for entry in entries {
            guard let id = entry.int else {
                throw mistyped(key, value, expected: "a token id or a list of token ids")
            }
            if id >= 0 { ids.append(id) }
        }
        return ids
    }

    func member(_ key: String) throws(LLMError) -> ConfigReader? {
        guard let value = value(key) else { return nil }
        guard value.kind == .object else { throw mistyped(key, value, expected: "an object") }
        return try ConfigReader(value, file: "\(file): \(key)")
    }
}

// TemplateValue: what a caller gives a template: JSON's values, with objects in order.
// Invariant: an object has each key once; the order of its members is the order in which a template sees them.

package import SwiftletJSON

/// A value for a template: a message, a tool, a variable.
///
///     let message: TemplateValue = ["role": "user", "content": "Why is the sky blue?"]
public enum TemplateValue: Sendable, Hashable {
    /// `None` in the template.
    case null
    case bool(Bool)
    case int(Int)
    /// An integer beyond 64 bits, in decimal digits.
    case largeInteger(String)
    case double(Double)
    case string(String)
    case array([TemplateValue])
    /// Members in order.
    case object([Member])

    /// A member of an object.
    public struct Member: Sendable, Hashable {
        public var key: String
        public var value: TemplateValue

        public init(_ key: String, _ value: TemplateValue) {
            self.key = key
            self.value = value
        }
    }

    /// Reads JSON text.
    ///
    /// - Throws: ``TemplateError`` when it is not JSON or nests deeper than 128.
    public init(json bytes: [UInt8]) throws(TemplateError) {
        do {
            self.init(try JSONDocument(parsing: bytes).root)
        } catch {
            throw TemplateError(.invalidInput, "bad JSON: \(error)")
        }
    }

    /// Takes over a parsed value; of a key that comes twice the last value counts, as in Python.
    package init(_ json: JSONValue) {
        switch json.kind {
        case .null: self = .null
        case .bool: self = .bool(json.bool ?? false)
        case .number: self = TemplateValue(number: String(decoding: json.bytes, as: UTF8.self))
        case .string: self = .string(json.string ?? "")
        case .array: self = .array(json.elements.map { TemplateValue($0) })
        case .object:
            var members: [Member] = []
            var places: [[UInt8]: Int] = [:]
            for (key, value) in json.members {
                let bytes = Array(key.utf8)
                if let place = places[bytes] {
                    members[place].value = TemplateValue(value)
                } else {
                    places[bytes] = members.count
                    members.append(Member(key, TemplateValue(value)))
                }
            }
            self = .object(members)
        }
    }

    /// A JSON number: an integer when it is written as one.
    private init(number: String) {
        if number.utf8.contains(where: { ".eE".utf8.contains($0) }) {
            self = .double(Double(number) ?? 0)
        } else if let integer = Int(number) {
            self = .int(integer)
        } else {
            self = .largeInteger(number)
        }
    }

    /// The value of an object's member.
    public subscript(_ key: String) -> TemplateValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key.utf8.elementsEqual(key.utf8) }?.value
    }
}

extension TemplateValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: TemplateValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, TemplateValue)...) {
        self = .object(elements.map { Member($0.0, $0.1) })
    }
}

extension Value {
    /// - Throws: when the value nests deeper than a template may.
    init(_ value: TemplateValue, maximumDepth: Int) throws(TemplateError) {
        guard maximumDepth > 0 else { throw TemplateError(.limit, "a value given to the template nests too deep") }
        switch value {
        case .null: self = .none
        case .bool(let flag): self = .bool(flag)
        case .int(let integer): self = .int(integer)
        case .largeInteger(let digits): self = .wide(Text(digits))
        case .double(let number): self = .float(number)
        case .string(let string): self = .string(Text(string))
        case .array(let elements):
            var values: [Value] = []
            values.reserveCapacity(elements.count)
            for element in elements { values.append(try Value(element, maximumDepth: maximumDepth - 1)) }
            self = .list(Elements(values))
        case .object(let members):
            let map = OrderedMap()
            for member in members {
                try map.set(.string(Text(member.key)), try Value(member.value, maximumDepth: maximumDepth - 1))
            }
            self = .dict(map)
        }
    }
}

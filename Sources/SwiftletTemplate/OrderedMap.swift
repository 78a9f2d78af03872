// OrderedMap: a Python dict: keys in the order they were put in, found by value. Small maps, which nearly all are, are
// searched; larger ones have an index.
// Owned by values; a class so that sharing costs a reference.
// Invariant: keys are hashable and unique in Python's sense (1, 1.0 and True are one key).

/// A value as a key: equal keys are the same case with the same contents.
enum MapKey: Hashable {
    case none
    case int(Int)
    case float(Double)
    case wide([UInt8])
    case string([UInt8])
    case tuple([MapKey])
    case range([Int])
    case object(ObjectIdentifier)
    case undefined

    /// - Throws: when the value is unhashable, such as a list.
    init(_ value: Value) throws(TemplateError) {
        switch value {
        case .missing, .undefined: self = .undefined
        case .none: self = .none
        case .bool(let value): self = .int(value ? 1 : 0)
        case .int(let value): self = .int(value)
        case .wide(let digits): self = .wide(digits.bytes)
        case .float(let value):
            if let integer = Int(exactly: value) { self = .int(integer) } else { self = .float(value) }
        case .string(let text): self = .string(text.bytes)
        case .tuple(let elements):
            var keys: [MapKey] = []
            for element in elements.values { keys.append(try MapKey(element)) }
            self = .tuple(keys)
        case .range(let range):
            let last = range.count > 0 ? [range.start] : []
            self = .range([range.count] + last + (range.count > 1 ? [range.step] : []))
        case .namespace(let object): self = .object(ObjectIdentifier(object))
        case .loop(let object): self = .object(ObjectIdentifier(object))
        case .macro(let object): self = .object(ObjectIdentifier(object))
        case .iterator(let object): self = .object(ObjectIdentifier(object))
        case .function(let object): self = .object(ObjectIdentifier(object))
        case .cycler(let object): self = .object(ObjectIdentifier(object))
        case .joiner(let object): self = .object(ObjectIdentifier(object))
        case .view(let view) where view.kind == .values: self = .object(ObjectIdentifier(view))
        case .list, .dict, .view: throw .type("unhashable type: '\(value.typeName)'")
        }
    }
}

/// A dictionary that keeps its order.
final class OrderedMap {
    private(set) var keys: [Value] = []
    private(set) var values: [Value] = []
    private(set) var depth = 1
    private var index: [MapKey: Int] = [:]
    private static let searchedCount = 8

    init() {}

    var count: Int { keys.count }

    init(_ pairs: [(Value, Value)]) throws(TemplateError) {
        for (key, value) in pairs { try set(key, value) }
    }

    func copy() -> OrderedMap {
        let map = OrderedMap()
        map.keys = keys
        map.values = values
        map.depth = depth
        map.index = index
        return map
    }

    /// The place of a string key.
    func position(of key: Text) -> Int? {
        if keys.count > OrderedMap.searchedCount { return index[.string(key.bytes)] }
        for position in keys.indices {
            if case .string(let candidate) = keys[position], candidate == key { return position }
        }
        return nil
    }

    private func position(of value: Value) throws(TemplateError) -> Int? {
        if case .string(let text) = value { return position(of: text) }
        let key = try MapKey(value)
        if keys.count > OrderedMap.searchedCount { return index[key] }
        for position in keys.indices where try MapKey(keys[position]) == key { return position }
        return nil
    }

    subscript(_ key: Text) -> Value? { position(of: key).map { values[$0] } }

    /// - Throws: when the key is unhashable.
    func value(for key: Value) throws(TemplateError) -> Value? {
        try position(of: key).map { values[$0] }
    }

    /// Only while it is made, and for namespaces.
    func set(_ key: Value, _ value: Value) throws(TemplateError) {
        depth = max(depth, value.depth + 1, key.depth + 1)
        if let position = try position(of: key) {
            values[position] = value
            return
        }
        keys.append(key)
        values.append(value)
        if keys.count == OrderedMap.searchedCount + 1 {
            for (position, key) in keys.enumerated() { index[try MapKey(key)] = position }
        } else if keys.count > OrderedMap.searchedCount {
            index[try MapKey(key)] = keys.count - 1
        }
    }

    /// Lets go of everything, which breaks cycles of namespaces.
    func removeAll() {
        keys = []
        values = []
        index = [:]
    }
}

/// `dict.keys()`, `.values()` or `.items()`.
final class DictionaryView {
    enum Kind {
        case keys, values, items

        var typeName: String {
            switch self {
            case .keys: "dict_keys"
            case .values: "dict_values"
            case .items: "dict_items"
            }
        }
    }

    let map: OrderedMap
    let kind: Kind

    init(_ map: OrderedMap, _ kind: Kind) {
        self.map = map
        self.kind = kind
    }

    var count: Int { map.count }

    func value(at position: Int) -> Value {
        switch kind {
        case .keys: map.keys[position]
        case .values: map.values[position]
        case .items: .tuple(Elements([map.keys[position], map.values[position]]))
        }
    }
}

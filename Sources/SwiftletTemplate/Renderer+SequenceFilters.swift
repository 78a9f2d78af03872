// The filters about sequences; those that are generators in Python are in a file of their own.
// Invariant: the order of elements is kept, and sorting is stable.

extension Renderer {
    func applyToSequence(
        _ filter: FilterName, _ value: Value, _ arguments: [Value?]
    ) throws(TemplateError) -> Value? {
        switch filter {
        case .list: return try list(try elements(of: value))
        case .first: return try first(value)
        case .last: return try last(value)
        case .join: return .string(try joined(value, arguments))
        case .items: return try items(value)
        case .dictsort: return try sortedItems(value, arguments)
        case .sort: return try sort(value, arguments)
        case .unique: return try unique(value, arguments)
        case .min, .max: return try extreme(filter, value, arguments)
        case .sum: return try sum(value, arguments)
        case .reverse: return try reversed(value)
        case .groupby: return try grouped(value, arguments)
        case .batch: return try batched(value, arguments)
        case .slice: return try sliced(value, arguments)
        default: return nil
        }
    }

    func list(_ values: [Value]) throws(TemplateError) -> Value {
        let elements = Elements(values)
        try charge(elements: values.count, depth: elements.depth)
        return .list(elements)
    }

    func tuple(_ values: [Value]) -> Value { .tuple(Elements(values)) }

    // MARK: Attributes of elements

    /// The parts of an attribute's path: `a.b.0` is a, b and the integer 0.
    func path(_ attribute: Value?) -> [Value] {
        switch attribute {
        case nil, .some(.none): return []
        case .some(.string(let text)):
            return text.split(".", limit: nil).map { part in
                StringPredicate.isDigit(part) ? NumberText.integer(part, radix: 10) ?? .string(part) : .string(part)
            }
        case .some(let value): return [value]
        }
    }

    func follow(_ path: [Value], from value: Value, default standard: Value? = nil) throws(TemplateError)
        -> Value
    {
        var value = value
        for part in path {
            value = try item(part, of: value)
            if let standard, !standard.isNone, value.isUndefined { value = standard }
        }
        return value
    }

    func folded(_ value: Value, _ isCaseSensitive: Bool) -> Value {
        if !isCaseSensitive, case .string(let text) = value { return .string(text.lowercased) }
        return value
    }

    // MARK: Elements

    private func first(_ value: Value) throws(TemplateError) -> Value {
        try iterator(over: value).next() ?? .undefined(Undefined(hint: "No first item, sequence was empty."))
    }

    private func last(_ value: Value) throws(TemplateError) -> Value {
        switch value {
        case .list, .tuple, .string, .dict, .range, .view, .undefined:
            if case .undefined(let undefined) = value { throw undefined.error }
            return try elements(of: value).last ?? .undefined(Undefined(hint: "No last item, sequence was empty."))
        default: throw .type("'\(value.typeName)' object is not reversible")
        }
    }

    private func reversed(_ value: Value) throws(TemplateError) -> Value {
        switch value {
        case .string(let text):
            try charge(bytes: 4 * text.bytes.count)
            return .string(Text(scalars: text.scalars.reversed()).marked(text.isMarkup))
        case .iterator:
            return try list(try elements(of: value).reversed())
        case .undefined: return .list(Elements([]))
        default:
            return .iterator(
                ValueIterator(
                    "reversed",
                    over: try elements(of: value, called: "argument must be iterable").reversed()))
        }
    }

    private func joined(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Text {
        let separator = try arguments[0].map { value throws(TemplateError) in try string(of: value) } ?? .empty
        let path = path(arguments[1])
        var parts: [Text] = []
        let iterator = try iterator(over: value)
        while let element = try iterator.next() {
            parts.append(try string(of: path.isEmpty ? element : try follow(path, from: element)))
            try charge(bytes: 16)
        }
        return try join(parts, with: separator)
    }

    // MARK: Order

    private func sortedItems(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let isCaseSensitive = try isTrue(arguments[0] ?? .none)
        let by = try arguments[1].map { value throws(TemplateError) in try value.requiredText("dictsort") } ?? "key"
        guard by == "key" || by == "value" else {
            throw .type("You can only sort by either \"key\" or \"value\"")
        }
        guard case .dict(let map) = value else {
            if case .undefined(let undefined) = value { throw undefined.error }
            throw TemplateError(.undefined, "'\(value.objectDescription)' has no attribute 'items'")
        }
        let keys = (by == "key" ? map.keys : map.values).map { folded($0, isCaseSensitive) }
        let pairs = zip(map.keys, map.values).map { tuple([$0, $1]) }
        return try list(try sorted(pairs, by: keys, reversed: try arguments[2].integer("sorted", default: 0) != 0))
    }

    private func sort(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let isCaseSensitive = try isTrue(arguments[1] ?? .none)
        var paths: [[Value]] = [path(arguments[2])]
        if case .string(let text)? = arguments[2] { paths = text.split(",", limit: nil).map { path(.string($0)) } }
        let values = try elements(of: value)
        var keys: [Value] = []
        for value in values {
            var key: [Value] = []
            for path in paths { key.append(folded(try follow(path, from: value), isCaseSensitive)) }
            keys.append(.list(Elements(key)))
        }
        return try list(try sorted(values, by: keys, reversed: try arguments[0].integer("sorted", default: 0) != 0))
    }

    private func extreme(_ filter: FilterName, _ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let isCaseSensitive = try isTrue(arguments[0] ?? .none)
        let path = path(arguments[1])
        var best: (value: Value, key: Value)?
        for element in try elements(of: value) {
            let key = folded(try follow(path, from: element), isCaseSensitive)
            guard let current = best else {
                best = (element, key)
                continue
            }
            let isBetter = filter == .min ? try isLess(key, current.key) : try compare(.greater, key, current.key)
            if isBetter { best = (element, key) }
        }
        return best?.value ?? .undefined(Undefined(hint: "No aggregated item, sequence was empty."))
    }

    private func sum(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let path = path(arguments[0])
        var total = arguments[1] ?? .int(0)
        if case .string = total { throw .type("sum() can't sum strings [use ''.join(seq) instead]") }
        for element in try elements(of: value) {
            total = try binary(.add, total, path.isEmpty ? element : try follow(path, from: element))
        }
        return total
    }

    private func grouped(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let path = path(arguments[0])
        let isCaseSensitive = try isTrue(arguments[2] ?? .none)
        let values = try elements(of: value)
        var keys: [Value] = []
        for value in values {
            keys.append(folded(try follow(path, from: value, default: arguments[1]), isCaseSensitive))
        }
        let order = try sorted(values.indices.map { .int($0) }, by: keys, reversed: false)
        var groups: [(key: Value, values: [Value])] = []
        for position in order.compactMap(\.integer) {
            if let last = groups.last, try areEqual(last.key, keys[position]) {
                groups[groups.count - 1].values.append(values[position])
            } else {
                groups.append((keys[position], [values[position]]))
            }
        }
        var result: [Value] = []
        for group in groups {
            let name = isCaseSensitive ? group.key : try follow(path, from: group.values[0], default: arguments[1])
            result.append(.tuple(Elements([name, try list(group.values)], isGroup: true)))
        }
        return try list(result)
    }
}

// The filters about sequences. Those that are generators in Python compute their elements as they are asked for.
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
        case .batch: return batched(value, arguments)
        case .slice: return sliced(value, arguments)
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
    private func path(_ attribute: Value?) -> [Value] {
        switch attribute {
        case nil, .some(.none): return []
        case .some(.string(let text)):
            return text.split(".", limit: nil).map { part in
                StringPredicate.isDigit(part) ? NumberText.integer(part, radix: 10) ?? .string(part) : .string(part)
            }
        case .some(let value): return [value]
        }
    }

    private func follow(_ path: [Value], from value: Value, default standard: Value? = nil) throws(TemplateError)
        -> Value
    {
        var value = value
        for part in path {
            value = try item(part, of: value)
            if let standard, !standard.isNone, value.isUndefined { value = standard }
        }
        return value
    }

    private func folded(_ value: Value, _ isCaseSensitive: Bool) -> Value {
        if !isCaseSensitive, case .string(let text) = value { return .string(text.lowercased) }
        return value
    }

    // MARK: Generators

    func map(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        lazily("generator", over: value) { [unowned self] (element) throws(TemplateError) in
            if arguments.positional.isEmpty, let attribute = arguments.keywords.first(where: { $0.name == "attribute" })
            {
                let standard = arguments.keywords.first { $0.name == "default" }
                if let stray = arguments.keywords.first(where: { $0.name != "attribute" && $0.name != "default" }) {
                    throw .type("Unexpected keyword argument \(PythonText.quoted(stray.name))")
                }
                return try follow(path(attribute.value), from: element, default: standard?.value)
            }
            guard let first = arguments.positional.first else { throw .type("map requires a filter argument") }
            var rest = CallArguments(Array(arguments.positional.dropFirst()))
            rest.keywords = arguments.keywords
            return try apply(try filter(named: first), to: element, rest)
        }
    }

    private func filter(named name: Value) throws(TemplateError) -> FilterName {
        if case .string(let text) = name, let filter = FilterName(rawValue: text.string) { return filter }
        throw .type("No filter named \(PythonText.scalar(name) ?? name.typeName).")
    }

    private func test(named name: Value) throws(TemplateError) -> TestName {
        if case .string(let text) = name, let test = TestName(name: text) { return test }
        throw .type("No test named \(PythonText.scalar(name) ?? name.typeName).")
    }

    /// The elements of a value after a step each; nil leaves one out. Nothing is done before the first is asked for.
    private func lazily(
        _ typeName: String, over value: Value, skipsFalse: Bool = false,
        _ step: @escaping (Value) throws(TemplateError) -> Value?
    ) -> Value {
        var source: ValueIterator?
        return .iterator(
            ValueIterator(typeName) { [unowned self] () throws(TemplateError) in
                if source == nil {
                    // None and the like have nothing to select from, which is no error.
                    let isTrue = try isTrue(value)
                    source =
                        isTrue || !skipsFalse ? try iterator(over: value) : ValueIterator("iterator", over: [])
                }
                while let element = try source?.next() {
                    try charge()
                    if let result = try nested({ () throws(TemplateError) in try step(element) }) { return result }
                }
                return nil
            })
    }

    private func iterator(over value: Value) throws(TemplateError) -> ValueIterator {
        switch try iteration(over: value) {
        case .values(let values): ValueIterator("iterator", over: values)
        case .lazy(let iterator): iterator
        }
    }

    func select(_ filter: FilterName, _ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let isByAttribute = filter == .selectattr || filter == .rejectattr
        let keeps = filter == .select || filter == .selectattr
        var isChecked = false
        return lazily("generator", over: value, skipsFalse: true) { [unowned self] (element) throws(TemplateError) in
            if !isChecked, isByAttribute, arguments.positional.isEmpty {
                throw .type("Missing parameter for attribute name")
            }
            isChecked = true
            let offset = isByAttribute ? 1 : 0
            let subject = isByAttribute ? try follow(path(arguments.positional[0]), from: element) : element
            guard arguments.positional.count > offset else {
                return try isTrue(subject) == keeps ? element : nil
            }
            var rest = CallArguments(Array(arguments.positional.dropFirst(offset + 1)))
            rest.keywords = arguments.keywords
            let holds = try check(try test(named: arguments.positional[offset]), subject, rest)
            return holds == keeps ? element : nil
        }
    }

    private func items(_ value: Value) throws(TemplateError) -> Value {
        switch value {
        case .dict(let map):
            return .iterator(ValueIterator("generator", over: zip(map.keys, map.values).map { tuple([$0, $1]) }))
        case .undefined: return .iterator(ValueIterator("generator", over: []))
        default:
            return .iterator(
                ValueIterator("generator") { () throws(TemplateError) in
                    throw .type("Can only get item pairs from a mapping.")
                })
        }
    }

    private func unique(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let isCaseSensitive = try isTrue(arguments[0] ?? .none)
        let path = path(arguments[1])
        var seen: Set<MapKey> = []
        return lazily("generator", over: value) { [unowned self] (element) throws(TemplateError) in
            let key = folded(try follow(path, from: element), isCaseSensitive)
            return seen.insert(try MapKey(key)).inserted ? element : nil
        }
    }

    /// A generator that makes all of its elements when the first one is asked for.
    private func generated(_ make: @escaping () throws(TemplateError) -> [Value]) -> Value {
        var made: ValueIterator?
        return .iterator(
            ValueIterator("generator") { () throws(TemplateError) in
                if made == nil { made = ValueIterator("generator", over: try make()) }
                return try made?.next()
            })
    }

    private func batched(_ value: Value, _ arguments: [Value?]) -> Value {
        let count = arguments[0] ?? .none
        let filler = arguments[1].flatMap { $0.isNone ? nil : $0 }
        return generated { [unowned self] () throws(TemplateError) in
            var batches: [Value] = []
            var batch: [Value] = []
            for element in try elements(of: value) {
                if try areEqual(.int(batch.count), count) {
                    batches.append(try list(batch))
                    batch = []
                }
                batch.append(element)
            }
            if batch.isEmpty { return batches }
            if let filler, try isLess(.int(batch.count), count) {
                let missing = try count.requiredInteger("batch") - batch.count
                try charge(bytes: missing.multipliedReportingOverflow(by: 16).overflow ? .max : missing * 16)
                batch += [Value](repeating: filler, count: missing)
            }
            return batches + [try list(batch)]
        }
    }

    private func sliced(_ value: Value, _ arguments: [Value?]) -> Value {
        let filler = arguments[1].flatMap { $0.isNone ? nil : $0 }
        return generated { [unowned self] () throws(TemplateError) in
            let values = try elements(of: value)
            let count = try arguments[0].integer("slice", default: 1)
            if count == 0 { throw .type("integer division or modulo by zero") }
            guard count > 0 else { return [] }
            try charge(bytes: count.multipliedReportingOverflow(by: 48).overflow ? .max : count * 48)
            let (size, extra) = values.count.quotientAndRemainder(dividingBy: count)
            var slices: [Value] = []
            var start = 0
            for index in 0..<count {
                let end = start + size + (index < extra ? 1 : 0)
                var slice = Array(values[start..<end])
                if let filler, index >= extra { slice.append(filler) }
                slices.append(try list(slice))
                start = end
            }
            return slices
        }
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

// Methods of lists, dictionaries, numbers, ranges, views and cyclers; those of strings are in a file of their own.
// Invariant: only methods that leave their value as it is; the others are refused before they get here.

extension Renderer {
    func callMethod(
        _ method: KnownAttribute, of value: Value, _ arguments: CallArguments
    ) throws(TemplateError) -> Value {
        switch value {
        case .string(let text): return try callMethod(method, of: text, arguments)
        case .dict(let map): return try callMethod(method, of: map, arguments)
        case .list(let elements): return try callMethod(method, of: elements, value, arguments)
        case .tuple(let elements) where method == .count || method == .index:
            return try callMethod(method, of: elements, value, arguments)
        case .range where method == .count || method == .index:
            return try callMethod(method, of: Elements(try self.elements(of: value)), value, arguments)
        case .view(let view) where method == .isdisjoint:
            let other = try arguments.positional("isdisjoint", 1, 1)[0]
            for element in try elements(of: other) where try contains(.view(view), element) { return .bool(false) }
            return .bool(true)
        case .cycler(let cycler):
            _ = try arguments.positional(method.rawValue, 0, 0)
            if method == .reset {
                cycler.position = 0
                return .none
            }
            defer { cycler.position = (cycler.position + 1) % cycler.items.count }
            return cycler.items[cycler.position]
        case .int, .wide, .bool, .float: return try callNumberMethod(method, of: value, arguments)
        default: throw .type("'\(value.typeName)' object is not callable")
        }
    }

    // MARK: Dictionaries

    private func callMethod(
        _ method: KnownAttribute, of map: OrderedMap, _ arguments: CallArguments
    ) throws(TemplateError) -> Value {
        switch method {
        case .get:
            let arguments = try arguments.positional("get", 1, 2)
            return try map.value(for: arguments[0]) ?? (arguments.count == 2 ? arguments[1] : .none)
        case .items, .keys, .values:
            _ = try arguments.positional(method.rawValue, 0, 0)
            return .view(DictionaryView(map, method == .items ? .items : method == .keys ? .keys : .values))
        case .copy:
            _ = try arguments.positional("copy", 0, 0)
            try charge(elements: map.count, depth: map.depth)
            return .dict(map.copy())
        case .fromkeys: return try dictionary(fromKeys: arguments)
        default: throw .type("'dict' object has no method '\(method.rawValue)' that can be called here")
        }
    }

    // MARK: Lists

    private func callMethod(
        _ method: KnownAttribute, of elements: Elements, _ value: Value, _ arguments: CallArguments
    ) throws(TemplateError) -> Value {
        switch method {
        case .count:
            let wanted = try arguments.positional("count", 1, 1)[0]
            var count = 0
            for element in elements.values where try areEqual(element, wanted) { count += 1 }
            return .int(count)
        case .index:
            let arguments = try arguments.positional("index", 1, 3)
            var bounds = (start: 0, stop: elements.values.count)
            if arguments.count > 1 {
                bounds.start = clamp(try arguments[1].requiredInteger("index()"), elements.values.count)
            }
            if arguments.count > 2 {
                bounds.stop = clamp(try arguments[2].requiredInteger("index()"), elements.values.count)
            }
            for position in bounds.start..<max(bounds.start, bounds.stop)
            where try areEqual(elements.values[position], arguments[0]) {
                return .int(position)
            }
            throw .type("\(try representation(of: arguments[0]).string) is not in \(value.typeName)")
        case .copy:
            _ = try arguments.positional("copy", 0, 0)
            return try list(elements.values)
        default: throw .type("'\(value.typeName)' object has no method '\(method.rawValue)' that can be called here")
        }
    }

    /// A bound of a search within 0 ... count; negative ones count from the end.
    func clamp(_ bound: Int, _ count: Int) -> Int {
        bound < 0 ? max(0, max(bound, -count) + count) : min(bound, count)
    }

    // MARK: Numbers

    private func callNumberMethod(
        _ method: KnownAttribute, of value: Value, _ arguments: CallArguments
    ) throws(TemplateError) -> Value {
        switch (method, value) {
        case (.isInteger, .float(let number)):
            _ = try arguments.positional("is_integer", 0, 0)
            return .bool(number.isFinite && number == number.rounded())
        case (.conjugate, _):
            _ = try arguments.positional("conjugate", 0, 0)
            return value.integer.map { .int($0) } ?? value
        case (.bitLength, _), (.bitCount, _):
            _ = try arguments.positional(method.rawValue, 0, 0)
            guard let integer = value.integer else { break }
            let magnitude = integer.magnitude
            return .int(method == .bitCount ? magnitude.nonzeroBitCount : Int.bitWidth - magnitude.leadingZeroBitCount)
        default: break
        }
        throw .type("the method '\(method.rawValue)' of '\(value.typeName)' is not supported in chat templates")
    }
}

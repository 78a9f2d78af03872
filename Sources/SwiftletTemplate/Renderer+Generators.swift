// The filters that are generators in Python: what they give is computed as it is asked for, once.
// Invariant: nothing is done, and nothing can fail, before the first element is asked for.

extension Renderer {
    func map(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        try lazily(over: value, keeping: arguments.values) { [unowned self] (element) throws(TemplateError) in
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

    /// A generator that keeps some values. Generators over generators nest, both when they run and when they are let
    /// go of.
    private func generator(
        keeping values: [Value], _ step: @escaping ValueIterator.Step
    ) throws(TemplateError) -> Value {
        let depth = values.reduce(0) { max($0, $1.depth) }
        try charge(elements: values.count, depth: depth + 1)
        return .iterator(
            ValueIterator("generator", depth: depth) { [unowned self] () throws(TemplateError) in try nested(step) })
    }

    /// The elements of a value after a step each; nil leaves one out. Nothing is done before the first is asked for.
    private func lazily(
        over value: Value, keeping kept: [Value] = [], skipsFalse: Bool = false,
        _ step: @escaping (Value) throws(TemplateError) -> Value?
    ) throws(TemplateError) -> Value {
        var source: ValueIterator?
        return try generator(keeping: kept + [value]) { [unowned self] () throws(TemplateError) in
            if source == nil {
                // None and the like have nothing to select from, which is no error.
                let isTrue = try isTrue(value)
                source = isTrue || !skipsFalse ? try iterator(over: value) : ValueIterator("iterator", over: [])
            }
            while let element = try source?.next() {
                try charge()
                if let result = try step(element) { return result }
            }
            return nil
        }
    }

    func iterator(over value: Value) throws(TemplateError) -> ValueIterator {
        switch try iteration(over: value) {
        case .values(let values): ValueIterator("iterator", over: values)
        case .lazy(let iterator): iterator
        }
    }

    func select(_ filter: FilterName, _ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let isByAttribute = filter == .selectattr || filter == .rejectattr
        let keeps = filter == .select || filter == .selectattr
        var isChecked = false
        return try lazily(over: value, keeping: arguments.values, skipsFalse: true) {
            [unowned self] (element) throws(TemplateError) in
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

    func items(_ value: Value) throws(TemplateError) -> Value {
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

    func unique(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let isCaseSensitive = try isTrue(arguments[0] ?? .none)
        let path = path(arguments[1])
        var seen: Set<MapKey> = []
        return try lazily(over: value, keeping: arguments.compactMap { $0 }) {
            [unowned self] (element) throws(TemplateError) in
            let key = folded(try follow(path, from: element), isCaseSensitive)
            return seen.insert(try MapKey(key)).inserted ? element : nil
        }
    }

    /// A generator that makes all of its elements when the first one is asked for.
    private func generated(
        from values: [Value], _ make: @escaping () throws(TemplateError) -> [Value]
    ) throws(TemplateError) -> Value {
        var made: ValueIterator?
        return try generator(keeping: values) { () throws(TemplateError) in
            if made == nil { made = ValueIterator("generator", over: try make()) }
            return try made?.next()
        }
    }

    func batched(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let count = arguments[0] ?? .none
        let filler = arguments[1].flatMap { $0.isNone ? nil : $0 }
        return try generated(from: [value] + arguments.compactMap { $0 }) { [unowned self] () throws(TemplateError) in
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

    func sliced(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let filler = arguments[1].flatMap { $0.isNone ? nil : $0 }
        return try generated(from: [value] + arguments.compactMap { $0 }) { [unowned self] () throws(TemplateError) in
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
}

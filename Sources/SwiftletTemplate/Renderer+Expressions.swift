// Evaluating expressions: literals, variables, attributes and items, logic.
// Invariant: an expression gives a value or throws; it never gives `missing`.

extension Renderer {
    func evaluate(_ index: Index) throws(TemplateError) -> Value {
        try charge()
        switch program.expressions[Int(index)] {
        case .constant(let constant): return constants[Int(constant)]
        case .variable(let name, let slot):
            let value = value(at: slot)
            if case .missing = value { return .undefined(Undefined(name: program.names[Int(name)])) }
            return value
        case .attribute(let owner, let name):
            return try attribute(name, of: try evaluate(owner))
        case .item(let owner, let key): return try item(try evaluate(key), of: try evaluate(owner))
        case .call(let callee, let arguments): return try evaluateCall(callee, arguments)
        case .not(let value): return .bool(!(try isTrue(try evaluate(value))))
        case .and(let left, let right):
            let value = try evaluate(left)
            return try isTrue(value) ? try evaluate(right) : value
        case .or(let left, let right):
            let value = try evaluate(left)
            return try isTrue(value) ? value : try evaluate(right)
        case .binary(let op, let left, let right): return try evaluateBinary(op, left, right)
        case .conditional(let test, let then, let otherwise):
            if try isTrue(try evaluate(test)) { return try evaluate(then) }
            return otherwise >= 0 ? try evaluate(otherwise) : missingElse()
        default: return try evaluateLonger(index)
        }
    }

    private func missingElse() -> Value {
        .undefined(
            Undefined(
                hint: "the inline if-expression on line \(line) evaluated to false and no else section was defined."))
    }

    /// What is rarer, apart, so that nested evaluation needs little stack.
    @inline(never)
    private func evaluateLonger(_ index: Index) throws(TemplateError) -> Value {
        switch program.expressions[Int(index)] {
        case .list(let items): return .list(Elements(try evaluateAll(items)))
        case .tuple(let items): return .tuple(Elements(try evaluateAll(items)))
        case .dict(let items): return try evaluateDictionary(items)
        case .slice(let owner, let start, let stop, let step):
            return try slice(
                try evaluate(owner), start: try bound(start), stop: try bound(stop), step: try bound(step))
        case .filter(let filter, let owner, let name, let arguments):
            let value = owner < 0 ? .string(blockText) : try evaluate(owner)
            guard let filter else {
                throw .type("No filter named \(PythonText.quoted(program.names[Int(name)])) found.")
            }
            return try apply(filter, to: value, try evaluate(arguments: arguments))
        case .test(let test, let owner, let name, let arguments):
            let value = try evaluate(owner)
            guard let test else {
                throw .type("No test named \(PythonText.quoted(program.names[Int(name)])) found.")
            }
            return .bool(try check(test, value, try evaluate(arguments: arguments)))
        case .sign(let isNegative, let value): return try sign(isNegative: isNegative, try evaluate(value))
        case .compare(let operands, let operators):
            return try evaluateComparison(operands, program.comparisons[Int(operators)])
        case .concatenate(let parts):
            var text = Text.empty
            for part in program.list(parts) {
                let piece = try string(of: try evaluate(part))
                try charge(bytes: piece.bytes.count)
                text.append(piece)
            }
            return .string(text)
        default: preconditionFailure("evaluate has the others")
        }
    }

    private func evaluateAll(_ items: IndexList) throws(TemplateError) -> [Value] {
        var values: [Value] = []
        values.reserveCapacity(Int(items.count))
        var depth = 1
        for item in program.list(items) {
            let value = try evaluate(item)
            depth = max(depth, value.depth + 1)
            values.append(value)
        }
        try charge(elements: values.count, depth: depth)
        return values
    }

    private func evaluateDictionary(_ items: IndexList) throws(TemplateError) -> Value {
        let values = try evaluateAll(items)
        let map = OrderedMap()
        for position in stride(from: 0, to: values.count, by: 2) {
            try map.set(values[position], values[position + 1])
        }
        return .dict(map)
    }

    @inline(never)
    private func evaluateBinary(_ op: BinaryOperator, _ left: Index, _ right: Index) throws(TemplateError) -> Value {
        try binary(op, try evaluate(left), try evaluate(right))
    }

    @inline(never)
    private func evaluateComparison(
        _ operands: IndexList, _ operators: [ComparisonOperator]
    ) throws(TemplateError) -> Value {
        var left = try evaluate(program.indices[operands.range.lowerBound])
        for (position, op) in operators.enumerated() {
            let right = try evaluate(program.indices[operands.range.lowerBound + position + 1])
            guard try compare(op, left, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    /// A bound of a slice: an integer, or nil for None and what is left out.
    private func bound(_ expression: Index) throws(TemplateError) -> Int? {
        guard expression >= 0 else { return nil }
        let value = try evaluate(expression)
        if value.isNone { return nil }
        guard let integer = value.integer else {
            if case .undefined(let undefined) = value { throw undefined.error }
            throw .type("slice indices must be integers or None or have an __index__ method")
        }
        return integer
    }

    // MARK: Attributes and items

    /// `value.name`: what the type has by that name, else the item.
    func attribute(_ name: Index, of value: Value) throws(TemplateError) -> Value {
        if let found = try ownAttribute(program.attributes[Int(name)], program.names[Int(name)], of: value) {
            return found
        }
        let name = program.names[Int(name)]
        if case .dict(let map) = value, let found = map[name] { return found }
        return .undefined(Undefined(attribute: .string(name), of: value))
    }

    func attribute(named name: Text, of value: Value) throws(TemplateError) -> Value? {
        try ownAttribute(KnownAttribute(rawValue: name.string), name, of: value)
    }

    /// An attribute that a value has by its type.
    private func ownAttribute(
        _ known: KnownAttribute?, _ name: Text, of value: Value
    ) throws(TemplateError) -> Value? {
        switch value {
        case .undefined(let undefined): throw undefined.error
        case .namespace(let namespace):
            return namespace.attributes[name]
        case .loop(let loop):
            if let found = try attribute(known, of: loop) { return found }
        case .macro(let macro):
            if let found = attribute(known, of: macro) { return found }
        case .function(let function):
            if case .global(.dict) = function.kind, known == .fromkeys { return .function(Function(.fromKeys)) }
        case .cycler(let cycler):
            switch known {
            case .current: return cycler.items[cycler.position]
            case .position: return .int(cycler.position)
            case .items: return .tuple(Elements(cycler.items))
            case .next, .reset: return .function(Function(.method(value, known ?? .next)))
            default: break
            }
        case .joiner(let joiner):
            if known == .sep { return joiner.separator }
            if known == .used { return .bool(joiner.isUsed) }
        default: break
        }
        if let known, known.isAttribute(of: value) {
            if known.changes(value) { return unsafe(name, of: value) }
            if let member = member(known, of: value) { return member }
            try charge(elements: 1, depth: value.depth + 1)
            return .function(Function(.method(value, known)))
        }
        let isInternal = name.hasPrefix("__") && name.hasSuffix("__") && name.bytes.count > 4
        return isInternal ? unsafe(name, of: value) : nil
    }

    private func unsafe(_ name: Text, of value: Value) -> Value {
        .undefined(
            Undefined(
                hint: "access to attribute \(PythonText.quoted(name)) of '\(value.typeName)' object is unsafe.",
                code: .security))
    }

    /// Attributes that are values and no methods.
    private func member(_ attribute: KnownAttribute, of value: Value) -> Value? {
        switch (value, attribute) {
        case (.tuple(let elements), .grouper): elements.values[0]
        case (.tuple(let elements), .list): elements.values[1]
        case (.range(let range), .start): .int(range.start)
        case (.range(let range), .stop): .int(range.stop)
        case (.range(let range), .step): .int(range.step)
        case (.view(let view), .mapping): .dict(view.map)
        case (.int, .real), (.int, .numerator), (.float, .real), (.wide, .real), (.wide, .numerator): value
        case (.bool(let flag), .real), (.bool(let flag), .numerator): .int(flag ? 1 : 0)
        case (.int, .imag), (.bool, .imag), (.wide, .imag): .int(0)
        case (.float, .imag): .float(0)
        case (.int, .denominator), (.bool, .denominator), (.wide, .denominator): .int(1)
        default: nil
        }
    }

    /// `value[key]`: the item, else what the type has by that name.
    func item(_ key: Value, of value: Value) throws(TemplateError) -> Value {
        switch value {
        case .undefined(let undefined): throw undefined.error
        case .dict(let map):
            if case .string(let text) = key {
                if let found = map[text] { return found }
            } else if (try? MapKey(key)) != nil, let found = try map.value(for: key) {
                return found
            }
        case .list(let elements), .tuple(let elements):
            if let position = position(key, count: elements.values.count) { return elements.values[position] }
        case .string(let text):
            if let position = position(key, count: text.count) { return .string(text.slice(position..<position + 1)) }
        case .range(let range):
            if let position = position(key, count: range.count) { return .int(range.value(at: position)) }
        default: break
        }
        if case .string(let name) = key, let found = try attribute(named: name, of: value) { return found }
        return .undefined(Undefined(attribute: key, of: value))
    }

    private func position(_ key: Value, count: Int) -> Int? {
        guard let index = key.integer else { return nil }
        let position = index < 0 ? index + count : index
        return (0..<count).contains(position) ? position : nil
    }

    /// `value[start:stop:step]`
    private func slice(_ value: Value, start: Int?, stop: Int?, step: Int?) throws(TemplateError) -> Value {
        let step = step ?? 1
        if step == 0 { throw .type("slice step cannot be zero") }
        func bounds(_ count: Int) -> (start: Int, stop: Int) {
            let (low, high) = step > 0 ? (0, count) : (-1, count - 1)
            func clamp(_ bound: Int?, _ missing: Int) -> Int {
                guard let bound else { return missing }
                return max(low, min(high, bound < 0 ? max(bound, -count - 1) + count : bound))
            }
            return (clamp(start, step > 0 ? low : high), clamp(stop, step > 0 ? high : low))
        }
        switch value {
        case .undefined(let undefined): throw undefined.error
        case .string(let text):
            try charge(bytes: text.bytes.count)
            let (start, stop) = bounds(text.count)
            if step == 1 { return .string(text.slice(start..<max(start, stop))) }
            let all = Array(text.scalars)
            let scalars = stride(from: start, to: stop, by: step).map { all[$0] }
            return .string(Text(scalars: scalars).marked(text.isMarkup))
        case .list(let elements), .tuple(let elements):
            let (start, stop) = bounds(elements.values.count)
            let values = stride(from: start, to: stop, by: step).map { elements.values[$0] }
            try charge(elements: values.count, depth: elements.depth)
            if case .list = value { return .list(Elements(values)) }
            return .tuple(Elements(values))
        case .range(let range):
            let (start, stop) = bounds(range.count)
            let count = step > 0 ? (max(0, stop - start) + step - 1) / step : (max(0, start - stop) - step - 1) / -step
            return .range(
                IntegerRange(
                    start: range.start + start * range.step, stop: range.start + stop * range.step,
                    step: range.step * step, count: count))
        default: throw .type("'\(value.typeName)' object is not subscriptable")
        }
    }
}

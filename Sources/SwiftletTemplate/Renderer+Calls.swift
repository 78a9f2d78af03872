// Calling: arguments, macros, the global functions, and methods of values.
// Invariant: nothing can be called but what a template may call; there is no way to Swift's or the system's functions.

/// The functions that every template has.
enum Global: String {
    case range, dict, namespace, cycler, joiner, lipsum
    case raiseException = "raise_exception"
    case formatNow = "strftime_now"
}

/// Something that can be called and is no macro.
final class Function {
    enum Kind {
        case global(Global)
        case method(Value, KnownAttribute)
        /// `dict.fromkeys`
        case fromKeys
    }

    let kind: Kind

    init(_ kind: Kind) { self.kind = kind }

    var depth: Int {
        if case .method(let receiver, _) = kind { return receiver.depth + 1 }
        return 0
    }

    var typeName: String {
        switch kind {
        case .global(.dict): "TemplateDict"
        case .global(.namespace), .global(.cycler), .global(.joiner): "type"
        case .global: "function"
        case .method, .fromKeys: "builtin_function_or_method"
        }
    }

    func isSame(as other: Function) -> Bool {
        if case .global(let left) = kind, case .global(let right) = other.kind { return left == right }
        return self === other
    }
}

extension Renderer {
    // MARK: Arguments

    func evaluate(arguments index: Index) throws(TemplateError) -> CallArguments {
        let arguments = program.arguments[Int(index)]
        var result = CallArguments()
        if arguments.isEmpty { return result }
        for expression in program.list(arguments.positional) { result.positional.append(try evaluate(expression)) }
        if arguments.star >= 0 {
            let value = try evaluate(arguments.star)
            result.positional += try elements(
                of: value, called: "argument after * must be an iterable, not \(value.typeName)")
        }
        let keywords = arguments.keywords.range
        for position in stride(from: keywords.lowerBound, to: keywords.upperBound, by: 2) {
            let value = try evaluate(program.indices[position + 1])
            result.keywords.append((program.names[Int(program.indices[position])], value))
        }
        if arguments.doubleStar >= 0 { try add(try evaluate(arguments.doubleStar), to: &result) }
        return result
    }

    private func add(_ mapping: Value, to arguments: inout CallArguments) throws(TemplateError) {
        guard case .dict(let map) = mapping else {
            if case .undefined(let undefined) = mapping { throw undefined.error }
            throw .type("argument after ** must be a mapping, not \(mapping.typeName)")
        }
        for (key, value) in zip(map.keys, map.values) {
            guard case .string(let name) = key else { throw .type("keywords must be strings") }
            if arguments.keywords.contains(where: { $0.name == name }) {
                throw .type("got multiple values for keyword argument \(PythonText.quoted(name))")
            }
            arguments.keywords.append((name, value))
        }
    }

    // MARK: Calls

    func evaluateCall(_ callee: Index, _ arguments: Index, caller: Value? = nil) throws(TemplateError) -> Value {
        if case .attribute(let owner, let name) = program.expressions[Int(callee)],
            let method = program.attributes[Int(name)]
        {
            // A method of a value, without making an object of it.
            let value = try evaluate(owner)
            if method.isAttribute(of: value), !method.changes(value) {
                return try callMethod(method, of: value, try callArguments(arguments, caller))
            }
            return try call(try attribute(name, of: value), try callArguments(arguments, caller))
        }
        return try call(try evaluate(callee), try callArguments(arguments, caller))
    }

    private func callArguments(_ index: Index, _ caller: Value?) throws(TemplateError) -> CallArguments {
        var arguments = try evaluate(arguments: index)
        guard let caller else { return arguments }
        if arguments.keywords.contains(where: { $0.name == "caller" }) {
            throw .type("keyword argument repeated: caller")
        }
        arguments.keywords.append(("caller", caller))
        return arguments
    }

    func call(_ callee: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        switch callee {
        case .macro(let macro): return .string(try call(macro, arguments))
        case .function(let function):
            switch function.kind {
            case .global(let global): return try call(global, arguments)
            case .method(.loop(let loop), let method): return try callMethod(method, of: loop, arguments)
            case .method(let value, let method): return try callMethod(method, of: value, arguments)
            case .fromKeys: return try dictionary(fromKeys: arguments)
            }
        case .loop(let loop): return try call(loop, arguments)
        case .joiner(let joiner):
            _ = try arguments.positional("Joiner", 0, 0)
            defer { joiner.isUsed = true }
            return joiner.isUsed ? joiner.separator : .string(.empty)
        case .undefined(let undefined): throw undefined.error
        default: throw .type("'\(callee.typeName)' object is not callable")
        }
    }

    func isCallable(_ value: Value) -> Bool {
        switch value {
        case .macro, .function, .loop, .joiner, .undefined: true
        default: false
        }
    }

    // MARK: Global functions

    private func call(_ global: Global, _ arguments: CallArguments) throws(TemplateError) -> Value {
        switch global {
        case .range: return .range(try range(try arguments.positional("range", 1, 3)))
        case .dict: return .dict(try dictionary(arguments, "dict"))
        case .namespace:
            let namespace = Namespace()
            register(namespace)
            try charge(bytes: 64)
            let map = try dictionary(arguments, "namespace")
            for (key, value) in zip(map.keys, map.values) {
                guard case .string(let name) = key else {
                    try namespace.attributes.set(key, value)
                    continue
                }
                try set(name, value, in: namespace)
            }
            return .namespace(namespace)
        case .cycler:
            try arguments.requireNoKeywords("Cycler()")
            guard !arguments.positional.isEmpty else { throw .type("at least one item has to be provided") }
            let cycler = Cycler(arguments.positional)
            try charge(elements: cycler.items.count, depth: cycler.depth)
            return .cycler(cycler)
        case .joiner:
            let separator = try arguments.bound("Joiner", "sep", required: 0)[0] ?? .string(", ")
            try charge(elements: 1, depth: separator.depth + 1)
            return .joiner(Joiner(separator))
        case .raiseException:
            let message = try arguments.bound("raise_exception", "message")[0]
            throw TemplateError(.raised, try string(of: message ?? Value.none).string)
        case .formatNow:
            let format = try arguments.bound("strftime_now", "format")[0] ?? .none
            var time = now
            if time == nil { time = try LocalTime.now() }
            guard let time else { return .undefined(Undefined(hint: "there is no clock")) }
            return .string(
                try TimeFormat.text(time, try format.requiredText("strftime_now").bytes, limit: limits.bytes))
        case .lipsum: throw .type("lipsum is not supported in chat templates")
        }
    }

    private func range(_ arguments: [Value]) throws(TemplateError) -> IntegerRange {
        var numbers: [Int] = []
        for argument in arguments { numbers.append(try argument.requiredInteger("range()")) }
        let (start, stop) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
        let step = numbers.count == 3 ? numbers[2] : 1
        if step == 0 { throw .type("range() arg 3 must not be zero") }
        let isEmpty = step > 0 ? start >= stop : start <= stop
        var count: UInt = 0
        if !isEmpty {
            let distance = step > 0 ? UInt(bitPattern: stop &- start) : UInt(bitPattern: start &- stop)
            count = (distance - 1) / step.magnitude + 1
        }
        guard count <= UInt(limits.range) else {
            throw .limit("Range too big. The sandbox blocks ranges larger than MAX_RANGE (\(limits.range)).")
        }
        return IntegerRange(start: start, stop: stop, step: step, count: Int(count))
    }

    /// What Python's `dict(…)` makes of its arguments.
    private func dictionary(_ arguments: CallArguments, _ function: String) throws(TemplateError) -> OrderedMap {
        guard arguments.positional.count <= 1 else {
            throw .type("\(function) expected at most 1 argument, got \(arguments.positional.count)")
        }
        let map: OrderedMap
        switch arguments.positional.first {
        case nil: map = OrderedMap()
        case .dict(let other): map = other.copy()
        case let value?:
            map = OrderedMap()
            for element in try elements(of: value) {
                let pair = try elements(
                    of: element, called: "cannot convert dictionary update sequence element to a sequence")
                guard pair.count == 2 else {
                    throw .type("dictionary update sequence element has length \(pair.count); 2 is required")
                }
                try map.set(pair[0], pair[1])
            }
        }
        for (name, value) in arguments.keywords { try map.set(.string(name), value) }
        try charge(elements: map.count, depth: map.depth)
        return map
    }

    func dictionary(fromKeys arguments: CallArguments) throws(TemplateError) -> Value {
        let values = try arguments.positional("fromkeys", 1, 2)
        let map = OrderedMap()
        for key in try elements(of: values[0]) { try map.set(key, values.count == 2 ? values[1] : .none) }
        try charge(elements: map.count, depth: map.depth)
        return .dict(map)
    }
}

// Jinja's tests: `value is name(…)`.
// Invariant: a test gives true or false, or throws where Python's operation behind it would.

extension Renderer {
    func check(_ test: TestName, _ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Bool {
        let arguments = try arguments.bound("\(test)", test.parameters)
        let argument = (arguments.first ?? nil) ?? .none
        if let comparison = test.comparison { return try compare(comparison, value, argument) }
        switch test {
        case .odd: return try isEqual(try binary(.modulo, value, .int(2)), 1)
        case .even: return try isEqual(try binary(.modulo, value, .int(2)), 0)
        case .divisibleby: return try isEqual(try binary(.modulo, value, argument), 0)
        case .filter: return try name(value).map { FilterName(rawValue: $0.string) != nil } ?? false
        case .test: return try name(value).map { TestName(name: $0) != nil } ?? false
        case .lower: return StringPredicate.isLower(try string(of: value))
        case .upper: return StringPredicate.isUpper(try string(of: value))
        case .in: return try contains(argument, value)
        case .sameas: return isSame(value, argument)
        default: return isOfType(test, value)
        }
    }

    private func isEqual(_ value: Value, _ number: Int) throws(TemplateError) -> Bool {
        try areEqual(value, .int(number))
    }

    private func name(_ value: Value) throws(TemplateError) -> Text? {
        _ = try MapKey(value)
        guard case .string(let name) = value else { return nil }
        return name
    }

    private func isOfType(_ test: TestName, _ value: Value) -> Bool {
        switch (test, value) {
        case (.undefined, .undefined), (.none, .none), (.boolean, .bool), (.false, .bool(false)), (.true, .bool(true)),
            (.integer, .int), (.integer, .wide), (.float, .float), (.string, .string), (.mapping, .dict),
            (.number, .int), (.number, .wide), (.number, .bool), (.number, .float):
            true
        case (.defined, _): !value.isUndefined
        case (.callable, _): isCallable(value)
        case (.escaped, .string(let text)): text.isMarkup
        case (.sequence, .string), (.sequence, .list), (.sequence, .tuple), (.sequence, .dict), (.sequence, .range),
            (.sequence, .undefined):
            true
        case (.iterable, .string), (.iterable, .list), (.iterable, .tuple), (.iterable, .dict), (.iterable, .range),
            (.iterable, .view), (.iterable, .iterator), (.iterable, .loop), (.iterable, .undefined):
            true
        default: false
        }
    }
}

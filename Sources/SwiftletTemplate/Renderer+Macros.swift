// Macros: defining them, binding their arguments, running their bodies.
// Invariant: a parameter that is given nothing is its default, and without one undefined.

/// A macro with the variables it was defined among.
final class Macro {
    let index: Int
    let activation: Renderer.Activation

    init(index: Int, activation: Renderer.Activation) {
        self.index = index
        self.activation = activation
    }
}

extension Renderer {
    func makeMacro(_ index: Int) -> Macro {
        capture(activation)
        return Macro(index: index, activation: activation)
    }

    func defineMacro(_ index: Int) {
        guard let target = program.macros[index].target else { preconditionFailure("a macro without a name") }
        set(target, .macro(makeMacro(index)))
    }

    func name(of macro: Macro) -> Text? {
        let name = program.macros[macro.index].name
        return name >= 0 ? program.names[Int(name)] : nil
    }

    func attribute(_ attribute: KnownAttribute?, of macro: Macro) -> Value? {
        let info = program.macros[macro.index]
        switch attribute {
        case .name: return name(of: macro).map { Value.string($0) } ?? Value.none
        case .arguments: return .tuple(Elements(info.parameters.map { .string(program.names[Int($0)]) }))
        case .catchKeywords: return .bool(info.keywordsSlot >= 0)
        case .catchArguments: return .bool(info.argumentsSlot >= 0)
        case .caller: return .bool(info.callerSlot >= 0)
        case .explicitCaller: return .bool(info.hasCallerParameter)
        default: return nil
        }
    }

    func call(_ macro: Macro, _ arguments: CallArguments) throws(TemplateError) -> Text {
        let info = program.macros[macro.index]
        let activation = Activation(
            slotCount: program.functions[Int(info.function)].slotCount, parent: macro.activation)
        try bind(arguments, info, macro, in: activation)
        return try nested { () throws(TemplateError) in
            try inside(activation) { () throws(TemplateError) in
                let line = self.line
                defer { self.line = line }
                return try capture { () throws(TemplateError) in
                    enter(info.scope)
                    let first = info.parameters.count - info.defaults.count
                    for (position, slot) in info.slots.enumerated() {
                        guard case .missing = activation.slots[Int(slot)] else { continue }
                        activation.slots[Int(slot)] =
                            position >= first
                            ? try evaluate(info.defaults[position - first])
                            : .undefined(
                                Undefined(
                                    hint:
                                        "parameter \(PythonText.quoted(program.names[Int(info.parameters[position])])) "
                                        + "was not provided"))
                    }
                    _ = try run(info.scope.body)
                }
            }
        }
    }

    /// Puts arguments where the macro's parameters are.
    private func bind(
        _ arguments: CallArguments, _ info: MacroInfo, _ macro: Macro, in activation: Activation
    ) throws(TemplateError) {
        func description() -> String { name(of: macro).map { PythonText.quoted($0) } ?? "None" }
        var keywords = arguments.keywords
        func take(_ name: Text) -> Value? {
            keywords.firstIndex { $0.name == name }.map { keywords.remove(at: $0).value }
        }
        for (position, slot) in info.slots.enumerated() {
            if position < arguments.positional.count {
                activation.slots[Int(slot)] = arguments.positional[position]
            } else if let value = take(program.names[Int(info.parameters[position])]) {
                activation.slots[Int(slot)] = value
            }
        }
        if info.callerSlot >= 0 {
            var caller = take("caller")
            if caller?.isNone == true { caller = nil }
            activation.slots[Int(info.callerSlot)] = caller ?? .undefined(Undefined(hint: "No caller defined"))
        }
        if info.keywordsSlot >= 0 {
            let map = OrderedMap()
            for (name, value) in keywords { try map.set(.string(name), value) }
            try charge(elements: map.count, depth: map.depth)
            activation.slots[Int(info.keywordsSlot)] = .dict(map)
        } else if let first = keywords.first {
            if keywords.contains(where: { $0.name == "caller" }) {
                throw .type(
                    "macro \(description()) was invoked with two values for the special caller argument. This is most "
                        + "likely a bug.")
            }
            throw .type("macro \(description()) takes no keyword argument \(PythonText.quoted(first.name))")
        }
        let rest = arguments.positional.dropFirst(info.parameters.count)
        if info.argumentsSlot >= 0 {
            let elements = Elements(Array(rest))
            try charge(elements: rest.count, depth: elements.depth)
            activation.slots[Int(info.argumentsSlot)] = .tuple(elements)
        } else if !rest.isEmpty {
            throw .type("macro \(description()) takes not more than \(info.parameters.count) argument(s)")
        }
    }
}

// CallArguments: what a function, filter or method was called with, and how it finds its parameters in it.
// Owned by one call.
// Invariant: a parameter is given once, and an argument that no parameter takes is an error.

struct CallArguments {
    var positional: [Value] = []
    var keywords: [(name: Text, value: Value)] = []

    init(_ positional: [Value] = []) { self.positional = positional }

    var isEmpty: Bool { positional.isEmpty && keywords.isEmpty }

    /// All values, whatever they are for.
    var values: [Value] { positional + keywords.map(\.value) }

    func requireNoKeywords(_ function: String) throws(TemplateError) {
        if !keywords.isEmpty { throw .type("\(function) takes no keyword arguments") }
    }

    /// The arguments in the order of the parameters; nil where one was left out.
    ///
    /// - Parameter required: how many of the first ones must be given.
    func bound(_ function: String, _ parameters: String..., required: Int? = nil) throws(TemplateError) -> [Value?] {
        try bound(function, parameters, required: required)
    }

    func bound(_ function: String, _ parameters: [String], required: Int? = nil) throws(TemplateError) -> [Value?] {
        guard positional.count <= parameters.count else {
            throw .type(
                "\(function)() takes at most \(parameters.count) argument\(parameters.count == 1 ? "" : "s") "
                    + "(\(positional.count) given)")
        }
        var result: [Value?] = positional
        result += [Value?](repeating: nil, count: parameters.count - positional.count)
        for (name, value) in keywords {
            guard let position = parameters.firstIndex(of: name.string) else {
                throw .type("\(function)() got an unexpected keyword argument \(PythonText.quoted(name))")
            }
            guard result[position] == nil else {
                throw .type("\(function)() got multiple values for argument \(PythonText.quoted(name))")
            }
            result[position] = value
        }
        for position in 0..<(required ?? parameters.count) where result[position] == nil {
            throw .type("\(function)() missing 1 required positional argument: '\(parameters[position])'")
        }
        return result
    }

    /// Positional arguments only, `minimum` to `maximum` of them.
    func positional(_ function: String, _ minimum: Int, _ maximum: Int) throws(TemplateError) -> [Value] {
        try requireNoKeywords("\(function)()")
        guard (minimum...maximum).contains(positional.count) else {
            let expected = minimum == maximum ? "\(minimum)" : "\(minimum) to \(maximum)"
            throw .type("\(function)() takes \(expected) arguments (\(positional.count) given)")
        }
        return positional
    }
}

extension Value? {
    /// An argument that must be an integer.
    func integer(_ function: String, default standard: Int) throws(TemplateError) -> Int {
        guard let self else { return standard }
        return try self.requiredInteger(function)
    }

    /// A text that may be left out or None.
    func optionalText(_ function: String) throws(TemplateError) -> Text? {
        guard let self, !self.isNone else { return nil }
        return try self.requiredText(function)
    }
}

extension Value {
    func requiredInteger(_ function: String) throws(TemplateError) -> Int {
        if case .undefined(let undefined) = self { throw undefined.error }
        guard let integer else {
            throw .type("\(function): '\(typeName)' object cannot be interpreted as an integer")
        }
        return integer
    }

    func requiredText(_ function: String) throws(TemplateError) -> Text {
        if case .undefined(let undefined) = self { throw undefined.error }
        guard case .string(let text) = self else { throw .type("\(function): expected str, not \(typeName)") }
        return text
    }
}

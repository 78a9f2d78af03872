// Value: what an expression of a template gives, with Python's types. Containers are immutable, since the sandbox
// refuses what changes them; namespaces, loops and iterators are the only things with a state.
// Owned by one render; never leaves its task.
// Invariant: `missing` is a variable that has no value and is never the result of an expression.

/// A value while a template is rendered.
enum Value {
    case missing
    case undefined(Undefined)
    case none
    case bool(Bool)
    case int(Int)
    /// An integer that does not fit Int, in decimal digits: it can be printed and compared, not computed with.
    case wide(Text)
    case float(Double)
    case string(Text)
    case list(Elements)
    case tuple(Elements)
    case dict(OrderedMap)
    case range(IntegerRange)
    case view(DictionaryView)
    case iterator(ValueIterator)
    case namespace(Namespace)
    case loop(LoopContext)
    case macro(Macro)
    case function(Function)
    case cycler(Cycler)
    case joiner(Joiner)

    static func string(_ string: String) -> Value { .string(Text(string)) }

    /// The name of the type as Python's `type(x).__name__` gives it.
    var typeName: String {
        switch self {
        case .missing, .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .int, .wide: "int"
        case .float: "float"
        case .string(let text): text.isMarkup ? "Markup" : "str"
        case .list: "list"
        case .tuple(let elements): elements.isGroup ? "_GroupTuple" : "tuple"
        case .dict: "dict"
        case .range: "range"
        case .view(let view): view.kind.typeName
        case .iterator(let iterator): iterator.typeName
        case .namespace: "TemplateNamespace"
        case .loop: "LoopContext"
        case .macro: "Macro"
        case .function(let function): function.typeName
        case .cycler: "Cycler"
        case .joiner: "Joiner"
        }
    }

    /// How messages of undefined attributes call a value (`'dict object' has no attribute …`).
    var objectDescription: String {
        switch self {
        case .none: "None"
        case .string(let text) where text.isMarkup: "markupsafe.Markup object"
        default: typeName + " object"
        }
    }

    /// How deep values in it nest; letting go of it takes that much stack.
    var depth: Int {
        switch self {
        case .list(let elements), .tuple(let elements): elements.depth
        case .dict(let map): map.depth
        case .view(let view): view.map.depth + 1
        case .iterator(let iterator): iterator.depth
        case .loop(let loop): loop.nesting
        case .function(let function): function.depth
        case .cycler(let cycler): cycler.depth
        case .joiner(let joiner): joiner.separator.depth + 1
        // Namespaces and macros are let go of one by one at the end, however they refer to each other.
        default: 0
        }
    }

    var isUndefined: Bool {
        if case .undefined = self { return true }
        return false
    }

    var isNone: Bool {
        if case .none = self { return true }
        return false
    }

    /// The value as an integer where Python takes one (booleans are).
    var integer: Int? {
        switch self {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    /// The value as a float where Python takes a number.
    var number: Double? {
        switch self {
        case .int(let value): Double(value)
        case .bool(let value): value ? 1 : 0
        case .float(let value): value
        case .wide(let digits): Double(digits.string)
        default: nil
        }
    }
}

/// The elements of a list or tuple.
final class Elements {
    let values: [Value]
    let depth: Int
    /// A group of `groupby`, whose two elements have names.
    let isGroup: Bool

    init(_ values: [Value], isGroup: Bool = false) {
        self.values = values
        self.isGroup = isGroup
        var deepest = 0
        for value in values { deepest = max(deepest, value.depth) }
        depth = deepest + 1
    }
}

/// A value that is not there, with what is said when it is used.
final class Undefined {
    private enum Reason {
        case name(Text)
        case attribute(of: String, Value)
        case hint(String)
    }

    private let reason: Reason
    let code: TemplateError.Code

    init(name: Text) {
        reason = .name(name)
        code = .undefined
    }

    init(attribute: Value, of value: Value) {
        reason = .attribute(of: value.objectDescription, attribute)
        code = .undefined
    }

    init(hint: String, code: TemplateError.Code = .undefined) {
        reason = .hint(hint)
        self.code = code
    }

    var error: TemplateError {
        switch reason {
        case .name(let name): TemplateError(code, "\(PythonText.quoted(name)) is undefined")
        case .attribute(let owner, .string(let name)):
            TemplateError(code, "'\(owner)' has no attribute \(PythonText.quoted(name))")
        case .attribute(let owner, let index):
            TemplateError(code, "\(owner) has no element \(PythonText.scalar(index) ?? index.typeName)")
        case .hint(let hint): TemplateError(code, hint)
        }
    }
}

/// `range(start, stop, step)`.
final class IntegerRange {
    let start: Int
    let stop: Int
    let step: Int
    let count: Int

    init(start: Int, stop: Int, step: Int, count: Int) {
        self.start = start
        self.stop = stop
        self.step = step
        self.count = count
    }

    func value(at index: Int) -> Int { start + index * step }
}

/// Variables of a namespace, in the order they were first set.
final class Namespace {
    var attributes = OrderedMap()
}

/// `cycler(…)`.
final class Cycler {
    let items: [Value]
    let depth: Int
    var position = 0

    init(_ items: [Value]) {
        self.items = items
        depth = items.reduce(0) { max($0, $1.depth) } + 1
    }
}

/// `joiner(…)`.
final class Joiner {
    let separator: Value
    var isUsed = false

    init(_ separator: Value) { self.separator = separator }
}

/// What can be iterated once: the results of `map`, `select` and their like, computed as they are asked for.
final class ValueIterator {
    typealias Step = () throws(TemplateError) -> Value?

    let typeName: String
    let depth: Int
    private var step: Step?

    /// - Parameter depth: how deep the values that the step keeps nest.
    init(_ typeName: String, depth: Int = 0, _ step: @escaping Step) {
        self.typeName = typeName
        self.depth = depth + 1
        self.step = step
    }

    convenience init(_ typeName: String, over values: [Value]) {
        var position = 0
        self.init(typeName, depth: values.reduce(0) { max($0, $1.depth) }) { () throws(TemplateError) in
            guard position < values.count else { return nil }
            defer { position += 1 }
            return values[position]
        }
    }

    func next() throws(TemplateError) -> Value? {
        guard let step else { return nil }
        let value: Value?
        do {
            value = try step()
        } catch {
            // A generator that failed is at its end.
            self.step = nil
            throw error
        }
        if value == nil { self.step = nil }
        return value
    }
}

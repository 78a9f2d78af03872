// Running loops, and the variable `loop`.
// Invariant: elements are taken one at a time, so a filter sees what the body has changed before.

/// The state of a running loop.
final class LoopContext {
    /// Elements that are known; the ones from `position` on are still to come.
    private var values: [Value]
    private var position = 0
    private var source: ValueIterator?
    private var knownLength: Int?
    private(set) var current = Value.missing
    private(set) var previous = Value.missing
    private(set) var index0 = -1
    let depth0: Int
    /// How deep the values that it keeps nest.
    var nesting = 1
    var lastChanged: [Value]?
    /// Runs the body for other elements, in a recursive loop.
    let recursion: (index: Int, activation: Renderer.Activation)?

    init(_ iteration: Iteration, depth0: Int, recursion: (index: Int, activation: Renderer.Activation)?) {
        switch iteration {
        case .values(let values):
            self.values = values
            knownLength = values.count
        case .lazy(let iterator):
            values = []
            source = iterator
        }
        self.depth0 = depth0
        self.recursion = recursion
    }

    /// The next element that has not been taken yet.
    func peek() throws(TemplateError) -> Value? {
        if position < values.count { return values[position] }
        guard let value = try source?.next() else { return nil }
        values.append(value)
        return value
    }

    func next() throws(TemplateError) -> Value? {
        let value: Value
        if position < values.count {
            value = values[position]
            position += 1
        } else {
            guard let pulled = try source?.next() else { return nil }
            value = pulled
        }
        index0 += 1
        previous = current
        current = value
        return value
    }

    func length() throws(TemplateError) -> Int {
        if let knownLength { return knownLength }
        while let value = try source?.next() { values.append(value) }
        let length = index0 + 1 + values.count - position
        knownLength = length
        return length
    }
}

/// What a loop runs over.
enum Iteration {
    case values([Value])
    case lazy(ValueIterator)
}

extension Renderer {
    func runLoop(_ index: Int) throws(TemplateError) -> Flow {
        let iterable = try evaluate(program.loops[index].iterable)
        return try nested { () throws(TemplateError) in
            if program.loops[index].isRecursive {
                try write(try runRecursively(index, over: iterable, in: activation, depth0: 0).bytes)
            } else {
                return try runLoop(index, over: iterable, definedIn: activation, depth0: 0)
            }
            return .normal
        }
    }

    /// The body of a recursive loop, with variables of its own.
    func runRecursively(
        _ index: Int, over iterable: Value, in outer: Activation, depth0: Int
    ) throws(TemplateError) -> Text {
        let loop = program.loops[index]
        let activation = Activation(slotCount: program.functions[Int(loop.function)].slotCount, parent: outer)
        capture(outer)
        return try nested { () throws(TemplateError) in
            try capture { () throws(TemplateError) in
                try inside(activation) { () throws(TemplateError) in
                    _ = try runLoop(index, over: iterable, definedIn: outer, depth0: depth0)
                }
            }
        }
    }

    private func runLoop(
        _ index: Int, over iterable: Value, definedIn outer: Activation, depth0: Int
    ) throws(TemplateError) -> Flow {
        let loop = program.loops[index]
        var iteration = try self.iteration(over: iterable)
        if loop.test >= 0 { iteration = .lazy(filtered(iteration, index, definedIn: outer)) }
        let state = LoopContext(iteration, depth0: depth0, recursion: loop.isRecursive ? (index, outer) : nil)
        state.nesting = iterable.depth + 1
        try charge(elements: 0, depth: state.nesting)
        var isElse = true
        while let value = try state.next() {
            try charge()
            try assign(value, to: loop.target)
            if loop.loopSlot >= 0 { activation.slots[Int(loop.loopSlot)] = .loop(state) }
            enter(loop.body)
            switch try run(loop.body.body) {
            // An iteration that is cut short does not count for else, as Jinja compiles it.
            case .normal: isElse = false
            case .nextIteration: continue
            case .leaveLoop: return try finish(loop, isElse: isElse)
            }
        }
        return try finish(loop, isElse: isElse)
    }

    private func finish(_ loop: Loop, isElse: Bool) throws(TemplateError) -> Flow {
        leave(loop.body)
        guard isElse, !loop.otherwise.body.isEmpty else { return .normal }
        enter(loop.otherwise)
        defer { leave(loop.otherwise) }
        // A break in here is one of the loop around this one.
        return try run(loop.otherwise.body)
    }

    /// The elements for which the loop's condition holds, tested one at a time.
    private func filtered(_ iteration: Iteration, _ index: Int, definedIn outer: Activation) -> ValueIterator {
        let loop = program.loops[index]
        let activation = Activation(slotCount: program.functions[Int(loop.testFunction)].slotCount, parent: outer)
        let source: ValueIterator
        switch iteration {
        case .values(let values): source = ValueIterator("generator", over: values)
        case .lazy(let iterator): source = iterator
        }
        var isEntered = false
        return ValueIterator("generator") { [unowned self] () throws(TemplateError) in
            try inside(activation) { () throws(TemplateError) in
                if !isEntered { load(loop.testLoads) }
                isEntered = true
                while let value = try source.next() {
                    try charge()
                    try assign(value, to: loop.testTarget)
                    if try isTrue(try evaluate(loop.test)) { return value }
                }
                return nil
            }
        }
    }

    // MARK: The variable

    func attribute(_ attribute: KnownAttribute?, of loop: LoopContext) throws(TemplateError) -> Value? {
        switch attribute {
        case .index0: .int(loop.index0)
        case .index: .int(loop.index0 + 1)
        case .first: .bool(loop.index0 == 0)
        case .last: .bool(try loop.peek() == nil)
        case .length: .int(try loop.length())
        case .revindex: .int(try loop.length() - loop.index0)
        case .revindex0: .int(try loop.length() - loop.index0 - 1)
        case .depth: .int(loop.depth0 + 1)
        case .depth0: .int(loop.depth0)
        case .previtem: loop.index0 == 0 ? .undefined(Undefined(hint: "there is no previous item")) : loop.previous
        case .nextitem: try loop.peek() ?? .undefined(Undefined(hint: "there is no next item"))
        case .cycle, .changed: .function(Function(.method(.loop(loop), attribute ?? .cycle)))
        default: nil
        }
    }

    func callMethod(
        _ method: KnownAttribute, of loop: LoopContext, _ arguments: CallArguments
    ) throws(TemplateError) -> Value {
        try arguments.requireNoKeywords("\(method.rawValue)()")
        if method == .cycle {
            guard !arguments.positional.isEmpty else { throw .type("no items for cycling given") }
            return arguments.positional[loop.index0 % arguments.positional.count]
        }
        if let last = loop.lastChanged, try areEqual(last, arguments.positional) { return .bool(false) }
        for value in arguments.positional { loop.nesting = max(loop.nesting, value.depth + 1) }
        try charge(elements: arguments.positional.count, depth: loop.nesting)
        loop.lastChanged = arguments.positional
        return .bool(true)
    }

    func call(_ loop: LoopContext, _ arguments: CallArguments) throws(TemplateError) -> Value {
        guard let recursion = loop.recursion else {
            throw .type("The loop must have the 'recursive' marker to be called recursively.")
        }
        let iterable = try arguments.bound("loop", "iterable")[0]
        let text = try runRecursively(
            recursion.index, over: iterable ?? .none, in: recursion.activation, depth0: loop.depth0 + 1)
        return .string(text)
    }
}

// Renderer: one rendering of a template: its variables, its output and what it has used of its limits. This file has
// the state and the entry; the extensions have statements, expressions, calls and values.
// Owned by ChatTemplate.render for the length of one call, on one task.
// Invariant: every loop, call and copy is charged, so time, memory and stack are bounded by the limits.

final class Renderer {
    /// The variables of a running function.
    final class Activation {
        var slots: [Value]
        let parent: Activation?
        var isCaptured = false

        init(slotCount: Int, parent: Activation?) {
            slots = [Value](repeating: .missing, count: slotCount)
            self.parent = parent
        }
    }

    let program: Program
    let limits: ChatTemplate.Limits
    let now: LocalTime?
    let constants: [Value]
    let context: [Value]
    var activation: Activation
    var output: [UInt8] = []
    /// Parts of the output that the assistant says, in bytes.
    var assistantRanges: [Range<Int>] = []
    /// Captured output that is not part of `output` yet.
    var captureDepth = 0
    /// What the filters of a block are applied to.
    var blockText = Text.empty
    /// Of the statement that runs.
    var line: Int32 = 0
    private var steps = 0
    private var bytes = 0
    private var depth = 0
    /// What may refer to itself, to be taken apart at the end.
    private var namespaces: [Namespace] = []
    private var captured: [Activation] = []

    init(_ program: Program, variables: OrderedMap, limits: ChatTemplate.Limits, now: LocalTime?) {
        self.program = program
        self.limits = limits
        self.now = now
        constants = program.constants.map { Value($0) }
        context = program.contextNames.map { name in
            variables[name] ?? Global(rawValue: name.string).map { .function(Function(.global($0))) } ?? .missing
        }
        activation = Activation(slotCount: program.functions[0].slotCount, parent: nil)
    }

    func render() throws(TemplateError) {
        defer {
            for namespace in namespaces { namespace.attributes.removeAll() }
            for activation in captured { activation.slots = [] }
            activation.slots = []
        }
        do {
            enter(program.root)
            _ = try run(program.root.body)
        } catch {
            var error = error
            error.line = error.line ?? Int(line)
            throw error
        }
    }

    // MARK: Limits

    func charge(steps count: Int = 1) throws(TemplateError) {
        steps += count
        if steps > limits.steps {
            throw .limit("the template ran longer than the limit of \(limits.steps) steps")
        }
    }

    /// Memory that an operation takes, over the whole rendering; long copies take time too.
    func charge(bytes count: Int) throws(TemplateError) {
        let (sum, overflow) = bytes.addingReportingOverflow(count)
        bytes = sum
        steps += count >> 6
        if overflow || bytes > limits.bytes {
            throw .limit("the template worked on more than the limit of \(limits.bytes) bytes")
        }
    }

    /// Memory of a list or dictionary; they may not nest without end.
    func charge(elements count: Int, depth: Int) throws(TemplateError) {
        try charge(bytes: 16 * count + 32)
        if depth > limits.depth { throw .limit("lists nest deeper than the limit of \(limits.depth)") }
    }

    /// Runs what may contain itself.
    func nested<R>(_ body: () throws(TemplateError) -> R) throws(TemplateError) -> R {
        try enterNested()
        defer { leaveNested() }
        return try body()
    }

    func enterNested() throws(TemplateError) {
        guard depth < limits.depth else {
            throw .limit("calls or values nest deeper than the limit of \(limits.depth)")
        }
        depth += 1
    }

    func leaveNested() { depth -= 1 }

    func write(_ text: some Collection<UInt8>) throws(TemplateError) {
        output.append(contentsOf: text)
        if output.count > limits.outputBytes {
            throw .limit("the output is longer than the limit of \(limits.outputBytes) bytes")
        }
        try charge(bytes: text.count)
    }

    /// Runs something and gives what it wrote.
    func capture(_ body: () throws(TemplateError) -> Void) throws(TemplateError) -> Text {
        let outer = output
        output = []
        captureDepth += 1
        defer {
            output = outer
            captureDepth -= 1
        }
        try body()
        return Text(utf8: output)
    }

    // MARK: Variables

    func register(_ namespace: Namespace) { namespaces.append(namespace) }

    /// Keeps track of variables that a macro or a loop can reach later.
    func capture(_ activation: Activation) {
        if activation.isCaptured { return }
        activation.isCaptured = true
        captured.append(activation)
    }

    private func activation(_ hops: Int32) -> Activation {
        var found = activation
        for _ in 0..<hops {
            guard let parent = found.parent else { preconditionFailure("a variable outside of every function") }
            found = parent
        }
        return found
    }

    func value(at slot: Slot) -> Value {
        slot.hops == 0 ? activation.slots[Int(slot.index)] : activation(slot.hops).slots[Int(slot.index)]
    }

    func set(_ slot: Slot, _ value: Value) { activation(slot.hops).slots[Int(slot.index)] = value }

    func enter(_ scope: Scope) { load(scope.loads) }

    func load(_ loads: [Load]) {
        for load in loads {
            switch load.source {
            case .context(let index): activation.slots[Int(load.slot)] = context[Int(index)]
            case .alias(let slot): activation.slots[Int(load.slot)] = value(at: slot)
            case .unset: activation.slots[Int(load.slot)] = .missing
            case .parameter: break
            }
        }
    }

    func leave(_ scope: Scope) {
        for load in scope.loads { activation.slots[Int(load.slot)] = .missing }
    }

    /// Runs a function's code with variables of its own.
    func inside<R>(_ activation: Activation, _ body: () throws(TemplateError) -> R) throws(TemplateError) -> R {
        let outer = self.activation
        self.activation = activation
        defer { self.activation = outer }
        return try body()
    }
}

extension Value {
    init(_ constant: Constant) {
        switch constant {
        case .none: self = .none
        case .bool(let value): self = .bool(value)
        case .int(let value): self = .int(value)
        case .wide(let digits): self = .wide(digits)
        case .float(let value): self = .float(value)
        case .string(let text): self = .string(text)
        }
    }
}

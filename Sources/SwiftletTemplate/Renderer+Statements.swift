// Running statements: output, conditions, assignments, scopes, captured text.
// Invariant: a scope's variables are unset when it is left.

extension Renderer {
    /// How a body ended.
    enum Flow { case normal, leaveLoop, nextIteration }

    func run(_ body: IndexList) throws(TemplateError) -> Flow {
        for position in body.range {
            let index = Int(program.indices[position])
            line = program.lines[index]
            try charge()
            let flow = try run(program.statements[index])
            if flow != .normal { return flow }
        }
        return .normal
    }

    private func run(_ statement: Statement) throws(TemplateError) -> Flow {
        switch statement {
        case .text(let index):
            if case .string(let text) = constants[Int(index)] { try write(text.bytes) }
        case .output(let expression): try write(value: try evaluate(expression))
        case .condition(let index): return try runCondition(program.conditions[Int(index)])
        case .loop(let index): return try runLoop(Int(index))
        case .assign(let index): try runAssignment(program.assignments[Int(index)])
        case .assignBlock(let index): try runBlockAssignment(program.assignments[Int(index)])
        case .with(let index): return try runWith(program.withs[Int(index)])
        case .macro(let index): defineMacro(Int(index))
        case .call(let index): try runCallBlock(program.callBlocks[Int(index)])
        case .filterBlock(let index): try runFilterBlock(program.filterBlocks[Int(index)])
        case .scope(let index):
            return try nested { () throws(TemplateError) in try runScope(program.scopes[Int(index)]) }
        case .leaveLoop: return .leaveLoop
        case .nextIteration: return .nextIteration
        case .refused(let name):
            throw TemplateError(
                .type, "'\(program.names[Int(name)].string)' needs other templates, and a chat template stands alone")
        }
        return .normal
    }

    private func write(value: Value) throws(TemplateError) {
        if case .string(let text) = value { return try write(text.bytes) }
        try write(try string(of: value).bytes)
    }

    private func runScope(_ scope: Scope) throws(TemplateError) -> Flow {
        enter(scope)
        defer { leave(scope) }
        return try run(scope.body)
    }

    private func runCondition(_ condition: Condition) throws(TemplateError) -> Flow {
        for (test, body) in condition.branches where try isTrue(try evaluate(test)) { return try run(body) }
        return try run(condition.otherwise)
    }

    // MARK: Assignments

    private func runAssignment(_ assignment: Assignment) throws(TemplateError) {
        for slot in assignment.namespaces {
            guard case .namespace = value(at: slot) else {
                throw .type("cannot assign attribute on non-namespace object")
            }
        }
        try assign(try evaluate(assignment.value), to: assignment.target)
    }

    func assign(_ value: Value, to target: Target) throws(TemplateError) {
        switch target {
        case .variable(_, let slot): set(slot, value)
        case .attribute(_, let slot, let name):
            guard case .namespace(let namespace) = self.value(at: slot) else {
                throw .type("cannot assign attribute on non-namespace object")
            }
            try set(program.names[Int(name)], value, in: namespace)
        case .tuple(let targets):
            let values = try unpacked(value, count: targets.count)
            for (target, value) in zip(targets, values) { try assign(value, to: target) }
        }
    }

    /// Exactly as many values as there are targets.
    private func unpacked(_ value: Value, count: Int) throws(TemplateError) -> [Value] {
        let values = try elements(of: value, called: "cannot unpack non-iterable \(value.typeName) object")
        guard values.count >= count else {
            throw .type("not enough values to unpack (expected \(count), got \(values.count))")
        }
        guard values.count == count else { throw .type("too many values to unpack (expected \(count))") }
        return values
    }

    func set(_ name: Text, _ value: Value, in namespace: Namespace) throws(TemplateError) {
        if name.bytes.first == UInt8(ascii: "_") {
            throw TemplateError(
                .security,
                "Chat templates cannot store underscore-prefixed attributes on a namespace, but got "
                    + "\(PythonText.quoted(name)). Please rename the attribute.")
        }
        try charge(bytes: 16)
        try namespace.attributes.set(.string(name), value)
    }

    private func runBlockAssignment(_ assignment: Assignment) throws(TemplateError) {
        enter(assignment.block)
        let text = try capture { () throws(TemplateError) in _ = try run(assignment.block.body) }
        let value = try filtered(text, by: assignment.value)
        try assign(value, to: assignment.target)
        leave(assignment.block)
    }

    private func runFilterBlock(_ block: FilterBlock) throws(TemplateError) {
        enter(block.scope)
        let text = try capture { () throws(TemplateError) in _ = try run(block.scope.body) }
        try write(value: try filtered(text, by: block.filter))
        leave(block.scope)
    }

    /// A block's text after its filters; -1 is none.
    private func filtered(_ text: Text, by filter: Index) throws(TemplateError) -> Value {
        if filter < 0 { return .string(text) }
        let outer = blockText
        blockText = text
        defer { blockText = outer }
        return try evaluate(filter)
    }

    private func runWith(_ with: With) throws(TemplateError) -> Flow {
        enter(with.scope)
        defer { leave(with.scope) }
        for (target, value) in zip(with.targets, with.values) { try assign(try evaluate(value), to: target) }
        return try run(with.scope.body)
    }

    // MARK: Calls with a body

    private func runCallBlock(_ block: CallBlock) throws(TemplateError) {
        let caller = makeMacro(Int(block.macro))
        if block.call < 0 {
            let start = output.count
            try write(try call(caller, CallArguments()).bytes)
            if captureDepth == 0 { assistantRanges.append(start..<output.count) }
            return
        }
        guard case .call(let callee, let arguments) = program.expressions[Int(block.call)] else {
            preconditionFailure("a call block without a call")
        }
        try write(value: try evaluateCall(callee, arguments, caller: .macro(caller)))
    }
}

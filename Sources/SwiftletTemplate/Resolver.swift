// Resolver: gives every variable of a program its place, once, so that rendering looks nothing up by name.
// Owned by ChatTemplate's initializer for the length of one parse.
// Invariant: a statement is resolved in the scope it runs in, after that scope's symbols are complete.

struct Resolver {
    private var program: Program
    private let table = FunctionTable()
    private var contextIndices: [Index: Index] = [:]
    private let special: (loop: Index, caller: Index, arguments: Index, keywords: Index)

    /// Where a statement is: its variables, and whether it runs under a condition.
    private struct Frame {
        var symbols: Symbols
        /// Filters and tests that don't exist are refused when they are reached, not at once.
        var isConditional = false
    }

    private init(_ program: Program, special: (loop: Index, caller: Index, arguments: Index, keywords: Index)) {
        self.program = program
        self.special = special
    }

    static func resolve(_ parser: consuming Parser) throws(TemplateError) -> Program {
        var parser = parser
        let special = (
            loop: parser.name("loop"), caller: parser.name("caller"), arguments: parser.name("varargs"),
            keywords: parser.name("kwargs")
        )
        var resolver = Resolver(parser.program, special: special)
        try resolver.resolveRoot()
        return resolver.program
    }

    private var visitor: NameVisitor { NameVisitor(program: program) }

    private mutating func resolveRoot() throws(TemplateError) {
        let symbols = Symbols(parent: nil, function: table.add(parent: -1), table: table)
        visitor.visit(program.root.body, symbols)
        try resolve(program.root.body, Frame(symbols: symbols))
        program.root.loads = loads(of: symbols)
        program.functions = table.slotCounts.map { FunctionInfo(slotCount: $0) }
    }

    // MARK: Scopes

    private func inner(_ frame: Frame, function: Int? = nil) -> Symbols {
        Symbols(parent: frame.symbols, function: function ?? frame.symbols.function, table: table)
    }

    private mutating func loads(of symbols: Symbols) -> [Load] {
        var result: [Load] = []
        for (place, load) in symbols.loads {
            let source: Load.Source
            switch load {
            case .context(let name): source = .context(contextIndex(of: name))
            case .alias(let outer): source = .alias(table.slot(outer, from: symbols.function))
            case .unset: source = .unset
            case .parameter: source = .parameter
            }
            result.append(Load(slot: place.index, source: source))
        }
        return result
    }

    private mutating func contextIndex(of name: Index) -> Index {
        if let index = contextIndices[name] { return index }
        let index = Index(program.contextNames.count)
        contextIndices[name] = index
        program.contextNames.append(program.names[Int(name)])
        return index
    }

    private mutating func scope(_ scope: Scope, _ symbols: Symbols) throws(TemplateError) -> Scope {
        var scope = scope
        try resolve(scope.body, Frame(symbols: symbols))
        scope.loads = loads(of: symbols)
        return scope
    }

    /// A scope that begins with its body.
    private mutating func plainScope(_ scope: Scope, in frame: Frame) throws(TemplateError) -> Scope {
        let symbols = inner(frame)
        visitor.visit(scope.body, symbols)
        return try self.scope(scope, symbols)
    }

    // MARK: Statements

    private mutating func resolve(_ body: IndexList, _ frame: Frame) throws(TemplateError) {
        for index in program.list(body) {
            do {
                try resolve(program.statements[Int(index)], frame)
            } catch {
                var error = error
                error.line = error.line ?? Int(program.lines[Int(index)])
                throw error
            }
        }
    }

    private mutating func resolve(_ statement: Statement, _ frame: Frame) throws(TemplateError) {
        switch statement {
        case .text, .leaveLoop, .nextIteration, .refused: break
        case .output(let expression): try resolve(expression: expression, frame)
        case .condition(let index): try resolveCondition(Int(index), frame)
        case .loop(let index): try resolveLoop(Int(index), frame)
        case .assign(let index): try resolveAssignment(Int(index), frame)
        case .assignBlock(let index): try resolveBlockAssignment(Int(index), frame)
        case .with(let index): try resolveWith(Int(index), frame)
        case .macro(let index):
            try resolveMacro(Int(index), frame)
            program.macros[Int(index)].target = slot(of: program.macros[Int(index)].name, frame)
        case .call(let index):
            try resolveMacro(Int(program.callBlocks[Int(index)].macro), frame)
            try resolve(expression: program.callBlocks[Int(index)].call, frame)
        case .filterBlock(let index):
            let symbols = inner(frame)
            var block = program.filterBlocks[Int(index)]
            visitor.visit(block.scope.body, symbols)
            visitor.visit(expression: block.filter, symbols)
            block.scope = try scope(block.scope, symbols)
            try resolve(expression: block.filter, Frame(symbols: symbols))
            program.filterBlocks[Int(index)] = block
        case .scope(let index): program.scopes[Int(index)] = try plainScope(program.scopes[Int(index)], in: frame)
        }
    }

    private mutating func resolveCondition(_ index: Int, _ frame: Frame) throws(TemplateError) {
        var frame = frame
        frame.isConditional = true
        for (test, body) in program.conditions[index].branches {
            try resolve(expression: test, frame)
            try resolve(body, frame)
        }
        try resolve(program.conditions[index].otherwise, frame)
    }

    private mutating func resolveLoop(_ index: Int, _ frame: Frame) throws(TemplateError) {
        var loop = program.loops[index]
        try resolve(expression: loop.iterable, frame)
        if loop.test >= 0 {
            let function = table.add(parent: frame.symbols.function)
            let symbols = inner(frame, function: function)
            visitor.visit(loop.testTarget, asParameter: true, symbols)
            visitor.visit(expression: loop.test, symbols)
            try resolve(expression: loop.test, Frame(symbols: symbols))
            loop.testFunction = Index(function)
            loop.testTarget = resolved(loop.testTarget, Frame(symbols: symbols))
            loop.testLoads = loads(of: symbols)
        }
        let function = loop.isRecursive ? table.add(parent: frame.symbols.function) : frame.symbols.function
        if loop.isRecursive { loop.function = Index(function) }
        let symbols = inner(frame, function: function)
        if loop.isRecursive || !visitor.undeclared([special.loop], in: loop.body.body).isEmpty {
            loop.loopSlot = symbols.declareParameter(special.loop).index
        }
        visitor.visit(loop.target, asParameter: true, symbols)
        visitor.visit(loop.body.body, symbols)
        loop.target = resolved(loop.target, Frame(symbols: symbols))
        loop.body = try scope(loop.body, symbols)
        let otherwise = inner(frame, function: function)
        visitor.visit(loop.otherwise.body, otherwise)
        loop.otherwise = try scope(loop.otherwise, otherwise)
        program.loops[index] = loop
    }

    private mutating func resolveAssignment(_ index: Int, _ frame: Frame) throws(TemplateError) {
        var assignment = program.assignments[index]
        try resolve(expression: assignment.value, frame)
        assignment.target = resolved(assignment.target, frame)
        assignment.namespaces = namespaces(in: assignment.target)
        program.assignments[index] = assignment
    }

    private func namespaces(in target: Target) -> [Slot] {
        switch target {
        case .variable: []
        case .attribute(_, let slot, _): [slot]
        case .tuple(let targets): targets.flatMap { namespaces(in: $0) }
        }
    }

    private mutating func resolveBlockAssignment(_ index: Int, _ frame: Frame) throws(TemplateError) {
        var assignment = program.assignments[index]
        let symbols = inner(frame)
        visitor.visit(assignment.block.body, symbols)
        visitor.visit(expression: assignment.value, symbols)
        assignment.block = try scope(assignment.block, symbols)
        try resolve(expression: assignment.value, Frame(symbols: symbols))
        assignment.target = resolved(assignment.target, frame)
        program.assignments[index] = assignment
    }

    private mutating func resolveWith(_ index: Int, _ frame: Frame) throws(TemplateError) {
        var with = program.withs[index]
        let symbols = inner(frame)
        for target in with.targets { visitor.visit(target, asParameter: true, symbols) }
        visitor.visit(with.scope.body, symbols)
        for value in with.values { try resolve(expression: value, frame) }
        for target in with.targets.indices {
            with.targets[target] = resolved(with.targets[target], Frame(symbols: symbols))
        }
        with.scope = try scope(with.scope, symbols)
        program.withs[index] = with
    }

    private mutating func resolveMacro(_ index: Int, _ frame: Frame) throws(TemplateError) {
        var macro = program.macros[index]
        let function = table.add(parent: frame.symbols.function)
        let symbols = inner(frame, function: function)
        for parameter in macro.parameters { macro.slots.append(symbols.declareParameter(parameter).index) }
        let used = visitor.undeclared([special.caller, special.arguments, special.keywords], in: macro.scope.body)
        if let position = macro.parameters.firstIndex(of: special.caller) {
            macro.hasCallerParameter = true
            if used.contains(special.caller), position < macro.parameters.count - macro.defaults.count {
                throw TemplateError(
                    .invalidTemplate,
                    "When defining macros or call blocks the special \"caller\" argument must be omitted or be "
                        + "given a default.")
            }
        } else if used.contains(special.caller) {
            macro.callerSlot = symbols.declareParameter(special.caller).index
        }
        if used.contains(special.keywords), !macro.parameters.contains(special.keywords) {
            macro.keywordsSlot = symbols.declareParameter(special.keywords).index
        }
        if used.contains(special.arguments), !macro.parameters.contains(special.arguments) {
            macro.argumentsSlot = symbols.declareParameter(special.arguments).index
        }
        for value in macro.defaults { visitor.visit(expression: value, symbols) }
        visitor.visit(macro.scope.body, symbols)
        for value in macro.defaults { try resolve(expression: value, Frame(symbols: symbols)) }
        macro.scope = try scope(macro.scope, symbols)
        macro.function = Index(function)
        program.macros[index] = macro
    }

    // MARK: Names

    private func slot(of name: Index, _ frame: Frame) -> Slot {
        guard let place = frame.symbols.place(of: name) else {
            preconditionFailure("a name that no scope has: \(program.names[Int(name)].string)")
        }
        return table.slot(place, from: frame.symbols.function)
    }

    private func resolved(_ target: Target, _ frame: Frame) -> Target {
        switch target {
        case .variable(let name, _): .variable(name: name, slot(of: name, frame))
        case .attribute(let variable, _, let name):
            .attribute(variable: variable, slot(of: variable, frame), name: name)
        case .tuple(let targets): .tuple(targets.map { resolved($0, frame) })
        }
    }

    private mutating func resolve(expression: Index, _ frame: Frame) throws(TemplateError) {
        guard expression >= 0 else { return }
        var inside = frame
        switch program.expressions[Int(expression)] {
        case .variable(let name, _):
            program.expressions[Int(expression)] = .variable(name: name, slot(of: name, frame))
        case .filter(nil, _, let name, _) where !frame.isConditional:
            throw TemplateError(.invalidTemplate, "No filter named \(PythonText.quoted(program.names[Int(name)])).")
        case .test(nil, _, let name, _) where !frame.isConditional:
            throw TemplateError(.invalidTemplate, "No test named \(PythonText.quoted(program.names[Int(name)])).")
        case .conditional: inside.isConditional = true
        default: break
        }
        for part in visitor.parts(of: expression) { try resolve(expression: part, inside) }
    }
}

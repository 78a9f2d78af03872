// NameVisitor: finds the names in statements and expressions, in the two ways Jinja looks at them: what a scope
// mentions (for its symbols), and whether a special name is used that nothing in between declares.
// Owned by the resolver; reads the program only.
// Invariant: visiting for symbols stops at tags that open a scope of their own.

struct NameVisitor {
    let program: Program

    // MARK: Symbols of a scope

    func visit(_ body: IndexList, _ symbols: Symbols) {
        for index in program.list(body) { visit(program.statements[Int(index)], symbols) }
    }

    func visit(_ statement: Statement, _ symbols: Symbols) {
        switch statement {
        case .text, .scope, .leaveLoop, .nextIteration, .refused: break
        case .output(let expression): visit(expression: expression, symbols)
        case .condition(let index): visit(program.conditions[Int(index)], from: 0, symbols)
        case .loop(let index): visit(expression: program.loops[Int(index)].iterable, symbols)
        case .assign(let index):
            visit(expression: program.assignments[Int(index)].value, symbols)
            visit(program.assignments[Int(index)].target, symbols)
        case .assignBlock(let index): visit(program.assignments[Int(index)].target, symbols)
        case .with(let index): for value in program.withs[Int(index)].values { visit(expression: value, symbols) }
        case .macro(let index): symbols.store(program.macros[Int(index)].name)
        case .call(let index): visit(expression: program.callBlocks[Int(index)].call, symbols)
        case .filterBlock(let index): visit(expression: program.filterBlocks[Int(index)].filter, symbols)
        }
    }

    /// An if with its elifs, which count as ifs in one branch, one after the other.
    private func visit(_ condition: Condition, from first: Int, _ symbols: Symbols) {
        func visitBranch(_ branch: Int, _ symbols: Symbols, _ others: [(Symbols) -> Void]) {
            visit(expression: condition.branches[branch].test, symbols)
            symbols.branches([{ visit(condition.branches[branch].body, $0) }] + others)
        }
        visitBranch(
            0, symbols,
            [
                { copy in
                    for branch in condition.branches.indices.dropFirst() { visitBranch(branch, copy, []) }
                },
                { visit(condition.otherwise, $0) },
            ])
    }

    func visit(_ target: Target, asParameter: Bool = false, _ symbols: Symbols) {
        switch target {
        case .variable(let name, _): asParameter ? _ = symbols.declareParameter(name) : symbols.store(name)
        case .attribute(let variable, _, _): symbols.load(variable)
        case .tuple(let targets): for target in targets { visit(target, asParameter: asParameter, symbols) }
        }
    }

    func visit(expression: Index, _ symbols: Symbols) {
        forEachName(in: expression) { symbols.load($0) }
    }

    // MARK: Expressions

    func forEachName(in expression: Index, _ body: (Index) -> Void) {
        guard expression >= 0 else { return }
        switch program.expressions[Int(expression)] {
        case .variable(let name, _): body(name)
        default: for part in parts(of: expression) { forEachName(in: part, body) }
        }
    }

    /// The expressions that an expression is made of; some may be -1.
    func parts(of expression: Index) -> [Index] {
        switch program.expressions[Int(expression)] {
        case .constant, .variable: []
        case .list(let items), .tuple(let items), .dict(let items), .compare(let items, _), .concatenate(let items):
            Array(program.list(items))
        case .attribute(let value, _): [value]
        case .item(let value, let index): [value, index]
        case .slice(let value, let start, let stop, let step): [value, start, stop, step]
        case .call(let callee, let arguments): [callee] + parts(ofArguments: arguments)
        case .filter(_, let value, _, let arguments), .test(_, let value, _, let arguments):
            [value] + parts(ofArguments: arguments)
        case .not(let value), .sign(_, let value): [value]
        case .binary(_, let left, let right), .and(let left, let right), .or(let left, let right): [left, right]
        case .conditional(let test, let value, let otherwise): [test, value, otherwise]
        }
    }

    private func parts(ofArguments index: Index) -> [Index] {
        let arguments = program.arguments[Int(index)]
        let keywords = Array(program.list(arguments.keywords))
        let values = stride(from: 1, to: keywords.count, by: 2).map { keywords[$0] }
        return Array(program.list(arguments.positional)) + values + [arguments.star, arguments.doubleStar]
    }

    // MARK: Special names

    /// Which of the names are read somewhere in the body before anything in it assigns them.
    func undeclared(_ names: Set<Index>, in body: IndexList) -> Set<Index> {
        var scan = Scan(visitor: self, wanted: names)
        scan.visit(body)
        return scan.found
    }

    private struct Scan {
        let visitor: NameVisitor
        var wanted: Set<Index>
        var found: Set<Index> = []

        private var program: Program { visitor.program }

        init(visitor: NameVisitor, wanted: Set<Index>) {
            self.visitor = visitor
            self.wanted = wanted
        }

        private mutating func read(_ expression: Index) {
            var names: [Index] = []
            visitor.forEachName(in: expression) { names.append($0) }
            found.formUnion(wanted.intersection(names))
        }

        private mutating func assign(_ target: Target) {
            switch target {
            case .variable(let name, _): wanted.remove(name)
            case .attribute: break
            case .tuple(let targets): for target in targets { assign(target) }
            }
        }

        private mutating func visit(_ macro: MacroInfo) {
            for parameter in macro.parameters { wanted.remove(parameter) }
            for value in macro.defaults { read(value) }
            visit(macro.scope.body)
        }

        mutating func visit(_ body: IndexList) {
            for index in program.list(body) { visit(program.statements[Int(index)]) }
        }

        private mutating func visit(_ statement: Statement) {
            switch statement {
            case .text, .leaveLoop, .nextIteration, .refused: break
            case .output(let expression): read(expression)
            case .scope(let index): visit(program.scopes[Int(index)].body)
            case .condition(let index):
                for (test, body) in program.conditions[Int(index)].branches {
                    read(test)
                    visit(body)
                }
                visit(program.conditions[Int(index)].otherwise)
            case .loop(let index): visit(program.loops[Int(index)])
            case .assign(let index), .assignBlock(let index):
                assign(program.assignments[Int(index)].target)
                read(program.assignments[Int(index)].value)
                visit(program.assignments[Int(index)].block.body)
            case .with(let index):
                for target in program.withs[Int(index)].targets { assign(target) }
                for value in program.withs[Int(index)].values { read(value) }
                visit(program.withs[Int(index)].scope.body)
            case .macro(let index): visit(program.macros[Int(index)])
            case .call(let index):
                read(program.callBlocks[Int(index)].call)
                visit(program.macros[Int(program.callBlocks[Int(index)].macro)])
            case .filterBlock(let index):
                visit(program.filterBlocks[Int(index)].scope.body)
                read(program.filterBlocks[Int(index)].filter)
            }
        }

        private mutating func visit(_ loop: Loop) {
            assign(loop.target)
            read(loop.iterable)
            visit(loop.body.body)
            visit(loop.otherwise.body)
            read(loop.test)
        }
    }
}

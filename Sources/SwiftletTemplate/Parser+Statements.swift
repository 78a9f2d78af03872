// The grammar of statements: what stands between {% and %}, and the text and output around it.
// Invariant: a body ends at one of the tags it waits for, or the template is refused.

extension Parser {
    /// Statements up to one of the end tags, whose name becomes the current token; without any, up to the end.
    mutating func parseBody(until ends: [Text]) throws(TemplateError) -> IndexList {
        var body: [Index] = []
        while !at(.end) {
            let token = next()
            switch token.kind {
            case .data:
                body.append(add(.text(constant(.string(token.text))), line: token.line))
            case .variableBegin:
                body.append(add(.output(try parseTuple()), line: token.line))
                try expect(.variableEnd, "end of print statement")
            case .blockBegin:
                if current.kind == .name, ends.contains(current.text) { return list(body) }
                body += try nested { (parser) throws(TemplateError) in try parser.parseStatement() }
                try expect(.blockEnd, "end of statement block")
            default: throw failure("unexpected '\(token.description)'", line: token.line)
            }
        }
        if !ends.isEmpty { throw unexpectedEnd(ends) }
        return list(body)
    }

    private func unexpectedEnd(_ ends: [Text]) -> TemplateError {
        let expected = ends.map { "'\($0.string)'" }.joined(separator: " or ")
        let innermost = openTags.last.map { " The innermost block that needs to be closed is '\($0)'." } ?? ""
        return failure("Unexpected end of template. Jinja was looking for the following tags: \(expected).\(innermost)")
    }

    /// The body of a tag: behind its end, up to one of the end tags.
    private mutating func parseBlock(until ends: Text...) throws(TemplateError) -> IndexList {
        _ = skip(.colon)
        try expect(.blockEnd, "end of statement block")
        return try parseBody(until: ends)
    }

    private mutating func parseStatement() throws(TemplateError) -> [Index] {
        guard at(.name) else { throw failure("tag name expected") }
        let token = next()
        let tag = token.text.string
        openTags.append(tag)
        defer { openTags.removeLast() }
        switch tag {
        case "for": return [try parseFor(token.line)]
        case "if": return [try parseIf(token.line)]
        case "set": return [try parseSet(token.line)]
        case "with": return [try parseWith(token.line)]
        case "macro": return [try parseMacro(token.line)]
        case "call": return [try parseCallBlock(token.line)]
        case "generation": return [try parseGeneration(token.line)]
        case "filter": return [try parseFilterBlock(token.line)]
        case "print": return try parsePrint(token.line)
        case "break", "continue":
            guard loopDepth > 0 else { throw failure("'\(tag)' outside loop", line: token.line) }
            return [add(tag == "break" ? .leaveLoop : .nextIteration, line: token.line)]
        case "extends", "include", "import", "from":
            // What they name is never looked at: without a loader every use fails when it is reached.
            while !at(.blockEnd), !at(.end) { _ = next() }
            return [add(.refused(name: name(token.text)), line: token.line)]
        case "block": return [try parseNamedBlock(token.line)]
        case "autoescape": return [try parseAutoescape(token.line)]
        default:
            let open = openTags.dropLast().last.map { " The innermost block that needs to be closed is '\($0)'." }
            throw failure("Encountered unknown tag '\(tag)'.\(open ?? "")", line: token.line)
        }
    }

    // MARK: Targets

    /// What is assigned to; a tuple where `allowsTuple` says so.
    private mutating func parseTarget(
        endingAt end: Text? = nil, allowsNamespace: Bool = false
    ) throws(TemplateError) -> Target {
        var targets: [Target] = []
        var isTuple = false
        while !isTupleEnd(end) {
            targets.append(try parseSingleTarget(endingAt: end, allowsNamespace: allowsNamespace))
            guard skip(.comma) else { break }
            isTuple = true
        }
        if isTuple { return .tuple(targets) }
        guard let target = targets.first else { throw failure("Expected an expression, got '\(current.description)'") }
        return target
    }

    private mutating func parseSingleTarget(
        endingAt end: Text?, allowsNamespace: Bool
    ) throws(TemplateError) -> Target {
        if skip(.leftParenthesis) {
            // Inside of parentheses Jinja reads a whole expression; names and tuples of them can be assigned to.
            let target = try nested { (parser) throws(TemplateError) -> Target in
                if parser.at(.rightParenthesis) { return .tuple([]) }
                return try parser.parseTarget()
            }
            try expect(.rightParenthesis, ")")
            return target
        }
        guard at(.name) else { throw failure("can't assign to '\(current.description)'") }
        let token = next()
        if isConstantName(token.text) { throw failure("can't assign to 'const'", line: token.line) }
        if allowsNamespace, skip(.dot) {
            let attribute = try expect(.name, "name").text
            return .attribute(variable: name(token.text), Slot(hops: 0, index: 0), name: name(attribute))
        }
        if token.text == "loop", loopNesting > 0 {
            throw failure("Can't assign to special loop variable in for-loop target", line: token.line)
        }
        return .variable(name: name(token.text), Slot(hops: 0, index: 0))
    }

    // MARK: Tags

    private mutating func parseFor(_ line: Int) throws(TemplateError) -> Index {
        loopNesting += 1
        let target = try parseTarget(endingAt: "in")
        try expect(name: "in")
        let iterable = try parseTuple(allowsConditional: false, endingAt: "recursive")
        let test = skip(name: "if") ? try parseExpression() : -1
        let isRecursive = skip(name: "recursive")
        loopDepth += 1
        var loop = Loop(
            target: target, iterable: iterable, test: test, isRecursive: isRecursive, body: Scope(),
            otherwise: Scope(), testTarget: target)
        loop.body.body = try parseBlock(until: "endfor", "else")
        // The else of a loop is outside of it; that of a recursive one is outside of every loop.
        let outer = loopDepth - 1
        loopDepth = isRecursive ? 0 : outer
        if next().text == "else" {
            loop.otherwise.body = try parseBlock(until: "endfor")
            _ = next()
        }
        loopDepth = outer
        loopNesting -= 1
        program.loops.append(loop)
        return add(.loop(Index(program.loops.count - 1)), line: line)
    }

    private mutating func parseIf(_ line: Int) throws(TemplateError) -> Index {
        var condition = Condition(branches: [], otherwise: IndexList())
        while true {
            let test = try parseTuple(allowsConditional: false)
            condition.branches.append((test, try parseBlock(until: "elif", "else", "endif")))
            let end = next().text
            if end == "elif" { continue }
            if end == "else" {
                condition.otherwise = try parseBlock(until: "endif")
                _ = next()
            }
            break
        }
        program.conditions.append(condition)
        return add(.condition(Index(program.conditions.count - 1)), line: line)
    }

    private mutating func parseSet(_ line: Int) throws(TemplateError) -> Index {
        let target = try parseTarget(allowsNamespace: true)
        if skip(.assign) {
            program.assignments.append(Assignment(target: target, value: try parseTuple()))
            return add(.assign(Index(program.assignments.count - 1)), line: line)
        }
        var filter: Index = -1
        while skip(.pipe) { filter = try parseFilter(of: filter) }
        var assignment = Assignment(target: target, value: filter)
        assignment.block.body = try parseBlock(until: "endset")
        _ = next()
        program.assignments.append(assignment)
        return add(.assignBlock(Index(program.assignments.count - 1)), line: line)
    }

    private mutating func parseWith(_ line: Int) throws(TemplateError) -> Index {
        var with = With(targets: [], values: [], scope: Scope())
        while !at(.blockEnd), !at(.colon) {
            if !with.targets.isEmpty { try expect(.comma, ",") }
            with.targets.append(try parseTarget())
            try expect(.assign, "=")
            with.values.append(try parseExpression())
        }
        with.scope.body = try parseBlock(until: "endwith")
        _ = next()
        program.withs.append(with)
        return add(.with(Index(program.withs.count - 1)), line: line)
    }

    /// Parameters in parentheses, with defaults for the last ones.
    private mutating func parseParameters() throws(TemplateError) -> (names: [Index], defaults: [Index]) {
        try expect(.leftParenthesis, "(")
        var names: [Index] = []
        var defaults: [Index] = []
        while !at(.rightParenthesis) {
            if !names.isEmpty { try expect(.comma, ",") }
            let token = try expect(.name, "name")
            if isConstantName(token.text) { throw failure("can't assign to 'name'", line: token.line) }
            let index = name(token.text)
            if names.contains(index) { throw failure("duplicate argument '\(token.text.string)'", line: token.line) }
            names.append(index)
            if skip(.assign) {
                defaults.append(try parseExpression())
            } else if !defaults.isEmpty {
                throw failure("non-default argument follows default argument")
            }
        }
        try expect(.rightParenthesis, ")")
        return (names, defaults)
    }

    /// The body of a macro or of a call block, in which outer loops can't be left.
    private mutating func parseMacroBody(
        _ name: Index, _ parameters: (names: [Index], defaults: [Index]), until end: Text
    ) throws(TemplateError) -> Index {
        var macro = MacroInfo(
            name: name, parameters: parameters.names, defaults: parameters.defaults, scope: Scope())
        let outer = loopDepth
        loopDepth = 0
        macro.scope.body = try parseBlock(until: end)
        loopDepth = outer
        _ = next()
        program.macros.append(macro)
        return Index(program.macros.count - 1)
    }

    private mutating func parseMacro(_ line: Int) throws(TemplateError) -> Index {
        let token = try expect(.name, "name")
        if isConstantName(token.text) { throw failure("can't assign to 'name'", line: token.line) }
        if token.text == "loop", loopNesting > 0 {
            throw failure("Can't assign to special loop variable in for-loop target", line: token.line)
        }
        let parameters = try parseParameters()
        return add(.macro(try parseMacroBody(name(token.text), parameters, until: "endmacro")), line: line)
    }

    private mutating func parseCallBlock(_ line: Int) throws(TemplateError) -> Index {
        let parameters = at(.leftParenthesis) ? try parseParameters() : ([], [])
        let call = try parseExpression()
        guard case .call = program.expressions[Int(call)] else { throw failure("expected call", line: line) }
        program.callBlocks.append(CallBlock(call: call, macro: try parseMacroBody(-1, parameters, until: "endcall")))
        return add(.call(Index(program.callBlocks.count - 1)), line: line)
    }

    private mutating func parseGeneration(_ line: Int) throws(TemplateError) -> Index {
        let macro = try parseMacroBody(-1, ([], []), until: "endgeneration")
        program.macros[Int(macro)].isGeneration = true
        program.callBlocks.append(CallBlock(call: -1, macro: macro))
        return add(.call(Index(program.callBlocks.count - 1)), line: line)
    }

    private mutating func parseFilterBlock(_ line: Int) throws(TemplateError) -> Index {
        var filter = try parseFilter(of: -1)
        while skip(.pipe) { filter = try parseFilter(of: filter) }
        let body = try parseBlock(until: "endfilter")
        _ = next()
        program.filterBlocks.append(FilterBlock(filter: filter, scope: Scope(body: body)))
        return add(.filterBlock(Index(program.filterBlocks.count - 1)), line: line)
    }

    private mutating func parsePrint(_ line: Int) throws(TemplateError) -> [Index] {
        var outputs: [Index] = []
        while !at(.blockEnd) {
            if !outputs.isEmpty { try expect(.comma, ",") }
            outputs.append(add(.output(try parseExpression()), line: line))
        }
        return outputs
    }

    /// A block that nothing can override, since nothing extends a chat template.
    private mutating func parseNamedBlock(_ line: Int) throws(TemplateError) -> Index {
        guard loopNesting == 0, openTags.dropLast().allSatisfy({ $0 == "if" }) else {
            throw failure("'block' inside of another tag is not supported", line: line)
        }
        let name = try expect(.name, "name").text
        _ = skip(name: "scoped")
        if at(name: "required") { throw failure("a required block needs a template that extends this one") }
        let body = try parseBlock(until: "endblock")
        _ = next()
        _ = skip(name: name)
        program.scopes.append(Scope(body: body))
        return add(.scope(Index(program.scopes.count - 1)), line: line)
    }

    private mutating func parseAutoescape(_ line: Int) throws(TemplateError) -> Index {
        guard skip(name: "false") || skip(name: "False") else {
            throw failure("autoescape is not supported; chat templates write plain text", line: line)
        }
        let body = try parseBlock(until: "endautoescape")
        _ = next()
        program.scopes.append(Scope(body: body))
        return add(.scope(Index(program.scopes.count - 1)), line: line)
    }
}

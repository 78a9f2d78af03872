// The grammar of what follows a value: attributes, items and slices, calls, filters and tests.
// Invariant: arguments come in Python's order: positions, names, then what is unpacked.

extension Parser {
    // MARK: What follows a value

    mutating func parsePostfix(_ value: Index) throws(TemplateError) -> Index {
        var value = value
        while true {
            switch current.kind {
            case .dot: value = try parseAttribute(of: value)
            case .leftBracket: value = try parseItem(of: value)
            case .leftParenthesis: value = try parseCall(value)
            default: return value
            }
        }
    }

    mutating func parseFilters(_ value: Index) throws(TemplateError) -> Index {
        var value = value
        while true {
            if at(.pipe) {
                _ = next()
                value = try parseFilter(of: value)
            } else if at(name: "is") {
                value = try parseTest(of: value)
            } else if at(.leftParenthesis) {
                value = try parseCall(value)
            } else {
                return value
            }
        }
    }

    private mutating func parseAttribute(of value: Index) throws(TemplateError) -> Index {
        _ = next()
        let token = next()
        switch token.kind {
        case .name: return try add(.attribute(of: value, name: name(token.text)), value)
        case .integer:
            let index = try constantExpression(try integer(token))
            return try add(.item(of: value, index), value, index)
        default: throw failure("expected name or number", line: token.line)
        }
    }

    private mutating func parseItem(of value: Index) throws(TemplateError) -> Index {
        let line = next().line
        var items: [Index] = []
        while !at(.rightBracket) {
            if !items.isEmpty { try expect(.comma, ",") }
            let start = at(.colon) ? -1 : try parseExpression()
            guard skip(.colon) else {
                items.append(start)
                continue
            }
            func part(_ parser: inout Parser) throws(TemplateError) -> Index {
                let isLeftOut = parser.at(.colon) || parser.at(.rightBracket) || parser.at(.comma)
                return isLeftOut ? -1 : try parser.parseExpression()
            }
            let stop = try part(&self)
            let step = skip(.colon) ? try part(&self) : -1
            guard items.isEmpty, skip(.rightBracket) else {
                throw failure("a slice can't be part of a tuple", line: line)
            }
            return try add(.slice(of: value, start: start, stop: stop, step: step), value, start, stop, step)
        }
        try expect(.rightBracket, "]")
        let index = items.count == 1 ? items[0] : try add(.tuple(list(items)), parts: items)
        return try add(.item(of: value, index), value, index)
    }

    mutating func parseCall(_ callee: Index) throws(TemplateError) -> Index {
        let (arguments, parts) = try parseArguments()
        return try add(.call(callee, arguments: arguments), parts: parts + [callee])
    }

    /// Arguments in parentheses, and their expressions.
    private mutating func parseArguments() throws(TemplateError) -> (Index, parts: [Index]) {
        let line = try expect(.leftParenthesis, "(").line
        var arguments = Arguments()
        var positional: [Index] = []
        var keywords: [Index] = []
        var needsComma = false
        func ensure(_ condition: Bool) throws(TemplateError) {
            if !condition { throw failure("invalid syntax for function call expression", line: line) }
        }
        while !at(.rightParenthesis) {
            if needsComma {
                try expect(.comma, ",")
                if at(.rightParenthesis) { break }
            }
            if skip(.mul) {
                try ensure(arguments.star < 0 && arguments.doubleStar < 0)
                arguments.star = try parseExpression()
            } else if skip(.pow) {
                try ensure(arguments.doubleStar < 0)
                arguments.doubleStar = try parseExpression()
            } else if at(.name), following.kind == .assign {
                try ensure(arguments.doubleStar < 0)
                let key = name(next().text)
                _ = next()
                guard !stride(from: 0, to: keywords.count, by: 2).contains(where: { keywords[$0] == key }) else {
                    throw failure("keyword argument repeated: \(program.names[Int(key)].string)", line: line)
                }
                keywords += [key, try parseExpression()]
            } else {
                try ensure(arguments.star < 0 && arguments.doubleStar < 0 && keywords.isEmpty)
                positional.append(try parseExpression())
            }
            needsComma = true
        }
        try expect(.rightParenthesis, ")")
        arguments.positional = list(positional)
        arguments.keywords = list(keywords)
        program.arguments.append(arguments)
        let values = stride(from: 1, to: keywords.count, by: 2).map { keywords[$0] }
        return (Index(program.arguments.count - 1), positional + values + [arguments.star, arguments.doubleStar])
    }

    private mutating func parseDottedName() throws(TemplateError) -> Text {
        var text = try expect(.name, "name").text
        while skip(.dot) {
            text.append(".")
            text.append(try expect(.name, "name").text)
        }
        return text
    }

    private mutating func noArguments() -> Index {
        program.arguments.append(Arguments())
        return Index(program.arguments.count - 1)
    }

    /// A filter's name and arguments; the bar has been read.
    mutating func parseFilter(of value: Index) throws(TemplateError) -> Index {
        let text = try parseDottedName()
        let (arguments, parts) = at(.leftParenthesis) ? try parseArguments() : (noArguments(), [])
        return try add(
            .filter(FilterName(rawValue: text.string), of: value, name: name(text), arguments: arguments),
            parts: parts + [value])
    }

    private mutating func parseTest(of value: Index) throws(TemplateError) -> Index {
        _ = next()
        let isNegated = skip(name: "not")
        let text = try parseDottedName()
        var arguments = Arguments()
        var parts: [Index] = []
        var index: Index?
        switch current.kind {
        case .leftParenthesis: (index, parts) = try parseArguments()
        case .name, .string, .integer, .float, .leftBracket, .leftBrace:
            if at(name: "else") || at(name: "or") || at(name: "and") { break }
            if at(name: "is") { throw failure("You cannot chain multiple tests with is") }
            let argument = try parsePostfix(try parsePrimary())
            arguments.positional = list([argument])
            parts = [argument]
        default: break
        }
        if index == nil {
            program.arguments.append(arguments)
            index = Index(program.arguments.count - 1)
        }
        let test = try add(
            .test(TestName(name: text), of: value, name: name(text), arguments: index ?? 0), parts: parts + [value])
        return isNegated ? try add(.not(test), test) : test
    }
}

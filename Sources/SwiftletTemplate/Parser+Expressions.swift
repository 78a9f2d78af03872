// The grammar of expressions: conditional, or, and, not, comparisons, + -, ~, * / // %, **, signs, and what follows a
// value: attributes, items, calls, filters and tests.
// Invariant: what Jinja parses is parsed the same way, odd precedences included.

extension Parser {
    mutating func parseExpression(allowsConditional: Bool = true) throws(TemplateError) -> Index {
        try nested { (parser) throws(TemplateError) in
            allowsConditional ? try parser.parseConditional() : try parser.parseOr()
        }
    }

    private mutating func parseConditional() throws(TemplateError) -> Index {
        var value = try parseOr()
        while skip(name: "if") {
            let test = try parseOr()
            let otherwise =
                skip(name: "else") ? try nested { (parser) throws(TemplateError) in try parser.parseConditional() } : -1
            value = try add(.conditional(if: test, then: value, else: otherwise), test, value, otherwise)
        }
        return value
    }

    private mutating func parseOr() throws(TemplateError) -> Index {
        var left = try parseAnd()
        while skip(name: "or") {
            let right = try parseAnd()
            left = try add(.or(left, right), left, right)
        }
        return left
    }

    private mutating func parseAnd() throws(TemplateError) -> Index {
        var left = try parseNot()
        while skip(name: "and") {
            let right = try parseNot()
            left = try add(.and(left, right), left, right)
        }
        return left
    }

    private mutating func parseNot() throws(TemplateError) -> Index {
        var count = 0
        while skip(name: "not") { count += 1 }
        var value = try parseComparison()
        for _ in 0..<count { value = try add(.not(value), value) }
        return value
    }

    private mutating func comparisonOperator() -> ComparisonOperator? {
        let found: ComparisonOperator
        switch current.kind {
        case .equal: found = .equal
        case .notEqual: found = .notEqual
        case .less: found = .less
        case .lessOrEqual: found = .lessOrEqual
        case .greater: found = .greater
        case .greaterOrEqual: found = .greaterOrEqual
        case .name where at(name: "in"): found = .in
        case .name where at(name: "not") && following.kind == .name && following.text == "in":
            _ = next()
            found = .notIn
        default: return nil
        }
        _ = next()
        return found
    }

    private mutating func parseComparison() throws(TemplateError) -> Index {
        var operands = [try parseOperators(level: 0)]
        var operators: [ComparisonOperator] = []
        while let found = comparisonOperator() {
            operators.append(found)
            operands.append(try parseOperators(level: 0))
        }
        if operators.isEmpty { return operands[0] }
        program.comparisons.append(operators)
        return try add(
            .compare(list(operands), operators: Index(program.comparisons.count - 1)), parts: operands)
    }

    private func binaryOperator(level: Int) -> BinaryOperator? {
        switch (level, current.kind) {
        case (0, .add): .add
        case (0, .sub): .subtract
        case (2, .mul): .multiply
        case (2, .div): .divide
        case (2, .floorDiv): .floorDivide
        case (2, .mod): .modulo
        case (3, .pow): .power
        default: nil
        }
    }

    /// Level 0 is + and -, 1 is ~, 2 is * / // %, 3 is **; all of them group from the left.
    private mutating func parseOperators(level: Int) throws(TemplateError) -> Index {
        if level == 4 { return try parseSigned() }
        var left = try parseOperators(level: level + 1)
        if level == 1 {
            guard at(.tilde) else { return left }
            var parts = [left]
            while skip(.tilde) { parts.append(try parseOperators(level: 2)) }
            return try add(.concatenate(list(parts)), parts: parts)
        }
        while let found = binaryOperator(level: level) {
            _ = next()
            let right = try parseOperators(level: level + 1)
            left = try add(.binary(found, left, right), left, right)
        }
        return left
    }

    private mutating func parseSigned(allowsFilters: Bool = true) throws(TemplateError) -> Index {
        var value: Index
        if at(.sub) || at(.add) {
            let isNegative = next().kind == .sub
            value = try nested { (parser) throws(TemplateError) in try parser.parseSigned(allowsFilters: false) }
            value = try add(.sign(isNegative: isNegative, value), value)
        } else {
            value = try parsePrimary()
        }
        value = try parsePostfix(value)
        return allowsFilters ? try parseFilters(value) : value
    }

    // MARK: Values

    func isConstantName(_ text: Text) -> Bool {
        ["true", "false", "none", "True", "False", "None"].contains(text)
    }

    mutating func constantExpression(_ value: Constant) throws(TemplateError) -> Index {
        try add(.constant(constant(value)))
    }

    mutating func parsePrimary() throws(TemplateError) -> Index {
        let token = current
        switch token.kind {
        case .name:
            _ = next()
            switch token.text {
            case "true", "True": return try constantExpression(.bool(true))
            case "false", "False": return try constantExpression(.bool(false))
            case "none", "None": return try constantExpression(.none)
            default: return try add(.variable(name: name(token.text), Slot(hops: 0, index: 0)))
            }
        case .string:
            var text = next().text
            while at(.string) { text.append(next().text) }
            return try constantExpression(.string(text))
        case .integer:
            return try constantExpression(try integer(next()))
        case .float:
            return try constantExpression(.float(Double(next().text.string) ?? .infinity))
        case .leftParenthesis:
            _ = next()
            let value = try nested { (parser) throws(TemplateError) in
                try parser.parseTuple(isParenthesized: true)
            }
            try expect(.rightParenthesis, ")")
            return value
        case .leftBracket: return try nested { (parser) throws(TemplateError) in try parser.parseList() }
        case .leftBrace: return try nested { (parser) throws(TemplateError) in try parser.parseDict() }
        default: throw failure("unexpected '\(token.description)'")
        }
    }

    func integer(_ token: Token) throws(TemplateError) -> Constant {
        let digits = token.text.string
        let radix = digits.count > 1 ? ["b": 2, "o": 8, "x": 16][digits.dropFirst().prefix(1).lowercased()] : nil
        if let radix {
            guard let value = Int(digits.dropFirst(2), radix: radix) else {
                throw failure("the integer \(digits) is too large", line: token.line)
            }
            return .int(value)
        }
        return Int(digits).map { .int($0) } ?? .wide(token.text)
    }

    /// One expression, or several with commas as a tuple.
    mutating func parseTuple(
        allowsConditional: Bool = true, endingAt end: Text? = nil, isParenthesized: Bool = false
    ) throws(TemplateError) -> Index {
        var items: [Index] = []
        var isTuple = false
        while !isTupleEnd(end) {
            items.append(try parseExpression(allowsConditional: allowsConditional))
            guard at(.comma) else { break }
            _ = next()
            isTuple = true
        }
        if !isTuple {
            if let item = items.first { return item }
            guard isParenthesized else { throw failure("Expected an expression, got '\(current.description)'") }
        }
        return try add(.tuple(list(items)), parts: items)
    }

    func isTupleEnd(_ end: Text?) -> Bool {
        at(.variableEnd) || at(.blockEnd) || at(.rightParenthesis) || end.map { at(name: $0) } ?? false
    }

    private mutating func parseList() throws(TemplateError) -> Index {
        _ = next()
        var items: [Index] = []
        while !at(.rightBracket) {
            if !items.isEmpty { try expect(.comma, ",") }
            if at(.rightBracket) { break }
            items.append(try parseExpression())
        }
        try expect(.rightBracket, "]")
        return try add(.list(list(items)), parts: items)
    }

    private mutating func parseDict() throws(TemplateError) -> Index {
        _ = next()
        var items: [Index] = []
        while !at(.rightBrace) {
            if !items.isEmpty { try expect(.comma, ",") }
            if at(.rightBrace) { break }
            items.append(try parseExpression())
            try expect(.colon, ":")
            items.append(try parseExpression())
        }
        try expect(.rightBrace, "}")
        return try add(.dict(list(items)), parts: items)
    }
}

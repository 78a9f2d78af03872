// Parser: tokens to a program, by Jinja's grammar. Recursive descent; this file has the walk over tokens and the
// building of the program, the extensions have statements and expressions.
// Owned by ChatTemplate's initializer for the length of one parse.
// Invariant: nesting is bounded, so neither parsing nor rendering can exhaust a thread's stack.

struct Parser {
    enum Limits {
        /// How deep brackets and blocks may nest in the text.
        static let nesting = 64
        /// How deep an expression's tree may be; a chain of n operators is n deep.
        static let expressionDepth = 250
        /// How many different names a template may have.
        static let names = 2_000
    }

    var program = Program()
    private let tokens: [Token]
    private var position = 0
    private var names: [[UInt8]: Index] = [:]
    private var strings: [[UInt8]: Index] = [:]
    private var nesting = 0
    /// Loops around the statement that is being read, within its macro.
    var loopDepth = 0
    /// Loops around it at all: none of them lets `loop` be assigned.
    var loopNesting = 0
    /// Tags that wait for their end, innermost last.
    var openTags: [String] = []

    init(_ tokens: [Token]) { self.tokens = tokens }

    /// Parses a whole template.
    static func parse(_ source: Text) throws(TemplateError) -> Parser {
        var parser = Parser(try Lexer.tokens(of: source))
        parser.program.root.body = try parser.parseBody(until: [])
        guard parser.program.names.count <= Limits.names else {
            throw .limit("the template has \(parser.program.names.count) names; the limit is \(Limits.names)")
        }
        return parser
    }

    // MARK: Tokens

    var current: Token { tokens[position] }
    var following: Token { tokens[min(position + 1, tokens.count - 1)] }

    mutating func next() -> Token {
        let token = tokens[position]
        if position < tokens.count - 1 { position += 1 }
        return token
    }

    func at(_ kind: Token.Kind) -> Bool { current.kind == kind }

    func at(name: Text) -> Bool { current.kind == .name && current.text == name }

    mutating func skip(_ kind: Token.Kind) -> Bool {
        guard at(kind) else { return false }
        _ = next()
        return true
    }

    mutating func skip(name: Text) -> Bool {
        guard at(name: name) else { return false }
        _ = next()
        return true
    }

    @discardableResult
    mutating func expect(_ kind: Token.Kind, _ what: String) throws(TemplateError) -> Token {
        guard at(kind) else {
            throw failure(
                at(.end)
                    ? "unexpected end of template, expected '\(what)'."
                    : "expected token '\(what)', got '\(current.description)'")
        }
        return next()
    }

    mutating func expect(name: Text) throws(TemplateError) {
        guard skip(name: name) else {
            throw failure("expected token '\(name.string)', got '\(current.description)'")
        }
    }

    func failure(_ message: String, line: Int? = nil) -> TemplateError {
        TemplateError(.invalidTemplate, message, line: line ?? current.line)
    }

    /// Runs a part of the grammar that can contain itself.
    mutating func nested<R>(_ body: (inout Parser) throws(TemplateError) -> R) throws(TemplateError) -> R {
        guard nesting < Limits.nesting else {
            throw TemplateError(
                .limit, "the template nests deeper than the limit of \(Limits.nesting)", line: current.line)
        }
        nesting += 1
        defer { nesting -= 1 }
        return try body(&self)
    }

    // MARK: Building

    mutating func name(_ text: Text) -> Index {
        if let index = names[text.bytes] { return index }
        let index = Index(program.names.count)
        names[text.bytes] = index
        program.names.append(text)
        program.attributes.append(KnownAttribute(rawValue: text.string))
        return index
    }

    mutating func constant(_ constant: Constant) -> Index {
        if case .string(let text) = constant {
            if let index = strings[text.bytes] { return index }
            strings[text.bytes] = Index(program.constants.count)
        }
        program.constants.append(constant)
        return Index(program.constants.count - 1)
    }

    mutating func list(_ indices: [Index]) -> IndexList {
        program.indices += indices
        return IndexList(start: Int32(program.indices.count - indices.count), count: Int32(indices.count))
    }

    /// Adds an expression with the parts it has.
    mutating func add(_ expression: Expression, _ parts: Index...) throws(TemplateError) -> Index {
        try add(expression, parts: parts)
    }

    mutating func add(_ expression: Expression, parts: [Index]) throws(TemplateError) -> Index {
        var depth: UInt16 = 0
        for part in parts where part >= 0 { depth = max(depth, program.depths[Int(part)]) }
        guard depth < Limits.expressionDepth else {
            throw TemplateError(
                .limit, "an expression is deeper than the limit of \(Limits.expressionDepth); split it with set",
                line: current.line)
        }
        program.expressions.append(expression)
        program.depths.append(depth + 1)
        return Index(program.expressions.count - 1)
    }

    mutating func add(_ statement: Statement, line: Int) -> Index {
        program.statements.append(statement)
        program.lines.append(Int32(line))
        return Index(program.statements.count - 1)
    }
}

// What a template's text is cut into.
// Owned by the lexer's result, which the parser walks.
// Invariant: `line` counts from 1 and never falls.

struct Token: Sendable {
    enum Kind: Sendable, Hashable {
        case data
        case variableBegin, variableEnd
        case blockBegin, blockEnd
        case name, string, integer, float
        case add, sub, div, floorDiv, mul, mod, pow, tilde
        case leftBracket, rightBracket, leftParenthesis, rightParenthesis, leftBrace, rightBrace
        case equal, notEqual, greater, greaterOrEqual, less, lessOrEqual
        case assign, dot, colon, pipe, comma, semicolon
        case end
    }

    var kind: Kind
    /// The text of data, the name, or the value of a literal.
    var text: Text
    var line: Int

    /// How messages call it.
    var description: String {
        switch kind {
        case .data: "template data / text"
        case .variableBegin: "begin of print statement"
        case .variableEnd: "end of print statement"
        case .blockBegin: "begin of statement block"
        case .blockEnd: "end of statement block"
        case .end: "end of template"
        default: text.string
        }
    }

    static let operators: [(text: String, kind: Kind)] = [
        ("//", .floorDiv), ("**", .pow), ("==", .equal), ("!=", .notEqual), (">=", .greaterOrEqual),
        ("<=", .lessOrEqual), ("+", .add), ("-", .sub), ("/", .div), ("*", .mul), ("%", .mod), ("~", .tilde),
        ("[", .leftBracket), ("]", .rightBracket), ("(", .leftParenthesis), (")", .rightParenthesis),
        ("{", .leftBrace), ("}", .rightBrace), (">", .greater), ("<", .less), ("=", .assign), (".", .dot),
        (":", .colon), ("|", .pipe), (",", .comma), (";", .semicolon),
    ]
}

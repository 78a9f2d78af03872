// Program: a parsed template: expressions and statements in flat arrays that name each other by index. Nothing in it is
// a reference, so it is Sendable, and walking it counts no references.
// Owned by ChatTemplate; built by the parser, given its variables' places by the resolver, then never changed.
// Invariant: an expression's parts come before it, and its depth is within Parser.Limits.

/// An index into a table of ``Program``; -1 is none.
typealias Index = Int32

/// A run of ``Program/indices``.
struct IndexList: Sendable {
    var start: Int32 = 0
    var count: Int32 = 0

    var range: Range<Int> { Int(start)..<Int(start + count) }
    var isEmpty: Bool { count == 0 }
}

/// Where a variable lives: so many functions out, at this place.
struct Slot: Sendable, Hashable {
    var hops: Int32
    var index: Int32
}

enum Expression: Sendable {
    case constant(Index)
    case variable(name: Index, Slot)
    case list(IndexList)
    case tuple(IndexList)
    /// Keys and values in turn.
    case dict(IndexList)
    case attribute(of: Index, name: Index)
    case item(of: Index, Index)
    case slice(of: Index, start: Index, stop: Index, step: Index)
    case call(Index, arguments: Index)
    /// `of` is -1 for the text of a block.
    case filter(FilterName?, of: Index, name: Index, arguments: Index)
    case test(TestName?, of: Index, name: Index, arguments: Index)
    case not(Index)
    case sign(isNegative: Bool, Index)
    case binary(BinaryOperator, Index, Index)
    case and(Index, Index)
    case or(Index, Index)
    /// Operands; between two of them the operator at the same place of ``Program/comparisons``.
    case compare(IndexList, operators: Index)
    case concatenate(IndexList)
    case conditional(if: Index, then: Index, else: Index)
}

enum BinaryOperator: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case modulo = "%"
    case power = "** or pow()"
}

enum ComparisonOperator: Sendable { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, `in`, notIn }

struct Arguments: Sendable {
    var positional = IndexList()
    /// Names and values in turn: an index of a name, an expression.
    var keywords = IndexList()
    /// `*x` and `**x`.
    var star: Index = -1
    var doubleStar: Index = -1

    var isEmpty: Bool { positional.isEmpty && keywords.isEmpty && star < 0 && doubleStar < 0 }
}

/// What can stand on the left of an assignment.
indirect enum Target: Sendable {
    case variable(name: Index, Slot)
    case attribute(variable: Index, Slot, name: Index)
    case tuple([Target])
}

/// What happens when a scope of variables is entered.
struct Load: Sendable {
    enum Source: Sendable {
        /// One of what the caller gave or of the globals.
        case context(Index)
        /// The value of an outer scope's variable.
        case alias(Slot)
        case unset
        /// Set by who enters.
        case parameter
    }

    var slot: Index
    var source: Source
}

/// Statements with variables of their own.
struct Scope: Sendable {
    var body = IndexList()
    var loads: [Load] = []
}

/// Code that runs with its own set of variables: the template, a macro, the body of a recursive loop, a loop's filter.
struct FunctionInfo: Sendable {
    var slotCount = 0
}

enum Statement: Sendable {
    case text(Index)
    case output(Index)
    case condition(Index)
    case loop(Index)
    case assign(Index)
    case assignBlock(Index)
    case with(Index)
    case macro(Index)
    case call(Index)
    case filterBlock(Index)
    case scope(Index)
    case leaveLoop
    case nextIteration
    /// A tag that needs other templates, which chat templates don't have.
    case refused(name: Index)
}

struct Condition: Sendable {
    /// Tests and bodies, first to last.
    var branches: [(test: Index, body: IndexList)]
    var otherwise: IndexList
}

struct Loop: Sendable {
    var target: Target
    var iterable: Index
    var test: Index
    var isRecursive: Bool
    var body: Scope
    var otherwise: Scope
    /// The place of `loop`, when the body mentions it.
    var loopSlot: Index = -1
    /// The function of a recursive body.
    var function: Index = -1
    /// The filter: its function, its target and its variables.
    var testFunction: Index = -1
    var testTarget: Target
    var testLoads: [Load] = []
}

struct Assignment: Sendable {
    var target: Target
    /// Of a block assignment: the filters, or -1.
    var value: Index
    var block = Scope()
    /// Namespaces that are assigned to, checked before the value is computed.
    var namespaces: [Slot] = []
}

struct With: Sendable {
    var targets: [Target]
    var values: [Index]
    var scope: Scope
}

struct MacroInfo: Sendable {
    var name: Index
    var parameters: [Index]
    /// For the last parameters.
    var defaults: [Index]
    var scope: Scope
    var function: Index = -1
    /// Where the arguments go.
    var slots: [Index] = []
    /// Where the macro itself goes.
    var target: Slot?
    var callerSlot: Index = -1
    var argumentsSlot: Index = -1
    var keywordsSlot: Index = -1
    /// Whether `caller` is a parameter.
    var hasCallerParameter = false
    /// A `generation` block: its output is what the assistant says.
    var isGeneration = false
}

struct CallBlock: Sendable {
    /// -1 for a `generation` block.
    var call: Index
    var macro: Index
}

struct FilterBlock: Sendable {
    var filter: Index
    var scope: Scope
}

struct Program: Sendable {
    var expressions: [Expression] = []
    /// How deep each expression nests.
    var depths: [UInt16] = []
    var statements: [Statement] = []
    var lines: [Int32] = []
    var indices: [Index] = []
    var constants: [Constant] = []
    var names: [Text] = []
    /// What each name is as an attribute of the types that values have.
    var attributes: [KnownAttribute?] = []
    var arguments: [Arguments] = []
    var comparisons: [[ComparisonOperator]] = []
    var conditions: [Condition] = []
    var loops: [Loop] = []
    var assignments: [Assignment] = []
    var withs: [With] = []
    var macros: [MacroInfo] = []
    var callBlocks: [CallBlock] = []
    var filterBlocks: [FilterBlock] = []
    var scopes: [Scope] = []
    var functions: [FunctionInfo] = []
    var root = Scope()
    /// Names that are looked up in what the caller gave.
    var contextNames: [Text] = []

    func list(_ list: IndexList) -> ArraySlice<Index> { indices[list.range] }
}

/// A literal.
enum Constant: Sendable {
    case none
    case bool(Bool)
    case int(Int)
    case wide(Text)
    case float(Double)
    case string(Text)
}

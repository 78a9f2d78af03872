// Reads the regular expressions that tokenizer.json files carry into a tree. The dialect is the one
// of the reference implementation's engine (Oniguruma); what is not understood is an error.
// Owned by RegexProgram.init.
// Invariant: recursion is bounded by maximumDepth, and a tree never has more nodes than the pattern has characters.

indirect enum RegexNode {
    case set(CharacterClass)
    case sequence([RegexNode])
    case alternatives([RegexNode])
    case repeated(RegexNode, minimum: Int, maximum: Int, RegexGreed)
    case look(RegexNode, isNegative: Bool)
    /// What stands before is (or is not) a match of so many scalars.
    case lookBehind(RegexNode, scalarCount: Int, isNegative: Bool)
    case atomic(RegexNode)
    case assertion(RegexAssertion)
}

extension RegexNode {
    /// How many scalars every match has; nil when matches differ.
    fileprivate var scalarCount: Int? {
        switch self {
        case .set: return 1
        case .look, .lookBehind, .assertion: return 0
        case .atomic(let body): return body.scalarCount
        case .sequence(let parts):
            var sum = 0
            for part in parts {
                guard let count = part.scalarCount else { return nil }
                sum = min(sum + count, RegexParser.maximumLookBehind + 1)
            }
            return sum <= RegexParser.maximumLookBehind ? sum : nil
        case .alternatives(let list):
            let first = list.first?.scalarCount
            return list.allSatisfy { $0.scalarCount == first } ? first : nil
        case .repeated(let body, let minimum, let maximum, _):
            guard minimum == maximum, let count = body.scalarCount else { return nil }
            return count * minimum <= RegexParser.maximumLookBehind ? count * minimum : nil
        }
    }
}

enum RegexGreed: Sendable { case greedy, lazy, possessive }
enum RegexAssertion: Int32, Sendable { case textStart, textEnd, lineStart, lineEnd, wordBoundary, noWordBoundary }

struct RegexParser {
    static let maximumDepth = 32
    static let maximumRepeat = 1000
    /// Scalars that a lookbehind may go back.
    static let maximumLookBehind = 255

    let pattern: [Unicode.Scalar]
    var position = 0
    var depth = 0
    var ignoresCase = false

    private init(_ pattern: String) { self.pattern = Array(pattern.unicodeScalars) }

    static func parse(_ pattern: String) throws(TokenizerError) -> RegexNode {
        guard pattern.utf8.count <= 1 << 13 else { throw TokenizerError("regular expression is longer than 8 KiB") }
        var parser = RegexParser(pattern)
        let node = try parser.parseAlternatives()
        guard parser.position == parser.pattern.count else { throw parser.failure("unmatched ')'") }
        return node
    }

    func failure(_ message: String) -> TokenizerError {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: pattern)
        return TokenizerError("regular expression \"\(String(text))\": \(message) at character \(position)")
    }

    func peek(_ offset: Int = 0) -> Unicode.Scalar? {
        position + offset < pattern.count ? pattern[position + offset] : nil
    }

    mutating func take(_ text: String) -> Bool {
        let wanted = Array(text.unicodeScalars)
        guard pattern[position...].starts(with: wanted) else { return false }
        position += wanted.count
        return true
    }

    // MARK: Structure

    private mutating func parseAlternatives() throws(TokenizerError) -> RegexNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= RegexParser.maximumDepth else { throw failure("nesting is too deep") }
        let outerCase = ignoresCase
        defer { ignoresCase = outerCase }
        var alternatives: [RegexNode] = []
        repeat { alternatives.append(try parseSequence()) } while take("|")
        return alternatives.count == 1 ? alternatives[0] : .alternatives(alternatives)
    }

    private mutating func parseSequence() throws(TokenizerError) -> RegexNode {
        var parts: [RegexNode] = []
        while let next = peek(), next != "|", next != ")" {
            guard let atom = try parseAtom() else { continue }
            parts.append(try parseQuantifiers(of: atom))
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    /// Nil for what matches nothing by itself: comments and option switches.
    private mutating func parseAtom() throws(TokenizerError) -> RegexNode? {
        guard let next = peek() else { throw failure("unexpected end") }
        switch next {
        case "(": return try parseGroup()
        case "[":
            position += 1
            return .set(try parseClass())
        case ".":
            position += 1
            return .set(.notNewline)
        case "^":
            position += 1
            return .assertion(.lineStart)
        case "$":
            position += 1
            return .assertion(.lineEnd)
        case "\\":
            position += 1
            return try parseEscape()
        case "*", "+", "?": throw failure("nothing to repeat")
        default:
            position += 1
            return .set(literal(next.value))
        }
    }

    private mutating func parseGroup() throws(TokenizerError) -> RegexNode? {
        if take("(?#") {
            while let next = peek(), next != ")" { position += 1 }
            guard take(")") else { throw failure("unterminated comment") }
            return nil
        }
        if take("(?:") { return try finishGroup() }
        if take("(?=") { return .look(try finishGroup(), isNegative: false) }
        if take("(?!") { return .look(try finishGroup(), isNegative: true) }
        if take("(?>") { return .atomic(try finishGroup()) }
        if take("(?<=") { return try finishLookBehind(isNegative: false) }
        if take("(?<!") { return try finishLookBehind(isNegative: true) }
        if take("(?<") || take("(?P<") {
            while let next = peek(), next != ">" { position += 1 }
            guard take(">") else { throw failure("unterminated group name") }
            return try finishGroup()
        }
        if take("(?") { return try parseOptions() }
        position += 1
        return try finishGroup()
    }

    private mutating func finishGroup() throws(TokenizerError) -> RegexNode {
        let node = try parseAlternatives()
        guard take(")") else { throw failure("missing ')'") }
        return node
    }

    /// Each alternative of a lookbehind has one length of its own, as the dialect wants it.
    private mutating func finishLookBehind(isNegative: Bool) throws(TokenizerError) -> RegexNode {
        let node = try finishGroup()
        var branches = [node]
        if case .alternatives(let list) = node { branches = list }
        var looks: [RegexNode] = []
        for branch in branches {
            guard let count = branch.scalarCount else { throw failure("lookbehind of variable length") }
            looks.append(.lookBehind(branch, scalarCount: count, isNegative: isNegative))
        }
        return looks.count == 1 ? looks[0] : isNegative ? .sequence(looks) : .alternatives(looks)
    }

    /// `(?i)` for the rest of the group, `(?i:…)` for a group of its own.
    private mutating func parseOptions() throws(TokenizerError) -> RegexNode? {
        var isOn = true
        let outerCase = ignoresCase
        while let next = peek() {
            position += 1
            switch next {
            case "-": isOn = false
            case "i": ignoresCase = isOn
            case ")": return nil
            case ":":
                let node = try finishGroup()
                ignoresCase = outerCase
                return node
            default: throw failure("option \"\(next)\" is not supported")
            }
        }
        throw failure("unterminated options")
    }

    private mutating func parseQuantifiers(of atom: RegexNode) throws(TokenizerError) -> RegexNode {
        var node = atom
        var nesting = 0
        while let next = peek() {
            let bounds: (Int, Int)
            var isInterval = false
            switch next {
            case "*": bounds = (0, .max)
            case "+": bounds = (1, .max)
            case "?": bounds = (0, 1)
            case "{":
                guard let interval = try parseInterval() else { return node }
                bounds = interval
                isInterval = true
            default: return node
            }
            if !isInterval { position += 1 }
            nesting += 1
            guard nesting <= 4 else { throw failure("too many quantifiers in a row") }
            var greed = RegexGreed.greedy
            if take("?") {
                greed = .lazy
            } else if !isInterval && take("+") {
                // Behind an interval a plus repeats it; only * + ? have a possessive form in this dialect.
                greed = .possessive
            }
            node = .repeated(node, minimum: bounds.0, maximum: bounds.1, greed)
        }
        return node
    }

    /// `{n}`, `{n,}`, `{n,m}` or `{,m}`; nil when the brace is an ordinary character.
    private mutating func parseInterval() throws(TokenizerError) -> (Int, Int)? {
        let start = position
        position += 1
        let minimum = parseNumber()
        var maximum = minimum
        if take(",") { maximum = parseNumber() ?? (minimum == nil ? nil : .max) }
        guard take("}"), let maximum else {
            position = start
            return nil
        }
        let least = minimum ?? 0
        guard least <= RegexParser.maximumRepeat, maximum == .max || maximum <= RegexParser.maximumRepeat else {
            throw failure("repeat count is over \(RegexParser.maximumRepeat)")
        }
        guard least <= maximum else { throw failure("repeat counts are in the wrong order") }
        return (least, maximum)
    }

    private mutating func parseNumber() -> Int? {
        var value: Int?
        while let next = peek(), ("0"..."9").contains(next) {
            value = min((value ?? 0) * 10 + Int(next.value - 0x30), 1_000_000)
            position += 1
        }
        return value
    }

    func literal(_ value: UInt32) -> CharacterClass {
        var result = CharacterClass([value...value])
        if ignoresCase { result.ignoreCase() }
        return result
    }
}

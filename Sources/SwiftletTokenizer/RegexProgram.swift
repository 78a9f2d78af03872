// A regular expression compiled for the matcher: flat instructions, flat character sets, and for
// every first byte the alternatives that can begin with it.
// Owned by the pre-tokenizer or normalizer that names the pattern; immutable.
// Invariant: every jump target and set index lies inside the program; there are at most maximumSize instructions.

struct RegexProgram: Sendable {
    static let maximumSize = 4_000

    struct Instruction: Sendable {
        enum Operation: UInt8, Sendable {
            /// One scalar of set `a`.
            case set
            /// `b` to `c` scalars of set `a` (c < 0: any number), as many as possible, giving back if need be.
            case greedyRun
            /// The same without giving back.
            case possessiveRun
            /// Go on at `a`, and at `b` if that fails.
            case split
            case jump
            /// The scalar here is (b = 0) or is not (b = 1) in set `a`; the end of the text is in no set.
            case peekSet
            /// The program behind this up to its `.accept` must (b = 0) or must not (b = 1) match; go on at `a`.
            case look
            /// The same for a match that begins `c` scalars before and so ends here.
            case lookBehind
            /// The program behind this up to its `.accept` is matched without giving back; go on at `a`.
            case atomic
            case assertion
            /// Leave a loop (to `a`) when its body, entered where register `b` says, matched nothing.
            case enterBody
            case checkProgress
            case accept
        }
        var operation: Operation
        var a: Int32 = 0
        var b: Int32 = 0
        var c: Int32 = 0
    }

    /// What the matcher reads of a set; sets that are not flat are asked through `CharacterClass.contains`.
    struct FlatSet: Sendable {
        var asciiLow: UInt64
        var asciiHigh: UInt64
        var categories: UInt32
        /// Where the ranges above ASCII lie in `ranges`.
        var firstRange: Int32
        var rangeCount: Int32
        var isNegated: Bool
        var isFlat: Bool
    }

    private(set) var instructions: [Instruction] = []
    private(set) var sets: [FlatSet] = []
    private(set) var classes: [CharacterClass] = []
    private(set) var ranges: [ClosedRange<UInt32>] = []
    /// Where each top-level alternative begins.
    private(set) var alternatives: [Int32] = []
    /// For every first byte: bit i says that alternative i can match there; all ones when there are over 64.
    private(set) var startMasks: [UInt64] = []
    private(set) var registerCount = 0

    init(_ pattern: String) throws(TokenizerError) {
        try self.init(try RegexParser.parse(pattern))
    }

    /// Runs of word characters, and runs of what is neither those nor whitespace.
    static func words() throws(TokenizerError) -> RegexProgram {
        var others = CharacterClass.unicodeWord
        others.insert(.whitespace)
        others.finish()
        return try RegexProgram(
            .alternatives(
                [CharacterClass.unicodeWord, others.negated()].map {
                    .repeated(.set($0), minimum: 1, maximum: .max, .greedy)
                }))
    }

    private init(_ tree: RegexNode) throws(TokenizerError) {
        var branches = [tree]
        if case .alternatives(let list) = tree, list.count <= 64 { branches = list }
        startMasks = [UInt64](repeating: 0, count: 256)
        for (index, branch) in branches.enumerated() {
            alternatives.append(Int32(instructions.count))
            try emit(branch)
            try append(.init(operation: .accept))
            let start = RegexProgram.firstBytes(of: branch)
            for byte in 0..<256 where start.isNullable || start.contains(UInt8(byte)) {
                startMasks[byte] |= 1 << UInt64(index)
            }
        }
    }

    // MARK: Code

    private mutating func append(_ instruction: Instruction) throws(TokenizerError) {
        guard instructions.count < RegexProgram.maximumSize else {
            throw TokenizerError("regular expression is too large: over \(RegexProgram.maximumSize) instructions")
        }
        instructions.append(instruction)
    }

    private mutating func addSet(_ set: CharacterClass) -> Int32 {
        // In order, so that the matcher can search them by halves.
        let high = set.ranges.filter { $0.upperBound >= 0x80 }.sorted { $0.lowerBound < $1.lowerBound }
            .reduce(into: [ClosedRange<UInt32>]()) { merged, range in
                if let last = merged.last, range.lowerBound <= last.upperBound {
                    merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
                } else {
                    merged.append(range)
                }
            }
        sets.append(
            FlatSet(
                asciiLow: set.asciiBits.0, asciiHigh: set.asciiBits.1, categories: set.categories,
                firstRange: Int32(ranges.count), rangeCount: Int32(high.count), isNegated: set.isNegated,
                isFlat: set.isFlat))
        classes.append(set)
        ranges += high
        return Int32(sets.count - 1)
    }

    private mutating func emit(_ node: RegexNode) throws(TokenizerError) {
        switch node {
        case .set(let set): try append(.init(operation: .set, a: addSet(set)))
        case .sequence(let parts) where parts.isEmpty:
            // Something to count: repeats of nothing are bounded like all others.
            try append(.init(operation: .jump, a: Int32(instructions.count + 1)))
        case .sequence(let parts): for part in parts { try emit(part) }
        case .alternatives(let list): try emitAlternatives(list)
        case .repeated(let body, let minimum, let maximum, let greed):
            try emitRepeat(body, minimum, maximum, greed)
        case .look(.set(let set), let isNegative):
            try append(.init(operation: .peekSet, a: addSet(set), b: isNegative ? 1 : 0))
        case .look(let body, let isNegative): try emitSubprogram(.look, body, b: isNegative ? 1 : 0)
        case .lookBehind(let body, let scalarCount, let isNegative):
            try emitSubprogram(.lookBehind, body, b: isNegative ? 1 : 0, c: Int32(scalarCount))
        case .atomic(let body): try emitSubprogram(.atomic, body)
        case .assertion(let kind): try append(.init(operation: .assertion, a: kind.rawValue))
        }
    }

    private mutating func emitSubprogram(
        _ operation: Instruction.Operation, _ body: RegexNode, b: Int32 = 0, c: Int32 = 0
    ) throws(TokenizerError) {
        let start = instructions.count
        try append(.init(operation: operation, b: b, c: c))
        try emit(body)
        try append(.init(operation: .accept))
        instructions[start].a = Int32(instructions.count)
    }

    private mutating func emitAlternatives(_ list: [RegexNode]) throws(TokenizerError) {
        var exits: [Int] = []
        for (index, branch) in list.enumerated() {
            guard index + 1 < list.count else {
                try emit(branch)
                break
            }
            let split = instructions.count
            try append(.init(operation: .split, a: Int32(split + 1)))
            try emit(branch)
            exits.append(instructions.count)
            try append(.init(operation: .jump))
            instructions[split].b = Int32(instructions.count)
        }
        for exit in exits { instructions[exit].a = Int32(instructions.count) }
    }

    private mutating func emitRepeat(
        _ body: RegexNode, _ minimum: Int, _ maximum: Int, _ greed: RegexGreed
    ) throws(TokenizerError) {
        if case .set(let set) = body, greed != .lazy {
            return try append(
                .init(
                    operation: greed == .greedy ? .greedyRun : .possessiveRun, a: addSet(set), b: Int32(minimum),
                    c: maximum == .max ? -1 : Int32(maximum)))
        }
        if greed == .possessive {
            let greedy = RegexNode.repeated(body, minimum: minimum, maximum: maximum, .greedy)
            return try emitSubprogram(.atomic, greedy)
        }
        for _ in 0..<minimum { try emit(body) }
        if maximum == .max {
            try emitLoop(body, isLazy: greed == .lazy)
        } else {
            try emitOptional(body, count: maximum - minimum, isLazy: greed == .lazy)
        }
    }

    private mutating func emitSplit(isLazy: Bool) throws(TokenizerError) -> Int {
        let split = instructions.count
        try append(.init(operation: .split, a: Int32(split + 1), b: Int32(split + 1)))
        return split
    }

    private mutating func setExit(of split: Int, isLazy: Bool) {
        if isLazy {
            instructions[split].a = Int32(instructions.count)
        } else {
            instructions[split].b = Int32(instructions.count)
        }
    }

    private mutating func emitLoop(_ body: RegexNode, isLazy: Bool) throws(TokenizerError) {
        let register = Int32(registerCount)
        registerCount += 1
        let split = try emitSplit(isLazy: isLazy)
        try append(.init(operation: .enterBody, b: register))
        try emit(body)
        let check = instructions.count
        try append(.init(operation: .checkProgress, b: register))
        try append(.init(operation: .jump, a: Int32(split)))
        instructions[check].a = Int32(instructions.count)
        setExit(of: split, isLazy: isLazy)
    }

    private mutating func emitOptional(_ body: RegexNode, count: Int, isLazy: Bool) throws(TokenizerError) {
        var splits: [Int] = []
        for _ in 0..<count {
            splits.append(try emitSplit(isLazy: isLazy))
            try emit(body)
        }
        for split in splits { setExit(of: split, isLazy: isLazy) }
    }
}

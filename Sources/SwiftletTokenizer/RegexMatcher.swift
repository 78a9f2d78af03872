// Runs a RegexProgram over text: backtracking with an explicit stack, runs of one set as single
// instructions, and a budget of steps that is linear in the text.
// Owned by one call; never shared.
// Invariant: when the budget is used up nothing more matches, so a hostile pattern costs bounded time.

package struct RegexMatcher {
    private typealias Instruction = RegexProgram.Instruction

    /// What to try when the current path fails.
    private struct Choice {
        var instruction: Int32
        /// A register to restore instead of a place to go on, or -1.
        var register: Int32
        var position: Int
        /// The run that ends at `position` can be shortened down to here; equal to position when there is none.
        var shortest: Int
    }

    private let program: RegexProgram
    private var text = Bytes(start: nil, count: 0)
    private var choices: [Choice] = []
    private var registers: [Int]
    private var budget: Int

    /// - Parameter byteCount: how much text will be searched in all; the budget follows from it.
    init(_ program: RegexProgram, byteCount: Int) {
        self.program = program
        registers = [Int](repeating: -1, count: program.registerCount)
        // Every alternative may have to be tried at every place, and a little more.
        budget = (200 + 2 * program.instructions.count) * (byteCount + 16)
    }

    /// Calls `body` with every match in a text from left to right, as the reference engine iterates: an empty
    /// match directly behind the match before it is passed over.
    mutating func forEachMatch(in text: Bytes, _ body: (Range<Int>) -> Void) {
        self.text = text
        var searchStart = 0
        var lastEnd = -1
        while searchStart <= text.count {
            guard let match = firstMatch(from: searchStart) else { return }
            if match.isEmpty && match.lowerBound == lastEnd {
                searchStart += searchStart < text.count ? UTF8Cursor.length(ofFirst: text[searchStart]) : 1
                continue
            }
            body(match)
            searchStart = match.upperBound
            lastEnd = match.upperBound
        }
    }

    /// All matches of a pattern in a text.
    package static func matches(of pattern: String, in text: String) throws(TokenizerError) -> [String] {
        var matcher = RegexMatcher(try RegexProgram(pattern), byteCount: text.utf8.count)
        let bytes = Array(text.utf8)
        var matches: [String] = []
        bytes.withUnsafeBufferPointer { buffer in
            matcher.forEachMatch(in: buffer) { matches.append(String(decoding: bytes[$0], as: UTF8.self)) }
        }
        return matches
    }

    private mutating func firstMatch(from start: Int) -> Range<Int>? {
        var position = start
        while position <= text.count {
            var candidates = UInt64.max >> UInt64(64 - program.alternatives.count)
            if position < text.count { candidates &= program.startMasks[Int(text[position])] }
            while candidates != 0 {
                let index = candidates.trailingZeroBitCount
                candidates &= candidates &- 1
                if let end = run(Int(program.alternatives[index]), at: position) { return position..<end }
                if budget < 0 { return nil }
            }
            position += position < text.count ? UTF8Cursor.length(ofFirst: text[position]) : 1
        }
        return nil
    }

    /// Runs from an instruction to the next `.accept` on its level; the end of the match, or nil.
    private mutating func run(_ start: Int, at origin: Int) -> Int? {
        let base = choices.count
        defer { choices.removeLast(choices.count - base) }
        var counter = start
        var position = origin
        while true {
            budget -= 1
            if budget < 0 { return nil }
            let instruction = program.instructions[counter]
            var isMatching = true
            counter += 1
            switch instruction.operation {
            case .accept: return position
            case .set:
                let length = matchLength(Int(instruction.a), at: position)
                position += length
                isMatching = length > 0
            case .greedyRun, .possessiveRun:
                isMatching = runOfSet(instruction, from: &position, next: Int32(counter))
            case .peekSet: isMatching = (matchLength(Int(instruction.a), at: position) > 0) == (instruction.b == 0)
            case .jump: counter = Int(instruction.a)
            case .split:
                choices.append(
                    Choice(instruction: instruction.b, register: -1, position: position, shortest: position))
                counter = Int(instruction.a)
            case .look:
                isMatching = (run(counter, at: position) != nil) == (instruction.b == 0)
                counter = Int(instruction.a)
            case .lookBehind:
                budget -= Int(instruction.c)
                let behind = place(Int(instruction.c), before: position).flatMap { run(counter, at: $0) }
                isMatching = (behind != nil) == (instruction.b == 0)
                counter = Int(instruction.a)
            case .atomic:
                if let end = run(counter, at: position) { position = end } else { isMatching = false }
                counter = Int(instruction.a)
            case .assertion: isMatching = holds(instruction.a, at: position)
            case .enterBody:
                let register = Int(instruction.b)
                choices.append(
                    Choice(instruction: 0, register: instruction.b, position: registers[register], shortest: 0))
                registers[register] = position
            case .checkProgress:
                if registers[Int(instruction.b)] == position { counter = Int(instruction.a) }
            }
            if !isMatching {
                guard backtrack(to: base, &counter, &position) else { return nil }
            }
        }
    }

    /// The place so many scalars before another; nil when the text begins sooner.
    private func place(_ count: Int, before position: Int) -> Int? {
        var position = position
        for _ in 0..<count {
            if position == 0 { return nil }
            position -= UTF8Cursor.scalarBefore(position, in: text).length
        }
        return position
    }

    /// Takes up the latest choice; false when there is none left above `base`.
    private mutating func backtrack(to base: Int, _ counter: inout Int, _ position: inout Int) -> Bool {
        while choices.count > base {
            let top = choices.count - 1
            let choice = choices[top]
            if choice.register >= 0 {
                registers[Int(choice.register)] = choice.position
                choices.removeLast()
                continue
            }
            counter = Int(choice.instruction)
            position = choice.position
            if choice.position > choice.shortest {
                choices[top].position -= UTF8Cursor.scalarBefore(choice.position, in: text).length
            } else {
                choices.removeLast()
            }
            return true
        }
        return false
    }

    /// Consumes a run of one set; keeps the shorter runs as a choice when the instruction is greedy.
    @inline(__always)
    private mutating func runOfSet(_ instruction: Instruction, from position: inout Int, next: Int32) -> Bool {
        let set = Int(instruction.a)
        let minimum = Int(instruction.b)
        let maximum = instruction.c < 0 ? Int.max : Int(instruction.c)
        var count = 0
        var end = position
        var shortest = position
        while count < maximum {
            let length = matchLength(set, at: end)
            if length == 0 { break }
            end += length
            count += 1
            if count == minimum { shortest = end }
        }
        budget -= count
        if count < minimum { return false }
        position = end
        if end > shortest && instruction.operation == .greedyRun
            && program.instructions[Int(next)].operation != .accept
        {
            let shorter = end - UTF8Cursor.scalarBefore(end, in: text).length
            choices.append(Choice(instruction: next, register: -1, position: shorter, shortest: shortest))
        }
        return true
    }

    /// Length of the scalar at `position` when it is in a set, otherwise 0.
    @inline(__always)
    private func matchLength(_ index: Int, at position: Int) -> Int {
        guard position < text.count else { return 0 }
        let byte = text[position]
        if byte < 0x80 {
            let bits = byte < 64 ? program.sets[index].asciiLow : program.sets[index].asciiHigh
            return Int(bits >> UInt64(byte & 63) & 1)
        }
        let (value, length) = UTF8Cursor.scalar(in: text, at: position)
        let set = program.sets[index]
        guard set.isFlat else { return program.classes[index].contains(value) ? length : 0 }
        var isMember = set.categories != 0 && UnicodeCategories.isMember(value, of: set.categories)
        if !isMember && set.rangeCount > 0 {
            // The last range that begins at the scalar or before it.
            var range = Int(set.firstRange)
            var count = Int(set.rangeCount)
            while count > 1 {
                let half = count / 2
                if program.ranges[range + half].lowerBound <= value { range += half }
                count -= half
            }
            isMember = program.ranges[range].contains(value)
        }
        return isMember != set.isNegated ? length : 0
    }

    private func holds(_ assertion: Int32, at position: Int) -> Bool {
        func isWord(_ value: UInt32) -> Bool { CharacterClass.word.contains(value) }
        switch RegexAssertion(rawValue: assertion) {
        case .textStart: return position == 0
        case .textEnd: return position == text.count
        case .lineStart: return position == 0 || text[position - 1] == 0x0A
        case .lineEnd: return position == text.count || text[position] == 0x0A
        case .wordBoundary, .noWordBoundary:
            let before = position > 0 && isWord(UTF8Cursor.scalarBefore(position, in: text).value)
            let after = position < text.count && isWord(UTF8Cursor.scalar(in: text, at: position).value)
            return (before != after) == (assertion == RegexAssertion.wordBoundary.rawValue)
        case nil: return false
        }
    }
}

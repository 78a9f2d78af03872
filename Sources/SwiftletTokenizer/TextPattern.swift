// The `pattern` of Split and Replace: a literal text or a regular expression; and the cutting of text by it.
// Owned by the normalizer, pre-tokenizer or decoder that has the pattern.
// Invariant: the pieces of a cut are in order, do not overlap, and are never empty.

import SwiftletJSON

enum TextPattern: Sendable {
    case literal([UInt8])
    case regex(RegexProgram)

    /// Reads `{"String": …}`, `{"Regex": …}` or a bare string.
    init(_ json: JSONValue?, of component: String) throws(TokenizerError) {
        if let text = json?["String"]?.stringBytes ?? json?.stringBytes, !text.isEmpty {
            self = .literal(text)
        } else if let pattern = json?["Regex"]?.string {
            self = .regex(try RegexProgram(pattern))
        } else {
            throw TokenizerError("\(component): pattern is neither a String nor a Regex")
        }
    }

    /// The text with every match replaced.
    func replacing(in text: [UInt8], with content: [UInt8]) -> [UInt8] {
        text.withUnsafeBufferPointer { replacing(in: $0, with: content) { _ in } }
    }

    /// The text with every match replaced; `body` sees the matches.
    func replacing(
        in text: Bytes, with content: [UInt8], _ body: (Range<Int>) -> Void
    ) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 4)
        var done = 0
        var search = TextSearch(self, byteCount: text.count)
        search.forEachMatch(in: text) { match in
            if done < match.lowerBound { result.append(contentsOf: text[done..<match.lowerBound]) }
            result.append(contentsOf: content)
            done = match.upperBound
            body(match)
        }
        result.append(contentsOf: text[done...])
        return result
    }
}

/// Searches one text after another for a pattern.
struct TextSearch {
    private var matcher: RegexMatcher?
    private var literal: [UInt8] = []

    /// - Parameter byteCount: how much text will be searched in all.
    init(_ pattern: TextPattern, byteCount: Int) {
        switch pattern {
        case .literal(let text): literal = text
        case .regex(let program): matcher = RegexMatcher(program, byteCount: byteCount)
        }
    }

    /// Calls `body` with every match, left to right.
    mutating func forEachMatch(in text: Bytes, _ body: (Range<Int>) -> Void) {
        if matcher != nil {
            matcher?.forEachMatch(in: text, body)
            return
        }
        var position = 0
        while position + literal.count <= text.count {
            if text[position] == literal[0], text[position..<position + literal.count].elementsEqual(literal) {
                body(position..<position + literal.count)
                position += literal.count
            } else {
                position += 1
            }
        }
    }
}

/// What becomes of the matches when text is cut by a pattern.
enum SplitBehavior: String, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    init(_ json: JSONValue?, of component: String) throws(TokenizerError) {
        guard let behavior = json?.string.flatMap(SplitBehavior.init(rawValue:)) else {
            throw TokenizerError("\(component): behavior \(json?.string ?? "(none)") is not known")
        }
        self = behavior
    }
}

/// Collects matches and gaps in order and appends the pieces that a behavior makes of them.
struct TextSplitter {
    private let behavior: SplitBehavior
    private let isInverted: Bool
    private let first: Int
    private let offset: Int
    private var done = 0
    private var lastWasMatch = false
    private var isFirst = true
    private var hasEmptyMatch = false
    /// A match that waits for the text behind it.
    private var waiting: Int?

    /// - Parameter offset: added to all positions.
    init(_ behavior: SplitBehavior, isInverted: Bool, offset: Int, pieces: [Range<Int>]) {
        self.behavior = behavior
        self.isInverted = isInverted
        self.offset = offset
        first = pieces.count
    }

    mutating func match(_ range: Range<Int>, _ pieces: inout [Range<Int>]) {
        if done < range.lowerBound { add(done..<range.lowerBound, isMatch: isInverted, &pieces) }
        add(range, isMatch: !isInverted, &pieces)
        hasEmptyMatch = hasEmptyMatch || range.isEmpty
        done = range.upperBound
    }

    mutating func finish(count: Int, _ pieces: inout [Range<Int>]) {
        if done < count { add(done..<count, isMatch: isInverted, &pieces) }
        if let waiting { append(waiting..<count, &pieces) }
        // Empty matches have kept their neighbours apart and are not pieces themselves.
        guard hasEmptyMatch else { return }
        let kept = pieces[first...].filter { !$0.isEmpty }
        pieces.replaceSubrange(first..., with: kept)
    }

    private func append(_ range: Range<Int>, _ pieces: inout [Range<Int>]) {
        pieces.append(range.lowerBound + offset..<range.upperBound + offset)
    }

    private mutating func add(_ range: Range<Int>, isMatch: Bool, _ pieces: inout [Range<Int>]) {
        defer {
            lastWasMatch = isMatch
            isFirst = false
        }
        switch behavior {
        case .isolated: append(range, &pieces)
        case .removed: if !isMatch { append(range, &pieces) }
        case .contiguous:
            if !isFirst && isMatch == lastWasMatch { extend(to: range, &pieces) } else { append(range, &pieces) }
        case .mergedWithPrevious:
            if isMatch && !lastWasMatch && !isFirst { extend(to: range, &pieces) } else { append(range, &pieces) }
        case .mergedWithNext:
            // A match joins the gap behind it; of several matches in a row the last one does.
            if isMatch {
                if let waiting { append(waiting..<range.lowerBound, &pieces) }
                waiting = range.lowerBound
            } else {
                append((waiting ?? range.lowerBound)..<range.upperBound, &pieces)
                waiting = nil
            }
        }
    }

    private func extend(to range: Range<Int>, _ pieces: inout [Range<Int>]) {
        guard pieces.count > first, let last = pieces.last else { return append(range, &pieces) }
        pieces[pieces.count - 1] = last.lowerBound..<range.upperBound + offset
    }
}

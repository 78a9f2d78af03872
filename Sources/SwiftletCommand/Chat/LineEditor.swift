// LineEditor: the text that a person is typing, its cursor and what was typed before. Pure state: keys in, actions out.
// Owned by TerminalEditor, which reads the keys and draws.
// Invariant: the cursor lies within the text, and text without a history entry of its own is never lost by Up and Down.

package struct LineEditor: Sendable {
    package enum Action: Sendable, Hashable {
        /// Nothing else to do than to draw.
        case edit
        case submit(String)
        case interrupt
        case end
        case suspend
        case clearScreen
        /// Several completions: what to show.
        case show([String])
        /// The key can't do anything here.
        case refuse
    }

    /// The most characters that a text may have.
    package static let limit = 1 << 20
    /// The most texts that Up leads back to.
    private static let historyLimit = 1000

    package private(set) var characters: [Character] = []
    /// Characters before the cursor.
    package private(set) var cursor = 0
    private var history: [String] = []
    /// The place in the history that is shown; `history.count` is the new text.
    private var place = 0
    /// The new text, while the history is looked at.
    private var draft = ""
    /// What was deleted last by Ctrl-K, Ctrl-U or Ctrl-W, for Ctrl-Y.
    private var deleted: [Character] = []
    /// Words that Tab completes, at the start of the text.
    private let completions: [String]

    package init(completions: [String] = []) { self.completions = completions }

    package var text: String { String(characters) }

    /// Replaces the text, the cursor at its end.
    private mutating func set(_ text: String) {
        characters = Array(text)
        cursor = characters.count
    }

    /// Forgets the text, not the history.
    package mutating func clear() {
        set("")
        place = history.count
        draft = ""
    }

    package mutating func handle(_ key: Key) -> Action {
        switch key {
        case .text(let text), .paste(let text): return insert(text)
        case .lineBreak: return insert("\n")
        case .enter: return enter()
        case .tab: return complete()
        case .interrupt: return .interrupt
        case .suspend: return .suspend
        case .clearScreen: return .clearScreen
        case .endOrDelete:
            if characters.isEmpty { return .end }
            return remove(cursor..<min(cursor + 1, characters.count))
        case .backspace: return remove(max(0, cursor - 1)..<cursor)
        case .delete: return remove(cursor..<min(cursor + 1, characters.count))
        case .deleteToEnd: return removeAndKeep(cursor..<endOfLine)
        case .deleteToStart: return removeAndKeep(startOfLine..<cursor)
        case .deleteWordBackward: return removeAndKeep(wordStart..<cursor)
        case .deleteWordForward: return removeAndKeep(cursor..<wordEnd)
        case .yank: return deleted.isEmpty ? .refuse : insert(String(deleted))
        case .left: return move(to: cursor - 1)
        case .right: return move(to: cursor + 1)
        case .wordLeft: return move(to: wordStart)
        case .wordRight: return move(to: wordEnd)
        case .home: return move(to: startOfLine)
        case .end: return move(to: endOfLine)
        case .up: return up()
        case .down: return down()
        }
    }

    // MARK: Changes

    private mutating func insert(_ text: String) -> Action {
        guard characters.count + text.count <= Self.limit else { return .refuse }
        splice(cursor..<cursor, text)
        return .edit
    }

    private mutating func remove(_ range: Range<Int>) -> Action {
        if range.isEmpty { return .refuse }
        splice(range, "")
        return .edit
    }

    /// Puts `text` in the place of `range`, the cursor behind it.
    private mutating func splice(_ range: Range<Int>, _ text: String) {
        // A combining character joins the one before it: the characters at the seams are put together anew.
        let start = max(0, range.lowerBound - 1)
        let end = min(range.upperBound + 1, characters.count)
        let before = String(characters[start..<range.lowerBound])
        let after = String(characters[range.upperBound..<end])
        characters.replaceSubrange(start..<end, with: Array(before + text + after))
        cursor = min(start + (before + text).count, characters.count)
    }

    private mutating func removeAndKeep(_ range: Range<Int>) -> Action {
        if !range.isEmpty { deleted = Array(characters[range]) }
        return remove(range)
    }

    /// Submits the text, unless a backslash at its end says that it goes on.
    private mutating func enter() -> Action {
        if cursor == characters.count, characters.last == "\\" {
            characters[cursor - 1] = "\n"
            return .edit
        }
        let text = self.text
        if text.contains(where: { !$0.isWhitespace }), history.last != text {
            history.append(text)
            if history.count > Self.historyLimit { history.removeFirst() }
        }
        clear()
        return .submit(text)
    }

    private mutating func complete() -> Action {
        let typed = String(characters[..<cursor])
        let candidates = typed.isEmpty ? [] : completions.filter { $0.hasPrefix(typed) }
        guard let first = candidates.first else { return .refuse }
        if candidates.count == 1 { return insert(first.dropFirst(typed.count) + " ") }
        let shared = candidates.reduce(first) { shared, next in
            String(zip(shared, next).prefix { $0 == $1 }.map(\.0))
        }
        return shared.count > typed.count ? insert(String(shared.dropFirst(typed.count))) : .show(candidates)
    }

    // MARK: Moves

    private mutating func move(to place: Int) -> Action {
        let place = min(max(place, 0), characters.count)
        if place == cursor { return .refuse }
        cursor = place
        return .edit
    }

    private var startOfLine: Int {
        characters[..<cursor].lastIndex(of: "\n").map { $0 + 1 } ?? 0
    }

    private var endOfLine: Int {
        characters[cursor...].firstIndex(of: "\n") ?? characters.count
    }

    private static func isWord(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || character == "_"
    }

    /// Where the word before the cursor starts.
    private var wordStart: Int {
        var place = cursor
        while place > 0, !Self.isWord(characters[place - 1]) { place -= 1 }
        while place > 0, Self.isWord(characters[place - 1]) { place -= 1 }
        return place
    }

    /// Where the word behind the cursor ends.
    private var wordEnd: Int {
        var place = cursor
        while place < characters.count, !Self.isWord(characters[place]) { place += 1 }
        while place < characters.count, Self.isWord(characters[place]) { place += 1 }
        return place
    }

    /// To the line above in a text of several lines, else back in the history.
    private mutating func up() -> Action {
        let start = startOfLine
        if start > 0 {
            let above = characters[..<(start - 1)].lastIndex(of: "\n").map { $0 + 1 } ?? 0
            return move(to: min(above + cursor - start, start - 1))
        }
        return show(place - 1)
    }

    private mutating func down() -> Action {
        let end = endOfLine
        if end < characters.count {
            let below = characters[(end + 1)...].firstIndex(of: "\n") ?? characters.count
            return move(to: min(end + 1 + cursor - startOfLine, below))
        }
        return show(place + 1)
    }

    private mutating func show(_ new: Int) -> Action {
        guard new >= 0, new <= history.count else { return .refuse }
        if place == history.count { draft = text }
        place = new
        set(place == history.count ? draft : history[place])
        return .edit
    }
}

// EditorView: how the text of a line editor looks on a terminal, and what to write so that it looks like that.
// Owned by TerminalEditor. It counts rows and cells itself and breaks lines itself, so it never depends on how a terminal
// wraps; of a text taller than the screen the part around the cursor is shown.
// Invariant: between two calls the terminal's cursor stands at (`cursor.row`, `cursor.column`) of what was drawn last.

package struct EditorView: Sendable {
    package struct Size: Sendable, Hashable {
        package var columns: Int
        package var rows: Int

        package init(columns: Int, rows: Int) {
            // A terminal that knows no size says 0.
            self.columns = columns > 0 ? columns : 80
            self.rows = rows > 0 ? rows : 24
        }
    }

    private struct Row {
        var text = ""
        var width = 0
    }

    private let prompt: String
    /// What lines after the first start with.
    private let indent: String
    /// Around the prompt: escape sequences that take no cells.
    private let style: (on: String, off: String)
    private var size: Size
    /// Widths of the rows that are on the screen.
    private var drawn = [0]
    private var cursor = (row: 0, column: 0)
    /// The first row that is shown of a text taller than the screen.
    private var firstShown = 0

    package init(prompt: String, style: (on: String, off: String) = ("", ""), size: Size) {
        self.prompt = prompt
        self.style = style
        self.size = size
        indent = String(repeating: " ", count: prompt.cellCount)
    }

    /// What to write so that the editor's text and cursor are shown.
    package mutating func draw(_ editor: LineEditor) -> String {
        let (rows, place) = layout(editor.characters, cursor: editor.cursor)
        let height = min(rows.count, size.rows)
        firstShown = min(max(firstShown, place.row - height + 1), place.row, rows.count - height)
        let shown = rows[firstShown..<firstShown + height]
        var output = toTop
        for (index, row) in shown.enumerated() {
            if index > 0 { output += "\r\n" }
            // Erased before it is written: at the last column an erasure would take the character there.
            output += index == height - 1 ? "\u{1B}[J" : "\u{1B}[K"
            output += row.text
        }
        drawn = shown.map(\.width)
        cursor = (place.row - firstShown, place.column)
        return output + move(up: height - 1 - cursor.row) + "\r" + move(right: cursor.column)
    }

    /// What to write so that the next line is free, with the whole text above it.
    package mutating func leave(_ editor: LineEditor) -> String {
        let below = drawn.count - 1 - cursor.row
        let output = (below > 0 ? "\u{1B}[\(below)B" : "") + "\r\n"
        forget()
        return output
    }

    /// What to write to take the text off the screen again.
    package mutating func erase() -> String {
        let output = toTop + "\u{1B}[J"
        forget()
        return output
    }

    /// What to write to draw the text at the top of an empty screen.
    package mutating func clearScreen(_ editor: LineEditor) -> String {
        forget()
        return "\u{1B}[H\u{1B}[2J" + draw(editor)
    }

    /// The terminal has another size: rows that no longer fit have been broken by it.
    package mutating func resize(to new: Size, _ editor: LineEditor) -> String {
        func height(_ width: Int) -> Int { max(1, (width + new.columns - 1) / new.columns) }
        let above = drawn[..<cursor.row].reduce(0) { $0 + height($1) }
        cursor.row = min(above + cursor.column / new.columns, new.rows - 1)
        size = new
        return draw(editor)
    }

    /// The cursor stands in an empty line.
    package mutating func forget() {
        drawn = [0]
        cursor = (0, 0)
        firstShown = 0
    }

    private var toTop: String { "\r" + move(up: cursor.row) }

    private func move(up count: Int) -> String { count > 0 ? "\u{1B}[\(count)A" : "" }
    private func move(right count: Int) -> String { count > 0 ? "\u{1B}[\(count)C" : "" }

    // MARK: Layout

    /// The text as rows of the screen, and where the cursor is in them.
    private func layout(_ characters: [Character], cursor: Int) -> (rows: [Row], place: (row: Int, column: Int)) {
        var rows = [Row(text: style.on + prompt + style.off, width: prompt.cellCount)]
        var place = (row: 0, column: 0)
        for (index, character) in characters.enumerated() {
            if index == cursor { place = position(after: &rows, next: character) }
            if character == "\n" {
                rows.append(Row(text: indent, width: indent.count))
                continue
            }
            let visible = character == "\t" ? "    " : String(character)
            let width = character == "\t" ? 4 : character.cellCount
            if rows[rows.count - 1].width + width > size.columns { rows.append(Row()) }
            rows[rows.count - 1].text += visible
            rows[rows.count - 1].width += width
        }
        if cursor == characters.count { place = position(after: &rows, next: " ") }
        return (rows, place)
    }

    /// Where the next character goes: into a new row when it does not fit into this one.
    private func position(after rows: inout [Row], next: Character) -> (row: Int, column: Int) {
        let width = rows[rows.count - 1].width
        // A line end needs no cell of its own.
        if next == "\n" { return (rows.count - 1, min(width, size.columns - 1)) }
        guard width + (next == "\t" ? 4 : max(1, next.cellCount)) > size.columns else { return (rows.count - 1, width) }
        rows.append(Row())
        return (rows.count - 1, 0)
    }
}

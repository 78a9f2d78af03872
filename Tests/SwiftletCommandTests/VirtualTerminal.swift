// A model of a terminal: what it shows after what was written to it. Wraps as terminals do: a character in the last column
// leaves the cursor there, and only the next one goes to the next line.

import SwiftletCommand

struct VirtualTerminal {
    let columns: Int
    let rows: Int
    /// One string a cell; empty for the right half of a wide character.
    private var cells: [[String]]
    private(set) var row = 0
    private(set) var column = 0
    private var wrapIsPending = false
    /// Lines that left the screen at its top.
    private(set) var scrolled: [String] = []

    init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
        cells = Array(repeating: Array(repeating: " ", count: columns), count: rows)
    }

    /// The lines down to the last one that is not empty, without spaces at their ends.
    var screen: [String] {
        var lines = cells.map { Self.trimmed($0.joined()) }
        while let last = lines.last, last.isEmpty { lines.removeLast() }
        return lines
    }

    private static func trimmed(_ line: String) -> String {
        var line = line
        while line.last == " " { line.removeLast() }
        return line
    }

    mutating func write(_ text: String) {
        var rest = Array(text)[...]
        while let character = rest.popFirst() {
            switch character {
            case "\u{1B}":
                guard rest.popFirst() == "[" else { fatalError("only CSI sequences are written") }
                let parameters = String(rest.prefix { !("@"..."~").contains($0) })
                rest = rest.dropFirst(parameters.count)
                obey(rest.popFirst()!, parameters)
            case "\r": returnCarriage()
            case "\n": feedLine()
            case "\r\n":
                returnCarriage()
                feedLine()
            case "\u{07}": break
            default: put(character)
            }
        }
    }

    private mutating func returnCarriage() {
        column = 0
        wrapIsPending = false
    }

    private mutating func feedLine() {
        wrapIsPending = false
        if row < rows - 1 { return row += 1 }
        scrolled.append(Self.trimmed(cells.removeFirst().joined()))
        cells.append(Array(repeating: " ", count: columns))
    }

    private mutating func put(_ character: Character) {
        let width = character.cellCount
        if width == 0 { return }
        if wrapIsPending || column + width > columns {
            returnCarriage()
            feedLine()
        }
        cells[row][column] = String(character)
        if width == 2, column + 1 < columns { cells[row][column + 1] = "" }
        column += width
        wrapIsPending = column >= columns
        if wrapIsPending { column = columns - 1 }
    }

    private mutating func obey(_ final: Character, _ parameters: String) {
        let count = max(1, Int(parameters) ?? 1)
        if final != "m" { wrapIsPending = false }
        switch final {
        case "A": row = max(0, row - count)
        case "B": row = min(rows - 1, row + count)
        case "C": column = min(columns - 1, column + count)
        case "H": (row, column) = (0, 0)
        case "K": erase(from: column, in: row)
        case "J":
            erase(from: parameters == "2" ? 0 : column, in: parameters == "2" ? 0 : row)
            for row in (parameters == "2" ? 0 : row + 1)..<rows { erase(from: 0, in: row) }
        case "m", "h", "l": break
        default: fatalError("the editor writes no CSI \(final)")
        }
    }

    private mutating func erase(from column: Int, in row: Int) {
        for column in column..<columns { cells[row][column] = " " }
    }
}

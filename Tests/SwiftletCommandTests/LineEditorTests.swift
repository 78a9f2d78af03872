// The line editor from a terminal's bytes to what the terminal shows.

import SwiftletCommand
import Testing

/// Bytes in, a screen out.
private struct Typing {
    var decoder = KeyDecoder()
    var editor = LineEditor(completions: ["/help", "/reset", "/retry"])
    var view: EditorView
    var terminal: VirtualTerminal
    var actions: [LineEditor.Action] = []

    init(columns: Int = 40, rows: Int = 6) {
        view = EditorView(prompt: "> ", size: .init(columns: columns, rows: rows))
        terminal = VirtualTerminal(columns: columns, rows: rows)
        terminal.write(view.draw(editor))
    }

    /// Types, draws after every byte; what the last key did.
    @discardableResult
    mutating func type(_ text: String) -> LineEditor.Action? {
        for byte in text.utf8 {
            for key in decoder.decode([byte]) { actions.append(editor.handle(key)) }
            terminal.write(view.draw(editor))
        }
        return actions.last
    }

    var screen: [String] { terminal.screen }
    var cursor: [Int] { [terminal.row, terminal.column] }
}

@Suite("The line editor")
struct LineEditorTests {
    @Test(
        "Typing, moving and deleting",
        arguments: [
            ("hello", "hello", 5),
            ("hello\u{7F}\u{08}", "hel", 3),
            ("hello\u{1B}[D\u{1B}OD!", "hel!lo", 4),
            ("hello\u{1B}[D\u{1B}[D\u{1B}[C!", "hell!o", 5),
            ("hello\u{01}X\u{05}Y", "XhelloY", 7),
            ("hello\u{1B}[HX\u{1B}[FY\u{1B}[1~A\u{1B}[4~B", "AXhelloYB", 9),
            ("hello\u{01}\u{1B}[3~\u{04}", "llo", 0),
            ("one two_3\u{17}X", "one X", 5),
            ("one two\u{1B}\u{7F}", "one ", 4),
            ("one two\u{1B}bX\u{1B}bY\u{1B}fZ", "one YXtwoZ", 10),
            ("one two\u{1B}[1;5D\u{1B}[1;3DX\u{1B}[1;5CY", "XoneY two", 5),
            ("one two\u{1B}\u{1B}[DX", "one Xtwo", 5),
            ("one two\u{01}\u{1B}d\u{1B}[3;5~", "", 0),
            ("one two\u{1B}b\u{0B}X\u{15}Y\u{19}", "Yone X", 6),
            ("\u{02}\u{1B}[Da\u{06}\u{1B}[C", "a", 1),
            // Keys that mean nothing here, and a sequence that is none.
            ("a\u{1B}[5~\u{1B}[Z\u{1B}OP\u{1B}[24~\u{1B}[<0;1;1Mb\u{1B}q\u{1C}\u{1D}c", "abc", 3),
            ("a\u{1B}[12\u{01}b", "ba", 1),
            ("a\u{1B}[" + String(repeating: "1", count: 1000) + "~b", "ab", 2),
        ])
    func editing(typed: String, text: String, cursor: Int) {
        var typing = Typing()
        typing.type(typed)
        #expect(typing.editor.text == text && typing.editor.cursor == cursor)
        #expect(typing.screen == [VirtualTerminal.line("> " + text)])
        #expect(typing.cursor == [0, 2 + cursor])
    }

    @Test("Wide, combining and joined characters are one step and as wide as they look")
    func characters() {
        var typing = Typing()
        typing.type("日本e\u{301}👩‍💻x🇩🇪")
        #expect(typing.cursor == [0, 2 + 2 + 2 + 1 + 2 + 1 + 2])
        typing.type("\u{1B}[D\u{1B}[D\u{1B}[D")
        #expect(typing.cursor == [0, 2 + 2 + 2 + 1])
        typing.type("\u{7F}\u{7F}")
        #expect(typing.editor.text == "日👩‍💻x🇩🇪" && typing.cursor == [0, 4])
        #expect(typing.screen == ["> 日👩‍💻x🇩🇪"])
        // A combining mark joins what is before the cursor.
        typing.type("\u{05}e\u{301}")
        #expect(typing.editor.characters.last == "e\u{301}" && typing.editor.cursor == 5)
    }

    @Test("Bytes that are no UTF-8 become replacement characters")
    func badBytes() {
        var decoder = KeyDecoder()
        let keys = decoder.decode([0xFF, 0x61, 0xC3, 0x62, 0xE6, 0x97, 0xE6, 0x97, 0xA5, 0xC2, 0x9B])
        #expect(keys == ["\u{FFFD}", "a", "\u{FFFD}", "b", "\u{FFFD}", "日"].map { .text($0) })
    }

    @Test("A text longer than the terminal is wide goes on in the next row", arguments: [8, 9, 10, 40])
    func wrapping(columns: Int) {
        var typing = Typing(columns: columns, rows: 12)
        let text = "abcdef日本語ghijklm"
        typing.type(text)
        #expect(typing.screen.joined().filter { $0 != " " } == ">" + text)
        typing.type("\u{01}")
        #expect(typing.cursor == [0, 2])
        typing.type(String(repeating: "\u{1B}[C", count: 6))
        #expect(typing.cursor == (columns == 8 || columns == 9 ? [1, 0] : [0, 8]))
        typing.type("\u{0B}")
        #expect(typing.screen == ["> abcdef"])
    }

    @Test("A row that is just full has the cursor in the next one")
    func fullRow() {
        var typing = Typing(columns: 8)
        typing.type("abcdef")
        #expect(typing.screen == ["> abcdef"] && typing.cursor == [1, 0])
        typing.type("g\u{7F}\u{7F}")
        #expect(typing.screen == ["> abcde"] && typing.cursor == [0, 7])
    }

    @Test("Of a text taller than the screen the part around the cursor is shown")
    func tall() {
        var typing = Typing(columns: 10, rows: 3)
        typing.type("\u{1B}[200~1\n2\n3\n4\n5\u{1B}[201~")
        #expect(typing.screen == ["  3", "  4", "  5"])
        typing.type("\u{1B}[A\u{1B}[A\u{1B}[A")
        #expect(typing.screen == ["  2", "  3", "  4"] && typing.cursor == [0, 3])
        typing.type("\u{1B}[A")
        #expect(typing.screen == ["> 1", "  2", "  3"])
        #expect(typing.terminal.scrolled.isEmpty)
    }

    @Test("A paste keeps its line ends and nothing else that could be a key")
    func paste() {
        var typing = Typing()
        typing.type("a\u{1B}[200~b\r\nc\rd\n\u{1B}[31m\u{03}\te\u{1B}[201~f")
        #expect(typing.editor.text == "ab\nc\nd\n[31m\tef")
        #expect(typing.actions.allSatisfy { $0 == .edit })
        #expect(typing.screen == ["> ab", "  c", "  d", "  [31m    ef"])
        var short = KeyDecoder(pasteLimit: 4)
        #expect(short.decode("\u{1B}[200~123456789\u{1B}[201~x".utf8) == [.paste("1234"), .text("x")])
    }

    @Test("Decoding does not depend on how bytes are cut")
    func pieces() {
        let bytes = Array("é\u{1B}[1;5C日\u{1B}[200~x\u{1B}\u{1B}[20y\u{1B}[201~\u{1B}\r\r".utf8)
        var whole = KeyDecoder()
        let expected = whole.decode(bytes)
        #expect(expected.count == 6 && expected.last == .enter)
        for size in 1...5 {
            var decoder = KeyDecoder()
            var keys: [Key] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                keys += decoder.decode(bytes[start..<min(start + size, bytes.count)])
            }
            #expect(keys == expected)
        }
    }

    @Test("An escape alone is nothing once time has passed")
    func escape() {
        var decoder = KeyDecoder()
        #expect(decoder.decode([0x1B]).isEmpty && decoder.isAmbiguous)
        decoder.flush()
        #expect(decoder.decode(Array("b".utf8)) == [.text("b")])
        // A paste may take its time.
        _ = decoder.decode(Array("\u{1B}[200~a".utf8))
        #expect(!decoder.isAmbiguous)
    }

    @Test("Enter submits; a backslash or Alt-Enter goes on in the next line")
    func submitting() {
        var typing = Typing()
        typing.type("one\\\rtwo\u{1B}\rthree")
        #expect(typing.screen == ["> one", "  two", "  three"])
        #expect(typing.type("\r") == .submit("one\ntwo\nthree"))
        #expect(typing.editor.text.isEmpty)
        #expect(typing.type("a\\b\n") == .submit("a\\b"))
    }

    @Test("Up and Down lead through what was submitted and back to what was being typed")
    func history() {
        var typing = Typing()
        typing.type("one\rtwo\rtwo\r  \rdraft")
        #expect(typing.type("\u{1B}[A") == .edit && typing.editor.text == "two")
        typing.type("\u{10}")
        #expect(typing.editor.text == "one" && typing.type("\u{1B}[A") == .refuse)
        typing.type("!\u{1B}[B\u{0E}")
        #expect(typing.editor.text == "draft" && typing.type("\u{1B}[B") == .refuse)
        typing.type("\u{15}\u{1B}[A\u{1B}[A\r")
        #expect(typing.actions.last == .submit("one"))
        // In a text of several lines they move in it first.
        typing.type("ab\\\rcdef\u{1B}[A")
        #expect(typing.cursor == [typing.terminal.row, 4] && typing.editor.cursor == 2)
        typing.type("\u{1B}[A")
        #expect(typing.editor.text == "one")
    }

    @Test("Ctrl-C, Ctrl-D, Ctrl-L and Ctrl-Z")
    func controls() {
        var typing = Typing()
        #expect(typing.type("\u{03}") == .interrupt)
        #expect(typing.type("\u{04}") == .end)
        #expect(typing.type("a\u{04}") == .refuse)
        #expect(typing.type("\u{1A}") == .suspend)
        #expect(typing.type("\u{0C}") == .clearScreen)
        typing.terminal.write("junk\r\njunk")
        typing.terminal.write(typing.view.clearScreen(typing.editor))
        #expect(typing.screen == ["> a"] && typing.cursor == [0, 3])
    }

    @Test("Tab completes commands")
    func completion() {
        var typing = Typing()
        #expect(typing.type("\t") == .refuse)
        typing.type("/h\t")
        #expect(typing.editor.text == "/help ")
        #expect(typing.type("\u{15}/re\t") == .show(["/reset", "/retry"]))
        #expect(typing.type("s\t") == .edit && typing.editor.text == "/reset ")
        #expect(typing.type("x\t") == .refuse)
    }

    @Test("A terminal that becomes narrower or wider shows the text once", arguments: [5, 9, 16, 60])
    func resizing(columns: Int) {
        var typing = Typing(columns: 20, rows: 12)
        let text = "The quick brown fox jumps over"
        typing.type(text + "\u{1B}[D\u{1B}[D")
        // A terminal that breaks rows anew: each row that was written, cut at the new width; the cursor goes along.
        var terminal = VirtualTerminal(columns: columns, rows: 12)
        let rows = typing.screen
        terminal.write(rows[..<typing.terminal.row].joined(separator: "\r\n"))
        if typing.terminal.row > 0 { terminal.write("\r\n") }
        terminal.write(String(rows[typing.terminal.row].prefix(typing.terminal.column)))
        terminal.write(typing.view.resize(to: .init(columns: columns, rows: 12), typing.editor))
        var fresh = EditorView(prompt: "> ", size: .init(columns: columns, rows: 12))
        var expected = VirtualTerminal(columns: columns, rows: 12)
        expected.write(fresh.draw(typing.editor))
        #expect(terminal.screen == expected.screen)
        #expect([terminal.row, terminal.column] == [expected.row, expected.column])
    }

    @Test("Any bytes on any terminal: the screen is what a fresh drawing shows", arguments: 0..<40)
    func fuzz(seed: UInt64) {
        var generator = SmallGenerator(seed: seed)
        let columns = Int.random(in: 5...30, using: &generator)
        var typing = Typing(columns: columns, rows: Int.random(in: 1...8, using: &generator))
        let pieces = [
            "a", "日", "\u{301}", "👩‍💻", " ", "\t", "\\", "\r", "\u{1B}\r", "\u{7F}", "\u{1B}[D", "\u{1B}[C",
            "\u{1B}[A", "\u{1B}[B", "\u{01}", "\u{05}", "\u{0B}", "\u{15}", "\u{17}", "\u{19}", "\u{1B}b", "\u{1B}f",
            "\u{1B}[200~x\ny\u{1B}[201~", "\u{1B}[3~", "\u{1B}", "[", "\u{9B}",
        ]
        for _ in 0..<150 {
            typing.type(pieces.randomElement(using: &generator)!)
            #expect(typing.editor.cursor <= typing.editor.characters.count)
        }
        var fresh = VirtualTerminal(columns: columns, rows: typing.terminal.rows)
        var view = typing.view
        fresh.write(view.draw(typing.editor))
        #expect(typing.screen == fresh.screen && typing.cursor == [fresh.row, fresh.column])
        #expect(typing.terminal.scrolled.isEmpty)
    }
}

/// A small generator for workloads that can be repeated.
private struct SmallGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

extension VirtualTerminal {
    /// A line as the screen shows it.
    static func line(_ text: String) -> String {
        var terminal = VirtualTerminal(columns: 80, rows: 1)
        terminal.write(text)
        return terminal.screen.first ?? ""
    }
}

// Key: what a person can do at the line editor, and KeyDecoder, which finds it in a terminal's bytes.
// Terminals send what they like and bytes come in any pieces: every sequence is bounded, an unknown one is nothing.
// Invariant: decoding does not depend on how the bytes were cut.

package enum Key: Sendable, Hashable {
    /// One character that was typed.
    case text(String)
    /// Text between the marks of a bracketed paste; its line ends are `\n`.
    case paste(String)
    case enter
    /// Alt-Enter: a line end in the text.
    case lineBreak
    case tab, backspace, delete
    case left, right, up, down, wordLeft, wordRight, home, end
    case deleteToEnd, deleteToStart, deleteWordBackward, deleteWordForward, yank
    case clearScreen
    /// Ctrl-C.
    case interrupt
    /// Ctrl-D: the end on an empty line, Delete otherwise.
    case endOrDelete
    /// Ctrl-Z.
    case suspend
}

package struct KeyDecoder: Sendable {
    private enum State {
        case plain
        /// After an escape.
        case escape
        /// After `ESC [` or `ESC O`.
        case sequence
        case paste
    }

    /// Bytes of a sequence beyond this many are not kept.
    private static let sequenceLimit = 32
    private static let pasteEnd = Array("\u{1B}[201~".utf8)

    /// The most bytes that a paste may have; the rest is dropped.
    private let pasteLimit: Int
    private var state = State.plain
    private var isAlternate = false
    /// Of a character, a sequence or a paste that is not complete.
    private var pending: [UInt8] = []
    /// How much of the end mark the last bytes of a paste are.
    private var matchedEnd = 0
    private var keys: [Key] = []

    package init(pasteLimit: Int = 1 << 20) { self.pasteLimit = pasteLimit }

    /// Whether an escape has come that may be a key of its own: call ``flush()`` when nothing follows in a moment.
    package var isAmbiguous: Bool { state == .escape || state == .sequence }

    /// The keys that `bytes` complete.
    package mutating func decode(_ bytes: some Sequence<UInt8>) -> [Key] {
        for byte in bytes { add(byte) }
        defer { keys.removeAll() }
        return keys
    }

    /// Gives up on a sequence that does not go on.
    package mutating func flush() {
        guard isAmbiguous else { return }
        reset()
    }

    private mutating func reset() {
        state = .plain
        isAlternate = false
        pending.removeAll(keepingCapacity: true)
    }

    private mutating func add(_ byte: UInt8) {
        switch state {
        case .plain: addPlain(byte)
        case .escape: addEscaped(byte)
        case .sequence: addToSequence(byte)
        case .paste: addToPaste(byte)
        }
    }

    // MARK: Characters

    private mutating func addPlain(_ byte: UInt8) {
        if !pending.isEmpty {
            if byte & 0xC0 == 0x80 {
                pending.append(byte)
                if pending.count == Self.length(pending[0]) { finishCharacter() }
                return
            }
            finishCharacter()
        }
        switch byte {
        case 0x1B: state = .escape
        case 0..<0x20, 0x7F: if let key = Self.control(byte) { keys.append(key) }
        case 0x20..<0x80: keys.append(.text(String(Unicode.Scalar(byte))))
        default:
            pending = [byte]
            if Self.length(byte) == 1 { finishCharacter() }
        }
    }

    private mutating func finishCharacter() {
        let text = String(validating: pending, as: UTF8.self) ?? "\u{FFFD}"
        // Some control characters have two bytes; nobody types those.
        if text.unicodeScalars.first?.properties.generalCategory != .control { keys.append(.text(text)) }
        pending.removeAll(keepingCapacity: true)
    }

    /// Bytes of the character that begins with `byte`; 1 for what begins none.
    private static func length(_ byte: UInt8) -> Int {
        switch byte {
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: 1
        }
    }

    private static func control(_ byte: UInt8) -> Key? {
        switch byte {
        case 0x0A, 0x0D: .enter
        case 0x09: .tab
        case 0x08, 0x7F: .backspace
        // A letter as it is pressed with Ctrl.
        default:
            switch Character(Unicode.Scalar(byte | 0x40)) {
            case "A": .home
            case "B": .left
            case "C": .interrupt
            case "D": .endOrDelete
            case "E": .end
            case "F": .right
            case "K": .deleteToEnd
            case "L": .clearScreen
            case "N": .down
            case "P": .up
            case "U": .deleteToStart
            case "W": .deleteWordBackward
            case "Y": .yank
            case "Z": .suspend
            default: nil
            }
        }
    }

    // MARK: Sequences

    private mutating func addEscaped(_ byte: UInt8) {
        switch byte {
        case 0x1B: isAlternate = true  // Alt with an arrow key, as some terminals send it.
        case UInt8(ascii: "["), UInt8(ascii: "O"): state = .sequence
        default:
            reset()
            switch byte {
            case 0x0A, 0x0D: keys.append(.lineBreak)
            case 0x08, 0x7F: keys.append(.deleteWordBackward)
            case UInt8(ascii: "b"), UInt8(ascii: "B"): keys.append(.wordLeft)
            case UInt8(ascii: "f"), UInt8(ascii: "F"): keys.append(.wordRight)
            case UInt8(ascii: "d"), UInt8(ascii: "D"): keys.append(.deleteWordForward)
            // Escape, then something else.
            case 0..<0x20, 0x80...: addPlain(byte)
            default: break
            }
        }
    }

    private mutating func addToSequence(_ byte: UInt8) {
        switch byte {
        case 0x20..<0x40: if pending.count < Self.sequenceLimit { pending.append(byte) }
        case 0x40..<0x7F:
            let key = Self.sequence(pending, final: byte, isAlternate: isAlternate)
            let isPaste = byte == UInt8(ascii: "~") && pending == Array("200".utf8)
            reset()
            if isPaste { state = .paste } else if let key { keys.append(key) }
        default:
            // No sequence after all.
            reset()
            addPlain(byte)
        }
    }

    /// `ESC [ 1 ; 5 D` is Ctrl-Left: the first number names the key, the second is 1 plus the modifiers.
    private static func sequence(_ parameters: [UInt8], final: UInt8, isAlternate: Bool) -> Key? {
        let numbers = parameters.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
            .map { Int(String(decoding: $0, as: UTF8.self)) ?? 0 }
        let first = numbers.first ?? 0
        let modifiers = max(0, (numbers.count > 1 ? numbers[1] : 1) - 1)
        // 1 is Shift; what else there is, is Alt, Ctrl or Meta.
        let isModified = isAlternate || modifiers & ~1 != 0
        switch Character(Unicode.Scalar(final)) {
        case "A": return .up
        case "B": return .down
        case "C": return isModified ? .wordRight : .right
        case "D": return isModified ? .wordLeft : .left
        case "H": return .home
        case "F": return .end
        // Keys as terminals with extended keyboards send them; of those only Enter with a modifier concerns us.
        case "u": return first == 13 ? (isModified || modifiers > 0 ? .lineBreak : .enter) : nil
        case "~":
            switch first {
            case 1, 7: return .home
            case 4, 8: return .end
            case 3: return isModified ? .deleteWordForward : .delete
            case 27: return numbers.count == 3 && numbers[2] == 13 ? .lineBreak : nil
            default: return nil
            }
        default: return nil
        }
    }

    // MARK: Pastes

    private mutating func addToPaste(_ byte: UInt8) {
        if byte == Self.pasteEnd[matchedEnd] {
            matchedEnd += 1
            guard matchedEnd == Self.pasteEnd.count else { return }
            matchedEnd = 0
            keys.append(.paste(Self.pasted(pending)))
            reset()
            return
        }
        // The mark's first byte is in it only once, so what was held back begins no other match.
        keep(Self.pasteEnd.prefix(matchedEnd))
        matchedEnd = byte == Self.pasteEnd[0] ? 1 : 0
        if matchedEnd == 0 { keep([byte]) }
    }

    private mutating func keep(_ bytes: some Collection<UInt8>) {
        if pending.count + bytes.count <= pasteLimit { pending.append(contentsOf: bytes) }
    }

    /// Text without control characters but `\t`, and with `\n` for every kind of line end.
    private static func pasted(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes, as: UTF8.self).replacing("\r\n", with: "\n").replacing("\r", with: "\n")
        var scalars = text.unicodeScalars
        scalars.removeAll { $0.properties.generalCategory == .control && $0 != "\n" && $0 != "\t" }
        return String(scalars)
    }
}

// JSONScanner: checks an object or an array byte by byte while it still arrives, and knows where it ends. For texts in
// which something else follows; a text that is there as a whole is JSONDocument's.
// Owned by whoever reads the text.
// Invariant: it accepts the bytes of well-formed UTF-8 that JSONDocument accepts, and refuses the first that can't go on.

/// A strict RFC 8259 check of one object or array, of which the bytes come one by one.
package struct JSONScanner: Sendable {
    /// Where in the text the next byte stands.
    package enum Place: Sendable, Hashable {
        /// Before the value.
        case start
        /// Where a value must come: behind a colon, or behind a comma in an array.
        case value
        /// Behind `[`.
        case elementOrEnd
        /// Behind `{`.
        case keyOrEnd
        /// Behind a comma in an object.
        case key
        case colon
        /// Behind a value in an object or an array.
        case commaOrEnd
        case keyString, string, number, word
        /// Behind the value; nothing but whitespace may follow.
        case done
        case failed
    }

    private enum Number { case minus, zero, digits, point, fraction, exponent, exponentSign, exponentDigits }

    package static let maximumDepth = 128

    package private(set) var place = Place.start
    /// Whether each open container, outermost first, is an object.
    private var open: [Bool] = []
    /// In a string: 0, or 1 behind a backslash, or 2 to 5 before the fourth to the first digit of `\u`.
    private var escape = 0
    private var number = Number.minus
    private var word: StaticString = ""
    private var wordOffset = 0

    package init() {}

    /// How many containers are open.
    package var depth: Int { open.count }

    /// Takes the next byte. Returns false when no valid text begins so.
    package mutating func consume(_ byte: UInt8) -> Bool {
        switch place {
        case .string, .keyString:
            if !continueString(byte) { place = .failed }
        case .number: continueNumber(byte)
        case .word:
            guard byte == word.utf8Start[wordOffset] else { return fail() }
            wordOffset += 1
            if wordOffset == word.utf8CodeUnitCount { finishValue() }
        case .failed: return false
        default:
            if byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { return true }
            consumeMark(byte)
        }
        return place != .failed
    }

    private mutating func fail() -> Bool {
        place = .failed
        return false
    }

    /// A byte between values and strings, or the first of one.
    private mutating func consumeMark(_ byte: UInt8) {
        switch (place, byte) {
        case (.start, UInt8(ascii: "{")), (.start, UInt8(ascii: "[")): beginValue(byte)
        case (.value, _): beginValue(byte)
        case (.elementOrEnd, UInt8(ascii: "]")), (.keyOrEnd, UInt8(ascii: "}")): close()
        case (.elementOrEnd, _): beginValue(byte)
        case (.keyOrEnd, UInt8(ascii: "\"")), (.key, UInt8(ascii: "\"")): place = .keyString
        case (.colon, UInt8(ascii: ":")): place = .value
        case (.commaOrEnd, UInt8(ascii: ",")): place = open.last == true ? .key : .value
        case (.commaOrEnd, UInt8(ascii: "}")) where open.last == true: close()
        case (.commaOrEnd, UInt8(ascii: "]")) where open.last == false: close()
        default: place = .failed
        }
    }

    private mutating func beginValue(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            let isObject = byte == UInt8(ascii: "{")
            guard open.count < Self.maximumDepth else { return place = .failed }
            open.append(isObject)
            place = isObject ? .keyOrEnd : .elementOrEnd
        case UInt8(ascii: "\""): place = .string
        case UInt8(ascii: "t"): beginWord("true")
        case UInt8(ascii: "f"): beginWord("false")
        case UInt8(ascii: "n"): beginWord("null")
        case UInt8(ascii: "-"): (place, number) = (.number, .minus)
        case UInt8(ascii: "0"): (place, number) = (.number, .zero)
        case UInt8(ascii: "1")...UInt8(ascii: "9"): (place, number) = (.number, .digits)
        default: place = .failed
        }
    }

    private mutating func beginWord(_ word: StaticString) {
        place = .word
        self.word = word
        wordOffset = 1
    }

    private mutating func close() {
        open.removeLast()
        finishValue()
    }

    private mutating func finishValue() { place = open.isEmpty ? .done : .commaOrEnd }

    private mutating func continueString(_ byte: UInt8) -> Bool {
        if escape == 1 {
            if byte == UInt8(ascii: "u") {
                escape = 5
                return true
            }
            escape = 0
            return "\"\\/bfnrt".utf8.contains(byte)
        }
        if escape > 1 {
            escape = escape == 2 ? 0 : escape - 1
            return JSONText.isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
        }
        switch byte {
        case UInt8(ascii: "\"") where place == .keyString: place = .colon
        case UInt8(ascii: "\""): finishValue()
        case UInt8(ascii: "\\"): escape = 1
        default: return byte >= 0x20
        }
        return true
    }

    /// A number ends before the byte that is none of it.
    private mutating func continueNumber(_ byte: UInt8) {
        let isDigit = JSONText.isDigit(byte)
        let isExponent = byte | 0x20 == UInt8(ascii: "e")
        switch number {
        case .minus where isDigit: number = byte == UInt8(ascii: "0") ? .zero : .digits
        case .digits where isDigit, .fraction where isDigit, .exponentDigits where isDigit: break
        case .zero where byte == UInt8(ascii: "."), .digits where byte == UInt8(ascii: "."): number = .point
        case .point where isDigit: number = .fraction
        case .zero where isExponent, .digits where isExponent, .fraction where isExponent: number = .exponent
        case .exponent where byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-"): number = .exponentSign
        case .exponent where isDigit, .exponentSign where isDigit: number = .exponentDigits
        case .zero where !isDigit, .digits, .fraction, .exponentDigits:
            finishValue()
            _ = consume(byte)
        default: place = .failed
        }
    }
}

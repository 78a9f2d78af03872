// TokenizeReport: a text's tokens as a person reads them, or as JSON.
// In colour the text itself is shown, every other token on another background, with the ids below; without, one token
// a line: its id, a tab, and its text.
// Invariant: a token's text never breaks its line.

package import SwiftletJSON
package import SwiftletTokenizer

package struct TokenizeReport: Sendable {
    private struct Piece {
        var id: TokenID
        /// What the text so far becomes longer by with this token; the token as the file writes it where that is nothing.
        var text: String
        var token: String
    }

    private let pieces: [Piece]

    package init(_ ids: [TokenID], _ tokenizer: Tokenizer) {
        var decoder = tokenizer.makeStreamDecoder(skipSpecialTokens: false)
        pieces = ids.map { id in
            let token = tokenizer.token(id) ?? ""
            let text = decoder.append(id)
            return Piece(id: id, text: text.isEmpty ? token : text, token: token)
        }
    }

    /// One token a line.
    package var plain: String {
        pieces.map { "\($0.id)\t\(Self.visible($0.text))\n" }.joined()
    }

    /// The text in two colours, and the ids in the same.
    package var colored: String {
        let texts = pieces.enumerated().map { Self.paint(Self.visible($1.text), $0) }.joined()
        let ids = pieces.enumerated().map { Self.paint(" \($1.id) ", $0) }.joined()
        return pieces.isEmpty ? "" : texts + "\n" + ids + "\n"
    }

    package func write(to json: inout JSONWriter) {
        json.object { json in
            json.key("ids")
            json.array(pieces) { json, piece in json.int(piece.id) }
            json.key("tokens")
            json.array(pieces) { json, piece in json.string(piece.token) }
        }
        json.newline()
    }

    private static func paint(_ text: String, _ index: Int) -> String {
        "\u{1B}[\(index % 2 == 0 ? "30;106" : "30;103")m\(text)\u{1B}[0m"
    }

    /// Text with everything that moves the cursor written as an escape.
    private static func visible(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                switch scalar.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator:
                    // Joiners are part of what is written.
                    if scalar == "\u{200C}" || scalar == "\u{200D}" {
                        result.unicodeScalars.append(scalar)
                    } else {
                        result += "\\u{\(String(scalar.value, radix: 16))}"
                    }
                default: result.unicodeScalars.append(scalar)
                }
            }
        }
        return result
    }
}

// Lines of a set width, as Python's textwrap breaks them: at spaces, behind hyphens within words, around dashes.
// Owned by `|wordwrap` for one text.
// Invariant: every step takes a scalar at least, so it ends.

struct TextWrapper {
    let width: Int
    let breaksLongWords: Bool
    let breaksOnHyphens: Bool

    private typealias Chunk = ArraySlice<Unicode.Scalar>

    func lines(of text: Text) -> [Text] {
        var chunks = Array(self.chunks(of: Array(text.scalars)).reversed())
        var lines: [Text] = []
        while !chunks.isEmpty {
            if !lines.isEmpty, let first = chunks.last, isBlank(first) { chunks.removeLast() }
            var line: [Chunk] = []
            var length = 0
            while let next = chunks.last, length + next.count <= width {
                line.append(next)
                length += next.count
                chunks.removeLast()
            }
            if let next = chunks.last, next.count > width { takePart(of: &chunks, next, &line, length) }
            if let last = line.last, isBlank(last) { line.removeLast() }
            if !line.isEmpty { lines.append(Text(scalars: line.joined())) }
        }
        return lines
    }

    private func isBlank(_ chunk: Chunk) -> Bool { chunk.allSatisfy { $0.isPythonSpace } }

    /// A word that no line has room for.
    private func takePart(of chunks: inout [Chunk], _ word: Chunk, _ line: inout [Chunk], _ length: Int) {
        guard breaksLongWords else {
            if line.isEmpty { line.append(chunks.removeLast()) }
            return
        }
        let room = width - length
        var end = room
        if breaksOnHyphens, word.count > room, let hyphen = word.prefix(room).lastIndex(of: "-"),
            word[..<hyphen].contains(where: { $0 != "-" })
        {
            end = hyphen - word.startIndex + 1
        }
        line.append(word.prefix(end))
        chunks[chunks.count - 1] = word.dropFirst(end)
    }

    // MARK: Pieces that are not broken

    private func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar == " " || (0x09...0x0D).contains(scalar.value) }
    private func isWord(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || StringPredicate.isAlphanumeric(scalar)
    }
    private func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        isWord(scalar) && scalar.properties.numericType != .decimal
    }
    private func isWordMark(_ scalar: Unicode.Scalar) -> Bool {
        isWord(scalar) || "!\"'&.,?".unicodeScalars.contains(scalar)
    }

    private func chunks(of text: [Unicode.Scalar]) -> [Chunk] {
        var chunks: [Chunk] = []
        var start = 0
        while start < text.count {
            var end = start + 1
            if isSpace(text[start]) {
                while end < text.count, isSpace(text[end]) { end += 1 }
            } else if !breaksOnHyphens {
                while end < text.count, !isSpace(text[end]) { end += 1 }
            } else if let dash = dashEnd(text, start), start > 0, isWordMark(text[start - 1]) {
                end = dash
            } else {
                end = wordEnd(text, end)
            }
            chunks.append(text[start..<end])
            start = end
        }
        return chunks
    }

    /// Behind two hyphens or more that a word follows.
    private func dashEnd(_ text: [Unicode.Scalar], _ start: Int) -> Int? {
        var end = start
        while end < text.count, text[end] == "-" { end += 1 }
        return end - start >= 2 && end < text.count && isWord(text[end]) ? end : nil
    }

    private func wordEnd(_ text: [Unicode.Scalar], _ first: Int) -> Int {
        var end = first
        while end < text.count, !isSpace(text[end]) {
            if text[end] == "-" {
                if isHyphenation(text, end) { return end + 1 }
                if isWordMark(text[end - 1]), dashEnd(text, end) != nil { return end }
            }
            end += 1
        }
        return end
    }

    /// A hyphen with letters on both sides.
    private func isHyphenation(_ text: [Unicode.Scalar], _ hyphen: Int) -> Bool {
        let isBehindTwo = hyphen >= 2 && isLetter(text[hyphen - 1]) && isLetter(text[hyphen - 2])
        let isBehindOne =
            hyphen >= 3 && isWordMark(text[hyphen - 1]) && text[hyphen - 2] == "-" && isLetter(text[hyphen - 3])
        guard isBehindTwo || isBehindOne, hyphen + 2 < text.count, isLetter(text[hyphen + 1]) else { return false }
        let next = text[hyphen + 2] == "-" ? hyphen + 3 : hyphen + 2
        return next < text.count && isLetter(text[next])
    }
}

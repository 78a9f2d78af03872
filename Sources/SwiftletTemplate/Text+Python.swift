// What Python's string methods do that is more than copying: whitespace, stripping, splitting, case.
// Stateless; used by the string methods and by filters.
// Invariant: scalars are the unit, never bytes of one.

extension Unicode.Scalar {
    /// Python's `str.isspace` of one scalar.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// Where Python's `splitlines` ends a line.
    var isPythonLineEnd: Bool {
        switch value {
        case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    /// Python's `str.isprintable` of one scalar.
    var isPythonPrintable: Bool {
        if value < 0x7F { return value >= 0x20 }
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }
}

extension Text {
    enum Sides { case left, right, both }

    /// Without whitespace, or without the scalars of `characters`, at its ends.
    func stripped(_ sides: Sides = .both, of characters: Text? = nil) -> Text {
        let set = characters.map { Set($0.scalars) }
        func isDropped(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
        var start = 0
        var end = bytes.count
        if isASCII {
            if sides != .right {
                while start < end, isDropped(Unicode.Scalar(bytes[start])) { start += 1 }
            }
            if sides != .left {
                while end > start, isDropped(Unicode.Scalar(bytes[end - 1])) { end -= 1 }
            }
        } else {
            let scalars = self.scalars
            if sides != .right {
                for scalar in scalars {
                    guard isDropped(scalar) else { break }
                    start += UTF8.width(scalar)
                }
            }
            if sides != .left {
                for scalar in scalars.reversed() {
                    guard end > start, isDropped(scalar) else { break }
                    end -= UTF8.width(scalar)
                }
            }
        }
        return start == 0 && end == bytes.count ? self : Text(bytes[start..<end], isMarkup: isMarkup)
    }

    /// Python's `split` with a separator; nil limit is none.
    func split(_ separator: Text, limit: Int?) -> [Text] {
        var parts: [Text] = []
        var start = 0
        while limit.map({ parts.count < $0 }) ?? true, let found = firstOffset(of: separator, from: start) {
            parts.append(Text(bytes[start..<found], isMarkup: isMarkup))
            start = found + separator.bytes.count
        }
        parts.append(Text(bytes[start...], isMarkup: isMarkup))
        return parts
    }

    /// Python's `rsplit` with a separator.
    func splitFromRight(_ separator: Text, limit: Int?) -> [Text] {
        var parts: [Text] = []
        var end = bytes.count
        while limit.map({ parts.count < $0 }) ?? true, let found = lastOffset(of: separator, before: end) {
            parts.append(Text(bytes[(found + separator.bytes.count)..<end], isMarkup: isMarkup))
            end = found
        }
        parts.append(Text(bytes[..<end], isMarkup: isMarkup))
        return parts.reversed()
    }

    /// Where the words are: runs without whitespace.
    private func wordRanges() -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var offset = 0
        var wordStart: Int?
        for scalar in scalars {
            if scalar.isPythonSpace {
                if let start = wordStart { ranges.append(start..<offset) }
                wordStart = nil
            } else if wordStart == nil {
                wordStart = offset
            }
            offset += UTF8.width(scalar)
        }
        if let start = wordStart { ranges.append(start..<offset) }
        return ranges
    }

    /// Python's `split` and `rsplit` without a separator.
    func words(limit: Int? = nil, fromRight: Bool = false) -> [Text] {
        let ranges = wordRanges()
        func text(_ range: Range<Int>) -> Text { Text(bytes[range], isMarkup: isMarkup) }
        guard let limit, limit < ranges.count else { return ranges.map(text) }
        if fromRight {
            let rest = ranges.count - limit
            let head = Text(bytes[..<ranges[rest - 1].upperBound], isMarkup: isMarkup).stripped(.left)
            return [head] + ranges[rest...].map(text)
        }
        let tail = Text(bytes[ranges[limit].lowerBound...], isMarkup: isMarkup).stripped(.right)
        return ranges[..<limit].map(text) + [tail]
    }

    /// Python's `splitlines`.
    func lines(keepingEnds: Bool = false) -> [Text] {
        var lines: [Text] = []
        var start = 0
        var offset = 0
        var afterReturn = false
        for scalar in scalars {
            let next = offset + UTF8.width(scalar)
            if afterReturn, scalar == "\n" {
                // The second half of a line end that has been taken already.
                if keepingEnds, !lines.isEmpty { lines[lines.count - 1].append("\n") }
                start = next
            } else if scalar.isPythonLineEnd {
                lines.append(Text(bytes[start..<(keepingEnds ? next : offset)], isMarkup: isMarkup))
                start = next
            }
            afterReturn = scalar == "\r"
            offset = next
        }
        if start < bytes.count { lines.append(Text(bytes[start...], isMarkup: isMarkup)) }
        return lines
    }

    /// Replaces the first `limit` occurrences, all of them when it is nil.
    func replacing(_ old: Text, with new: Text, limit: Int?) -> Text {
        var result: [UInt8] = []
        var count = 0
        if old.isEmpty {
            for element in elements {
                if count != limit {
                    result += new.bytes
                    count += 1
                }
                result += element.bytes
            }
            if count != limit { result += new.bytes }
            return Text(utf8: result, isMarkup: isMarkup)
        }
        var start = 0
        while count != limit, let found = firstOffset(of: old, from: start) {
            result += bytes[start..<found]
            result += new.bytes
            start = found + old.bytes.count
            count += 1
        }
        if count == 0 { return self }
        result += bytes[start...]
        return Text(utf8: result, isMarkup: isMarkup)
    }

    // MARK: Case

    var uppercased: Text { mapCase { $0.properties.uppercaseMapping } }

    var lowercased: Text {
        if isASCII { return mapCase { $0.properties.lowercaseMapping } }
        let all = Array(scalars)
        return Text(string: all.indices.map { Text.lowercase(all, at: $0) }.joined(), isMarkup: isMarkup)
    }

    private init(string: String, isMarkup: Bool) { self.init(utf8: Array(string.utf8), isMarkup: isMarkup) }

    /// The lower case of a scalar in its text: a sigma at the end of a word has a form of its own.
    private static func lowercase(_ scalars: [Unicode.Scalar], at index: Int) -> String {
        guard scalars[index] == "\u{3A3}" else { return scalars[index].properties.lowercaseMapping }
        let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
        let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
        let isFinal = before?.properties.isCased == true && after?.properties.isCased != true
        return isFinal ? "\u{3C2}" : "\u{3C3}"
    }

    private func mapCase(_ map: (Unicode.Scalar) -> String) -> Text {
        if isASCII {
            return Text(utf8: bytes.map { map(Unicode.Scalar($0)).utf8.first ?? $0 }, isMarkup: isMarkup)
        }
        return Text(string: scalars.map(map).joined(), isMarkup: isMarkup)
    }

    /// The first scalar in title case, the others in lower case.
    var capitalized: Text {
        let all = Array(scalars)
        let mapped = all.indices.map { index in
            index == 0 ? all[0].properties.titlecaseMapping : Text.lowercase(all, at: index)
        }
        return Text(string: mapped.joined(), isMarkup: isMarkup)
    }

    /// Python's `str.title`: each run of cased scalars.
    var titlecased: Text {
        let all = Array(scalars)
        var result = ""
        var isInWord = false
        for index in all.indices {
            result += isInWord ? Text.lowercase(all, at: index) : all[index].properties.titlecaseMapping
            isInWord = all[index].properties.isCased
        }
        return Text(string: result, isMarkup: isMarkup)
    }

    var caseSwapped: Text {
        let all = Array(scalars)
        let mapped = all.indices.map { index -> String in
            let scalar = all[index]
            if scalar.properties.isUppercase { return Text.lowercase(all, at: index) }
            return scalar.properties.isLowercase ? scalar.properties.uppercaseMapping : String(scalar)
        }
        return Text(string: mapped.joined(), isMarkup: isMarkup)
    }

    /// With the five characters of HTML escaped and marked as such.
    var htmlEscaped: Text {
        if isMarkup { return self }
        var result: [UInt8] = []
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "&"): result += "&amp;".utf8
            case UInt8(ascii: "<"): result += "&lt;".utf8
            case UInt8(ascii: ">"): result += "&gt;".utf8
            case UInt8(ascii: "'"): result += "&#39;".utf8
            case UInt8(ascii: "\""): result += "&#34;".utf8
            default: result.append(byte)
            }
        }
        return Text(utf8: result, isMarkup: true)
    }
}

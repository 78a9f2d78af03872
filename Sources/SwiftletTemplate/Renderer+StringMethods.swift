// Python's string methods.
// Invariant: positions count scalars; results that can be longer than their parts are charged first.

extension Renderer {
    enum Alignment { case left, right, center }

    func callMethod(
        _ method: KnownAttribute, of text: Text, _ arguments: CallArguments
    ) throws(TemplateError) -> Value {
        try charge(bytes: text.bytes.count)
        if let answer = StringPredicate.answer(method, text) {
            _ = try arguments.positional(method.rawValue, 0, 0)
            return .bool(answer)
        }
        switch method {
        case .split, .rsplit: return try split(text, fromRight: method == .rsplit, arguments)
        case .splitlines:
            let keeps = try arguments.bound("splitlines", "keepends", required: 0)[0]
            return try texts(text.lines(keepingEnds: try keeps.integer("splitlines", default: 0) != 0))
        case .format: return .string(try format(text, arguments))
        case .formatMap:
            let value = try arguments.positional("format_map", 1, 1)[0]
            var named = CallArguments()
            guard case .dict(let map) = value else {
                throw .type("format_map() needs a mapping, not \(value.typeName)")
            }
            for (key, value) in zip(map.keys, map.values) {
                if case .string(let name) = key { named.keywords.append((name, value)) }
            }
            return .string(try format(text, named))
        case .expandtabs:
            let size = try arguments.bound("expandtabs", "tabsize", required: 0)[0].integer("expandtabs", default: 8)
            return .string(try expandingTabs(text, size))
        default: return try callPositionalMethod(method, of: text, arguments)
        }
    }

    private func texts(_ parts: [Text]) throws(TemplateError) -> Value { try list(parts.map { .string($0) }) }

    private func callPositionalMethod(
        _ method: KnownAttribute, of text: Text, _ arguments: CallArguments
    ) throws(TemplateError) -> Value {
        let name = method.rawValue
        func takes(_ minimum: Int, _ maximum: Int) throws(TemplateError) -> [Value] {
            try arguments.positional(name, minimum, maximum)
        }
        switch method {
        case .strip: return .string(text.stripped(.both, of: try takes(0, 1).first.optionalText(name)))
        case .lstrip: return .string(text.stripped(.left, of: try takes(0, 1).first.optionalText(name)))
        case .rstrip: return .string(text.stripped(.right, of: try takes(0, 1).first.optionalText(name)))
        case .startswith, .endswith: return .bool(try hasAffix(text, try takes(1, 3), isPrefix: method == .startswith))
        case .replace:
            let arguments = try takes(2, 3)
            let (old, new) = (try arguments[0].requiredText(name), try arguments[1].requiredText(name))
            let limit = arguments.count == 3 ? try arguments[2].requiredInteger(name) : -1
            return .string(
                try replace(text, old, text.isMarkup ? new.htmlEscaped : new, limit: limit).marked(text.isMarkup))
        case .join:
            var parts: [Text] = []
            for (position, part) in try elements(of: try takes(1, 1)[0], called: "can only join an iterable")
                .enumerated()
            {
                if text.isMarkup { parts.append(try softText(part).htmlEscaped); continue }
                guard case .string(let part) = part else {
                    if case .undefined(let undefined) = part { throw undefined.error }
                    throw .type("sequence item \(position): expected str instance, \(part.typeName) found")
                }
                parts.append(part)
            }
            return .string(try join(parts, with: text).marked(text.isMarkup))
        case .find, .rfind, .index, .rindex, .count: return try search(method, text, try takes(1, 3))
        case .upper, .lower, .title, .capitalize, .swapcase, .casefold:
            _ = try takes(0, 0)
            return .string(cased(method, text))
        case .center, .ljust, .rjust:
            let arguments = try takes(1, 2)
            let fill = arguments.count == 2 ? try arguments[1].requiredText(name) : " "
            let alignment: Alignment = method == .center ? .center : method == .ljust ? .left : .right
            return .string(try padded(text, width: try arguments[0].requiredInteger(name), with: fill, alignment))
        case .zfill: return .string(try zeroFilled(text, try takes(1, 1)[0].requiredInteger(name)))
        case .partition, .rpartition:
            return partition(text, try takes(1, 1)[0].requiredNonempty(name), fromRight: method == .rpartition)
        case .removeprefix:
            let prefix = try takes(1, 1)[0].requiredText(name)
            return .string(
                text.hasPrefix(prefix) ? Text(text.bytes[prefix.bytes.count...], isMarkup: text.isMarkup) : text)
        case .removesuffix:
            let suffix = try takes(1, 1)[0].requiredText(name)
            let end = text.bytes.count - suffix.bytes.count
            return .string(text.hasSuffix(suffix) ? Text(text.bytes[..<end], isMarkup: text.isMarkup) : text)
        case .striptags: return .string(try strippedOfTags(text))
        case .unescape: return .string(Entities.unescaped(text))
        default: throw .type("the string method '\(name)' is not supported in chat templates")
        }
    }

    private func cased(_ method: KnownAttribute, _ text: Text) -> Text {
        switch method {
        case .upper: text.uppercased
        case .title: text.titlecased
        case .capitalize: text.capitalized
        case .swapcase: text.caseSwapped
        case .casefold: text.lowercased.replacing("ß", with: "ss", limit: nil)
        default: text.lowercased
        }
    }

    private func split(_ text: Text, fromRight: Bool, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let name = fromRight ? "rsplit" : "split"
        let bound = try arguments.bound(name, "sep", "maxsplit", required: 0)
        let limit = try bound[1].integer(name, default: -1)
        let count = limit < 0 ? nil : limit
        try charge(bytes: 16 * text.bytes.count)
        guard let separator = try bound[0].optionalText(name) else {
            return try texts(text.words(limit: count, fromRight: fromRight))
        }
        if separator.isEmpty { throw .type("empty separator") }
        return try texts(
            fromRight ? text.splitFromRight(separator, limit: count) : text.split(separator, limit: count))
    }

    private func hasAffix(_ text: Text, _ arguments: [Value], isPrefix: Bool) throws(TemplateError) -> Bool {
        let (range, isValid) = try searched(text, Array(arguments.dropFirst()))
        let part = Text(text.bytes[range])
        func has(_ affix: Value) throws(TemplateError) -> Bool {
            guard case .string(let affix) = affix else {
                throw .type(
                    "\(isPrefix ? "startswith" : "endswith") first arg must be str or a tuple of str, not \(affix.typeName)"
                )
            }
            return isValid && (isPrefix ? part.hasPrefix(affix) : part.hasSuffix(affix))
        }
        guard case .tuple(let affixes) = arguments[0] else { return try has(arguments[0]) }
        for affix in affixes.values where try has(affix) { return true }
        return false
    }

    /// The bytes between a start and an end given in scalars; not valid when the start is behind the end of the text.
    private func searched(_ text: Text, _ bounds: [Value]) throws(TemplateError) -> (Range<Int>, isValid: Bool) {
        let count = text.count
        var start = 0
        var end = count
        if let value = bounds.first, !value.isNone {
            start = try value.requiredInteger("slice indices")
            start = start < 0 ? max(0, max(start, -count) + count) : start
        }
        if bounds.count > 1, !bounds[1].isNone { end = clamp(try bounds[1].requiredInteger("slice indices"), count) }
        guard start <= end else { return (0..<0, false) }
        return (text.byteOffset(ofScalar: start)..<text.byteOffset(ofScalar: end), true)
    }

    private func search(_ method: KnownAttribute, _ text: Text, _ arguments: [Value]) throws(TemplateError) -> Value {
        let wanted = try arguments[0].requiredText(method.rawValue)
        let (range, isValid) = try searched(text, Array(arguments.dropFirst()))
        let part = Text(text.bytes[range])
        if method == .count {
            guard isValid else { return .int(0) }
            return .int(wanted.isEmpty ? part.count + 1 : part.split(wanted, limit: nil).count - 1)
        }
        let isFromRight = method == .rfind || method == .rindex
        let found =
            isFromRight ? part.lastOffset(of: wanted, before: part.bytes.count) : part.firstOffset(of: wanted, from: 0)
        guard isValid, let found else {
            if method == .index || method == .rindex { throw .type("substring not found") }
            return .int(-1)
        }
        return .int(text.scalarIndex(ofOffset: range.lowerBound + found))
    }

    func padded(_ text: Text, width: Int, with fill: Text, _ alignment: Alignment) throws(TemplateError) -> Text {
        guard fill.count == 1 else { throw .type("The fill character must be exactly one character long") }
        let (total, overflow) = width.subtractingReportingOverflow(text.count)
        guard total > 0, !overflow else { return text }
        let left: Int
        switch alignment {
        case .left: left = 0
        case .right: left = total
        // The odd one goes left when the width is odd, as Python has it.
        case .center: left = total / 2 + (total & width & 1)
        }
        return try (repeated(fill, left) + text + repeated(fill, total - left)).marked(text.isMarkup)
    }

    private func zeroFilled(_ text: Text, _ width: Int) throws(TemplateError) -> Text {
        let count = text.count
        guard count < width else { return text }
        let hasSign = text.hasPrefix("-") || text.hasPrefix("+")
        let zeros = try repeated("0", width - count)
        guard hasSign else { return (zeros + text).marked(text.isMarkup) }
        return (Text(text.bytes[..<1]) + zeros + Text(text.bytes[1...])).marked(text.isMarkup)
    }

    private func partition(_ text: Text, _ separator: Text, fromRight: Bool) -> Value {
        let found =
            fromRight
            ? text.lastOffset(of: separator, before: text.bytes.count) : text.firstOffset(of: separator, from: 0)
        func part(_ slice: ArraySlice<UInt8>) -> Value { .string(Text(slice, isMarkup: text.isMarkup)) }
        guard let found else {
            let empty = part([])
            return tuple(fromRight ? [empty, empty, .string(text)] : [.string(text), empty, empty])
        }
        let end = found + separator.bytes.count
        return tuple([part(text.bytes[..<found]), part(text.bytes[found..<end]), part(text.bytes[end...])])
    }

    private func expandingTabs(_ text: Text, _ size: Int) throws(TemplateError) -> Text {
        var result: [UInt8] = []
        var column = 0
        for scalar in text.scalars {
            if scalar == "\t" {
                guard size > 0 else { continue }
                let count = size - column % size
                try charge(bytes: count)
                result += [UInt8](repeating: UInt8(ascii: " "), count: count)
                column += count
            } else {
                result.append(scalar)
                column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
            }
        }
        return Text(utf8: result, isMarkup: text.isMarkup)
    }
}

extension Value {
    fileprivate func requiredNonempty(_ function: String) throws(TemplateError) -> Text {
        let text = try requiredText(function)
        if text.isEmpty { throw .type("empty separator") }
        return text
    }
}

// The filters about text.
// Invariant: what Jinja converts to a string first is converted, what it does not is refused.

extension Renderer {
    /// Jinja's soft_str: a string as it is, anything else as Python prints it.
    func softText(_ value: Value) throws(TemplateError) -> Text {
        if case .string(let text) = value { return text }
        return try string(of: value)
    }

    func applyToText(_ filter: FilterName, _ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value? {
        switch filter {
        case .string: return .string(try softText(value))
        case .safe: return .string(try softText(value).marked(true))
        case .e, .escape: return .string(try escaped(try softText(value)))
        case .forceescape: return .string(try escaped(try string(of: value)))
        case .upper: return .string(try charged(try softText(value)).uppercased)
        case .lower: return .string(try charged(try softText(value)).lowercased)
        case .capitalize: return .string(try charged(try softText(value)).capitalized)
        case .title: return .string(title(try charged(try softText(value))))
        case .trim: return .string(try softText(value).stripped(of: try arguments[0].optionalText("strip")))
        case .center:
            let width = try arguments[0].integer("center", default: 80)
            return .string(try padded(try softText(value), width: width, with: " ", .center))
        case .replace: return .string(try replaced(value, arguments))
        case .indent: return .string(try indented(value, arguments))
        case .truncate: return try truncated(value, arguments)
        case .wordcount: return .int(StringPredicate.wordCount(try softText(value)))
        case .wordwrap: return .string(try wrapped(value, arguments))
        case .striptags: return .string(try strippedOfTags(try charged(try string(of: value))))
        case .urlencode: return .string(try urlEncoded(value))
        case .xmlattr: return .string(try attributes(value, autospace: try isTrue(arguments[0] ?? .bool(true))))
        default: return nil
        }
    }

    private func charged(_ text: Text) throws(TemplateError) -> Text {
        try charge(bytes: 4 * text.bytes.count)
        return text
    }

    private func escaped(_ text: Text) throws(TemplateError) -> Text { try charged(text).htmlEscaped }

    /// Upper case behind spaces, hyphens and opening brackets, lower case elsewhere.
    private func title(_ text: Text) -> Text {
        var result = ""
        var word = Text.empty
        func flush() {
            if let first = word.elements.first {
                let rest = Text(word.bytes[first.bytes.count...])
                result += first.uppercased.string + rest.lowercased.string
            }
            word = .empty
        }
        for scalar in text.scalars {
            if "-({[<".unicodeScalars.contains(scalar) || scalar.isPythonSpace {
                flush()
                result.unicodeScalars.append(scalar)
            } else {
                word.append(Text(scalar))
            }
        }
        flush()
        return Text(result)
    }

    private func replaced(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Text {
        let count = arguments[2].flatMap { $0.isNone ? nil : $0 }
        return try replace(
            try string(of: value), try string(of: arguments[0] ?? .none), try string(of: arguments[1] ?? .none),
            limit: try count.integer("replace", default: -1))
    }

    /// Python's `str.replace`; a negative limit is none.
    func replace(_ text: Text, _ old: Text, _ new: Text, limit: Int) throws(TemplateError) -> Text {
        let places = old.isEmpty ? text.bytes.count + 1 : text.bytes.count / old.bytes.count
        let count = limit < 0 ? places : min(limit, places)
        if new.bytes.count > old.bytes.count {
            // The result is counted out before it is made: it may be far larger than its parts.
            let found = old.isEmpty ? count : min(count, text.split(old, limit: limit < 0 ? nil : limit).count - 1)
            let (growth, overflow) = found.multipliedReportingOverflow(by: new.bytes.count)
            try charge(bytes: overflow ? .max : growth)
        }
        try charge(bytes: text.bytes.count)
        return text.replacing(old, with: new, limit: limit < 0 ? nil : limit)
    }

    private func indented(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Text {
        let text = try value.requiredText("indent")
        let indent: Text
        if case .string(let given)? = arguments[0] {
            indent = given
        } else {
            indent = try repeated(" ", try arguments[0].integer("indent", default: 4))
        }
        let first = try isTrue(arguments[1] ?? .none)
        let blank = try isTrue(arguments[2] ?? .none)
        let lines = (text + "\n").lines()
        let (growth, overflow) = lines.count.multipliedReportingOverflow(by: indent.bytes.count + 1)
        try charge(bytes: overflow ? .max : growth + text.bytes.count)
        var result = first ? indent : .empty
        for (position, line) in lines.enumerated() {
            if position > 0 {
                result.append("\n")
                if blank || !line.isEmpty { result.append(indent) }
            }
            result.append(line)
        }
        return result.marked(text.isMarkup)
    }

    func repeated(_ text: Text, _ count: Int) throws(TemplateError) -> Text {
        guard case .string(let result) = try binary(.multiply, .string(text), .int(count)) else { return .empty }
        return result
    }

    private func truncated(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Value {
        let length = try arguments[0].integer("truncate", default: 255)
        let killsWords = try isTrue(arguments[1] ?? .none)
        let end = try arguments[2].optionalText("truncate") ?? "..."
        let leeway = try arguments[3].flatMap { $0.isNone ? nil : $0 }.integer("truncate", default: 5)
        guard length >= end.count else { throw .type("expected length >= \(end.count), got \(length)") }
        guard leeway >= 0 else { throw .type("expected leeway >= 0, got \(leeway)") }
        let (room, overflow) = length.addingReportingOverflow(leeway)
        // Whatever has a length and is short enough stays as it is.
        let count = try self.length(of: value)
        if overflow || count <= room { return value }
        let text = try value.requiredText("truncate")
        let head = text.slice(0..<min(count, length - end.count))
        return .string((killsWords ? head : head.splitFromRight(" ", limit: 1)[0]) + end)
    }

    private func wrapped(_ value: Value, _ arguments: [Value?]) throws(TemplateError) -> Text {
        let text = try charged(try value.requiredText("wordwrap"))
        let width = try arguments[0].integer("wordwrap", default: 79)
        guard width > 0 else { throw .type("invalid width \(width) (must be > 0)") }
        let wrapper = TextWrapper(
            width: width, breaksLongWords: try isTrue(arguments[1] ?? .bool(true)),
            breaksOnHyphens: try isTrue(arguments[3] ?? .bool(true)))
        let separator = try arguments[2].optionalText("wordwrap") ?? "\n"
        var paragraphs: [Text] = []
        for line in text.lines() { paragraphs.append(try join(wrapper.lines(of: line), with: separator)) }
        return try join(paragraphs, with: separator)
    }

    func join(_ parts: [Text], with separator: Text) throws(TemplateError) -> Text {
        var bytes: [UInt8] = []
        for (position, part) in parts.enumerated() {
            if position > 0 { bytes += separator.bytes }
            bytes += part.bytes
            try charge(bytes: separator.bytes.count + part.bytes.count)
        }
        return Text(utf8: bytes)
    }

    /// Without tags and comments, whitespace as single spaces, the common entities read.
    func strippedOfTags(_ text: Text) throws(TemplateError) -> Text {
        var parts: [UInt8] = []
        var position = 0
        while let start = text.firstOffset(of: "<", from: position) {
            let isComment = text.bytes[start...].starts(with: "<!--".utf8)
            guard let end = text.firstOffset(of: isComment ? "-->" : ">", from: isComment ? start + 4 : start) else {
                break
            }
            parts += text.bytes[position..<start]
            position = end + (isComment ? 3 : 1)
        }
        parts += text.bytes[position...]
        let words = Text(utf8: parts).words()
        return Entities.unescaped(try join(words, with: " "))
    }

    private func urlEncoded(_ value: Value) throws(TemplateError) -> Text {
        switch value {
        case .dict(let map): return try urlEncoded(pairs: zip(map.keys, map.values).map { [$0, $1] })
        case .list, .tuple, .view, .iterator, .range, .undefined:
            var pairs: [[Value]] = []
            for element in try elements(of: value) {
                let pair = try elements(of: element)
                guard pair.count == 2 else { throw .type("urlencode needs pairs, not \(pair.count) values") }
                pairs.append(pair)
            }
            return try urlEncoded(pairs: pairs)
        default: return try quoted(value, isQuery: false)
        }
    }

    private func urlEncoded(pairs: [[Value]]) throws(TemplateError) -> Text {
        var parts: [Text] = []
        for pair in pairs { parts.append(try quoted(pair[0], isQuery: true) + "=" + quoted(pair[1], isQuery: true)) }
        return try join(parts, with: "&")
    }

    private func quoted(_ value: Value, isQuery: Bool) throws(TemplateError) -> Text {
        let digits = Array("0123456789ABCDEF".utf8)
        var result: [UInt8] = []
        for byte in try charged(try softText(value)).bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "~"):
                result.append(byte)
            case UInt8(ascii: "/") where !isQuery: result.append(byte)
            case UInt8(ascii: " ") where isQuery: result.append(UInt8(ascii: "+"))
            default: result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return Text(utf8: result)
    }

    private func attributes(_ value: Value, autospace: Bool) throws(TemplateError) -> Text {
        guard case .dict(let map) = value else {
            if case .undefined(let undefined) = value { throw undefined.error }
            throw TemplateError(.undefined, "'\(value.objectDescription)' has no attribute 'items'")
        }
        var parts: [Text] = []
        for (key, value) in zip(map.keys, map.values) where !value.isNone && !value.isUndefined {
            let name = try key.requiredText("xmlattr")
            guard !name.bytes.contains(where: { " \t\n\r\u{B}\u{C}/>=".utf8.contains($0) }) else {
                throw .type("Invalid character in attribute name: \(PythonText.quoted(name))")
            }
            parts.append(try escaped(name).plain + "=\"" + escaped(try softText(value)).plain + "\"")
        }
        let joined = try join(parts, with: " ")
        return autospace && !joined.isEmpty ? " " + joined : joined
    }
}

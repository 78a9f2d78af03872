// FunctionCall: one call in the form of tags, as Qwen3-Coder writes it, read while it arrives:
// <function=name><parameter=key>value</parameter>…</function>.
// Owned by AnswerParser for the length of one call.
// Invariant: what was read of the call is not read again when more of it comes.

import SwiftletJSON

struct FunctionCall: Sendable {
    /// What was found of a call.
    enum Outcome: Sendable {
        case needsMore
        case invalid
        /// A call, and how many bytes it takes up to and with its closing tag.
        case call(JSONCall.Result, count: Int)
    }

    static let opening = Array("<function=".utf8)
    private static let closing = Array("</function>".utf8)
    private static let parameterOpening = Array("<parameter=".utf8)
    private static let parameterClosing = Array("</parameter>".utf8)

    private var name: String?
    private var arguments = JSONWriter()
    private var keys: Set<String> = []
    /// The parameter at hand.
    private var key: String?
    /// How many bytes were read for good.
    private var count = 0
    /// How far the text at `count` was searched for what ends it.
    private var searched = 0

    init() { arguments.beginObject() }

    /// Reads on. `text` is everything behind `<function=`, more of it each time.
    mutating func read(_ text: ArraySlice<UInt8>, tools: ToolSchemas) -> Outcome {
        while true {
            let rest = text[(text.startIndex + count)...]
            guard let name else {
                guard let name = readTagEnd(rest) else { return tooLongForName(rest) ? .invalid : .needsMore }
                guard !name.isEmpty, !name.utf8.contains(where: { "<\n".utf8.contains($0) }) else { return .invalid }
                self.name = name
                continue
            }
            if key != nil {
                guard let value = readValue(rest) else { return .needsMore }
                add(value, type: tools.types(of: key ?? "", in: name))
                continue
            }
            guard let first = rest.firstIndex(where: { !$0.isJSONWhitespace }) else { return .needsMore }
            let tag = rest[first...]
            if tag.starts(with: Self.closing) {
                arguments.endObject()
                return .call(
                    JSONCall.Result(id: nil, name: name, arguments: arguments.bytes),
                    count: first + Self.closing.count - text.startIndex)
            }
            guard tag.starts(with: Self.parameterOpening) else {
                let isBeginning = Self.closing.starts(with: tag) || Self.parameterOpening.starts(with: tag)
                return isBeginning ? .needsMore : .invalid
            }
            let keyText = tag.dropFirst(Self.parameterOpening.count)
            guard let key = readTagEnd(keyText, from: rest.startIndex) else {
                return tooLongForName(keyText) ? .invalid : .needsMore
            }
            guard !key.isEmpty, keys.insert(key).inserted else { return .invalid }
            self.key = key
        }
    }

    private func tooLongForName(_ text: ArraySlice<UInt8>) -> Bool { text.count > AnswerParser.nameLimit }

    /// The text before `>`, which is read for good with everything from `start` on.
    private mutating func readTagEnd(_ text: ArraySlice<UInt8>, from start: Int? = nil) -> String? {
        guard let end = text.prefix(AnswerParser.nameLimit).firstIndex(of: UInt8(ascii: ">")) else { return nil }
        count += end + 1 - (start ?? text.startIndex)
        return String(decoding: text[..<end], as: UTF8.self).trimmingJSONWhitespace
    }

    /// The text before the closing tag, without the line ends that the tags stand on.
    private mutating func readValue(_ rest: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        var place = rest.startIndex + searched
        while place < rest.endIndex {
            if rest[place] == UInt8(ascii: "<") {
                let tag = rest[place...]
                if tag.starts(with: Self.parameterClosing) {
                    count += place + Self.parameterClosing.count - rest.startIndex
                    searched = 0
                    var value = rest[..<place]
                    if value.first == UInt8(ascii: "\n") { value.removeFirst() }
                    if value.last == UInt8(ascii: "\n") { value.removeLast() }
                    return value
                }
                if Self.parameterClosing.starts(with: tag) { break }
            }
            place += 1
        }
        searched = place - rest.startIndex
        return nil
    }

    /// Adds the value of the parameter at hand, as what its schema says it is.
    private mutating func add(_ value: ArraySlice<UInt8>, type types: Set<String>) {
        arguments.key(key ?? "")
        key = nil
        let text = String(decoding: value, as: UTF8.self)
        if types.isEmpty || types == ["string"] { return arguments.string(text) }
        var candidate = Array(text.trimmingJSONWhitespace.utf8)
        switch String(decoding: candidate, as: UTF8.self) {
        case "True": candidate = Array("true".utf8)
        case "False": candidate = Array("false".utf8)
        case "None": candidate = Array("null".utf8)
        default: break
        }
        if let json = (try? JSONDocument(parsing: candidate))?.root, types.contains(where: { json.is($0) }) {
            arguments.raw(candidate)
        } else {
            arguments.string(text)
        }
    }
}

extension JSONValue {
    /// Whether the value is of a type of JSON Schema.
    fileprivate func `is`(_ type: String) -> Bool {
        switch type {
        case "integer": int != nil
        case "number": kind == .number
        case "boolean": kind == .bool
        case "object": kind == .object
        case "array": kind == .array
        case "null": kind == .null
        default: false
        }
    }
}

// JSONCall: one call written as a JSON object, read while it arrives: where its arguments lie, whether its name is known.
// Owned by AnswerParser for the length of one call.
// Invariant: `arguments` is set only behind a complete name or when the object itself is the arguments, so what was handed
// out of a long call never has to be taken back.

import SwiftletJSON

struct JSONCall: Sendable {
    /// What the object is.
    enum Shape: Sendable {
        /// `{"name": …, "arguments": {…}}`. Without arguments it is still a call, if the marks around it say so.
        case whole(needsArguments: Bool)
        /// The arguments of a call whose name came before.
        case arguments(name: String, id: String?)
    }

    /// A call that was read to its end.
    struct Result: Sendable {
        var id: String?
        var name: String
        var arguments: [UInt8]
    }

    let shape: Shape
    private var scanner = JSONScanner()
    /// Bytes of the object so far.
    private(set) var count = 0
    /// Of the member at hand, as it is written.
    private var key: [UInt8] = []
    /// The name as it is written, with its quotes.
    private var quotedName: [UInt8] = []
    private var isInName = false
    private var hasArguments = false
    /// Offset of the first byte of the arguments, when they are an object.
    private(set) var argumentsStart: Int?
    /// Offset behind the last byte of the arguments.
    private(set) var argumentsEnd: Int?

    init(_ shape: Shape) { self.shape = shape }

    var isDone: Bool { scanner.place == .done }

    /// Takes the object's next byte; false when it is no JSON object.
    mutating func consume(_ byte: UInt8) -> Bool {
        let (place, depth) = (scanner.place, scanner.depth)
        guard scanner.consume(byte), scanner.place != .elementOrEnd || depth > 0 else { return false }
        defer { count += 1 }
        if case .arguments = shape {
            argumentsStart = 0
            if isDone { argumentsEnd = count + 1 }
        } else if depth == 1 {
            readMember(byte, at: place)
        } else if depth == 2, scanner.depth == 1, argumentsStart != nil, argumentsEnd == nil {
            argumentsEnd = count + 1
        }
        return true
    }

    /// A byte directly in the object.
    private mutating func readMember(_ byte: UInt8, at place: JSONScanner.Place) {
        switch place {
        case .key, .keyOrEnd: key = []
        case .keyString where scanner.place == .keyString && key.count < 16: key.append(byte)
        case .value where !byte.isJSONWhitespace:
            isInName = scanner.place == .string && quotedName.isEmpty && key.elementsEqual("name".utf8)
            if isInName { quotedName = [byte] }
            guard !hasArguments, Self.isArguments(key) else { return }
            hasArguments = true
            if scanner.place == .keyOrEnd { argumentsStart = count }
        case .string where isInName:
            quotedName.append(byte)
            isInName = scanner.place == .string
        default: break
        }
    }

    private static func isArguments(_ key: some Collection<UInt8>) -> Bool {
        key.elementsEqual("arguments".utf8) || key.elementsEqual("parameters".utf8)
    }

    /// The name of a call whose arguments have begun; nil as long as that is not certain.
    var nameOfBegunCall: String? {
        guard argumentsStart != nil else { return nil }
        if case .arguments(let name, _) = shape { return name }
        guard !isInName, !quotedName.isEmpty else { return nil }
        let name = (try? JSONDocument(parsing: quotedName))?.root.string ?? ""
        return name.isEmpty ? nil : name
    }

    /// What a complete object says; nil when it is no call.
    func result(_ object: [UInt8]) -> Result? {
        let needsArguments: Bool
        switch shape {
        case .arguments(let name, let id): return Result(id: id, name: name, arguments: object)
        case .whole(let needs): needsArguments = needs
        }
        guard let root = (try? JSONDocument(parsing: object))?.root, let name = root["name"]?.string, !name.isEmpty
        else { return nil }
        let id = root["id"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        let value = root.rawMembers.lazy.first { Self.isArguments($0.key.stringBytes ?? []) }?.value
        guard let value, !value.isNull else {
            return needsArguments ? nil : Result(id: id, name: name, arguments: Array("{}".utf8))
        }
        if value.kind == .object { return Result(id: id, name: name, arguments: Array(value.bytes)) }
        // Some models quote the arguments once more, as OpenAI's API has them.
        guard let quoted = value.stringBytes, (try? JSONDocument(parsing: quoted))?.root.kind == .object else {
            return nil
        }
        return Result(id: id, name: name, arguments: quoted)
    }
}

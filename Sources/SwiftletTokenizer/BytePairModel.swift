// Byte-pair encoding of one piece of text, as data says it: vocabulary, merges, unknown token, byte fallback.
// Owned by Tokenizer; immutable but for the memo, whose entries any thread may fill in with the same answer.
// Invariant: a piece's ids depend on the piece and the data alone; the shortcuts (memo, splitting where no
// merge reaches across) never change them.

import Synchronization

final class BytePairModel: Sendable {
    struct Options: Sendable {
        var unknownID: TokenID = -1
        var fusesUnknown = false
        var hasByteFallback = false
        var ignoresMerges = false
        var subwordPrefix: [UInt8] = []
        var wordSuffix: [UInt8] = []
    }

    let vocabulary: Vocabulary
    private let merges: MergeTable
    private let options: Options
    /// Ids of texts of one scalar below 0x10000, or -1.
    private let scalarIDs: [TokenID]
    /// Ids of `<0x00>` … `<0xFF>`, or -1.
    private let byteIDs: [TokenID]
    private let memo: WholeTokenMemo
    /// Pieces longer than this are cut where no merge reaches across.
    private static let longPiece = 32

    init(vocabulary: Vocabulary, merges: MergeTable, options: Options) {
        self.vocabulary = vocabulary
        self.merges = merges
        self.options = options
        memo = WholeTokenMemo(count: vocabulary.idBound)
        var scalarIDs = [TokenID](repeating: -1, count: 0x10000)
        for id in 0..<TokenID(vocabulary.idBound) {
            vocabulary.withText(of: id) { text in
                guard let first = text.first, text.count == UTF8Cursor.length(ofFirst: first), text.count < 4 else {
                    return
                }
                // Of two ids with one text the table's counts.
                scalarIDs[Int(UTF8Cursor.scalar(in: text, at: 0).value)] = vocabulary.id(of: text)
            }
        }
        self.scalarIDs = scalarIDs
        byteIDs = vocabulary.byteTokenIDs
    }

    /// Appends the ids of one piece.
    func encode(_ piece: Bytes, into ids: inout [TokenID], _ space: inout BytePairWorkspace) {
        if piece.isEmpty { return }
        if options.ignoresMerges {
            let id = vocabulary.id(of: piece)
            if id >= 0 { return ids.append(id) }
        }
        if piece.count <= BytePairModel.longPiece || !options.subwordPrefix.isEmpty || !options.wordSuffix.isEmpty {
            return encodePart(piece, into: &ids, &space)
        }
        var start = 0
        var (before, position) = UTF8Cursor.scalar(in: piece, at: 0)
        var beforeIsKnown = scalarID(before, piece, 0, position) >= 0
        while position < piece.count {
            let (scalar, length) = UTF8Cursor.scalar(in: piece, at: position)
            let isKnown = scalarID(scalar, piece, position, length) >= 0
            if beforeIsKnown && isKnown && !merges.mayTouch(before, scalar) {
                encodePart(Bytes(rebasing: piece[start..<position]), into: &ids, &space)
                start = position
            }
            before = scalar
            beforeIsKnown = isKnown
            position += length
        }
        encodePart(Bytes(rebasing: piece[start...]), into: &ids, &space)
    }

    /// Merges one part; a part that is a token and has been seen to encode to itself costs one lookup.
    private func encodePart(_ part: Bytes, into ids: inout [TokenID], _ space: inout BytePairWorkspace) {
        let whole = vocabulary.id(of: part)
        if whole >= 0, memo[whole] == .encodesToItself { return ids.append(whole) }
        let first = ids.count
        collectSymbols(of: part, &space)
        space.merge(with: merges)
        ids.append(contentsOf: space.symbols)
        if whole >= 0, memo[whole] == .unknown {
            memo[whole] = ids.count == first + 1 && ids[first] == whole ? .encodesToItself : .doesNot
        }
    }

    // MARK: Symbols to begin with

    @inline(__always)
    private func scalarID(_ scalar: UInt32, _ text: Bytes, _ position: Int, _ length: Int) -> TokenID {
        if scalar < 0x10000 { return scalarIDs[Int(scalar)] }
        return vocabulary.id(of: Bytes(rebasing: text[position..<position + length]))
    }

    private func collectSymbols(of part: Bytes, _ space: inout BytePairWorkspace) {
        space.symbols.removeAll(keepingCapacity: true)
        let isPlain = options.subwordPrefix.isEmpty && options.wordSuffix.isEmpty
        // The id of an unknown token that has not been appended yet: it may still swallow its neighbour.
        var pending: TokenID = -1
        var position = 0
        while position < part.count {
            let (scalar, length) = UTF8Cursor.scalar(in: part, at: position)
            let id =
                isPlain
                ? scalarID(scalar, part, position, length) : decoratedID(part, position, length)
            if id >= 0 {
                if pending >= 0 { space.symbols.append(pending) }
                pending = -1
                space.symbols.append(id)
            } else if !(options.hasByteFallback && appendBytes(part[position..<position + length], &space)),
                options.unknownID >= 0
            {
                if pending >= 0 && !options.fusesUnknown { space.symbols.append(pending) }
                pending = options.unknownID
            }
            position += length
        }
        if pending >= 0 { space.symbols.append(pending) }
    }

    private func decoratedID(_ part: Bytes, _ position: Int, _ length: Int) -> TokenID {
        var text: [UInt8] = position > 0 ? options.subwordPrefix : []
        text += part[position..<position + length]
        if position + length == part.count { text += options.wordSuffix }
        return text.withUnsafeBufferPointer { vocabulary.id(of: $0) }
    }

    /// Appends the tokens of bytes, all or none.
    private func appendBytes(_ bytes: Slice<Bytes>, _ space: inout BytePairWorkspace) -> Bool {
        for byte in bytes where byteIDs[Int(byte)] < 0 { return false }
        for byte in bytes { space.symbols.append(byteIDs[Int(byte)]) }
        return true
    }
}

/// One byte a token: whether its own text encodes to it. Threads that race write the same answer.
private final class WholeTokenMemo: @unchecked Sendable {
    enum Answer: UInt8 { case unknown, encodesToItself, doesNot }

    private let answers: UnsafeMutablePointer<Atomic<UInt8>>
    private let count: Int

    init(count: Int) {
        self.count = count
        answers = .allocate(capacity: max(count, 1))
        for index in 0..<count { (answers + index).initialize(to: Atomic(0)) }
    }

    deinit {
        answers.deinitialize(count: count)
        answers.deallocate()
    }

    /// The answer for an id the vocabulary has.
    subscript(id: TokenID) -> Answer {
        get { Answer(rawValue: answers[Int(id)].load(ordering: .relaxed)) ?? .unknown }
        set { answers[Int(id)].store(newValue.rawValue, ordering: .relaxed) }
    }
}

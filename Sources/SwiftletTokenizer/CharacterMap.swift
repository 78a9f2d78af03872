// The replacements that sentencepiece compiles into a model: a double-array trie from texts to texts.
// Owned by Normalizer; read from `precompiled_charsmap` of the file, immutable.
// Invariant: every value in the trie is a place in `texts` where a scalar begins and before whose zero byte it ends;
// a step that would leave the array ends the search.

struct CharacterMap: Sendable {
    /// Largest accepted size; the published ones have a quarter of a megabyte.
    private static let maximumByteCount = 16 << 20

    /// Units of the trie: label, where the children lie, and whether one of them is a value.
    private let units: [UInt32]
    /// The replacements, each with a zero byte behind it.
    private let texts: [UInt8]
    /// Bytes of the longest replacement.
    let longestText: Int

    init(base64 text: [UInt8]) throws(TokenizerError) {
        func failure(_ message: String) -> TokenizerError {
            TokenizerError("normalizer Precompiled: precompiled_charsmap \(message)")
        }
        guard text.count <= CharacterMap.maximumByteCount else {
            throw failure("is over \(CharacterMap.maximumByteCount >> 20) MiB")
        }
        guard let bytes = Base64.decode(text) else { throw failure("is not base64") }
        func unit(at place: Int) -> UInt32 {
            UInt32(bytes[place]) | UInt32(bytes[place + 1]) << 8 | UInt32(bytes[place + 2]) << 16
                | UInt32(bytes[place + 3]) << 24
        }
        guard bytes.count >= 4, case let size = Int(unit(at: 0)), size >= 4, size % 4 == 0, size <= bytes.count - 4
        else {
            throw failure("has no trie that fits into it")
        }
        units = stride(from: 4, to: 4 + size, by: 4).map(unit)
        texts = Array(bytes[(4 + size)...])
        guard UTF8Repair.isValid(texts) else { throw failure("has replacements that are not UTF-8") }
        var longest = 0
        var end = texts.count
        var lengths = [Int](repeating: 0, count: texts.count + 1)
        for place in texts.indices.reversed() {
            if texts[place] == 0 { end = place }
            lengths[place] = end - place
        }
        for unit in units where unit >> 31 == 1 {
            let place = Int(unit & 0x7FFF_FFFF)
            guard place <= texts.count, place == texts.count || UTF8Cursor.isBoundary(texts[place]) else {
                throw failure("has a replacement at \(place), which is not the start of a text in it")
            }
            longest = max(longest, lengths[place])
        }
        longestText = longest
    }

    /// Replaces what the map has a text for: characters as readers see them if they are short, else scalar by scalar.
    func apply(to text: Bytes) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            let (value, length) = UTF8Cursor.scalar(in: text, at: position)
            if CharacterMap.standsAlone(value, before: position + length, in: text) {
                appendReplacement(of: text[position..<position + length], orScalarsTo: &result)
                position += length
                continue
            }
            // Up to where a character surely ends, the standard library finds out which scalars belong together.
            let end = CharacterMap.endOfRun(from: position, in: text)
            for character in String(decoding: text[position..<end], as: UTF8.self) {
                let next = position + character.utf8.count
                appendReplacement(of: text[position..<next], orScalarsTo: &result)
                position = next
            }
        }
        return result
    }

    private func appendReplacement(of character: Slice<Bytes>, orScalarsTo result: inout [UInt8]) {
        if character.count < 6, append(character, to: &result) { return }
        var position = character.startIndex
        while position < character.endIndex {
            let next = position + UTF8Cursor.length(ofFirst: character[position])
            if !append(character[position..<next], to: &result) {
                result.append(contentsOf: character[position..<next])
            }
            position = next
        }
    }

    /// Appends the replacement of the shortest beginning of a text that has one; false when none has.
    private func append(_ text: Slice<Bytes>, to result: inout [UInt8]) -> Bool {
        func children(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & 0x200) >> 6)) }
        var node = children(units[0])
        for byte in text where byte != 0 {
            node ^= Int(byte)
            guard node < units.count, units[node] & 0x8000_00FF == UInt32(byte) else { return false }
            let unit = units[node]
            node ^= children(unit)
            guard unit >> 8 & 1 == 1 else { continue }
            guard node < units.count, units[node] >> 31 == 1 else { return false }
            result.append(contentsOf: texts[Int(units[node] & 0x7FFF_FFFF)...].prefix { $0 != 0 })
            return true
        }
        return false
    }

    // MARK: Characters

    /// Scalars that belong to no other, whatever stands beside them, in the scripts that most text is in.
    private static func isSeparate(_ value: UInt32) -> Bool {
        switch value {
        case 0x00...0x7E, 0xC0...0x2FF, 0x370...0x482, 0x48A...0x52F, 0x2010...0x2027, 0x3000...0x3029,
            0x3041...0x3096, 0x30A1...0x30FA, 0x3400...0x9FFF, 0xFF01...0xFF60:
            true
        default: false
        }
    }

    /// Whether a scalar that ends at `end` is a whole character.
    private static func standsAlone(_ value: UInt32, before end: Int, in text: Bytes) -> Bool {
        guard isSeparate(value) else { return false }
        if end == text.count { return true }
        if value == 0x0D && text[end] == 0x0A { return false }
        return isSeparate(UTF8Cursor.scalar(in: text, at: end).value)
    }

    private static func endOfRun(from start: Int, in text: Bytes) -> Int {
        var position = start
        while position < text.count {
            let (value, length) = UTF8Cursor.scalar(in: text, at: position)
            position += length
            if standsAlone(value, before: position, in: text) { return position }
        }
        return position
    }
}

// Unicode normalization forms C, D, KC and KD over UTF-8, without Foundation, by the tables of Unicode 9.0: those
// the reference implementation has.
// Owned by Normalizer; the tables are unpacked once a process, at the first text that needs them.
// Invariant: text all of whose scalars are certain not to change is returned after one scan.

package struct CanonicalForm: Sendable {
    static let shared = CanonicalForm()

    private struct Decomposition {
        var first: UInt32
        /// 0: there is only one.
        var second: UInt32
    }

    private var decompositions: [UInt32: Decomposition] = [:]
    private var compositions: [UInt64: UInt32] = [:]
    /// Bit n: scalar n of the first 65,536 may change in form C, by itself or beside others.
    private var mayChange = [UInt64](repeating: 0, count: 1024)

    // Hangul syllables are composed by arithmetic (Unicode standard, section 3.12).
    private static let hangul: UInt32 = 0xAC00
    private static let leading: UInt32 = 0x1100
    private static let vowel: UInt32 = 0x1161
    private static let trailing: UInt32 = 0x11A7
    private static let vowelCount: UInt32 = 21
    private static let trailingCount: UInt32 = 28
    private static let syllableCount: UInt32 = 11172

    /// What came later keeps its place and does not decompose.
    private static let unicodeVersion = 9

    private init() {
        var scalar: UInt32 = 0
        let text = String(describing: CanonicalData.entries)
        for entry in text.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
            let isExcluded = entry.last == "!"
            let fields = (isExcluded ? entry.dropLast() : entry).split(separator: ",").compactMap {
                UInt32($0, radix: 36)
            }
            guard fields.count >= 2 else { continue }
            scalar += fields[0]
            let second = fields.count > 2 ? fields[2] : 0
            decompositions[scalar] = Decomposition(first: fields[1], second: second)
            if second != 0 && !isExcluded {
                compositions[UInt64(fields[1]) << 32 | UInt64(second)] = scalar
                note(second)
            } else {
                note(scalar)
            }
        }
        for value in 0x300..<UInt32(0x10000) where UnicodeCategories.isMember(value, of: UnicodeCategories.marks) {
            if CanonicalForm.combiningClass(value) != 0 { note(value) }
        }
        for value in CanonicalForm.vowel...0x11FF { note(value) }
    }

    private mutating func note(_ value: UInt32) {
        if value < 0x10000 { mayChange[Int(value >> 6)] |= 1 << UInt64(value & 63) }
    }

    private static func combiningClass(_ value: UInt32) -> UInt8 {
        guard value >= 0x300 else { return 0 }
        guard let properties = Unicode.Scalar(value)?.properties, properties.canonicalCombiningClass.rawValue != 0,
            let age = properties.age, age.major <= CanonicalForm.unicodeVersion
        else { return 0 }
        return properties.canonicalCombiningClass.rawValue
    }

    /// Calls `body` with every scalar that decomposes and the scalar that it then begins with, directly.
    func forEachDecomposition(_ body: (_ scalar: UInt32, _ first: UInt32) -> Void) {
        for (scalar, parts) in decompositions { body(scalar, parts.first) }
    }

    /// Form C or form D of a text, or form KC or KD.
    package static func normalized(_ text: String, isComposing: Bool, isCompatible: Bool = false) -> String {
        let result = Array(text.utf8).withUnsafeBufferPointer {
            shared.normalize($0, isComposing: isComposing, isCompatible: isCompatible)
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// UTF-8 composed (forms C and KC) or decomposed (D and KD); in the K forms what is only a way of writing
    /// something else is replaced by it.
    func normalize(_ text: Bytes, isComposing: Bool, isCompatible: Bool = false) -> [UInt8] {
        let mappings = isCompatible ? CompatibilityMappings.shared : nil
        if isUnchanged(text, isComposing: isComposing, mappings) { return Array(text) }
        var scalars: [(value: UInt32, order: UInt8)] = []
        scalars.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            let (value, length) = UTF8Cursor.scalar(in: text, at: position)
            decompose(value, into: &scalars, mappings)
            position += length
        }
        reorder(&scalars)
        if isComposing { compose(&scalars) }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for scalar in scalars { UTF8Cursor.append(scalar.value, to: &result) }
        return result
    }

    private func isUnchanged(_ text: Bytes, isComposing: Bool, _ mappings: CompatibilityMappings?) -> Bool {
        var position = 0
        while position < text.count {
            let byte = text[position]
            if byte < 0x80 {
                position += 1
                continue
            }
            let (value, length) = UTF8Cursor.scalar(in: text, at: position)
            if isComposing && value < 0x10000 {
                if mayChange[Int(value >> 6)] >> UInt64(value & 63) & 1 == 1 { return false }
                if let mappings, mappings.changes(value) { return false }
            } else if isComposing {
                // Beyond the first plane: emoji and the ideographs of planes 2 and 3 are stable, the rest is looked at.
                let isStable = (0x1F000...0x1FAFF).contains(value) || (0x20000...0x2F7FF).contains(value)
                if let mappings, mappings.changes(value) { return false }
                if !isStable { return false }
            } else {
                return false
            }
            position += length
        }
        return true
    }

    private func decompose(
        _ value: UInt32, into scalars: inout [(value: UInt32, order: UInt8)], _ mappings: CompatibilityMappings?
    ) {
        let syllable = value &- CanonicalForm.hangul
        if syllable < CanonicalForm.syllableCount {
            let perLeading = CanonicalForm.vowelCount * CanonicalForm.trailingCount
            scalars.append((CanonicalForm.leading + syllable / perLeading, 0))
            scalars.append((CanonicalForm.vowel + syllable % perLeading / CanonicalForm.trailingCount, 0))
            let last = syllable % CanonicalForm.trailingCount
            if last != 0 { scalars.append((CanonicalForm.trailing + last, 0)) }
        } else if value >= 0xC0, let parts = decompositions[value] {
            // Firsts may decompose further, three levels deep at most; seconds as well.
            decompose(parts.first, into: &scalars, mappings)
            if parts.second != 0 { decompose(parts.second, into: &scalars, mappings) }
        } else if let parts = mappings?.parts(of: value) {
            for part in parts { decompose(part, into: &scalars, mappings) }
        } else {
            scalars.append((value, CanonicalForm.combiningClass(value)))
        }
    }

    /// Sorts every run of combining marks by their class, equal ones in place.
    private func reorder(_ scalars: inout [(value: UInt32, order: UInt8)]) {
        var start = 0
        while start < scalars.count {
            guard scalars[start].order != 0 else {
                start += 1
                continue
            }
            var end = start + 1
            while end < scalars.count, scalars[end].order != 0 { end += 1 }
            if end - start > 1 {
                let sorted = scalars[start..<end].enumerated().sorted {
                    ($0.element.order, $0.offset) < ($1.element.order, $1.offset)
                }
                for (index, entry) in sorted.enumerated() { scalars[start + index] = entry.element }
            }
            start = end
        }
    }

    private func compose(_ scalars: inout [(value: UInt32, order: UInt8)]) {
        var starter = -1
        var count = 0
        for index in scalars.indices {
            let scalar = scalars[index]
            if starter >= 0 {
                // A mark reaches its starter unless one of the same or a higher class stands between.
                let isAdjacent = count - 1 == starter
                let isReachable = isAdjacent || (scalar.order != 0 && scalars[count - 1].order < scalar.order)
                if isReachable, let composed = composition(scalars[starter].value, scalar.value) {
                    scalars[starter].value = composed
                    continue
                }
            }
            scalars[count] = scalar
            if scalar.order == 0 { starter = count }
            count += 1
        }
        scalars.removeSubrange(count...)
    }

    private func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
        let lead = first &- CanonicalForm.leading
        let vowel = second &- CanonicalForm.vowel
        if lead < 19 && vowel < CanonicalForm.vowelCount {
            return CanonicalForm.hangul + (lead * CanonicalForm.vowelCount + vowel) * CanonicalForm.trailingCount
        }
        let syllable = first &- CanonicalForm.hangul
        let trail = second &- CanonicalForm.trailing
        if syllable < CanonicalForm.syllableCount, syllable % CanonicalForm.trailingCount == 0,
            trail > 0, trail < CanonicalForm.trailingCount
        {
            return first + trail
        }
        return compositions[UInt64(first) << 32 | UInt64(second)]
    }
}

// Unicode normalization forms C and D over UTF-8, without Foundation.
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
        return Unicode.Scalar(value)?.properties.canonicalCombiningClass.rawValue ?? 0
    }

    /// Form C or form D of a text.
    package static func normalized(_ text: String, isComposing: Bool) -> String {
        let result = Array(text.utf8).withUnsafeBufferPointer { shared.normalize($0, isComposing: isComposing) }
        return String(decoding: result, as: UTF8.self)
    }

    /// Form C (composed) or form D (decomposed) of UTF-8.
    func normalize(_ text: Bytes, isComposing: Bool) -> [UInt8] {
        if isUnchanged(text, isComposing: isComposing) { return Array(text) }
        var scalars: [(value: UInt32, order: UInt8)] = []
        scalars.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            let (value, length) = UTF8Cursor.scalar(in: text, at: position)
            decompose(value, into: &scalars)
            position += length
        }
        reorder(&scalars)
        if isComposing { compose(&scalars) }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for scalar in scalars { UTF8Cursor.append(scalar.value, to: &result) }
        return result
    }

    private func isUnchanged(_ text: Bytes, isComposing: Bool) -> Bool {
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
            } else if isComposing {
                // Beyond the first plane: emoji and the ideographs of planes 2 and 3 are stable, the rest is looked at.
                let isStable = (0x1F000...0x1FAFF).contains(value) || (0x20000...0x2F7FF).contains(value)
                if !isStable { return false }
            } else {
                return false
            }
            position += length
        }
        return true
    }

    private func decompose(_ value: UInt32, into scalars: inout [(value: UInt32, order: UInt8)]) {
        let syllable = value &- CanonicalForm.hangul
        if syllable < CanonicalForm.syllableCount {
            let perLeading = CanonicalForm.vowelCount * CanonicalForm.trailingCount
            scalars.append((CanonicalForm.leading + syllable / perLeading, 0))
            scalars.append((CanonicalForm.vowel + syllable % perLeading / CanonicalForm.trailingCount, 0))
            let last = syllable % CanonicalForm.trailingCount
            if last != 0 { scalars.append((CanonicalForm.trailing + last, 0)) }
        } else if value >= 0xC0, let parts = decompositions[value] {
            // Firsts may decompose further, three levels deep at most; seconds as well.
            decompose(parts.first, into: &scalars)
            if parts.second != 0 { decompose(parts.second, into: &scalars) }
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

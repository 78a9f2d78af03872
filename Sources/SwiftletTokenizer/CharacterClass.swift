// A set of Unicode scalars as a regular expression writes it: ranges, categories, negation, nesting.
// Owned by RegexProgram, which keeps one per place in the pattern where one scalar is matched.
// Invariant: asciiBits agrees with the definition once finish() has run after the last insertion.

struct CharacterClass: Sendable {
    private(set) var ranges: [ClosedRange<UInt32>] = []
    private(set) var categories: UInt32 = 0
    private(set) var nested: [CharacterClass] = []
    /// Sets the result must also be in (`&&`).
    private(set) var intersected: [CharacterClass] = []
    private(set) var isNegated = false
    /// Bit n: scalar n is a member.
    private(set) var asciiBits: (UInt64, UInt64) = (0, 0)

    init() {}

    /// The scalars that have a property; made by asking all of them, so for patterns that name it only.
    init(where isMember: (Unicode.Scalar.Properties) -> Bool) {
        for value in UInt32(0)..<0x11_0000 {
            guard let scalar = Unicode.Scalar(value), isMember(scalar.properties),
                UnicodeCategories.category(of: value) != UnicodeCategories.unassigned
            else { continue }
            if let last = ranges.last, last.upperBound + 1 == value {
                ranges[ranges.count - 1] = last.lowerBound...value
            } else {
                ranges.append(value...value)
            }
        }
        finish()
    }

    init(_ ranges: [ClosedRange<UInt32>], categories: UInt32 = 0, isNegated: Bool = false) {
        self.ranges = ranges
        self.categories = categories
        self.isNegated = isNegated
        finish()
    }

    static let whitespace = CharacterClass([0x09...0x0D], categories: UnicodeCategories.whitespace)
    static let digits = CharacterClass([], categories: UnicodeCategories.decimalNumbers)
    /// Letters enclosed in circles and squares: symbols that are alphabetic.
    static let enclosedLetters: [ClosedRange<UInt32>] = [
        0x24B6...0x24E9, 0x1F130...0x1F149, 0x1F150...0x1F169, 0x1F170...0x1F189,
    ]
    /// What `\w` means to Oniguruma, its six superscripts and fractions included.
    static let word = CharacterClass(
        enclosedLetters + [0xB2...0xB3, 0xB9...0xB9, 0xBC...0xBE],
        categories: UnicodeCategories.wordCharacters)
    /// What `\w` means to the engine of the Whitespace pre-tokenizer.
    static let unicodeWord = CharacterClass(
        enclosedLetters + [0x200C...0x200D], categories: UnicodeCategories.wordCharacters)
    static let hexadecimal = CharacterClass([0x30...0x39, 0x41...0x46, 0x61...0x66])
    /// What `\R` takes beside CR LF.
    static let lineEnds = CharacterClass([0x0A...0x0D, 0x85...0x85, 0x2028...0x2029])
    static let notNewline = CharacterClass([0x0A...0x0A], isNegated: true)
    static let any = CharacterClass([], isNegated: true)

    mutating func insert(_ other: CharacterClass) {
        if other.isNegated || !other.intersected.isEmpty || !other.nested.isEmpty {
            nested.append(other)
        } else {
            ranges += other.ranges
            categories |= other.categories
        }
    }

    mutating func intersect(with other: CharacterClass) {
        intersected.append(other)
    }

    mutating func negate() {
        let bits = asciiBits
        if intersected.isEmpty {
            isNegated.toggle()
        } else {
            let positive = self
            self = CharacterClass()
            nested = [positive]
            isNegated = true
        }
        asciiBits = (~bits.0, ~bits.1)
    }

    func negated() -> CharacterClass {
        var result = self
        result.negate()
        return result
    }

    /// Whether only ranges and categories define the set, so that the matcher needs no walk over nested sets.
    var isFlat: Bool { nested.isEmpty && intersected.isEmpty }

    func contains(_ value: UInt32) -> Bool {
        var isMember = categories != 0 && UnicodeCategories.isMember(value, of: categories)
        isMember = isMember || ranges.contains { $0.contains(value) } || nested.contains { $0.contains(value) }
        return isMember != isNegated && intersected.allSatisfy { $0.contains(value) }
    }

    /// Adds the other cases of everything in the set.
    mutating func ignoreCase() {
        for range in ranges where range.count <= 64 {
            for value in range { ranges += CharacterClass.caseVariants(of: value).map { $0...$0 } }
        }
        if categories & UnicodeCategories.cased != 0 { categories |= UnicodeCategories.cased }
        for index in nested.indices { nested[index].ignoreCase() }
        for index in intersected.indices { intersected[index].ignoreCase() }
        finish()
    }

    /// Scalars that differ from one by case only, itself included.
    private static func caseVariants(of value: UInt32) -> [UInt32] {
        Unicode.Scalar(value).flatMap { caseGroups[folded($0)] } ?? [value]
    }

    /// The lowercase of the uppercase, where these are single scalars: the same for all cases of a letter.
    private static func folded(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        func single(_ text: String, or scalar: Unicode.Scalar) -> Unicode.Scalar {
            text.unicodeScalars.count == 1 ? text.unicodeScalars.first ?? scalar : scalar
        }
        let upper = single(scalar.properties.uppercaseMapping, or: scalar)
        return single(upper.properties.lowercaseMapping, or: upper)
    }

    /// All scalars that have cases, by what they fold to; made at the first pattern that ignores case.
    private static let caseGroups: [Unicode.Scalar: [UInt32]] = {
        var groups: [Unicode.Scalar: [UInt32]] = [:]
        for value in UInt32(0)..<0x1F000 {
            guard let scalar = Unicode.Scalar(value),
                scalar.properties.changesWhenLowercased || scalar.properties.changesWhenUppercased
            else { continue }
            groups[folded(scalar), default: []].append(value)
        }
        return groups
    }()

    /// Brings asciiBits up to date.
    mutating func finish() {
        var bits: (UInt64, UInt64) = (0, 0)
        for value in UInt32(0)..<64 where contains(value) { bits.0 |= 1 << UInt64(value) }
        for value in UInt32(64)..<128 where contains(value) { bits.1 |= 1 << UInt64(value - 64) }
        asciiBits = bits
    }
}

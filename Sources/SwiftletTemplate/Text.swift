// Text: a Python string: a sequence of Unicode scalars, not of characters as Swift counts them, compared without
// normalisation. UTF-8 inside, so output and concatenation copy bytes.
// Owned by values of a render.
// Invariant: `bytes` is well-formed UTF-8, and `isASCII` says whether all of it is ASCII.

/// A string of a template.
struct Text: Sendable, Equatable {
    private(set) var bytes: [UInt8]
    private(set) var isASCII: Bool
    /// Marked as safe HTML (`|safe`, `|escape`): what is joined to it is escaped, as markupsafe does.
    var isMarkup = false

    init(utf8 bytes: [UInt8], isMarkup: Bool = false) {
        self.bytes = bytes
        isASCII = bytes.allSatisfy { $0 < 0x80 }
        self.isMarkup = isMarkup
    }

    init(_ string: String) { self.init(utf8: Array(string.utf8)) }

    init(_ slice: ArraySlice<UInt8>, isMarkup: Bool = false) { self.init(utf8: Array(slice), isMarkup: isMarkup) }

    init(_ scalar: Unicode.Scalar) { self.init(utf8: Array(String(scalar).utf8)) }

    init(scalars: some Sequence<Unicode.Scalar>) {
        var bytes: [UInt8] = []
        for scalar in scalars { bytes.append(scalar) }
        self.init(utf8: bytes)
    }

    static let empty = Text(utf8: [])

    static func == (left: Text, right: Text) -> Bool { left.bytes == right.bytes }

    var isEmpty: Bool { bytes.isEmpty }
    var string: String { String(decoding: bytes, as: UTF8.self) }
    var scalars: String.UnicodeScalarView { string.unicodeScalars }

    /// How many scalars it has, what Python's `len` says.
    var count: Int { isASCII ? bytes.count : Text.scalarCount(bytes[...]) }

    static func scalarCount(_ bytes: ArraySlice<UInt8>) -> Int {
        var count = 0
        for byte in bytes where byte & 0xC0 != 0x80 { count += 1 }
        return count
    }

    /// The same text without the mark.
    var plain: Text {
        var text = self
        text.isMarkup = false
        return text
    }

    func marked(_ isMarkup: Bool) -> Text {
        var text = self
        text.isMarkup = isMarkup
        return text
    }

    mutating func append(_ other: Text) {
        bytes.append(contentsOf: other.bytes)
        isASCII = isASCII && other.isASCII
    }

    static func + (left: Text, right: Text) -> Text {
        var result = left
        result.append(right)
        return result
    }

    /// The byte offset of each scalar, and the end.
    private func offset(ofScalar index: Int) -> Int {
        if isASCII { return min(index, bytes.count) }
        var seen = 0
        for (offset, byte) in bytes.enumerated() where byte & 0xC0 != 0x80 {
            if seen == index { return offset }
            seen += 1
        }
        return bytes.count
    }

    /// The scalars from `range`, which lies within 0 ... count.
    func slice(_ range: Range<Int>) -> Text {
        let start = offset(ofScalar: range.lowerBound)
        return Text(bytes[start..<max(start, offset(ofScalar: range.upperBound))], isMarkup: isMarkup)
    }

    /// The scalars as texts of one each.
    var elements: [Text] {
        var result: [Text] = []
        result.reserveCapacity(bytes.count)
        var start = 0
        while start < bytes.count {
            let length = Text.scalarLength(bytes[start])
            result.append(Text(bytes[start..<start + length], isMarkup: isMarkup))
            start += length
        }
        return result
    }

    /// The byte count of the scalar that starts with a byte.
    static func scalarLength(_ first: UInt8) -> Int {
        first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
    }

    /// Order by scalars, which UTF-8 keeps.
    static func < (left: Text, right: Text) -> Bool { left.bytes.lexicographicallyPrecedes(right.bytes) }

    // MARK: Searching

    func hasPrefix(_ other: Text) -> Bool { bytes.starts(with: other.bytes) }

    func hasSuffix(_ other: Text) -> Bool {
        bytes.count >= other.bytes.count && bytes[(bytes.count - other.bytes.count)...].elementsEqual(other.bytes)
    }

    func contains(_ other: Text) -> Bool { firstOffset(of: other, from: 0) != nil }

    /// The byte offset of the first occurrence that starts at `start` or later.
    func firstOffset(of other: Text, from start: Int) -> Int? {
        let needle = other.bytes
        guard let first = needle.first else { return start <= bytes.count ? start : nil }
        guard bytes.count >= needle.count else { return nil }
        return bytes.withUnsafeBufferPointer { bytes in
            needle.withUnsafeBufferPointer { needle in
                var position = start
                while position <= bytes.count - needle.count {
                    if bytes[position] == first {
                        var length = 1
                        while length < needle.count, bytes[position + length] == needle[length] { length += 1 }
                        if length == needle.count { return position }
                    }
                    position += 1
                }
                return nil
            }
        }
    }

    /// The byte offset of the last occurrence that ends at `end` or before.
    func lastOffset(of other: Text, before end: Int) -> Int? {
        var position = end - other.bytes.count
        while position >= 0 {
            if bytes[position..<position + other.bytes.count].elementsEqual(other.bytes) { return position }
            position -= 1
        }
        return nil
    }

    /// The scalar index of a byte offset.
    func scalarIndex(ofOffset offset: Int) -> Int { isASCII ? offset : Text.scalarCount(bytes[..<offset]) }

    /// The byte offset of a scalar index, at most the end.
    func byteOffset(ofScalar index: Int) -> Int { offset(ofScalar: index) }
}

extension Text: ExpressibleByStringLiteral {
    init(stringLiteral value: String) { self.init(value) }
}

extension [UInt8] {
    /// Appends a scalar as UTF-8.
    mutating func append(_ scalar: Unicode.Scalar) {
        if let encoded = UTF8.encode(scalar) { append(contentsOf: encoded) }
    }
}

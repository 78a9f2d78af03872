// Direct access to the nodes of a parsed file, for the two sections that have hundreds of thousands of them.
// Owned by the model's loader.
// Invariant: node numbers come from the tape itself; strings are lent, and unescaped only when they must be.

import SwiftletJSON

struct JSONTape {
    private let document: JSONDocument
    private let nodes: [JSONDocument.Node]
    private let bytes: [UInt8]

    init(_ document: JSONDocument) {
        self.document = document
        nodes = document.nodes
        bytes = document.bytes
    }

    func next(_ node: Int) -> Int { Int(nodes[node].next) }

    func withBytes(_ body: (Bytes) -> Void) { bytes.withUnsafeBufferPointer(body) }

    /// Where the two parts of a merge are written, `"a b"` or `["a", "b"]`; nil when that takes a closer look.
    func mergeRanges(_ node: Int) -> (Range<Int>, Range<Int>)? {
        func plain(_ node: Int) -> Range<Int>? {
            guard nodes[node].kind == .string, nodes[node].hasNoEscapes else { return nil }
            return Int(nodes[node].start)..<Int(nodes[node].end)
        }
        if nodes[node].kind == .array, nodes[node].count == 2, let left = plain(node + 1),
            nodes[node + 1].next == node + 2, let right = plain(node + 2)
        {
            return (left, right)
        }
        guard let line = plain(node), let space = bytes[line].firstIndex(of: UInt8(ascii: " ")) else { return nil }
        return (line.lowerBound..<space, space + 1..<line.upperBound)
    }

    /// The nodes of an array of two: a string and something without parts; nil when it is not one.
    func pair(_ node: Int) -> (Int, Int)? {
        guard nodes[node].kind == .array, nodes[node].count == 2, nodes[node + 1].kind == .string,
            nodes[node + 1].next == node + 2
        else { return nil }
        return (node + 1, node + 2)
    }

    /// A number written as plain digits, or any other exact integer.
    func integer(_ node: Int) -> Int? {
        guard nodes[node].kind == .number else { return nil }
        let range = Int(nodes[node].start)..<Int(nodes[node].end)
        guard range.count < 10 else { return JSONValue(document: document, index: node).int }
        var value = 0
        for byte in bytes[range] {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else {
                return JSONValue(document: document, index: node).int
            }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return value
    }

    /// A number read as the reference reads it, which rounds twice: up to nineteen digits, then a power of ten. Scores
    /// that differ in the last place decide differently between ways that are equally good.
    func score(_ node: Int) -> Double? {
        guard nodes[node].kind == .number else { return nil }
        var significand: UInt64 = 0
        var exponent = 0
        var isNegative = false
        var isFraction = false
        var isFull = false
        var position = Int(nodes[node].start)
        let end = Int(nodes[node].end)
        scan: while position < end {
            switch bytes[position] {
            case UInt8(ascii: "-"): isNegative = true
            case UInt8(ascii: "."): isFraction = true
            case let byte where JSONTape.isDigit(byte):
                let (product, overflow) = significand.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
                isFull = isFull || overflow || carry
                if !isFull { significand = sum }
                // Digits that no longer fit are dropped, but keep their place before the point.
                if isFraction && !isFull { exponent -= 1 }
                if !isFraction && isFull { exponent += 1 }
            default: break scan
            }
            position += 1
        }
        if position < end {
            guard let power = Int(String(decoding: bytes[(position + 1)..<end], as: UTF8.self)), abs(power) < 10_000
            else {
                return nil
            }
            exponent += power
        }
        var value = Double(significand)
        while exponent < -308, value != 0 {
            value /= 1e308
            exponent += 308
        }
        value = exponent < 0 ? value / JSONTape.power(-exponent) : value * JSONTape.power(exponent)
        return value.isFinite ? (isNegative ? -value : value) : nil
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    /// The doubles nearest to the powers of ten.
    private static let powers = (0...308).map { Double("1e\($0)") ?? .infinity }

    private static func power(_ exponent: Int) -> Double { exponent < powers.count ? powers[exponent] : .infinity }

    /// Lends the UTF-8 of a string node; `scratch` keeps it when it has to be unescaped.
    @inline(__always)
    func withString<R>(_ node: Int, _ scratch: inout [UInt8], _ body: (Bytes) -> R) -> R {
        if nodes[node].hasNoEscapes {
            return bytes.withUnsafeBufferPointer { text in
                body(Bytes(rebasing: text[Int(nodes[node].start)..<Int(nodes[node].end)]))
            }
        }
        scratch = JSONValue(document: document, index: node).stringBytes ?? []
        return scratch.withUnsafeBufferPointer(body)
    }

    /// A value as it is written, cut to a length that fits a message.
    func text(_ node: Int) -> String {
        String(decoding: JSONValue(document: document, index: node).bytes.prefix(80), as: UTF8.self)
    }
}

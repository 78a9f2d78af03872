// The JSON reader and writer: the grammar's edges, what is refused and where, and mutation fuzzing.
// Owned by this test target.
// Invariant: every text accepted here is accepted by RFC 8259, every text refused is not.

import SwiftletJSON
import SwiftletTestSupport
import Testing

@Suite struct JSONTests {
    private func parse(_ text: String, depth: Int = 128, unique: Bool = false) throws -> JSONValue {
        try JSONDocument(parsing: Array(text.utf8), maximumDepth: depth, rejectDuplicateKeys: unique).root
    }

    @Test func readsEveryKindOfValue() throws {
        let root = try parse(#" {"a": [1, -2.5e1, "x", true, false, null, {}], "b": {"c": []}} "#)
        #expect(root.kind == .object && root.count == 2)
        let array = try #require(root["a"])
        #expect(array.count == 7)
        #expect(array[0]?.int == 1)
        #expect(array[1]?.int == -25)
        #expect(array[1]?.double == -25)
        #expect(array[2]?.string == "x")
        #expect(array[3]?.bool == true && array[4]?.bool == false)
        #expect(array[5]?.isNull == true)
        #expect(array[6]?.kind == .object && array[6]?.count == 0)
        #expect(array[7] == nil && array[-1] == nil)
        #expect(root["b"]?["c"]?.elements.map(\.kind) == [])
        #expect(root["none"] == nil && array["a"] == nil && root[0] == nil)
        #expect(root.members.map(\.key) == ["a", "b"])
        #expect(array.elements.map(\.kind) == [.number, .number, .string, .bool, .bool, .null, .object])
    }

    @Test func keepsByteRanges() throws {
        let root = try parse(#" {"key" : [ 10 ,"é\n"]}"#)
        #expect(root.byteRange == 1..<24)
        #expect(String(decoding: root["key"]!.bytes, as: UTF8.self) == #"[ 10 ,"é\n"]"#)
        #expect(String(decoding: root["key"]![1]!.bytes, as: UTF8.self) == #""é\n""#)
        #expect(root["key"]![1]!.withStringBytes(Array.init) == Array("é\n".utf8))
        #expect(root["key"]![0]!.withStringBytes(Array.init) == nil)
    }

    @Test(arguments: [
        (#""\u0041\u00e9\u4e2d""#, "Aé中"), (#""\ud83d\ude42""#, "🙂"), (#""\ud83d""#, "\u{FFFD}"),
        (#""\ude42x""#, "\u{FFFD}x"), (#""\ud83d\ud83d\ude42""#, "\u{FFFD}🙂"), (#""\ud83dA""#, "\u{FFFD}A"),
        (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u0000""#, "\0"),
        ("\"\u{7F}\u{2028}\"", "\u{7F}\u{2028}"),
    ])
    func readsStrings(text: String, value: String) throws {
        #expect(Array(try #require(try parse(text).string).utf8) == Array(value.utf8))
    }

    @Test(arguments: [
        ("0", 0), ("-0", 0), ("12", 12), ("2.0", 2), ("1e3", 1000), ("1.50E+2", 150), ("120e-1", 12),
        ("0e99999999999", 0),
        ("0.000e-5", 0), ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min), ("1000000e-6", 1),
    ])
    func readsExactIntegers(text: String, value: Int) throws {
        #expect(try parse(text).int == value)
    }

    @Test(arguments: ["1.5", "1e-1", "9223372036854775808", "-9223372036854775809", "1e19", "1e99999999999999999999"])
    func refusesInexactIntegers(text: String) throws {
        #expect(try parse(text).int == nil)
    }

    @Test func readsDoubles() throws {
        #expect(try parse("0.1").double == 0.1)
        #expect(try parse("-1.7976931348623157e308").double == -1.7976931348623157e308)
        #expect(try parse("1e999").double == nil)
        #expect(try parse("\"1\"").double == nil)
    }

    @Test(arguments: [
        "", " ", "[1,]", "[,1]", "[1 2]", "{\"a\":1,}", "{,}", "{\"a\" 1}", "{\"a\":}", "{a:1}", "{1:2}", "[", "{", "]",
        "[1}", "{\"a\":1]", "nul", "nulll", "NaN", "Infinity", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "0x1",
        "\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u12\"", "\"a\nb\"", "\"\t\"", "1 2", "[] []", "'a'", "\u{FEFF}1", "//\n1",
    ])
    func refusesWhatIsNotJSON(text: String) {
        #expect(throws: JSONError.self) { try parse(text) }
    }

    @Test(
        arguments: [
            [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
            [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],
            [0x22, 0xE2, 0x82, 0x22], [0x22, 0xE0, 0x80, 0x80, 0x22], [0x22, 0xF0, 0x80, 0x80, 0x80, 0x22],
            [0x22, 0xC3],
        ] as [[UInt8]])
    func refusesInvalidUTF8(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSONDocument(parsing: bytes) }
    }

    @Test func boundsDepthAndSize() throws {
        let nested = String(repeating: "[", count: 128) + String(repeating: "]", count: 128)
        _ = try parse(nested)
        #expect(throws: JSONError.self) { try parse("[" + nested + "]") }
        #expect(throws: JSONError.self) { try parse(String(repeating: "{\"a\":", count: 1_000_000)) }
        #expect(throws: JSONError.self) { try JSONDocument(parsing: Array("[1,2,3]".utf8), maximumNodeCount: 3) }
        _ = try JSONDocument(parsing: Array("[1,2,3]".utf8), maximumNodeCount: 4)
    }

    @Test func findsTheFirstOfTwoKeysOrRefusesThem() throws {
        let text = #"{"a": {"b": 1, "c": 2, "\u0062": 3}}"#
        #expect(try parse(text)["a"]?["b"]?.int == 1)
        #expect(try parse(#"{"\u0062": 3}"#)["b"]?.int == 3)
        let error = #expect(throws: JSONError.self) { try parse(text, unique: true) }
        #expect(error?.message == "key \"b\" appears twice")
        _ = try parse(#"{"a": {"a": 1}, "b": {"a": 1}}"#, unique: true)
    }

    @Test func saysWhereTheFaultIs() {
        let error = #expect(throws: JSONError.self) { try parse("{\n  \"a\": 1,\n  \"b\": x}") }
        #expect(error?.offset == 19 && error?.line == 3 && error?.column == 8)
        #expect(error.map { "\($0)" } == "expected a value at line 3, column 8 (byte 19)")
    }

    @Test func writesWhatItReads() throws {
        var writer = JSONWriter()
        writer.object { line in
            line.key("text\n")
            line.string("\"é\\\u{1}\t🙂")
            line.key("numbers")
            line.array([0.1, -5, .infinity, 1e300]) { $0.double($1) }
            line.key("empty")
            line.array([Int]()) { $0.int($1) }
            line.key("nested")
            line.array([1, 2]) { line, value in
                line.object {
                    $0.key("v"); $0.int(value)
                }
            }
            line.key("flags")
            line.raw("[true,null]".utf8)
            line.key("float")
            line.float(0.1)
        }
        writer.newline()
        writer.bool(false)
        let expected =
            #"{"text\n":"\"é\\\u0001\t🙂","numbers":[0.1,-5.0,null,1e+300],"empty":[],"nested":[{"v":1},{"v":2}],"#
            + "\"flags\":[true,null],\"float\":0.1}\nfalse"
        #expect(String(decoding: writer.bytes, as: UTF8.self) == expected)
        let line = try #require(writer.bytes.split(separator: 10).first)
        #expect(try JSONDocument(parsing: Array(line)).root["text\n"]?.string == "\"é\\\u{1}\t🙂")
    }

    /// Rewrites a value with the writer, touching every accessor on the way.
    private func rewrite(_ value: JSONValue, to writer: inout JSONWriter) {
        switch value.kind {
        case .null: writer.null()
        case .bool: writer.bool(value.bool!)
        case .number:
            // A fraction may round to an integer: 1e-400, 0.99999999999999999999.
            if let int = value.int ?? value.double.flatMap({ Int(exactly: $0) }) {
                writer.int(int)
            } else {
                writer.double(value.double ?? .nan)
            }
        case .string: writer.string(value.string!)
        case .array: writer.array(value.elements) { rewrite($1, to: &$0) }
        case .object:
            writer.object { writer in
                for (key, value) in value.members {
                    writer.key(key)
                    rewrite(value, to: &writer)
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(FuzzRun.limitInMinutes))) func survivesMutation() throws {
        let text =
            #"{"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"#
            + #""s":"é\u00e9\ud83d\ude42\n","n":[-0.5e-3,1E5,true,false,null,[[]],{}]}"#
        let seed = Array(text.utf8)
        let run = FuzzRun(seconds: 5, seed: 20_260)
        var random = SeededGenerator(seed: run.seed)
        var accepted = 0
        var rounds = 0
        while run.goesOn {
            rounds += 1
            let bytes = mutated(seed, using: &random)
            guard
                let document = try? JSONDocument(parsing: bytes, maximumDepth: 16, rejectDuplicateKeys: rounds % 2 == 0)
            else { continue }
            accepted += 1
            var once = JSONWriter()
            rewrite(document.root, to: &once)
            var twice = JSONWriter()
            rewrite(try JSONDocument(parsing: once.bytes).root, to: &twice)
            #expect(once.bytes == twice.bytes, "round \(rounds), seed \(run.seed)")
        }
        #expect(accepted > 100 && rounds > accepted)
    }

    /// Whether the scanner, which sees one byte after the other, accepts a text as a whole.
    private func scans(_ bytes: [UInt8]) -> Bool {
        var scanner = JSONScanner()
        return bytes.allSatisfy { scanner.consume($0) } && scanner.place == .done && scanner.depth == 0
    }

    @Test(.timeLimit(.minutes(FuzzRun.limitInMinutes))) func scannerAcceptsWhatTheParserAccepts() throws {
        let run = FuzzRun(seconds: 2, seed: 20_261_130)
        var random = SeededGenerator(seed: run.seed)
        let seeds = [
            #"{"s":"é\u00e9\ud83d\ude42\n\"\/","n":[-0.5e-3,1E5,0,-0,10.25e+7,true,false,null,[[]],{}],"":""}"#,
            "[ 1 , 2.0\t, { \"a\" : [ ] } , \"b\" ]\r\n", "[[0e1],[-1],[\"\\uABcd\"]]",
        ].map { Array($0.utf8) }
        var accepted = 0
        var rounds = 0
        while run.goesOn {
            rounds += 1
            // The scanner leaves UTF-8 to whoever made the text.
            let text = String(decoding: mutated(seeds[rounds % seeds.count], using: &random), as: UTF8.self)
            let bytes = Array(text.utf8)
            guard let first = bytes.first(where: { !" \t\n\r".utf8.contains($0) }), "{[".utf8.contains(first) else {
                #expect(!scans(bytes))
                continue
            }
            let isJSON = (try? JSONDocument(parsing: bytes)) != nil
            accepted += isJSON ? 1 : 0
            #expect(scans(bytes) == isJSON, "\(text), seed \(run.seed)")
        }
        #expect(accepted > 100 && rounds > accepted)
        let deepest = String(repeating: "[", count: 128) + String(repeating: "]", count: 128)
        #expect(scans(Array(deepest.utf8)) && !scans(Array("[\(deepest)]".utf8)))
    }
}

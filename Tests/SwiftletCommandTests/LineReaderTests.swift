// Lines out of files of every kind: line ends, byte order mark, over-long lines, chunk borders.

import SwiftletCommand
import SwiftletTestSupport
import Testing

@Suite("Line reader")
struct LineReaderTests {
    private func lines(_ bytes: [UInt8], limit: Int = 1 << 20) async throws -> [LineReader.Entry] {
        let folder = try TemporaryFolder()
        let reader = LineReader(try File(try folder.write(bytes, "in"), .read), limit: limit)
        var entries: [LineReader.Entry] = []
        while let entry = try await reader.next() { entries.append(entry) }
        #expect(try await reader.next() == nil)
        return entries
    }

    private func texts(_ text: String) async throws -> [String?] {
        try await lines(Array(text.utf8)).map { entry in
            guard case .text(let bytes) = entry.line else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    @Test("Line ends of every kind")
    func ends() async throws {
        #expect(try await texts("") == [])
        #expect(try await texts("a") == ["a"])
        #expect(try await texts("a\n") == ["a"])
        #expect(try await texts("a\r\nb\r\n") == ["a", "b"])
        #expect(try await texts("\n\na\n") == ["", "", "a"])
        #expect(try await texts("a\r\r\n\rb") == ["a\r", "\rb"])
    }

    @Test("A byte order mark is dropped at the beginning only")
    func byteOrderMark() async throws {
        #expect(try await texts("\u{FEFF}a\n\u{FEFF}b") == ["a", "\u{FEFF}b"])
        #expect(try await texts("\u{FEFF}") == [""])
    }

    @Test("Numbers and byte counts add up to the file")
    func places() async throws {
        let bytes = Array("\u{FEFF}one\r\n\ntwo\nlast".utf8)
        let entries = try await lines(bytes)
        #expect(entries.map(\.number) == [1, 2, 3, 4])
        #expect(entries.map(\.index) == [0, 1, 1, 2], "blank lines are no requests")
        #expect(entries.reduce(0) { $0 + $1.byteCount } == bytes.count)
    }

    @Test("A line over the limit costs itself only", arguments: [0, 1, 300_000, 700_000])
    func longLines(excess: Int) async throws {
        let limit = 1000
        let long = [UInt8](repeating: 0x78, count: limit + excess)
        let newline = [UInt8(ascii: "\n")]
        let entries = try await lines(long + newline + Array("next\n".utf8) + long, limit: limit)
        let expected = excess == 0 ? LineReader.Line.text(long) : .tooLong
        #expect(entries.map(\.line) == [expected, .text(Array("next".utf8)), expected])
        #expect(entries.map(\.byteCount) == [long.count + 1, 5, long.count])
    }

    @Test("Lines that span chunks arrive whole")
    func manyLines() async throws {
        var random = SystemRandomNumberGenerator()
        var expected: [[UInt8]] = []
        for _ in 0..<2000 {
            expected.append((0..<Int.random(in: 0..<1500, using: &random)).map { _ in UInt8.random(in: 0x20...0x7E) })
        }
        let entries = try await lines(expected.reduce(into: []) { $0 += $1 + [UInt8(ascii: "\n")] })
        #expect(entries.map(\.line) == expected.map { .text($0) })
    }
}

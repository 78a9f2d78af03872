// Going on with the partial file of a run that was killed: cut anywhere, damaged, foreign, complete.

import Swiftlet
import SwiftletCommand
import SwiftletTestSupport
import Testing

@Suite("Resumed output file")
struct ResumedOutputTests {
    private func line(_ index: Int) -> String { "\(index) \(String(repeating: "x", count: index * 7 % 5))" }

    /// The lines above; the hash of each is ten times its number.
    private func mark(_ bytes: [UInt8]) throws -> ResultMark? {
        guard let number = String(decoding: bytes, as: UTF8.self).split(separator: " ").first.flatMap({ Int($0) })
        else {
            return nil
        }
        if number == 666 { throw LLMError(.invalidConfiguration, "of another run") }
        return ResultMark(index: number, fingerprint: UInt64(bitPattern: Int64(number * 10)))
    }

    private func resume(_ folder: TemporaryFolder) async throws -> (OrderedOutput, EarlierResults) {
        try await OrderedOutput.resuming(folder.path + "/out", input: nil) { bytes in try mark(bytes) }
    }

    /// An input of so many lines, and what of it has no answer.
    private func unanswered(
        _ earlier: EarlierResults, of count: Int, _ folder: TemporaryFolder, changed: Int? = nil
    ) async throws -> [Int] {
        let text = (0..<count).map { "\($0 == changed ? 77 : $0)\n\n" }.joined()
        let reader = LineReader(try File(try folder.write(text, "in"), .read))
        let (entries, _) = try await earlier.unanswered(in: reader, of: "out") { line in
            guard case .text(let bytes) = line else { return 0 }
            return UInt64(String(decoding: bytes, as: UTF8.self))! * 10
        }
        return entries.map(\.index)
    }

    @Test("Cut at any byte, whole lines stay and the rest is written again")
    func cutAnywhere() async throws {
        let order = [2, 0, 1, 5, 3, 4]
        let all = Array(order.map { line($0) + "\n" }.joined().utf8)
        let expected = (0..<6).map { line($0) + "\n" }.joined()
        for size in 0...all.count {
            let folder = try TemporaryFolder()
            try folder.write(Array(all[..<size]), "out.partial")
            let whole = all[..<size].count { $0 == UInt8(ascii: "\n") }
            let (output, earlier) = try await resume(folder)
            #expect(output.count == whole && earlier.count == whole)
            // A first line that is torn is nobody's: it is kept, as a stranger's file would be.
            #expect((output.keptPath != nil) == (whole == 0 && size > 0))
            let done = Set(order.prefix(whole))
            let missing = try await unanswered(earlier, of: 6, folder)
            let lastDone = done.max() ?? -1
            #expect(missing == (0..<6).filter { !done.contains($0) && $0 <= lastDone + 1 })
            for index in (0..<6).filter({ !done.contains($0) }).shuffled() {
                try output.write(Array((line(index) + "\n").utf8), at: index)
            }
            try output.finish(count: 6)
            #expect(folder.read("out") == expected)
            #expect(!folder.names.contains("out.partial") && !folder.names.contains("out.partial.ordered"))
        }
    }

    @Test(
        "What lies behind a damaged line is done again",
        arguments: ["\u{0}\u{0}\u{0}\n", "nonsense\n", "0 again\n", "99999999 far\n", "3 x\r\n", "-1 x\n"])
    func damage(bad: String) async throws {
        let folder = try TemporaryFolder()
        try folder.write("0 a\n2 c\n" + bad + "1 b\n", "out.partial")
        let (output, earlier) = try await resume(folder)
        #expect(output.count == 2)
        #expect(folder.read("out.partial") == "0 a\n2 c\n")
        #expect(try await unanswered(earlier, of: 9, folder) == [1, 3])
    }

    @Test("A file that is none of ours is moved away, not written to")
    func foreign() async throws {
        let folder = try TemporaryFolder()
        try folder.write("my notes\nand more\n", "out.partial")
        let (output, earlier) = try await resume(folder)
        #expect(output.count == 0 && earlier.count == 0 && output.keptPath == folder.path + "/out.partial.old")
        #expect(folder.read("out.partial.old") == "my notes\nand more\n" && folder.read("out.partial") == "")
        output.removeIfEmpty()
        #expect(folder.names == ["out.partial.old"])
    }

    @Test("Another run's file is refused and stays as it is")
    func otherRun() async throws {
        let folder = try TemporaryFolder()
        try folder.write("0 a\n666 b\n1 torn", "out.partial")
        await #expect(throws: LLMError.self) { try await resume(folder) }
        #expect(folder.read("out.partial") == "0 a\n666 b\n1 torn")
    }

    @Test("A changed or shorter input is refused, a longer one is gone on with")
    func inputs() async throws {
        let folder = try TemporaryFolder()
        try folder.write("0 a\n3 d\n", "out.partial")
        let (_, earlier) = try await resume(folder)
        #expect(try await unanswered(earlier, of: 4, folder) == [1, 2])
        #expect(try await unanswered(earlier, of: 5, folder) == [1, 2, 4])
        #expect(try await unanswered(earlier, of: 5, folder, changed: 2) == [1, 2, 4])
        for (count, changed) in [(5, 3), (5, 0), (3, nil), (0, nil)] as [(Int, Int?)] {
            await #expect(throws: LLMError.self) { try await unanswered(earlier, of: count, folder, changed: changed) }
        }
    }

    @Test("Killed between the rename and the removal, nothing is left to do")
    func complete() async throws {
        let folder = try TemporaryFolder()
        try folder.write("1 b\n0 a\n", "out.partial")
        try folder.write("0 a\n1 b\n", "out")
        try folder.write("half of", "out.partial.ordered")
        let (output, earlier) = try await resume(folder)
        #expect(try await unanswered(earlier, of: 2, folder).isEmpty)
        try output.finish(count: 2)
        #expect(folder.read("out") == "0 a\n1 b\n" && folder.names == ["in", "out"])
    }

    @Test("Two runs of one output exclude each other")
    func twice() async throws {
        let folder = try TemporaryFolder()
        try folder.write("0 a\n", "out.partial")
        let (output, _) = try await resume(folder)
        await #expect(throws: LLMError.self) { try await resume(folder) }
        #expect(output.count == 1)
    }
}

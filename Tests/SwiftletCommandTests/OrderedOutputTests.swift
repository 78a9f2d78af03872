// The output file of a batch: input order at the end, every line safe before it, the old file untouched.

import Swiftlet
import SwiftletCommand
import SwiftletTestSupport
import Testing

@Suite("Ordered output file")
struct OrderedOutputTests {
    private func line(_ index: Int, length: Int = 10) -> [UInt8] {
        Array("\(index) \(String(repeating: "x", count: length))\n".utf8)
    }

    @Test("Any order of writing gives input order", arguments: [0, 1, 2, 500])
    func order(count: Int) throws {
        let folder = try TemporaryFolder()
        let output = try OrderedOutput(folder.path + "/out", input: nil)
        for index in (0..<count).shuffled() {
            try output.write(line(index, length: index % 7 * 900), at: index)
            #expect(folder.read("out") == nil)
        }
        #expect(output.count == count)
        try output.finish(count: count)
        let expected = (0..<count).flatMap { line($0, length: $0 % 7 * 900) }
        #expect(folder.read("out") == String(decoding: expected, as: UTF8.self))
        #expect(folder.names == ["out"])
    }

    @Test("Lines longer than a copy's chunk")
    func longLines() throws {
        let folder = try TemporaryFolder()
        let output = try OrderedOutput(folder.path + "/out", input: nil)
        for index in [1, 0, 2] { try output.write(line(index, length: 1_500_000), at: index) }
        try output.finish(count: 3)
        let expected = (0..<3).flatMap { line($0, length: 1_500_000) }
        #expect(folder.read("out") == String(decoding: expected, as: UTF8.self))
    }

    @Test("Finished lines are in the partial file at once, and the old output stays")
    func partial() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("old", "out")
        let output = try OrderedOutput(path, input: nil)
        try output.write(line(4), at: 4)
        #expect(folder.read("out.partial") == String(decoding: line(4), as: UTF8.self))
        #expect(folder.read("out") == "old")
        #expect(output.partialPath == path + ".partial")
    }

    @Test("An earlier run's partial file is kept, one in use is refused")
    func earlierRun() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/out"
        try folder.write("earlier", "out.partial")
        let output = try OrderedOutput(path, input: nil)
        #expect(output.keptPath == path + ".partial.old")
        #expect(folder.read("out.partial.old") == "earlier")
        #expect(throws: LLMError.self) { try OrderedOutput(path, input: nil) }
        try output.finish(count: 0)
        #expect(folder.read("out") == "")
        #expect(folder.names == ["out", "out.partial.old"])
        try folder.write("", "out.partial")
        #expect(try OrderedOutput(path, input: nil).keptPath == nil)
    }

    @Test("Places that can't be written to are refused up front")
    func refusals() throws {
        let folder = try TemporaryFolder()
        let input = try File(try folder.write("{}", "in"), .read)
        func message(_ path: String) -> String {
            do {
                try OrderedOutput.check(path, input: input)
                return ""
            } catch {
                return error.message
            }
        }
        #expect(message(folder.path + "/none/out").contains("not a folder"))
        #expect(message(folder.path).contains("is a folder"))
        #expect(message("/dev/null").contains("not a regular file"))
        #expect(message(folder.path + "/../" + folder.path.split(separator: "/").last! + "/in").contains("same file"))
        #expect(message(folder.path + "/out").isEmpty)
    }
}

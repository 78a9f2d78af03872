// What a roofline measurement prints, writes and draws; and the command that makes one, end to end on a small model.

import ArgumentParser
import Swiftlet
import SwiftletCommand
import SwiftletJSON
import SwiftletTestSupport
import Testing

@Suite("Roofline", .serialized)
struct RooflineTests {
    private func report() throws -> RooflineReport {
        func cell(
            _ group: Roofline.Group, _ operation: String, _ rows: Int, _ work: OperationWork, _ share: Double,
            _ bound: MachineLimits.Bound
        ) -> Roofline.Cell {
            Roofline.Cell(
                group: group, operation: operation, rows: rows, work: work, seconds: 0.002, share: share, bound: bound,
                repeats: 3)
        }
        let roofline = Roofline(
            limits: MachineLimits(memory: 40e9, cache: 160e9, peak: 400e9),
            slowestMemory: 30e9, fastestMemory: 50e9,
            cells: [
                cell(.linear, "qkv", 1, OperationWork(memoryBytes: 64e6, floatOperations: 64e6), 0.8, .memory),
                cell(.linear, "qkv", 512, OperationWork(memoryBytes: 1e6, floatOperations: 512e6), 0.64, .compute),
                cell(.linear, "head <&>", 1, OperationWork(memoryBytes: 8e6, floatOperations: 8e6), 0.1, .memory),
                cell(
                    .attentionDecode, "context 128", 1, OperationWork(memoryBytes: 16e6, floatOperations: 32e6),
                    0.2, .memory),
                cell(.other, "rms norm", 1, OperationWork(cacheBytes: 32e6), 0.1, .cache),
                cell(
                    .forward, "decode 16", 16, OperationWork(memoryBytes: 40e6, floatOperations: 640e6), 0.8, .compute),
            ])
        return RooflineReport(
            roofline: roofline, model: try ModelInfo(), cpuLevel: "avx2", threads: 2, instruction: "vfmadd")
    }

    @Test("The table shows every cell")
    func table() throws {
        let text = try report().text
        let lines = text.split(separator: "\n").map(String.init)
        #expect(text.contains("40.0 GB/s (median; 30.0 GB/s to 50.0 GB/s meanwhile)"))
        #expect(text.contains("400 GFLOP/s (vfmadd)"))
        #expect(lines.contains { $0.hasPrefix("   1    80 %    32.0 GB/s    10 %    4.00 GB/s") }, "\(text)")
        #expect(lines.contains { $0.hasPrefix(" 512    64 %  256 GFLOP/s") && $0.hasSuffix("-") }, "\(text)")
        #expect(lines.contains { $0.contains("10 %      2.00 ms") })
        let forward = try #require(lines.first { $0.hasPrefix("decode 16") })
        #expect(
            forward.split(separator: " ").map(String.init)
                == ["decode", "16", "8,000", "10,000", "80", "%", "compute"])
    }

    @Test("JSON has every cell and the limits")
    func json() throws {
        var writer = JSONWriter()
        try report().write(to: &writer)
        let root = try JSONDocument(parsing: writer.bytes).root
        #expect(root["limits"]?["memory_bytes_per_second"]?.double == 40e9)
        #expect(root["limits"]?["operations_per_second"]?.double == 400e9)
        #expect(root["limits"]?["instruction"]?.string == "vfmadd")
        let cells = Array(try #require(root["cells"]).elements)
        #expect(cells.count == 6)
        #expect(cells[0]["group"]?.string == "linear" && cells[0]["operation"]?.string == "qkv")
        #expect(cells[1]["rows"]?.int == 512 && cells[1]["limited_by"]?.string == "compute")
        #expect(cells[1]["share"]?.double == 0.64 && cells[1]["limit_seconds"]?.double == 0.002 * 0.64)
        #expect(cells[5]["rows_per_second"]?.double == 8000 && cells[5]["repeats"]?.int == 3)
        #expect(root["model"]?["hidden_size"]?.int != nil && root["machine"]?["usable_processors"]?.int != nil)
        #expect(root["threads"]?.int == 2 && root["cpu_level"]?.string == "avx2")
    }

    @Test("The plot is well-formed and has a point for each cell that multiplies")
    func plot() throws {
        let svg = RooflinePlot(try report()).svg
        #expect(Self.isWellFormed(svg))
        #expect(svg.matches(of: /class="point"/).count == 5)
        #expect(svg.contains("qkv, M = 512: 64 % of the limit (compute)"))
        #expect(svg.contains("head &lt;&amp;&gt;, M = 1: 10 % of the limit (memory)"))
        #expect(svg.contains("attention, decode, context 128") && svg.contains(">decode 16</text>"))
        #expect(!svg.contains("rms norm") && svg.contains("prefers-color-scheme: dark"))
        #expect(!svg.contains("http://") || svg.matches(of: /http/).count == 1, "nothing is fetched")
        // The middle of the memory roof: both points of M = 1 lie under it, the better one nearer.
        let heights = svg.matches(of: /class="point" cx="([0-9.]+)" cy="([0-9.]+)"/).map {
            (x: Double($0.1) ?? 0, y: Double($0.2) ?? 0)
        }
        #expect(heights[0].x == heights[2].x && heights[0].y < heights[2].y)
        #expect(heights[1].y < heights[0].y && heights[1].x > heights[0].x)
        #expect(heights.allSatisfy { (80...700).contains($0.x) && (70...530).contains($0.y) })
    }

    /// Tags are closed in the order they were opened, and nothing is left unescaped.
    static func isWellFormed(_ text: String) -> Bool {
        var open: [Substring] = []
        var rest = text[...]
        while let start = rest.firstIndex(of: "<") {
            guard let end = rest[start...].firstIndex(of: ">") else { return false }
            let between = rest[..<start]
            guard between.matches(of: /&(?!amp;|lt;|gt;)/).isEmpty, !between.contains(">") else { return false }
            let tag = rest[rest.index(after: start)..<end]
            guard !tag.contains("<"), tag.count(where: { $0 == "\"" }) % 2 == 0 else { return false }
            let name = tag.prefix { $0 != " " && $0 != "/" }
            if tag.first == "/" {
                guard open.popLast() == tag.dropFirst() else { return false }
            } else if tag.last != "/" {
                open.append(name)
            }
            rest = rest[rest.index(after: end)...]
        }
        return open.isEmpty && rest.allSatisfy { $0 == "\n" }
    }

    @Test("The check of well-formedness finds what is not", arguments: ["<a><b></a></b>", "<a>&</a>", "<a", "<a>"])
    func malformed(text: String) {
        #expect(!Self.isWellFormed(text))
    }

    // MARK: - The command

    @Test("Options")
    func options() throws {
        let words = "bench roofline --threads 3 --load-format dummy --json --plot a.svg --quick --dtype float32"
        let parsed = try SwiftletCommand.parseAsRoot(words.split(separator: " ").map(String.init))
        let command = try #require(parsed as? BenchRooflineCommand)
        #expect(command.config.threads == 3 && command.config.loadFormat == .dummy && command.config.dtype == .float32)
        #expect(command.json && command.quick && command.plot == "a.svg")
        for line in ["--threads 0", "--cpu-level avx9", "--plot", "--num-prompts 3", "--dtype int3"] {
            do {
                _ = try SwiftletCommand.parseAsRoot(
                    ["bench", "roofline"] + line.split(separator: " ").map(String.init))
                Issue.record("\(line) was accepted")
            } catch {
                #expect(SwiftletCommand.exitCode(for: error) == ExitCode(64), "\(line)")
            }
        }
    }

    @Test("What can't be done is refused before anything is measured")
    func refused() async throws {
        for line in ["--plot /nowhere/at/all.svg", "--plot /", "--model /nowhere"] {
            let words = ["bench", "roofline"] + line.split(separator: " ").map(String.init)
            let result = try await RunningCommand.run(words)
            #expect(result.code == 1 && result.output.isEmpty, "\(line)")
            #expect(result.errors.split(separator: "\n").map { $0.hasPrefix("error: ") } == [true], "\(result.errors)")
        }
    }

    @Test("A small model, end to end")
    func endToEnd() async throws {
        let folder = try TemporaryFolder()
        let model = try folder.writeModel()
        let command = try RunningCommand(
            ["bench", "roofline", "--quick", "--json", "--load-format", "dummy", "--threads", "1", "--model", model]
                + ["--plot", folder.path + "/plot.svg"])
        command.closeInput()
        let result = try await command.finish(within: 120)
        #expect(result.code == 0, "\(result.errors)")
        #expect(result.errors.contains("measuring linear"))
        let root = try JSONDocument(parsing: Array(result.output.utf8)).root
        let cells = Array(try #require(root["cells"]).elements)
        #expect(Set(cells.compactMap { $0["group"]?.string }).count == 5)
        #expect(cells.allSatisfy { ($0["share"]?.double ?? 0) > 0 })
        let svg = try #require(folder.read("plot.svg"))
        let multiplying = cells.filter { ($0["operations"]?.double ?? 0) > 0 }
        #expect(Self.isWellFormed(svg) && svg.matches(of: /class="point"/).count == multiplying.count)
    }
}

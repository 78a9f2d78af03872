// RooflineReport: a roofline measurement as tables to read and as JSON.
// Invariant: both show every cell; a dash is a cell that the engine never runs.

import ArgumentParser
package import Swiftlet
package import SwiftletJSON

package struct RooflineReport: Sendable {
    package let roofline: Roofline
    package let model: ModelInfo
    package let cpuLevel: String
    package let threads: Int
    /// What products in the compute type are made of.
    package let instruction: String
    /// What products of integers are made of, if there are any.
    package let integerInstruction: String?

    package init(
        roofline: Roofline, model: ModelInfo, cpuLevel: String, threads: Int, instruction: String,
        integerInstruction: String? = nil
    ) {
        self.roofline = roofline
        self.model = model
        self.cpuLevel = cpuLevel
        self.threads = threads
        self.instruction = instruction
        self.integerInstruction = integerInstruction
    }

    // MARK: - Text

    package var text: String {
        let limits = roofline.limits
        var text = Format.line(
            "machine",
            "\(MachineInfo().processor ?? "unknown processor"), \(Format.count(threads, "thread")), "
                + "kernels \(cpuLevel)")
        text += Format.line("model", "\(model.name), \(types)")
        text += Format.line(
            "memory",
            Format.bytesRate(limits.memory) + " (median; \(Format.bytesRate(roofline.slowestMemory)) to "
                + "\(Format.bytesRate(roofline.fastestMemory)) meanwhile)")
        text += Format.line("last cache", Format.bytesRate(limits.cache))
        let peaks = self.peaks.map { "\(Format.operationsRate($0.rate)) (\($0.instruction))" }
        text += Format.line("peak", peaks.joined(separator: ", "))
        for group in Roofline.Group.allCases where !roofline.cells(of: group).isEmpty { text += "\n" + table(group) }
        return text
    }

    /// The peaks that products are held against, and what reaches them.
    package var peaks: [(rate: Double, instruction: String)] {
        let limits = roofline.limits
        return [(limits.peak, instruction)] + (integerInstruction.map { [(limits.integerPeak, $0)] } ?? [])
    }

    /// `bfloat16`, or `bfloat16 with int8 weights`.
    package var types: String {
        model.quantization.map { "\(model.dataType) with \($0.rawValue) weights" } ?? model.dataType
    }

    private func table(_ group: Roofline.Group) -> String {
        group == .forward ? forwardTable : grid(group)
    }

    /// A line for each M, a column for each operation.
    private func grid(_ group: Roofline.Group) -> String {
        let cells = roofline.cells(of: group)
        var columns: [String] = []
        for cell in cells where !columns.contains(cell.operation) { columns.append(cell.operation) }
        let what = group == .other ? "time of a call" : "GB/s where memory limits, GFLOP/s where products do"
        var text = "\(group.rawValue): share of the limit, and \(what)\n"
        text += Self.right("M", 4) + columns.map { Self.right($0, Self.columnWidth) }.joined() + "\n"
        for rows in Set(cells.map(\.rows)).sorted() {
            text += Self.right("\(rows)", 4)
            for column in columns {
                let cell = cells.first { $0.rows == rows && $0.operation == column }
                text += Self.right(cell.map(Self.describe) ?? "-", Self.columnWidth)
            }
            text += "\n"
        }
        return text
    }

    private static let columnWidth = 21

    private static func describe(_ cell: Roofline.Cell) -> String {
        let value =
            switch (cell.group, cell.bound) {
            case (.other, _): Format.shortSeconds(cell.seconds)
            case (_, .memory): Format.bytesRate(cell.memoryRate)
            case (_, .cache): Format.bytesRate(cell.cacheRate)
            case (_, .compute): Format.operationsRate(cell.operationRate)
            }
        return Format.percent(cell.share) + right(value, 13)
    }

    private var forwardTable: String {
        var text = "forward passes, sampling included (decodes with a context of 128)\n"
        let header = ["tok/s", "limit", "share", "limited by"]
        text += Self.left("", 16) + header.map { Self.right($0, 12) }.joined() + "\n"
        for cell in roofline.cells(of: .forward) {
            let values = [
                Format.number(cell.rowRate), Format.number(cell.rowLimit), Format.percent(cell.share),
                cell.bound.rawValue,
            ]
            text += Self.left(cell.operation, 16) + values.map { Self.right($0, 12) }.joined() + "\n"
        }
        return text
    }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(1, width - text.count)) + text
    }

    private static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }

    // MARK: - JSON

    package func write(to json: inout JSONWriter) {
        json.object { json in
            json.member("version", SwiftletCommand.configuration.version)
            json.member("cpu_level", cpuLevel)
            json.member("threads", threads)
            json.key("limits")
            Self.write(roofline.limits, to: &json) { json in
                json.member("slowest_memory_bytes_per_second", roofline.slowestMemory)
                json.member("fastest_memory_bytes_per_second", roofline.fastestMemory)
                json.member("instruction", instruction)
                if let integerInstruction { json.member("integer_instruction", integerInstruction) }
            }
            json.key("cells")
            json.array(roofline.cells) { Self.write($1, to: &$0) }
            json.key("model")
            json.object { json in
                json.member("name", model.name)
                InfoReport.writeMembers(of: model, to: &json)
            }
            json.key("machine")
            InfoReport.write(MachineInfo(), to: &json)
        }
        json.newline()
    }

    static func write(_ limits: MachineLimits, to json: inout JSONWriter, _ more: (inout JSONWriter) -> Void = { _ in })
    {
        json.object { json in
            json.member("memory_bytes_per_second", limits.memory)
            json.member("cache_bytes_per_second", limits.cache)
            json.member("operations_per_second", limits.peak)
            if limits.integerPeak > 0 { json.member("integer_operations_per_second", limits.integerPeak) }
            more(&json)
        }
    }

    private static func write(_ cell: Roofline.Cell, to json: inout JSONWriter) {
        json.object { json in
            json.member("group", cell.group.rawValue)
            json.member("operation", cell.operation)
            json.member("rows", cell.rows)
            json.member("share", cell.share)
            json.member("limited_by", cell.bound.rawValue)
            json.member("seconds", cell.seconds)
            json.member("limit_seconds", cell.seconds * cell.share)
            json.member("rows_per_second", cell.rowRate)
            json.member("memory_bytes", cell.work.memoryBytes)
            json.member("cache_bytes", cell.work.cacheBytes)
            json.member("operations", cell.work.operations)
            json.member("repeats", cell.repeats)
        }
    }
}

extension Format {
    static func bytesRate(_ value: Double) -> String { "\(number(value / 1e9)) GB/s" }
    static func operationsRate(_ value: Double) -> String { "\(number(value / 1e9)) GFLOP/s" }
    static func percent(_ share: Double) -> String { share.isFinite ? "\(Int((share * 100).rounded())) %" : "-" }

    /// Down to microseconds.
    static func shortSeconds(_ value: Double) -> String {
        value < 1e-3 ? "\(number(value * 1e6)) µs" : seconds(value)
    }
}

// RooflinePlot: the roofline as an SVG drawing: operations a byte across, operations a second upwards, both in powers.
// Written by hand, with the reader's own fonts, and with colours for light and dark.
// Invariant: every cell that multiplies is a point; it stands at its share of the roof above it.

import Swiftlet

package struct RooflinePlot {
    private let report: RooflineReport
    private var limits: MachineLimits { report.roofline.limits }

    /// What is drawn of a cell.
    private struct Point {
        var cell: Roofline.Cell
        var intensity: Double
        var rate: Double
    }

    /// Points of one operation, joined by a line.
    private struct Series {
        var name: String
        var points: [Point]
    }

    private static let size = (width: 960.0, height: 600.0)
    private static let plot = (left: 80.0, right: 700.0, top: 70.0, bottom: 530.0)

    package init(_ report: RooflineReport) { self.report = report }

    private var series: [Series] {
        var series: [Series] = []
        for cell in report.roofline.cells {
            guard let intensity = cell.work.intensity, intensity > 0 else { continue }
            let roof = cell.work.operations / limits.seconds(for: cell.work)
            let point = Point(cell: cell, intensity: intensity, rate: roof * cell.share)
            let name = Self.name(of: cell)
            if let index = series.firstIndex(where: { $0.name == name }) {
                series[index].points.append(point)
            } else {
                series.append(Series(name: name, points: [point]))
            }
        }
        return series
    }

    private static func name(of cell: Roofline.Cell) -> String {
        switch cell.group {
        case .attentionDecode: "attention, decode, \(cell.operation)"
        case .attentionPrefill: "attention, prefill, \(cell.operation)"
        case .forward: "forward pass"
        case .linear, .other: cell.operation
        }
    }

    // MARK: - Axes

    private struct Axes {
        var x: ClosedRange<Double>  // powers of two
        var y: ClosedRange<Double>  // powers of ten

        func place(_ intensity: Double, _ rate: Double) -> (x: Double, y: Double) {
            let plot = RooflinePlot.plot
            let across = (RooflinePlot.log2(intensity) - x.lowerBound) / (x.upperBound - x.lowerBound)
            let up = (RooflinePlot.log2(rate) / RooflinePlot.log2(10) - y.lowerBound) / (y.upperBound - y.lowerBound)
            return (plot.left + across * (plot.right - plot.left), plot.bottom - up * (plot.bottom - plot.top))
        }
    }

    private static func log2(_ value: Double) -> Double { Platform.logarithm(value) / Platform.logarithm(2) }

    private func axes(_ series: [Series]) -> Axes {
        let points = series.flatMap(\.points)
        let peaks = report.peaks.map(\.rate)
        let intensities = points.map(\.intensity) + peaks.flatMap { [$0 / limits.memory / 4, $0 / limits.memory * 4] }
        let rates = points.map(\.rate) + peaks
        let tens = rates.map { Self.log2($0) / Self.log2(10) }
        let twos = intensities.map(Self.log2)
        return Axes(
            x: twos.min()!.rounded(.down)...twos.max()!.rounded(.up),
            y: tens.min()!.rounded(.down)...(tens.max()! + 0.1).rounded(.up))
    }

    // MARK: - Drawing

    package var svg: String {
        let series = series
        let axes = axes(series)
        var svg = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.size.width)) \(Int(Self.size.height))" \
            role="img" aria-labelledby="title">
            <title id="title">Roofline of \(Self.escape(report.model.name))</title>
            \(Self.style)
            <rect class="paper" width="\(Int(Self.size.width))" height="\(Int(Self.size.height))"/>
            <text class="heading" x="80" y="32">\(Self.escape(report.model.name)), \(report.types): \
            kernels \(report.cpuLevel), \(Format.count(report.threads, "thread"))</text>
            <text class="small" x="80" y="52">A point is at its share of the roof above it, as measured beside it. \
            Small numbers are M.</text>

            """
        svg += grid(axes)
        svg += roof(axes)
        for (index, series) in series.enumerated() { svg += draw(series, index, axes) }
        return svg + "</svg>\n"
    }

    private func grid(_ axes: Axes) -> String {
        let plot = Self.plot
        var svg = ""
        // Every second or fourth power of two when there are many.
        let step = max(1, Int((axes.x.upperBound - axes.x.lowerBound) / 10))
        for power in stride(from: Int(axes.x.lowerBound), through: Int(axes.x.upperBound), by: step) {
            let x = axes.place(Platform.power(2, Double(power)), 1).x
            let label = power >= 0 ? "\(1 << power)" : "1/\(1 << -power)"
            svg += Self.line("grid", (x, plot.top), (x, plot.bottom))
            svg += "<text class=\"small middle\" x=\"\(Self.digits(x))\" y=\"\(plot.bottom + 18)\">\(label)</text>\n"
        }
        for power in Int(axes.y.lowerBound)...Int(axes.y.upperBound) {
            let y = axes.place(1, Platform.power(10, Double(power))).y
            svg += Self.line("grid", (plot.left, y), (plot.right, y))
            let label = Format.number(Platform.power(10, Double(power - 9)))
            svg += "<text class=\"small end\" x=\"\(plot.left - 8)\" y=\"\(Self.digits(y + 4))\">\(label)</text>\n"
        }
        svg += "<text class=\"small middle\" x=\"390\" y=\"570\">operations for each byte from memory</text>\n"
        svg += "<text class=\"small middle\" transform=\"translate(22 300) rotate(-90)\">GFLOP/s</text>\n"
        return svg
    }

    private func roof(_ axes: Axes) -> String {
        let peaks = report.peaks
        let highest = peaks.map(\.rate).max() ?? limits.peak
        let first = Platform.power(2, axes.x.lowerBound)
        let lowest = Platform.power(10, axes.y.lowerBound)
        // The slope begins where it enters the drawing.
        let start = max(first, lowest / limits.memory)
        let foot = axes.place(start, start * limits.memory)
        let top = axes.place(highest / limits.memory, highest)
        var svg = Self.line("roof", foot, top)
        for peak in peaks {
            let end = axes.place(Platform.power(2, axes.x.upperBound), peak.rate)
            svg += Self.line("roof", axes.place(peak.rate / limits.memory, peak.rate), end)
            svg += """
                <text class="label end" x="\(Self.digits(end.x))" y="\(Self.digits(end.y - 8))">\
                \(Format.operationsRate(peak.rate)), \(Self.escape(peak.instruction))</text>

                """
        }
        let middle = (x: (foot.x + top.x) / 2, y: (foot.y + top.y) / 2)
        svg += """
            <text class="label end" x="\(Self.digits(middle.x - 10))" y="\(Self.digits(middle.y - 6))">\
            \(Format.bytesRate(limits.memory))</text>

            """
        return svg
    }

    private func draw(_ series: Series, _ index: Int, _ axes: Axes) -> String {
        let color = "c\(index % 12)"
        let places = series.points.map { axes.place($0.intensity, $0.rate) }
        var svg = "<g class=\"\(color)\">\n"
        if series.points[0].cell.group != .forward {
            let path = places.map { "\(Self.digits($0.x)),\(Self.digits($0.y))" }.joined(separator: " ")
            svg += "<polyline points=\"\(path)\"/>\n"
        }
        for (point, place) in zip(series.points, places) { svg += draw(point, place) }
        let y = Self.plot.top + Double(index) * 24 + 8
        svg += "<circle cx=\"724\" cy=\"\(Self.digits(y - 4))\" r=\"5\"/>\n"
        svg += "<text class=\"label\" x=\"738\" y=\"\(Self.digits(y))\">\(Self.escape(series.name))</text>\n</g>\n"
        return svg
    }

    private func draw(_ point: Point, _ place: (x: Double, y: Double)) -> String {
        let cell = point.cell
        let name = cell.group == .forward ? cell.operation : "\(Self.name(of: cell)), M = \(cell.rows)"
        let detail =
            "\(name): \(Format.percent(cell.share)) of the limit (\(cell.bound.rawValue)), "
            + "\(Format.operationsRate(cell.operationRate)), \(Format.bytesRate(cell.memoryRate))"
        var svg = """
            <circle class="point" cx="\(Self.digits(place.x))" cy="\(Self.digits(place.y))" \
            r="\(cell.group == .forward ? 6 : 3.5)"><title>\(Self.escape(detail))</title></circle>

            """
        let label = cell.group == .forward ? cell.operation : "\(cell.rows)"
        if cell.group == .forward || [1, 16, 512].contains(cell.rows) {
            svg += """
                <text class="\(cell.group == .forward ? "label" : "tiny")" x="\(Self.digits(place.x + 6))" \
                y="\(Self.digits(place.y + 12))">\(Self.escape(label))</text>

                """
        }
        return svg
    }

    private static func line(_ kind: String, _ a: (x: Double, y: Double), _ b: (x: Double, y: Double)) -> String {
        "<line class=\"\(kind)\" x1=\"\(digits(a.x))\" y1=\"\(digits(a.y))\" x2=\"\(digits(b.x))\" "
            + "y2=\"\(digits(b.y))\"/>\n"
    }

    /// To a tenth.
    private static func digits(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    private static func escape(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }

    private static let style: String = {
        let light = [
            "#1b6ac9", "#c2410c", "#15803d", "#a21caf", "#b45309", "#0e7490", "#be123c", "#4d7c0f", "#6d28d9",
            "#0f766e", "#9f1239", "#374151",
        ]
        let dark = [
            "#7ab7ff", "#ff9d66", "#6ee7a0", "#f0a0ff", "#fbbf60", "#67d8ef", "#ff8fa8", "#b9e36b", "#c4a8ff",
            "#6ee0d0", "#ffa3bd", "#d1d5db",
        ]
        func colors(_ list: [String]) -> String {
            list.enumerated().map { ".c\($0) { color: \($1); }" }.joined(separator: " ")
        }
        return """
            <style>
            .paper { fill: #ffffff; } .grid { stroke: #d9dde3; } .roof { stroke: #111827; stroke-width: 2.5; }
            text { fill: #111827; font-family: system-ui, sans-serif; font-size: 12px; }
            .heading { font-size: 16px; font-weight: 600; } .tiny { font-size: 9px; }
            .middle { text-anchor: middle; } .end { text-anchor: end; }
            polyline { fill: none; stroke: currentColor; stroke-width: 1; opacity: 0.6; }
            circle { fill: currentColor; } g text { fill: currentColor; }
            \(colors(light))
            @media (prefers-color-scheme: dark) {
            .paper { fill: #0d1117; } .grid { stroke: #2b323c; } .roof { stroke: #e6edf3; } text { fill: #e6edf3; }
            g text { fill: currentColor; } \(colors(dark))
            }
            </style>
            """
    }()
}

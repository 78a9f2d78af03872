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
        var svg = SVG.start(
            width: Int(Self.size.width), height: Int(Self.size.height), title: "Roofline of \(report.model.name)")
        svg += """
            <text class="heading" x="80" y="32">\(SVG.escape(report.model.name)), \(report.types): \
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
            svg += SVG.line("grid", (x, plot.top), (x, plot.bottom))
            svg += "<text class=\"small middle\" x=\"\(SVG.digits(x))\" y=\"\(plot.bottom + 18)\">\(label)</text>\n"
        }
        for power in Int(axes.y.lowerBound)...Int(axes.y.upperBound) {
            let y = axes.place(1, Platform.power(10, Double(power))).y
            svg += SVG.line("grid", (plot.left, y), (plot.right, y))
            let label = Format.number(Platform.power(10, Double(power - 9)))
            svg += "<text class=\"small end\" x=\"\(plot.left - 8)\" y=\"\(SVG.digits(y + 4))\">\(label)</text>\n"
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
        var svg = SVG.line("roof", foot, top)
        for peak in peaks {
            let end = axes.place(Platform.power(2, axes.x.upperBound), peak.rate)
            svg += SVG.line("roof", axes.place(peak.rate / limits.memory, peak.rate), end)
            svg += """
                <text class="label end" x="\(SVG.digits(end.x))" y="\(SVG.digits(end.y - 8))">\
                \(Format.operationsRate(peak.rate)), \(SVG.escape(peak.instruction))</text>

                """
        }
        let middle = (x: (foot.x + top.x) / 2, y: (foot.y + top.y) / 2)
        svg += """
            <text class="label end" x="\(SVG.digits(middle.x - 10))" y="\(SVG.digits(middle.y - 6))">\
            \(Format.bytesRate(limits.memory))</text>

            """
        return svg
    }

    private func draw(_ series: Series, _ index: Int, _ axes: Axes) -> String {
        let color = "c\(index % 12)"
        let places = series.points.map { axes.place($0.intensity, $0.rate) }
        var svg = "<g class=\"\(color)\">\n"
        if series.points[0].cell.group != .forward {
            svg += SVG.polyline(places)
        }
        for (point, place) in zip(series.points, places) { svg += draw(point, place) }
        let y = Self.plot.top + Double(index) * 24 + 8
        svg += "<circle cx=\"724\" cy=\"\(SVG.digits(y - 4))\" r=\"5\"/>\n"
        svg += "<text class=\"label\" x=\"738\" y=\"\(SVG.digits(y))\">\(SVG.escape(series.name))</text>\n</g>\n"
        return svg
    }

    private func draw(_ point: Point, _ place: (x: Double, y: Double)) -> String {
        let cell = point.cell
        let name = cell.group == .forward ? cell.operation : "\(Self.name(of: cell)), M = \(cell.rows)"
        let detail =
            "\(name): \(Format.percent(cell.share)) of the limit (\(cell.bound.rawValue)), "
            + "\(Format.operationsRate(cell.operationRate)), \(Format.bytesRate(cell.memoryRate))"
        var svg = """
            <circle class="point" cx="\(SVG.digits(place.x))" cy="\(SVG.digits(place.y))" \
            r="\(cell.group == .forward ? 6 : 3.5)"><title>\(SVG.escape(detail))</title></circle>

            """
        let label = cell.group == .forward ? cell.operation : "\(cell.rows)"
        if cell.group == .forward || [1, 16, 512].contains(cell.rows) {
            svg += """
                <text class="\(cell.group == .forward ? "label" : "tiny")" x="\(SVG.digits(place.x + 6))" \
                y="\(SVG.digits(place.y + 12))">\(SVG.escape(label))</text>

                """
        }
        return svg
    }
}

#if Server
// LatencyPlot: latency over load as an SVG drawing: loads across, milliseconds upwards, both in powers.
// Invariant: each metric is two lines of one colour, its median and its highest percentile; a load without a value for it
// has no point.

import Swiftlet

package struct LatencyPlot {
    private let model: String
    private let measurements: [ServedMeasurement]
    private let report: BenchServeReport

    private static let size = (width: 960.0, height: 600.0)
    private static let plot = (left: 80.0, right: 700.0, top: 80.0, bottom: 510.0)

    /// - Parameter measurements: One for each load, in the order of the loads.
    package init(model: String, _ measurements: [ServedMeasurement], _ report: BenchServeReport) {
        self.model = model
        self.measurements = measurements
        self.report = report
    }

    private var sweepsConcurrency: Bool { Set(measurements.map(\.load.concurrency)).count > 1 }

    // MARK: - Axes

    /// The place of each load, in doublings. What has no end is one doubling behind the last.
    private var positions: [Double] {
        let values = measurements.map { measurement in
            sweepsConcurrency ? measurement.load.concurrency.map { Double($0) } ?? .infinity : measurement.load.rate
        }
        let finite = values.filter(\.isFinite).map(Self.log2)
        return values.map { $0.isFinite ? Self.log2($0) : (finite.max() ?? 0) + 1 }
    }

    private struct Axes {
        var x: ClosedRange<Double>  // powers of two
        var y: ClosedRange<Double>  // powers of ten of milliseconds

        func place(_ position: Double, _ milliseconds: Double) -> (x: Double, y: Double) {
            let plot = LatencyPlot.plot
            let across = (position - x.lowerBound) / (x.upperBound - x.lowerBound)
            let up = (LatencyPlot.log10(milliseconds) - y.lowerBound) / (y.upperBound - y.lowerBound)
            return (plot.left + across * (plot.right - plot.left), plot.bottom - up * (plot.bottom - plot.top))
        }
    }

    private static func log2(_ value: Double) -> Double { Platform.logarithm(value) / Platform.logarithm(2) }
    private static func log10(_ value: Double) -> Double { Platform.logarithm(value) / Platform.logarithm(10) }

    private func axes(_ lines: [Line]) -> Axes {
        let tens = lines.flatMap(\.points).map { Self.log10($0.milliseconds) }
        let low = (tens.min() ?? 0).rounded(.down)
        let positions = positions
        return Axes(
            x: positions.min()! - 0.25...positions.max()! + 0.25, y: low...max(low + 1, (tens.max() ?? 1).rounded(.up)))
    }

    // MARK: - What is drawn

    private struct Line {
        var metric: ServedMetric
        var name: String
        var isMedian: Bool
        var points: [(position: Double, milliseconds: Double, load: String)]
    }

    private var lines: [Line] {
        report.metrics.flatMap { metric in
            var lines = [line(metric, 50, name: "median")]
            if let percent = report.percents.max(), percent != 50 {
                lines.append(line(metric, percent, name: "p" + PercentileList.name(percent)))
            }
            return lines
        }
    }

    private func line(_ metric: ServedMetric, _ percent: Double, name: String) -> Line {
        var line = Line(
            metric: metric, name: "\(metric.rawValue.uppercased()), \(name)", isMedian: percent == 50, points: [])
        for (measurement, position) in zip(measurements, positions) {
            // What came together with what was before it has no place on a scale of powers.
            guard let seconds = measurement.summary(metric).percentile(percent), seconds > 0 else { continue }
            line.points.append((position, max(seconds * 1000, 0.001), measurement.load.description))
        }
        return line
    }

    // MARK: - Drawing

    package var svg: String {
        let lines = lines
        let axes = axes(lines)
        var svg = SVG.start(
            width: Int(Self.size.width), height: Int(Self.size.height), title: "Latency of \(model) over load")
        svg += SVG.text("heading", (80, 32), "\(Format.heading(model)): latency over load")
        svg += SVG.text("small", (80, 54), subtitle)
        svg += grid(axes)
        for (index, line) in lines.enumerated() where !line.points.isEmpty { svg += draw(line, index, axes) }
        return svg + "</svg>\n"
    }

    private var subtitle: String {
        let failed = measurements.reduce(0) { $0 + $1.failedCount }
        let count = measurements.reduce(0) { $0 + $1.requests.count }
        return "\(Format.count(count, "request"))" + (failed > 0 ? ", \(Format.count(failed)) of them failed" : "")
            + "; below each load the output tokens a second"
    }

    private func grid(_ axes: Axes) -> String {
        let plot = Self.plot
        var svg = ""
        for power in Int(axes.y.lowerBound)...Int(axes.y.upperBound) {
            let y = axes.place(0, Platform.power(10, Double(power))).y
            svg += SVG.line("grid", (plot.left, y), (plot.right, y))
            svg += SVG.text("small end", (plot.left - 8, y + 4), Self.label(power))
        }
        var last = -Double.infinity
        for (measurement, position) in zip(measurements, positions) {
            let x = axes.place(position, 1).x
            svg += SVG.line("grid", (x, plot.top), (x, plot.bottom))
            // Loads that are close together share a label.
            guard x - last > 40 else { continue }
            last = x
            svg += SVG.text("small middle", (x, plot.bottom + 18), Self.label(measurement.load, sweepsConcurrency))
            svg += SVG.text("tiny middle", (x, plot.bottom + 34), "\(Format.number(measurement.outputRate)) tok/s")
        }
        let what = sweepsConcurrency ? "requests at a time" : "requests a second"
        svg += SVG.text("small middle", (390, plot.bottom + 62), what)
        svg += "<text class=\"small middle\" transform=\"translate(22 300) rotate(-90)\">milliseconds</text>\n"
        return svg
    }

    private static func label(_ power: Int) -> String {
        power >= 0
            ? Format.count(Int(Platform.power(10, Double(power)).rounded())) : "\(Platform.power(10, Double(power)))"
    }

    private static func label(_ load: ServedLoad, _ sweepsConcurrency: Bool) -> String {
        if sweepsConcurrency { return load.concurrency.map { "\($0)" } ?? "all" }
        guard load.rate.isFinite else { return "all at once" }
        return Int(exactly: load.rate).map { Format.count($0) } ?? Format.number(load.rate)
    }

    private func draw(_ line: Line, _ index: Int, _ axes: Axes) -> String {
        let color = report.metrics.firstIndex(of: line.metric) ?? 0
        let places = line.points.map { axes.place($0.position, $0.milliseconds) }
        let kind = line.isMedian ? "strong" : "dashed"
        var svg = "<g class=\"c\(color)\">\n" + SVG.polyline(places, kind)
        for (point, place) in zip(line.points, places) {
            svg += """
                <circle class="\(line.isMedian ? "point" : "point open")" cx="\(SVG.digits(place.x))" \
                cy="\(SVG.digits(place.y))" r="4"><title>\(SVG.escape("\(line.name), \(point.load): "))\
                \(Format.number(point.milliseconds)) ms</title></circle>

                """
        }
        let y = Self.plot.top + Double(index) * 24 + 8
        svg += SVG.polyline([(716, y - 4), (744, y - 4)], kind)
        return svg + SVG.text("label", (752, y), line.name) + "</g>\n"
    }
}
#endif

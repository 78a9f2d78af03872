// Console: what a person reads on standard error, and numbers made readable.
// Results never come through here: they go to standard output or to a file.

package enum Console {
    /// Writes a line to standard error.
    package static func note(_ line: String) {
        try? File.standardError.write(Array((line + "\n").utf8))
    }

    /// Whether what is written to a file may have colours: it is a terminal, and nobody has said otherwise.
    package static func usesColor(on file: File, environment: [String: String]) -> Bool {
        file.isTerminal && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }

    /// Reports a failure in one line.
    package static func error(_ message: String) {
        note("error: " + message.split(separator: "\n").joined(separator: " "))
    }
}

package enum Format {
    /// `1234567` as `1,234,567`.
    package static func count(_ value: Int) -> String {
        let digits = String(value.magnitude)
        var result = ""
        for (place, digit) in digits.enumerated() {
            if place > 0, (digits.count - place) % 3 == 0 { result.append(",") }
            result.append(digit)
        }
        return value < 0 ? "-" + result : result
    }

    /// A count with its noun: `1 request`, `2 requests`.
    package static func count(_ value: Int, _ noun: String) -> String {
        "\(count(value)) \(noun)\(value == 1 ? "" : "s")"
    }

    /// A rate or time with about three significant digits.
    package static func number(_ value: Double) -> String {
        guard value.isFinite else { return "-" }
        if value >= 99.95 { return count(Int(min(value, 1e15).rounded())) }
        let scale: Double = value >= 9.995 ? 10 : 100
        let scaled = Int((value * scale).rounded())
        let fraction = String(scaled % Int(scale))
        let padding = String(repeating: "0", count: (scale == 10 ? 1 : 2) - fraction.count)
        return "\(scaled / Int(scale)).\(padding)\(fraction)"
    }

    /// Tokens per second; a dash when there was no time to measure.
    package static func rate(_ tokens: Int, _ seconds: Double) -> String {
        seconds > 0 ? "\(number(Double(tokens) / seconds)) tok/s" : "- tok/s"
    }

    /// A duration in the unit that suits it.
    package static func seconds(_ value: Double) -> String {
        value < 1 ? "\(number(value * 1000)) ms" : "\(number(value)) s"
    }

    /// The first line of a text, cut to a width, for headings.
    package static func heading(_ text: String, width: Int = 72) -> String {
        let line = text.replacing("\n", with: "\\n").replacing("\r", with: "\\r")
        return line.count <= width ? line : line.prefix(width - 1) + "…"
    }
}

extension Duration {
    /// The duration as seconds.
    var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}

// SVG: what the drawings of the command have in common: lines, numbers, colours for light and dark.
// Drawings are written by hand, with the reader's own fonts.

enum SVG {
    /// The beginning of a drawing, up to its heading.
    static func start(width: Int, height: Int, title: String) -> String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" role="img" aria-labelledby="title">
        <title id="title">\(escape(title))</title>
        \(style)
        <rect class="paper" width="\(width)" height="\(height)"/>

        """
    }

    static func line(_ kind: String, _ a: (x: Double, y: Double), _ b: (x: Double, y: Double)) -> String {
        "<line class=\"\(kind)\" x1=\"\(digits(a.x))\" y1=\"\(digits(a.y))\" x2=\"\(digits(b.x))\" "
            + "y2=\"\(digits(b.y))\"/>\n"
    }

    /// A line through points. `kind` is a class of its own, such as `dashed`.
    static func polyline(_ points: [(x: Double, y: Double)], _ kind: String? = nil) -> String {
        let path = points.map { "\(digits($0.x)),\(digits($0.y))" }.joined(separator: " ")
        return "<polyline\(kind.map { " class=\"\($0)\"" } ?? "") points=\"\(path)\"/>\n"
    }

    static func text(_ kind: String, _ place: (x: Double, y: Double), _ text: String) -> String {
        "<text class=\"\(kind)\" x=\"\(digits(place.x))\" y=\"\(digits(place.y))\">\(escape(text))</text>\n"
    }

    /// To a tenth.
    static func digits(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    static func escape(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }

    /// Classes `c0` to `c11` are colours.
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
            .strong { stroke-width: 2; opacity: 1; } .dashed { stroke-dasharray: 5 4; opacity: 1; }
            circle { fill: currentColor; } .open { fill: none; stroke: currentColor; stroke-width: 1.5; }
            g text { fill: currentColor; }
            \(colors(light))
            @media (prefers-color-scheme: dark) {
            .paper { fill: #0d1117; } .grid { stroke: #2b323c; } .roof { stroke: #e6edf3; } text { fill: #e6edf3; }
            g text { fill: currentColor; } \(colors(dark))
            }
            </style>
            """
    }()
}

"""The comparison as Markdown and as a drawing.

Invariant: a row shows every engine that ran it, won or lost; a ratio is Swiftlet's median over the fastest peer's
(for seconds and bytes the other way round), so more than 1 is always better for Swiftlet.
"""

import html
import time

from .results import mean_probe, median
from .rows import JOBS, ROWS, limit

OURS = "swiftlet"
MOST_DISTURBED = 0.05  # of one CPU
TITLES = {"swiftlet": "Swiftlet", "llama.cpp": "llama.cpp", "vllm": "vLLM (CPU)", "transformers": "transformers"}
COLORS = {"swiftlet": "#e4572e", "llama.cpp": "#4f6d7a", "vllm": "#8d99ae", "transformers": "#c0c5ce"}


class Value:
    """One engine's number in a row: the median over its cells, and of each cell's share of the limit."""

    def __init__(self, row, cells):
        good = [cell for cell in cells if cell.get("metrics", {}).get(row.metric) is not None]
        self.values = [cell["metrics"][row.metric] for cell in good]
        self.number = median(self.values)
        limits = [limit(row, mean_probe(cell)) for cell in good]
        self.limits = [most for most in limits if most]
        self.share = median([value / most for value, most in zip(self.values, limits) if most])
        self.failure = next((cell["error"] for cell in cells if "error" in cell), None) if not good else None

    def text(self):
        if self.number is None:
            return "failed" if self.failure else "–"
        share = f" ({self.share * 100:.0f} %)" if self.share else ""
        return number(self.number) + share


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


class Table:
    """Rows that at least one engine has an answer for."""

    def __init__(self, results):
        self.results = results
        self.engines = [name for name in TITLES if name in results.engines]
        self.engines += [name for name in results.engines if name not in TITLES]
        self.rows = []
        for row in ROWS:
            values = {engine: Value(row, results.of(engine, row.job)) for engine in self.engines}
            if any(value.number is not None or value.failure for value in values.values()):
                self.rows.append((row, values))

    def ratio(self, row, values):
        """Over the fastest peer; None without one."""
        ours = values[OURS].number if OURS in values else None
        peers = [value.number for engine, value in values.items() if engine != OURS and value.number is not None]
        if ours is None or not peers:
            return None
        return min(peers) / ours if row.lower_is_better else ours / max(peers)

    @staticmethod
    def limit(values):
        return median([most for value in values.values() for most in value.limits])


def title(engine):
    return TITLES.get(engine, engine)


def cells_of(results):
    return [cell for cell in results.cells if "metrics" in cell and cell.get("probes")]


def markdown(results, command):
    table = Table(results)
    lines = ["| | " + " | ".join(map(title, table.engines)) + " | limit | ratio |"]
    lines.append("|---|" + "---:|" * (len(table.engines) + 2))
    for row, values in table.rows:
        unit = "" if row.unit == "tok/s" else f" ({row.unit})"
        most, ratio = table.limit(values), table.ratio(row, values)
        numbers = [values[engine].text() for engine in table.engines]
        ends = [number(most) if most else "–", f"{ratio:.2f} x" if ratio else "–"]
        lines.append(f"| {row.title}{unit} | " + " | ".join(numbers + ends) + " |")
    return "\n".join([*heading(results), "", *lines, "", *explanation(results, command)]) + "\n"


def heading(results):
    machine = results.machine
    times = [cell["time"] for cell in results.cells]
    period = [time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment)) for moment in (min(times), max(times))]
    return [
        f"# Comparison on {machine['cpu']}",
        "",
        f"{len(machine['cpus'])} threads on {machine['cpu']} ({machine['flags']}), {machine['memory']}, "
        f"{machine['system']}. Measured from {period[0]} to {period[1]} UTC.",
    ]


def explanation(results, command):
    cells = cells_of(results)
    probes = [mean_probe(cell) for cell in cells]
    rates = {}
    for name in probes[0] if probes else []:
        values = sorted(probe[name] / 1e9 for probe in probes)
        rates[name] = f"{number(median(values))} ({number(values[0])} to {number(values[-1])})"
    count = max((cell["round"] for cell in cells), default=0)
    rounds = "1 round" if count == 1 else f"{count} rounds"
    lines = [
        "Tokens a second unless a unit is named; in brackets the share of the limit. Median of up to "
        f"{rounds} in which the engines take turns; each cell is itself a median or a mean over "
        "its steps. The ratio is Swiftlet against the best peer; above 1 Swiftlet is ahead. “–”: not offered or not run.",
        "",
    ]
    if rates:
        has_bf16 = any(probe["bf16_operations"] for probe in probes)
        bf16 = f"bf16 {rates['bf16_operations']} GFLOP/s, " if has_bf16 else ""
        lines += [
            "The limit of a cell is what the machine's memory bandwidth and peak rate allow, measured before and after "
            "it. Over all cells, median and range: "
            f"read {rates['read_bytes']} GB/s, {bf16}"
            f"int8 {rates['int8_operations']} GOP/s, float32 {rates['float32_operations']} GFLOP/s.",
            "",
        ]
    lines += [f"- {title(name)}: {note}" for name, note in sorted(results.notes.items())]
    spoiled = [cell for cell in cells if cell.get("others", 0) > MOST_DISTURBED]
    if spoiled:
        names = ", ".join(f"{title(cell['engine'])} {cell['job']}" for cell in spoiled)
        lines.append(f"- disturbed three times by other processes, kept: {names}")
    failures = [cell for cell in results.cells if "error" in cell]
    lines += [f"- failed: {title(cell['engine'])}, {cell['job']}: {cell['error']}" for cell in failures]
    lines += ["", f"Made by `{command}`."]
    return lines


# MARK: Drawing


def svg(results):
    """For each row with a limit, a bar for each engine: its share of the limit."""
    table = Table(results)
    rows = [(row, values) for row, values in table.rows if any(value.share for value in values.values())]
    width, left, bar, gap = 860, 330, 11, 12
    scale = (width - left - 150) / 1.0
    parts, top = [], 58
    for row, values in rows:
        engines = [engine for engine in table.engines if values[engine].share]
        middle = top + bar * len(engines) / 2 + 4
        parts.append(f'<text x="{left - 10}" y="{middle:.1f}" text-anchor="end">{html.escape(row.title)}</text>')
        for engine in engines:
            value = values[engine]
            length = min(value.share, 1.1) * scale
            parts.append(
                f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{bar - 2}" fill="{color(engine)}"/>'
                f'<text x="{left + length + 5:.1f}" y="{top + bar - 3}" class="small">'
                f"{number(value.number)} tok/s, {value.share * 100:.0f} %</text>"
            )
            top += bar
        top += gap
    legend, place = [], left
    for engine in table.engines:
        legend.append(
            f'<rect x="{place}" y="30" width="10" height="10" fill="{color(engine)}"/>'
            f'<text x="{place + 15}" y="39">{html.escape(title(engine))}</text>'
        )
        place += 45 + 7 * len(title(engine))
    end = left + scale
    machine = f"{len(results.machine['cpus'])} threads, {results.machine['cpu']}"
    frame = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top + 10}" viewBox="0 0 {width} {top + 10}">',
        "<style>text{font:12px sans-serif;fill:#222}.small{font-size:10px;fill:#555}.head{font-weight:bold}</style>",
        f'<rect width="{width}" height="{top + 10}" fill="#fff"/>',
        f'<text x="{left}" y="18" class="head">Share of what the machine allows ({html.escape(machine)})</text>',
        f'<line x1="{end}" y1="50" x2="{end}" y2="{top}" stroke="#999" stroke-dasharray="3 3"/>',
        f'<text x="{end}" y="{top + 4}" text-anchor="middle" class="small">limit</text>',
    ]
    return "\n".join([*frame, *legend, *parts, "</svg>"]) + "\n"


def color(engine):
    return COLORS.get(engine, "#555")


def slow_jobs(results):
    return [name for name, job in JOBS.items() if job.slow and not any(cell["job"] == name for cell in results.cells)]

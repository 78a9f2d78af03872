// Roofline: what a roofline measurement found: the machine's limits and, of each operation, how near it comes to them.
// Made by RooflineBench, printed and drawn by the command.
// Invariant: a cell's share is the median of shares of which each was taken with probes right before and after it.

package struct Roofline: Sendable {
    /// Operations that are limited by the same thing, and shown together.
    package enum Group: String, CaseIterable, Sendable {
        case linear
        case attentionDecode = "attention, decode"
        case attentionPrefill = "attention, prefill"
        case other
        case forward
    }

    package struct Cell: Sendable {
        package var group: Group
        /// `gate+up`, or `context 1024`: what its column is called.
        package var operation: String
        /// M: rows of activations. In a forward pass: tokens.
        package var rows: Int
        /// What one call has to do.
        package var work: OperationWork
        /// Seconds of a call: the median.
        package var seconds: Double
        /// Shortest possible time over the time it took: the median.
        package var share: Double
        /// What limits it.
        package var bound: MachineLimits.Bound
        /// Times it was measured.
        package var repeats: Int

        package init(
            group: Group, operation: String, rows: Int, work: OperationWork, seconds: Double, share: Double,
            bound: MachineLimits.Bound, repeats: Int
        ) {
            self.group = group
            self.operation = operation
            self.rows = rows
            self.work = work
            self.seconds = seconds
            self.share = share
            self.bound = bound
            self.repeats = repeats
        }

        package var operationRate: Double { work.operations / seconds }
        package var memoryRate: Double { work.memoryBytes / seconds }
        package var cacheRate: Double { work.cacheBytes / seconds }
        /// Rows that are done in a second.
        package var rowRate: Double { Double(rows) / seconds }
        /// The rows a second of a perfect engine.
        package var rowLimit: Double { rowRate / share }
    }

    /// Medians over the whole measurement.
    package var limits: MachineLimits
    /// What memory gave at its slowest and at its fastest meanwhile.
    package var slowestMemory: Double
    package var fastestMemory: Double
    package var cells: [Cell]

    package init(limits: MachineLimits, slowestMemory: Double, fastestMemory: Double, cells: [Cell]) {
        self.limits = limits
        self.slowestMemory = slowestMemory
        self.fastestMemory = fastestMemory
        self.cells = cells
    }

    package func cells(of group: Group) -> [Cell] { cells.filter { $0.group == group } }
}

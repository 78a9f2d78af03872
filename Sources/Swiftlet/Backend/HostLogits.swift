// HostLogits: reductions over rows of logits in host memory, by the CPU's kernels, whatever device made the rows.
// Invariant: as of all operations on logits, a result depends on its row alone.

import CSwiftletKernels

/// A backend whose rows of logits are looked at on the host.
package protocol HostLogits: Backend {
    /// A pool of threads of the CPU's kernels.
    var hostKernels: OpaquePointer { get }
}

extension HostLogits {
    package func logSumExp(_ row: UnsafePointer<Float>, count: Int) -> Float {
        swiftlet_log_sum_exp(hostKernels, row, Int32(count))
    }

    package func rank(of value: Float, in row: UnsafePointer<Float>, count: Int) -> Int {
        Int(swiftlet_count_greater(hostKernels, row, Int32(count), value)) + 1
    }

    package func top(
        _ k: Int, of row: UnsafePointer<Float>, count: Int, ids: UnsafeMutablePointer<Int32>,
        values: UnsafeMutablePointer<Float>
    ) {
        swiftlet_top_logits(hostKernels, row, Int32(count), Int32(k), ids, values)
    }
}

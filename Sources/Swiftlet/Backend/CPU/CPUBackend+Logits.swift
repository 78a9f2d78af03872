// CPUBackend+Logits: rows of logits, which lie in host memory, and sampling.
// Invariant: that of CPUBackend.

internal import CSwiftletKernels

extension CPUBackend {
    package func hostRow(_ logits: CPUBuffer, _ row: Int) -> UnsafeMutablePointer<Float> {
        precondition(row >= 0 && row < logits.rows)
        return logits.floats + row * logits.stride
    }

    package var hostKernels: OpaquePointer { cpu }

    package func sample(
        _ rows: UnsafeMutableBufferPointer<SampleRow>, of logits: CPUBuffer, count: Int, scratch: CPUBuffer
    ) {
        var first = 0
        while first < rows.count {
            let slice = min(kernelRows.count, rows.count - first)
            for index in 0..<slice {
                let row = rows[first + index]
                kernelRows[index] = swiftlet_sample_row(
                    logits: hostRow(logits, row.row), scratch: hostRow(scratch, row.row), count: Int32(count),
                    temperature: row.temperature, top_k: Int32(row.topK), top_p: row.topP, min_p: row.minP,
                    uniform: row.uniform, token: 0)
            }
            swiftlet_sample(cpu, kernelRows.baseAddress, Int32(slice))
            for index in 0..<slice { rows[first + index].token = kernelRows[index].token }
            first += slice
        }
    }
}

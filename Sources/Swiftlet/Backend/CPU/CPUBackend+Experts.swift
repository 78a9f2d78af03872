// CPUBackend: mixtures of experts. See swiftlet_mixture_of_experts.

import CSwiftletKernels

/// The experts of a layer, as the kernels take them.
package final class CPUExperts {
    let value: swiftlet_experts
    /// Keeps their memory.
    private let matrices: [CPUMatrix]
    private let list: UnsafeMutablePointer<swiftlet_matrix>  // gate and up of all, then down of all

    init(gateUp: [CPUMatrix], down: [CPUMatrix], _ shape: MixtureOfExperts, activation: ModelConfig.Activation) {
        precondition(gateUp.count == shape.count && down.count == shape.count)
        matrices = gateUp + down
        list = .allocate(capacity: matrices.count)
        for (index, matrix) in matrices.enumerated() { (list + index).initialize(to: matrix.value) }
        for (first, all) in [(list[0], gateUp), (list[shape.count], down)] {
            precondition(
                all.allSatisfy {
                    let matrix = $0.value
                    return matrix.rows == first.rows && matrix.columns == first.columns
                        && matrix.dtype == first.dtype && matrix.format == first.format
                })
        }
        value = swiftlet_experts(
            gate_up: list, down: list + shape.count, count: Int32(shape.count), per_token: Int32(shape.perToken),
            renormalizes: shape.renormalizes,
            activation: activation == .silu ? SWIFTLET_GATED_SILU : SWIFTLET_GATED_GELU)
    }

    deinit { list.deallocate() }
}

extension CPUBackend {
    package func makeMatrices(
        count: Int, rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> [CPUMatrix] {
        try CPUMatrix.many(
            count, rows: rows, columns: columns, dtype: dtype, format: Self.format(quantization), isGated: isGated)
    }

    package func makeExperts(
        gateUp: [CPUMatrix], down: [CPUMatrix], _ shape: MixtureOfExperts, activation: ModelConfig.Activation
    ) -> CPUExperts {
        CPUExperts(gateUp: gateUp, down: down, shape, activation: activation)
    }

    package func makeWorkspace(of experts: CPUExperts?, maxTokens: Int) throws(LLMError) -> CPUBuffer {
        let bytes = experts.map { experts in
            withUnsafePointer(to: experts.value) { swiftlet_experts_workspace_bytes($0, Int32(maxTokens)) }
        }
        return try CPUBuffer(rows: 1, columns: (bytes ?? 0) / 4, dtype: SWIFTLET_FLOAT32)
    }

    package func mixtureOfExperts(
        _ x: CPUBuffer, rows: Int, logits: CPUBuffer, _ experts: CPUExperts, workspace: CPUBuffer, adds: Bool,
        into out: CPUBuffer
    ) {
        withUnsafePointer(to: experts.value) {
            swiftlet_mixture_of_experts(
                cpu, $0, x.memory, x.stride, Int32(rows), logits.floats, logits.stride, adds, out.floats, out.stride,
                workspace.memory)
        }
    }
}

// CPUBackend: mixtures of experts. See swiftlet_mixture_of_experts.

import CSwiftletKernels

/// The experts of a layer, as the kernels take them.
package final class CPUExperts {
    let value: swiftlet_experts
    /// Keeps their memory.
    private let matrices: [CPUMatrix]
    private let list: UnsafeMutablePointer<swiftlet_matrix>  // gate and up of all, then down of all
    private let orders: UnsafeMutablePointer<UnsafePointer<Int32>?>  // alike

    /// - Throws: ``LLMError`` when the experts of a published folder are not all stored alike.
    init(
        gateUp: [CPUMatrix], down: [CPUMatrix], _ shape: MixtureOfExperts, activation: ModelConfig.Activation
    ) throws(LLMError) {
        precondition(gateUp.count == shape.count && down.count == shape.count)
        for all in [gateUp, down] {
            guard all.allSatisfy({ $0.isStored(like: all[0]) }) else {
                throw LLMError(.unsupportedModel, "the experts of a layer are quantised in different ways")
            }
        }
        matrices = gateUp + down
        list = .allocate(capacity: matrices.count)
        orders = .allocate(capacity: matrices.count)
        for (index, matrix) in matrices.enumerated() {
            (list + index).initialize(to: matrix.value)
            (orders + index).initialize(to: matrix.columnOrder)
        }
        let (gateUpOrders, downOrders) = (Self.hasOrder(gateUp) ? orders : nil, Self.hasOrder(down) ? orders : nil)
        value = swiftlet_experts(
            gate_up: list, down: list + shape.count, count: Int32(shape.count), per_token: Int32(shape.perToken),
            renormalizes: shape.renormalizes,
            activation: activation == .silu ? SWIFTLET_GATED_SILU : SWIFTLET_GATED_GELU,
            gate_up_orders: gateUpOrders, down_orders: downOrders.map { $0 + shape.count })
    }

    private static func hasOrder(_ matrices: [CPUMatrix]) -> Bool { matrices.contains { $0.columnOrder != nil } }

    deinit {
        list.deallocate()
        orders.deallocate()
    }
}

extension CPUMatrix {
    fileprivate func isStored(like other: CPUMatrix) -> Bool {
        let (a, b) = (value, other.value)
        // Of columns in an order of their own a rank has more, filled up in each expert's own way.
        precondition(a.rows == b.rows && a.dtype == b.dtype)
        precondition(a.columns == b.columns || columnOrder != nil && other.columnOrder != nil)
        return a.format == b.format && a.groups.columns == b.groups.columns
            && a.groups.has_zeros == b.groups.has_zeros && a.groups.scales_are_f16 == b.groups.scales_are_f16
    }
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
    ) throws(LLMError) -> CPUExperts {
        try CPUExperts(gateUp: gateUp, down: down, shape, activation: activation)
    }

    package func makeWorkspace(of experts: CPUExperts?, maxTokens: Int) throws(LLMError) -> CPUBuffer {
        let bytes = experts.map { experts in
            withUnsafePointer(to: experts.value) { swiftlet_experts_workspace_bytes(cpu, $0, Int32(maxTokens)) }
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

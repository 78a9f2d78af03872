// CUDABackend: mixtures of experts, by the kernels of experts.cu: rows get a slot at each of their experts, sorted by
// expert; each expert is a product over its slots; what they give is summed for each row.
//
// Invariant: as of all operations, grids depend on the bucket's rows alone; which experts have rows is found out on the
// device.

import CSwiftletKernels

/// The experts of a layer, as the kernels take them.
package final class CUDAExperts {
    let shape: MixtureOfExperts
    let hiddenSize: Int
    let intermediateSize: Int
    /// The number of the gated epilogue.
    let epilogue: Int32
    let gateUp: DeviceMemory  // [experts] addresses of [2 intermediate, hidden]
    let down: DeviceMemory  // [experts] addresses of [hidden, intermediate]
    /// nil: in the compute type.
    let gateUpWeights, downWeights: CUDAQuantization?
    /// Keeps their memory.
    private let matrices: [CUDAMatrix]

    init(
        _ device: CUDADevice, gateUp: [CUDAMatrix], down: [CUDAMatrix], _ shape: MixtureOfExperts,
        activation: ModelConfig.Activation
    ) throws(LLMError) {
        precondition(gateUp.count == shape.count && down.count == shape.count)
        for all in [gateUp, down] {
            guard all.allSatisfy({ $0.quantization == all[0].quantization }) else {
                throw LLMError(.unsupportedModel, "the experts of a layer are quantised in different ways")
            }
            guard all.allSatisfy({ $0.order == nil }) else {
                throw LLMError(
                    .unsupportedModel,
                    "experts with an order of columns of their own (act-order) are not supported on GPUs: "
                        + "use --device cpu")
            }
            // Tensor cores read eight columns at once.
            guard all[0].quantization == nil || all[0].columns.isMultiple(of: 8) else {
                throw LLMError(
                    .unsupportedModel,
                    "quantised experts of \(all[0].columns) columns are not supported on GPUs, which need a multiple of "
                        + "8: use --device cpu")
            }
        }
        gateUpWeights = gateUp[0].quantization
        downWeights = down[0].quantization
        self.shape = shape
        hiddenSize = gateUp[0].columns
        intermediateSize = down[0].columns
        epilogue = activation == .silu ? CUDAEpilogue.gatedSiLU : CUDAEpilogue.gatedGELU
        matrices = gateUp + down
        self.gateUp = try Self.addresses(gateUp, device)
        self.down = try Self.addresses(down, device)
    }

    private static func addresses(_ matrices: [CUDAMatrix], _ device: CUDADevice) throws(LLMError) -> DeviceMemory {
        let memory = try DeviceMemory(device, byteCount: 8 * matrices.count, for: "the addresses of experts")
        try device.copy(matrices.map { $0.memory.address }, to: memory.address, byteCount: 8 * matrices.count)
        return memory
    }
}

/// Where things lie in what `mixtureOfExperts` works in, in bytes from its beginning. A slot is a row at one expert.
private struct ExpertWorkspace {
    private(set) var byteCount = 0
    let chosen, weights, starts, places, sorted: Int  // [slots], [slots], [experts + 1], [slots], [slots]
    let activated: Int  // [slots, intermediate]
    let partials: Int  // [slots, hidden], float32
    /// Rows at once: what bounds the workspace.
    let rows: Int

    init(_ experts: CUDAExperts, maxTokens: Int, elementSize: Int) {
        rows = max(1, min(maxTokens, Int(SWIFTLET_EXPERT_ROWS) / experts.shape.perToken))
        let slots = rows * experts.shape.perToken
        var used = 0
        func carve(_ bytes: Int) -> Int {
            defer { used += (bytes + 255) / 256 * 256 }
            return used
        }
        chosen = carve(4 * slots)
        weights = carve(4 * slots)
        starts = carve(4 * (experts.shape.count + 1))
        places = carve(4 * slots)
        sorted = carve(4 * slots)
        activated = carve(elementSize * slots * experts.intermediateSize)
        partials = carve(4 * slots * experts.hiddenSize)
        byteCount = used
    }
}

extension CUDABackend {
    /// In one piece: the driver rounds each allocation up to megabytes.
    package func makeMatrices(
        count: Int, rows: Int, columns: Int, isGated: Bool, quantization: EngineConfig.Quantization?
    ) throws(LLMError) -> [CUDAMatrix] {
        if let quantization {
            return try makeQuantizedMatrices(
                count: count, rows: rows, columns: columns, isGated: isGated, CUDAQuantization(quantization))
        }
        let bytes = (rows * columns * shapes.elementSize + 255) / 256 * 256
        let block = try DeviceBlock(device, byteCount: count * bytes, for: "\(count) experts of \(rows) x \(columns)")
        return (0..<count).map {
            CUDAMatrix(
                in: block, at: $0 * bytes, byteCount: bytes, rows: rows, columns: columns, isGated: isGated)
        }
    }

    package func makeExperts(
        gateUp: [CUDAMatrix], down: [CUDAMatrix], _ shape: MixtureOfExperts, activation: ModelConfig.Activation
    ) throws(LLMError) -> CUDAExperts {
        try CUDAExperts(device, gateUp: gateUp, down: down, shape, activation: activation)
    }

    package func makeWorkspace(of experts: CUDAExperts?, maxTokens: Int) throws(LLMError) -> CUDABuffer {
        let bytes = experts.map {
            ExpertWorkspace($0, maxTokens: maxTokens, elementSize: shapes.elementSize).byteCount
        }
        return try makeBuffer(rows: 1, columns: (bytes ?? 0) / 4, type: .float)
    }

    package func mixtureOfExperts(
        _ x: CUDABuffer, rows: Int, logits: CUDABuffer, _ experts: CUDAExperts, workspace: CUDABuffer, adds: Bool,
        into out: CUDABuffer
    ) {
        precondition(x.columns == experts.hiddenSize && out.columns == experts.hiddenSize && rows <= x.rows)
        let space = ExpertWorkspace(experts, maxTokens: x.rows, elementSize: shapes.elementSize)
        precondition(space.byteCount <= workspace.memory.byteCount)
        var first = 0
        while first < rows {
            let count = min(space.rows, rows - first)
            mix(x, first, count, logits, experts, space, workspace.memory.address, adds: adds, into: out)
            first += count
        }
    }

    /// Rows first..<first + rows.
    private func mix(
        _ x: CUDABuffer, _ first: Int, _ rows: Int, _ logits: CUDABuffer, _ experts: CUDAExperts,
        _ space: ExpertWorkspace, _ base: UInt64, adds: Bool, into out: CUDABuffer
    ) {
        func at(_ offset: Int) -> UInt64 { base + UInt64(offset) }
        let (count, perToken) = (Int32(experts.shape.count), Int32(experts.shape.perToken))
        let (hidden, intermediate) = (experts.hiddenSize, experts.intermediateSize)
        let slots = rows * experts.shape.perToken
        // Each expert's last block may not be full.
        let blocks = slots / 64 + experts.shape.count
        device.launch(
            kernels.routeExperts, grid: ((rows + 7) / 8, 1, 1), block: 256, logits.address(ofRow: first),
            input.sequences + UInt64(4 * first), Int32(rows), count, perToken,
            Int32(experts.shape.renormalizes ? 1 : 0), at(space.chosen), at(space.weights))
        device.launch(
            kernels.sortExperts, grid: (1, 1, 1), block: 1024, at(space.chosen), Int32(slots), count, at(space.starts),
            at(space.places), at(space.sorted))
        let gateUpGrid = ((intermediate + 31) / 32, blocks, 1)
        let (wide, narrow) = (Int32(hidden), Int32(intermediate))
        let input = x.memory.address + UInt64(first * hidden * shapes.elementSize)
        if let weights = experts.gateUpWeights, let quantizedKernels {
            device.launch(
                quantizedKernels.gateUp(weights.format), grid: gateUpGrid, block: 256, input, at(space.starts),
                at(space.sorted), perToken, count, wide, narrow, experts.gateUp.address, experts.epilogue,
                weights.layout, at(space.activated))
        } else {
            device.launch(
                kernels.expertsGateUp, grid: gateUpGrid, block: 128, input, at(space.starts), at(space.sorted),
                perToken,
                count, wide, narrow, experts.gateUp.address, experts.epilogue, at(space.activated))
        }
        let downGrid = ((hidden + 63) / 64, blocks, 1)
        if let weights = experts.downWeights, let quantizedKernels {
            device.launch(
                quantizedKernels.down(weights.format), grid: downGrid, block: 256, at(space.activated),
                at(space.starts), count, narrow, wide, experts.down.address, weights.layout, at(space.partials))
        } else {
            device.launch(
                kernels.expertsDown, grid: downGrid, block: 128, at(space.activated), at(space.starts), count, narrow,
                wide, experts.down.address, at(space.partials))
        }
        device.launch(
            kernels.combineExperts, grid: (rows, 1, 1), block: 256, at(space.partials), at(space.places),
            at(space.weights), perToken, Int32(hidden), Int32(adds ? 1 : 0), out.address(ofRow: first))
    }
}

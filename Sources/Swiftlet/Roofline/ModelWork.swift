// ModelWork: how much an operation, a step or a whole run has to move and to compute at least, from a model's shape.
// Made from a ModelConfig by whoever compares a measurement with the machine's limits.
// Invariant: nothing is counted that a perfect engine could avoid: a weight comes from memory once a step, a key or
// value once a sequence and step, and activations stay in the caches.

package import CSwiftletKernels

/// What has to be moved and computed.
package struct OperationWork: Sendable, Hashable {
    /// From memory: weights, keys and values, logits that no cache holds.
    package var memoryBytes = 0.0
    /// Activations that stay in the last cache.
    package var cacheBytes = 0.0
    /// In products of the compute type; a multiplication and an addition are two.
    package var floatOperations = 0.0
    /// In products of integers.
    package var integerOperations = 0.0

    package init(
        memoryBytes: Double = 0, cacheBytes: Double = 0, floatOperations: Double = 0, integerOperations: Double = 0
    ) {
        self.memoryBytes = memoryBytes
        self.cacheBytes = cacheBytes
        self.floatOperations = floatOperations
        self.integerOperations = integerOperations
    }

    package var operations: Double { floatOperations + integerOperations }
    /// Operations for each byte from memory; nil when there are no such bytes.
    package var intensity: Double? { memoryBytes > 0 ? operations / memoryBytes : nil }

    package static func + (a: OperationWork, b: OperationWork) -> OperationWork {
        OperationWork(
            memoryBytes: a.memoryBytes + b.memoryBytes, cacheBytes: a.cacheBytes + b.cacheBytes,
            floatOperations: a.floatOperations + b.floatOperations,
            integerOperations: a.integerOperations + b.integerOperations)
    }

    package static func += (a: inout OperationWork, b: OperationWork) { a = a + b }

    package static func * (work: OperationWork, count: Int) -> OperationWork {
        let factor = Double(count)
        return OperationWork(
            memoryBytes: work.memoryBytes * factor, cacheBytes: work.cacheBytes * factor,
            floatOperations: work.floatOperations * factor, integerOperations: work.integerOperations * factor)
    }
}

package struct ModelWork: Sendable {
    /// The matrices of a model; all but the head are there once a layer, or an MLP's once a layer that has one.
    package enum Projection: String, CaseIterable, Sendable {
        case qkv, output
        case gateUp = "gate+up"
        case down, head
    }

    /// Rows of one sequence in a step: the newest `rows` of `context` positions.
    package struct Sequence: Sendable {
        package var rows: Int
        package var context: Int

        package init(rows: Int, context: Int) {
            self.rows = rows
            self.context = context
        }
    }

    package let config: ModelConfig
    private let dtype: swiftlet_dtype
    private let quantization: WeightQuantization
    private let integerProducts: Set<EngineConfig.Quantization>
    /// How far layers look back, and how many of them do.
    private let windows: [(window: Int?, layers: Int)]
    /// Of one token's keys and values in one layer.
    let bytesPerCachedToken: Int
    /// Of an activation that a product reads.
    private let bytesPerActivation: Double

    package init(
        _ config: ModelConfig, dtype: swiftlet_dtype, quantization: WeightQuantization = WeightQuantization(),
        kvCacheType: EngineConfig.KVCacheType = .automatic, integerProducts: Set<EngineConfig.Quantization> = [.int8]
    ) {
        self.config = config
        self.dtype = dtype
        self.quantization = quantization
        self.integerProducts = integerProducts
        windows = Dictionary(grouping: config.slidingWindows) { $0 }.map { ($0.key, $0.value.count) }
        bytesPerCachedToken = kvCacheType.bytesPerToken(config, dtype)
        bytesPerActivation = dtype == SWIFTLET_BFLOAT16 ? 2 : 4
    }

    // MARK: - Operations

    /// Outputs and inputs.
    package func shape(of projection: Projection) -> (rows: Int, columns: Int) {
        switch projection {
        case .qkv: (config.queryWidth + 2 * config.keyValueWidth, config.hiddenSize)
        case .output: (config.hiddenSize, config.queryWidth)
        case .gateUp: (2 * config.intermediateSize, config.hiddenSize)
        case .down: (config.hiddenSize, config.intermediateSize)
        case .head: (config.vocabularySize, config.hiddenSize)
        }
    }

    /// One matrix and this many tokens.
    package func linear(_ projection: Projection, tokens: Int) -> OperationWork {
        linear(shape(of: projection), projection == .head ? quantization.head : quantization.layers, tokens: tokens)
    }

    /// The router and the experts of a layer. A token goes to few of them; all that some token goes to have to be read:
    /// as many as expected when routing is even. (A trained model's is not quite: then fewer have to.)
    package func experts(tokens: Int) -> OperationWork {
        guard let shape = config.experts else { return OperationWork() }
        let (hidden, width) = (config.hiddenSize, shape.intermediateSize)
        var work = linear((2 * width, hidden), quantization.layers, tokens: tokens * shape.perToken)
        work += linear((hidden, width), quantization.layers, tokens: tokens * shape.perToken)
        work.memoryBytes *= shape.expectedExperts(tokens: tokens)
        return work + linear((shape.count, hidden), nil, tokens: tokens)
    }

    private func linear(
        _ shape: (rows: Int, columns: Int), _ kind: EngineConfig.Quantization?, tokens: Int
    ) -> OperationWork {
        let (rows, columns) = shape
        let operations = 2 * Double(rows) * Double(columns) * Double(tokens)
        var work = OperationWork(
            memoryBytes: Double(WeightQuantization.bytes(rows: rows, columns: columns, kind, dtype)))
        if let kind, integerProducts.contains(kind) {
            work.integerOperations = operations
        } else {
            work.floatOperations = operations
        }
        return work
    }

    /// One layer of one sequence.
    package func attention(_ sequence: Sequence, window: Int? = nil) -> OperationWork {
        let first = sequence.context - sequence.rows
        let seen = Self.positionsSeen(byRows: first..<sequence.context, window: window)
        // The first row looks furthest back.
        let touched = min(sequence.context, window.map { sequence.rows - 1 + $0 } ?? sequence.context)
        return OperationWork(
            memoryBytes: Double(touched) * Double(bytesPerCachedToken),
            floatOperations: 4 * Double(config.queryWidth) * seen)
    }

    /// How many positions rows at these positions look at, all in all: each at itself and those before it.
    static func positionsSeen(byRows rows: Range<Int>, window: Int?) -> Double {
        // Up to the window a row at p sees p + 1.
        let split = window.map { min(max($0, rows.lowerBound), rows.upperBound) } ?? rows.upperBound
        let (first, middle) = (Double(rows.lowerBound), Double(split))
        let growing = (middle * (middle + 1) - first * (first + 1)) / 2
        return growing + Double(rows.upperBound - split) * Double(window ?? 0)
    }

    /// Reads the residual stream, writes what the next product reads.
    package func rmsNorm(tokens: Int) -> OperationWork {
        OperationWork(cacheBytes: Double(tokens) * Double(config.hiddenSize) * (4 + bytesPerActivation))
    }

    /// Reads qkv, writes queries, keys and values.
    package func ropeAndStore(tokens: Int) -> OperationWork {
        let read = 4 * Double(config.queryWidth + 2 * config.keyValueWidth)
        let written = Double(config.queryWidth) * bytesPerActivation + Double(bytesPerCachedToken)
        return OperationWork(cacheBytes: Double(tokens) * (read + written))
    }

    /// Reads logits: from the cache while it holds them.
    package func sample(tokens: Int, cacheSize: Int) -> OperationWork {
        let bytes = Double(tokens) * Double(config.vocabularySize) * 4
        return bytes <= Double(cacheSize) / 4 ? OperationWork(cacheBytes: bytes) : OperationWork(memoryBytes: bytes)
    }

    // MARK: - Steps and runs

    /// A forward pass: `rows` through all layers, `logitRows` through the head, and the attention of all sequences.
    package func step(_ sequences: [Sequence], logitRows: Int) -> OperationWork {
        let rows = sequences.reduce(0) { $0 + $1.rows }
        var work = weights(tokens: rows, logitRows: logitRows)
        for sequence in sequences {
            for (window, layers) in windows { work += attention(sequence, window: window) * layers }
        }
        return work
    }

    /// A step that gives each of these sequences a token.
    package func decode(contexts: [Int]) -> OperationWork {
        step(contexts.map { Sequence(rows: 1, context: $0) }, logitRows: contexts.count)
    }

    /// The weights' part of a step.
    package func weights(tokens: Int, logitRows: Int) -> OperationWork {
        let attention = linear(.qkv, tokens: tokens) + linear(.output, tokens: tokens)
        let mlp = linear(.gateUp, tokens: tokens) + linear(.down, tokens: tokens)
        return attention * config.layerCount + mlp * config.denseLayerCount
            + experts(tokens: tokens) * (config.experts?.layerCount ?? 0) + linear(.head, tokens: logitRows)
    }
}

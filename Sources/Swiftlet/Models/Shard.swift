// Shard: which part of a model one of several ranks computes. A value made of the configuration and two numbers; the
// WeightLoader reads by it, the DecoderModel computes by it, the MemoryPlan counts by it.
//
// Query heads, the inner width of the MLP or of each expert, and the vocabulary are cut; the residual stream is everybody's. A key/value head
// goes with the query heads that use it, to two ranks where they do.
// Invariant: the ranks' parts of a dimension are neighbours without gaps, and none is empty.

package struct Shard: Sendable, Hashable {
    /// A dimension of a matrix, and what of it is this rank's.
    package struct Extent: Sendable, Hashable {
        package var whole: Int
        package var own: Range<Int>

        /// What every rank has in full.
        package static func all(_ count: Int) -> Extent { Extent(whole: count, own: 0..<count) }

        var isWhole: Bool { own.count == whole }

        /// In elements, if this counts pieces of so many each.
        func scaled(by width: Int) -> Extent {
            Extent(whole: whole * width, own: own.lowerBound * width..<own.upperBound * width)
        }
    }

    /// Outputs that are packed side by side; a part that ends elsewhere would fill its last panel with nothing. Four-bit
    /// groups have as many columns, or what the folder's quantisation says.
    private static let panel = 64

    package let rank: Int
    package let rankCount: Int
    /// The model as if it had this rank's part only.
    package let config: ModelConfig
    package let hidden: Extent
    package let queryHeads: Extent
    package let keyValueHeads: Extent
    package let intermediate: Extent
    package let vocabulary: Extent
    /// Of each expert, if there are any.
    package let expertWidth: Extent
    package let head: Extent
    /// Query heads per key/value head, of the model.
    package let queryGroup: Int

    /// All of it.
    package init(whole config: ModelConfig) {
        self.init(config, rank: 0, of: 1)
    }

    /// - Throws: `invalidConfiguration` when there are more ranks than something to give each.
    package init(of config: ModelConfig, rank: Int, rankCount: Int) throws(LLMError) {
        for (count, what) in [
            (config.queryHeadCount, "query heads"), (config.intermediateSize, "intermediate columns"),
            (config.vocabularySize, "tokens in its vocabulary"),
            (config.experts?.intermediateSize ?? rankCount, "columns in an expert"),
        ] where rankCount > count {
            throw LLMError(
                .invalidConfiguration,
                "tensor-parallel-size is \(rankCount); the model has \(count) \(what), and every rank needs one")
        }
        self.init(config, rank: rank, of: rankCount)
    }

    private init(_ whole: ModelConfig, rank: Int, of rankCount: Int) {
        self.rank = rank
        self.rankCount = rankCount
        hidden = .all(whole.hiddenSize)
        let columnGroup = max(1, whole.storedQuantization?.columnGroup ?? 1)
        let panel = max(Self.panel, columnGroup)
        intermediate = Self.cut(whole.intermediateSize, by: panel, rank, rankCount)
        vocabulary = Self.cut(whole.vocabularySize, by: Self.panel, rank, rankCount)
        expertWidth = Self.cut(whole.experts?.intermediateSize ?? rankCount, by: panel, rank, rankCount)
        head = .all(whole.headDimension)
        // Whole groups, if no rank gets more heads by that: then no key is kept twice.
        let (queries, groups) = (whole.queryHeadCount, whole.keyValueHeadCount)
        let group = queries / groups
        let largest = (groups + rankCount - 1) / rankCount * group
        let byGroups = groups >= rankCount && largest <= (queries + rankCount - 1) / rankCount
        queryGroup = group
        // Heads side by side are columns of the output projection.
        let headsPerColumnGroup = max(1, columnGroup / whole.headDimension)
        queryHeads = Self.cut(queries, by: max(byGroups ? group : 1, headsPerColumnGroup), rank, rankCount)
        let own = queryHeads.own
        keyValueHeads = Extent(whole: groups, own: own.lowerBound / group..<(own.upperBound + group - 1) / group)
        var config = whole
        config.queryHeadCount = own.count
        config.keyValueHeadCount = keyValueHeads.own.count
        config.intermediateSize = intermediate.own.count
        config.vocabularySize = vocabulary.own.count
        config.experts?.intermediateSize = expertWidth.own.count
        self.config = config
    }

    /// Rows of the query projection, which are the columns of the output projection.
    package var queries: Extent { queryHeads.scaled(by: config.headDimension) }
    /// Rows of the key projection and of the value projection.
    package var keyValues: Extent { keyValueHeads.scaled(by: config.headDimension) }
    /// Query heads of the first key/value head that are another rank's.
    package var skippedQueryHeads: Int { queryHeads.own.lowerBound % queryGroup }
    /// Columns of the first key/value head, if another rank counts them where each is counted once.
    package var repeatedKeyColumns: Int { skippedQueryHeads > 0 ? config.headDimension : 0 }

    /// Pieces of `unit`, as evenly as possible; smaller ones when there are fewer than ranks.
    private static func cut(_ count: Int, by unit: Int, _ rank: Int, _ rankCount: Int) -> Extent {
        var unit = unit
        while unit > 1 && (count + unit - 1) / unit < rankCount { unit = (unit + 1) / 2 }
        let pieces = (count + unit - 1) / unit
        func start(_ rank: Int) -> Int { min(count, pieces * rank / rankCount * unit) }
        return Extent(whole: count, own: start(rank)..<start(rank + 1))
    }
}

extension Backend {
    /// The cache of one of the shard's layers.
    package func makeCache(of shard: Shard, blockCount: Int, blockSize: Int) throws(LLMError) -> Cache {
        try makeCache(
            blockCount: blockCount, blockSize: blockSize, keyValueHeads: shard.config.keyValueHeadCount,
            headDim: shard.config.headDimension, queryGroup: shard.queryGroup,
            skippedQueryHeads: shard.skippedQueryHeads)
    }
}

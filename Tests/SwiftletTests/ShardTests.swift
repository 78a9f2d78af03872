// How a model is cut into ranks: all shapes that a rank may get, on numbers alone.

import Swiftlet
import Testing

@Suite("Shards of a model")
struct ShardTests {
    static func config(queries: Int, keys: Int, intermediate: Int = 352, vocabulary: Int = 331) throws -> ModelConfig {
        let json = """
            {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
             "num_attention_heads": \(queries), "num_key_value_heads": \(keys), "head_dim": 16,
             "intermediate_size": \(intermediate), "vocab_size": \(vocabulary), "rms_norm_eps": 1e-6}
            """
        return try ModelConfig(config: Array(json.utf8))
    }

    @Test("Every rank has something, all have everything, and heads have the keys they use")
    func coverage() throws {
        for (queries, keys) in [
            (1, 1), (4, 2), (5, 1), (5, 5), (7, 1), (7, 7), (8, 2), (14, 2), (16, 8), (32, 8), (48, 4),
        ] {
            for (intermediate, vocabulary) in [(352, 331), (4864, 151_936), (queries, queries + 1)] {
                let config = try Self.config(
                    queries: queries, keys: keys, intermediate: intermediate, vocabulary: vocabulary)
                for count in 1...queries {
                    let shards = try (0..<count).map { try Shard(of: config, rank: $0, rankCount: count) }
                    check(shards, config)
                }
            }
        }
    }

    private func check(_ shards: [Shard], _ config: ModelConfig) {
        let group = config.queryHeadCount / config.keyValueHeadCount
        for (extent, whole) in [
            (\Shard.queryHeads, config.queryHeadCount), (\.intermediate, config.intermediateSize),
            (\.vocabulary, config.vocabularySize),
        ] {
            #expect(shards[0][keyPath: extent].own.lowerBound == 0)
            #expect(shards.last![keyPath: extent].own.upperBound == whole)
            for (shard, next) in zip(shards, shards.dropFirst()) {
                #expect(shard[keyPath: extent].own.upperBound == next[keyPath: extent].own.lowerBound)
            }
            #expect(shards.allSatisfy { !$0[keyPath: extent].own.isEmpty && $0[keyPath: extent].whole == whole })
        }
        let most = shards.map(\.queryHeads.own.count).max()!
        #expect(most == (config.queryHeadCount + shards.count - 1) / shards.count)
        for shard in shards {
            let heads = shard.queryHeads.own.map { $0 / group }
            #expect(shard.keyValueHeads.own == heads.first!..<heads.last! + 1)
            #expect(
                shard.skippedQueryHeads == shard.queryHeads.own.lowerBound - shard.keyValueHeads.own.lowerBound * group)
            #expect(shard.config.queryHeadCount == heads.count && shard.config.hiddenSize == config.hiddenSize)
            #expect(shard.config.vocabularySize == shard.vocabulary.own.count)
        }
    }

    @Test("Whole groups keep no key twice")
    func wholeGroups() throws {
        let config = try Self.config(queries: 16, keys: 8)
        let shards = try (0..<3).map { try Shard(of: config, rank: $0, rankCount: 3) }
        #expect(shards.map(\.queryHeads.own) == [0..<4, 4..<10, 10..<16])
        #expect(shards.map(\.keyValueHeads.own) == [0..<2, 2..<5, 5..<8])
        #expect(try Shard(of: Self.config(queries: 14, keys: 2), rank: 1, rankCount: 3).keyValueHeads.own == 0..<2)
    }

    @Test("More ranks than query heads are refused with a reason")
    func tooMany() throws {
        let config = try Self.config(queries: 4, keys: 2)
        let error = #expect(throws: LLMError.self) { try Shard(of: config, rank: 0, rankCount: 5) }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.message.contains("tensor-parallel-size is 5; the model has 4 query heads") == true)
    }
}

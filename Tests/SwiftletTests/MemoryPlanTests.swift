// The memory plan: how many KV blocks there is room for, and errors that say what is needed, what there is and which
// option changes it. On numbers alone; nothing is allocated.

import CSwiftletKernels
import Swiftlet
import Testing

@Suite("Memory plan")
struct MemoryPlanTests {
    static let mebibyte = 1 << 20

    func plan(_ engine: EngineConfig = EngineConfig(), length: Int = 512, config: String = DummyModel.qwen3) throws
        -> MemoryPlan
    {
        MemoryPlan(
            config: try ModelConfig(config: Array(config.utf8)), engine: engine, dtype: SWIFTLET_FLOAT32,
            maxModelLength: length, maxBatchedTokens: 512)
    }

    func message(_ body: () throws -> Void) -> String {
        let error = #expect(throws: LLMError.self) { try body() }
        #expect(error?.code == .outOfMemory)
        return error?.message ?? ""
    }

    @Test("A block holds keys and values of all layers")
    func blockBytes() throws {
        // 2 layers, K and V, 64 slots, one head of 24 floats; what a head is padded to is the kernel's affair.
        let bytes = try plan().blockBytes
        #expect(bytes >= 2 * 2 * 64 * 24 * 4 && bytes <= 2 * 2 * 64 * 32 * 4)
        #expect(try plan(EngineConfig(blockSize: 128)).blockBytes == 2 * bytes)
        #expect(try plan().blocksPerContext == 8 && plan(length: 513).blocksPerContext == 9)
    }

    @Test("An eight-bit block holds a byte for each element and a scale for each head of a token")
    func eightBitBlockBytes() throws {
        let bytes = try plan(EngineConfig(kvCacheType: .int8)).blockBytes
        #expect(bytes >= 2 * 2 * 64 * (24 + 4) && bytes <= 2 * 2 * 64 * (32 + 4))
        let wide = try plan()
        let free = wide.workspaceBytes + 100 * wide.blockBytes
        let same = EngineConfig.KVCacheSize.bytes(30 * wide.blockBytes)
        #expect(try plan(EngineConfig(kvCache: same)).blockCount(available: free) == 30)
        #expect(try plan(EngineConfig(kvCacheType: .int8, kvCache: same)).blockCount(available: free) > 90)
    }

    @Test("Automatic takes what maxSequences contexts need, at most half of what is free")
    func automatic() throws {
        let few = try plan(EngineConfig(maxSequences: 3))
        #expect(try few.blockCount(available: nil) == 24)
        #expect(try few.blockCount(available: 1 << 40) == 24)
        let room = 20 * few.blockBytes
        #expect(try few.blockCount(available: few.workspaceBytes + room) == 10)
        let many = try plan(EngineConfig(maxSequences: 65_536), length: 1 << 24)
        #expect(try many.blockCount(available: nil) <= Int(Int32.max) / 2)
    }

    @Test("A share, bytes and blocks are taken as given")
    func given() throws {
        let bytes = try plan().blockBytes
        let free = try plan().workspaceBytes + 100 * bytes
        #expect(try plan(EngineConfig(kvCache: .fraction(0.5))).blockCount(available: free) == 50)
        #expect(try plan(EngineConfig(kvCache: .fraction(1))).blockCount(available: free) == 100)
        #expect(try plan(EngineConfig(kvCache: .bytes(9 * bytes + 1))).blockCount(available: free) == 9)
        // Blocks that the user counted may be fewer than a context needs.
        #expect(try plan(EngineConfig(kvCache: .blocks(1))).blockCount(available: free) == 1)
        #expect(try plan(EngineConfig(kvCache: .blocks(100))).blockCount(available: free) == 100)
    }

    @Test("A18: with too little memory the error says what is needed, what there is and what to change")
    func a18TooLittle() throws {
        let plan = try plan()
        let needed = plan.weightBytes + plan.workspaceBytes + plan.blocksPerContext * plan.blockBytes
        try plan.checkFits(available: needed)
        try plan.checkFits(available: nil)
        for available in [needed - 1, Self.mebibyte, 0] {
            let text = message { try plan.checkFits(available: available) }
            let (need, have) = ((needed + Self.mebibyte - 1) >> 20, (available + Self.mebibyte - 1) >> 20)
            for part in ["needs \(need) MiB", "\(have) MiB are free", "--max-model-len", "--dtype bfloat16"] {
                #expect(text.contains(part), "\(text) lacks \(part)")
            }
        }
    }

    @Test("A18: others may hold so much that nothing is left after loading", arguments: [0, 1, 1 << 20])
    func a18NothingLeft(available: Int) throws {
        for size in [EngineConfig.KVCacheSize.automatic, .fraction(0.9), .bytes(1 << 30), .blocks(1000)] {
            let plan = try plan(EngineConfig(kvCache: size))
            let text = message { _ = try plan.blockCount(available: available) }
            #expect(text.contains("\((available + Self.mebibyte - 1) >> 20) MiB are free"))
            #expect(text.contains("--kv-cache-memory-bytes"))
        }
        let small = try plan(EngineConfig(kvCache: .bytes(3 * plan().blockBytes)))
        let text = message { _ = try small.blockCount(available: 1 << 40) }
        for part in ["room for 192 tokens", "max-model-len 512 needs 512", "--max-model-len"] {
            #expect(text.contains(part), "\(text) lacks \(part)")
        }
    }

    @Test("Absurd sizes are refused, not computed with")
    func absurd() throws {
        for blocks in [Int.max, Int.max / 2, 1 << 40] {
            let plan = try plan(EngineConfig(kvCache: .blocks(blocks)))
            #expect(throws: LLMError.self) { try plan.checkFits(available: 1 << 40) }
            #expect(throws: LLMError.self) { try plan.blockCount(available: 1 << 40) }
            #expect(throws: LLMError.self) { try plan.blockCount(available: nil) }
        }
        let bytes = try plan(EngineConfig(kvCache: .bytes(.max)))
        _ = message { _ = try bytes.blockCount(available: 1 << 40) }
    }

    @Test("A18: an engine that does not fit throws before anything is read")
    func a18Engine() async throws {
        let giant = DummyModel.qwen3.replacing("\"intermediate_size\": 100", with: "\"intermediate_size\": 1048576")
            .replacing("\"hidden_size\": 72", with: "\"hidden_size\": 65536")
        let folder = DummyModel.folder(giant)
        let error = await #expect(throws: LLMError.self) {
            try await LLM.quiet(folder.path, EngineConfig(loadFormat: .dummy))
        }
        #expect(error?.code == .outOfMemory && error?.message.contains("are free") == true)
    }
}

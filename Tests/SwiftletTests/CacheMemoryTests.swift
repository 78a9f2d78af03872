// The KV cache's memory on the CPU: how much of it is taken, and when.

import CSwiftletKernels
import Swiftlet
import Testing

#if canImport(Musl)
import Musl
#elseif canImport(Glibc)
import Glibc
#endif

#if os(Linux)
@Suite("Memory of the KV cache")
struct CacheMemoryTests {
    @Test("A short conversation takes small pages of its blocks; what goes on takes huge ones")
    func pagesOfBlocks() throws {
        let backend = try CPUBackend(level: nil, threads: 2, isPinned: false, dtype: SWIFTLET_BFLOAT16)
        let cache = try backend.makeCache(
            blockCount: 100, blockSize: 64, keyValueHeads: 8, headDim: 128, queryGroup: 2, skippedQueryHeads: 0)
        let total = 100 * cache.blockBytes
        for (blocks, kibibytes) in [(0, 0), (1, 256), (3, 768), (8, 2048), (9, 4096), (100, 25600)] {
            backend.provide([cache], blockCount: blocks)
            var pages = [UInt8](repeating: 0, count: total / 4096)
            try #require(mincore(cache.memory, total, &pages) == 0)
            #expect(pages.count { $0 & 1 == 1 } * 4 == kibibytes, "\(blocks) blocks")
        }
    }
}
#endif

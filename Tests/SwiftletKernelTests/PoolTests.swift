// PoolTests.swift: levels, the thread pool and memory.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite struct PoolTests {
        @Test func levelsHaveNamesAndThePortableOneIsAlwaysThere() {
            let names = (0..<9).map { name(of: swiftlet_level(rawValue: $0)) }
            #expect(
                names == [
                    "portable", "avx2", "avx2vnni", "avx512", "avx512vnni", "avx512bf16", "neon", "neondot", "neonbf16",
                ])
            #expect(swiftlet_level_supported(SWIFTLET_LEVEL_PORTABLE))
            #expect(!swiftlet_level_supported(swiftlet_level(rawValue: 99)))
            #expect(swiftlet_cpu_create(swiftlet_level(rawValue: 99), 1, false) == nil)
            #expect(swiftlet_cpu_create(SWIFTLET_LEVEL_PORTABLE, 0, false) == nil)
        }

        /// Counts how often each item ran and whether thread numbers stay in range.
        private struct Tally {
            var counts: UnsafeMutablePointer<Int32>
            var threads: Int32
            var strays: UnsafeMutablePointer<Int32>
        }

        private func runCounted(_ pool: Pool, items: Int, threads: Int) -> (counts: [Int32], strays: Int32) {
            var strays: Int32 = 0
            var counts = [Int32](repeating: 0, count: items)
            counts.withUnsafeMutableBufferPointer { buffer in
                withUnsafeMutablePointer(to: &strays) { stray in
                    var tally = Tally(
                        counts: buffer.baseAddress ?? stray, threads: Int32(threads), strays: stray)
                    swiftlet_parallel_for(
                        pool.cpu, Int32(items),
                        { context, item, thread in
                            let tally = context!.assumingMemoryBound(to: Tally.self).pointee
                            tally.counts[Int(item)] += 1  // one thread alone may hold the item
                            if thread < 0 || thread >= tally.threads { tally.strays.pointee += 1 }
                        }, &tally)
                }
            }
            return (counts, strays)
        }

        @Test(arguments: [1, 2, 3, 8]) func everyItemRunsExactlyOnce(threads: Int) {
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: threads)
            var random = SeededRandom(1)
            for round in 0..<2000 {
                let items = round % 100 == 0 ? 20_000 : random.int(0...40)  // long enough for workers to join in
                let (counts, strays) = runCounted(pool, items: items, threads: threads)
                #expect(counts.allSatisfy { $0 == 1 } && strays == 0)
            }
        }

        @Test func poolsComeAndGo() {
            for round in 0..<100 {
                let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 1 + round % 4)
                // Half of them are destroyed without ever having worked.
                guard round % 2 == 0 else { continue }
                #expect(runCounted(pool, items: 9, threads: 4).counts == [Int32](repeating: 1, count: 9))
            }
        }

        @Test func aPoolThatParkedWorksAgain() async throws {
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            for _ in 0..<5 {
                try await Task.sleep(for: .milliseconds(20))
                #expect(runCounted(pool, items: 100, threads: 2).counts == [Int32](repeating: 1, count: 100))
            }
        }

        @Test func pinnedPoolsWork() {
            let cpu = swiftlet_cpu_create(SWIFTLET_LEVEL_PORTABLE, 2, true)
            #expect(cpu != nil)
            swiftlet_cpu_destroy(cpu)
            swiftlet_cpu_destroy(nil)
        }

        @Test func memoryIsZeroed() throws {
            for bytes in [1, 4096, 3 << 20] {
                let memory = try #require(swiftlet_allocate(bytes))
                let zeroed = UnsafeRawBufferPointer(start: memory, count: bytes).allSatisfy { $0 == 0 }
                #expect(zeroed)
                memory.storeBytes(of: 1, toByteOffset: bytes - 1, as: UInt8.self)
                swiftlet_release(memory, bytes)
            }
            #expect(swiftlet_allocate(0) == nil)
            #expect(swiftlet_allocate(1 << 60) == nil)
            swiftlet_release(nil, 0)
        }
    }
}

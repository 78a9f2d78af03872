// PoolTests.swift: levels, the thread pool and memory.

import CSwiftletKernels
import Testing

#if canImport(Musl)
import Musl
#elseif canImport(Glibc)
import Glibc
#endif

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
            #expect(swiftlet_cpu_create(swiftlet_level(rawValue: 99), 1, nil) == nil)
            #expect(swiftlet_cpu_create(SWIFTLET_LEVEL_PORTABLE, 0, nil) == nil)
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

        /// Threads of several nodes, all on this machine's cores; node numbers need not be in order or all in use.
        static let placements: [[Int32]] = [
            [0, 0], [0, 1], [1, 0], [0, 1, 1], [0, 2], [0, 1, 2, 3], [0, 0, 0, 15],
        ]

        @Test(arguments: placements) func everyItemRunsExactlyOnceOnAnyNodes(nodes: [Int32]) throws {
            let pool = try #require(Pool(SWIFTLET_LEVEL_PORTABLE, nodes: nodes))
            var random = SeededRandom(2)
            for round in 0..<500 {
                let items = round % 50 == 0 ? 20_000 : random.int(0...40)
                let (counts, strays) = runCounted(pool, items: items, threads: nodes.count)
                #expect(counts.allSatisfy { $0 == 1 } && strays == 0)
            }
        }

        @Test func placesThatCannotBeAreRefused() {
            for node: Int32 in [-1, 16] { #expect(Pool(SWIFTLET_LEVEL_PORTABLE, nodes: [0, node]) == nil) }
        }

        @Test func threadsAreBoundToCores() throws {
            // A core that is not there is a hint that can't be followed.
            for core: Int32 in [0, 1, 9999, -1] {
                let places = [swiftlet_place(core: -1, node: 0), swiftlet_place(core: core, node: 0)]
                let cpu = try #require(swiftlet_cpu_create(SWIFTLET_LEVEL_PORTABLE, 2, places))
                swiftlet_cpu_destroy(cpu)
            }
            swiftlet_cpu_destroy(nil)
        }

        @Test(arguments: placements) func providingMemoryChangesNoByteOfIt(nodes: [Int32]) throws {
            let pool = try #require(Pool(SWIFTLET_LEVEL_PORTABLE, nodes: nodes))
            let bytes = (5 << 20) + 4096
            let memory = try (0..<3).map { _ in
                let start = try #require(swiftlet_allocate(bytes))
                return UnsafeMutableRawBufferPointer(start: start, count: bytes)
            }
            var areas = memory.map(\.baseAddress)
            for area in memory { for at in stride(from: 0, to: bytes, by: 997) { area[at] = UInt8(at & 255) } }
            swiftlet_provide(pool.cpu, &areas, 3, 1 << 20, bytes)
            swiftlet_provide(pool.cpu, &areas, 3, bytes, bytes)
            for area in memory {
                let isKept = (0..<bytes).allSatisfy { at in
                    let wanted: UInt8 = at % 997 == 0 ? UInt8(at & 255) : 0
                    return area[at] == wanted
                }
                #expect(isKept)
                swiftlet_release(area.baseAddress, bytes)
            }
        }

        #if os(Linux)
        /// Resident pages of an allocation.
        private func resident(_ memory: UnsafeMutableRawPointer, _ bytes: Int) -> Int {
            var pages = [UInt8](repeating: 0, count: (bytes + 4095) / 4096)
            return mincore(memory, bytes, &pages) == 0 ? pages.count { $0 & 1 == 1 } : -1
        }

        @Test func providedMemoryIsThereBeforeItIsUsed() throws {
            let pool = Pool(SWIFTLET_LEVEL_PORTABLE, threads: 2)
            let bytes = 64 << 20
            let memory = try #require(swiftlet_allocate(bytes))
            defer { swiftlet_release(memory, bytes) }
            #expect(resident(memory, bytes) == 0)
            var areas: [UnsafeMutableRawPointer?] = [memory]
            swiftlet_provide(pool.cpu, &areas, 1, 8 << 20, 40 << 20)
            #expect(resident(memory + (8 << 20), 32 << 20) == 8192)
            #expect(resident(memory + (48 << 20), 16 << 20) == 0)
        }
        #endif

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

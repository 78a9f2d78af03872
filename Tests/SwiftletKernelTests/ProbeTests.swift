// ProbeTests.swift: the probes of memory and of products give a rate at every level and for any number of threads.
// Owner: SwiftletKernelTests. Invariant: nothing is said about how fast a machine must be.

import CSwiftletKernels
import Testing

extension Kernels {
    @Suite("Probes") struct ProbeTests {
        @Test("Reading gives a rate and changes nothing", arguments: supportedLevels, [1, 2, 5])
        func read(level: swiftlet_level, threads: Int) {
            let pool = Pool(level, threads: threads)
            let count = 3 << 20
            let memory = swiftlet_allocate(count)!
            defer { swiftlet_release(memory, count) }
            memory.initializeMemory(as: UInt8.self, repeating: 0xA5, count: count)
            for passes: Int32 in [1, 3] {
                let rate = swiftlet_probe_read(pool.cpu, memory, count, passes)
                #expect(rate > 0 && rate.isFinite)
            }
            // Less than a chunk, no passes, more items than can be counted.
            #expect(swiftlet_probe_read(pool.cpu, memory, count / 3 - 1, 1) == 0)
            #expect(swiftlet_probe_read(pool.cpu, memory, count, 0) == 0)
            #expect(swiftlet_probe_read(pool.cpu, memory, count, .max) == 0)
            let bytes = UnsafeRawBufferPointer(start: memory, count: count)
            #expect(bytes.allSatisfy { $0 == 0xA5 })
        }

        @Test("Multiplying gives a rate for each type", arguments: supportedLevels)
        func multiply(level: swiftlet_level) {
            let pool = Pool(level, threads: 2)
            for dtype in [SWIFTLET_FLOAT32, SWIFTLET_BFLOAT16] {
                for format in [SWIFTLET_WEIGHTS_NATIVE, SWIFTLET_WEIGHTS_INT8] {
                    let rate = swiftlet_probe_multiply(pool.cpu, dtype, format)
                    #expect(rate > 0 && rate.isFinite)
                    let name = String(cString: swiftlet_probe_instruction(pool.cpu, dtype, format))
                    let isInt8 = format == SWIFTLET_WEIGHTS_INT8
                    let isNative = level == SWIFTLET_LEVEL_AVX512BF16 && dtype == SWIFTLET_BFLOAT16 && !isInt8
                    #expect(isNative == (name == "vdpbf16ps"), "\(name)")
                    let hasDot = [
                        SWIFTLET_LEVEL_AVX2VNNI, SWIFTLET_LEVEL_AVX512VNNI, SWIFTLET_LEVEL_AVX512BF16,
                        SWIFTLET_LEVEL_NEONDOT, SWIFTLET_LEVEL_NEONBF16,
                    ].contains(level)
                    #expect((isInt8 && hasDot) == ["vpdpbusd", "sdot"].contains(name), "\(name)")
                }
            }
        }
    }
}

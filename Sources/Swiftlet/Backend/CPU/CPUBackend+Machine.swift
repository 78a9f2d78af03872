// CPUBackend: where its threads go, and what this machine's memory and multipliers give at best.
// Invariant: nothing here changes a result.

package import CSwiftletKernels

extension CPUBackend {
    /// Where `own` of an engine's threads go, whose nodes are numbered from 0 on; nil when they don't take all of its
    /// share of the cores. Cores stand node by node, so that as many ranks or engines as nodes get one each.
    package static func places(
        _ cores: [Platform.Core], _ share: ProcessShare, _ own: Range<Int>, of threads: Int
    ) -> [swiftlet_place]? {
        let shared = Array(cores[share.part(of: cores.count)])
        guard shared.count == threads else { return nil }
        let first = shared[own].first?.node ?? 0
        return shared[own].map { swiftlet_place(core: Int32($0.processor), node: Int32($0.node - first)) }
    }

    /// Bytes a second that all threads read.
    func readBandwidth(_ memory: UnsafeRawPointer, byteCount: Int, passes: Int) -> Double {
        swiftlet_probe_read(cpu, memory, byteCount, Int32(passes))
    }

    /// Operations a second that all threads compute in registers, as products with weights of this kind do.
    func multiplyPeak(_ quantization: EngineConfig.Quantization?) -> Double {
        swiftlet_probe_multiply(cpu, dtype, Self.format(quantization))
    }

    /// The weights whose products are of integers: activations are rounded to them first.
    var integerProducts: Set<EngineConfig.Quantization> {
        Set([.int8, .int4].filter { swiftlet_multiplies_integers(cpu, dtype, Self.format($0)) })
    }

    /// The instruction that they use.
    func multiplyInstruction(_ quantization: EngineConfig.Quantization?) -> String {
        String(cString: swiftlet_probe_instruction(cpu, dtype, Self.format(quantization)))
    }
}

// `swiftlet selftest`: that it passes where everything is right, and fails where it is not.

import CSwiftletKernels
import Swiftlet
import SwiftletTestSupport
import Synchronization
import Testing

@Suite("Self-test")
struct SelfTestTests {
    final class Results: Sendable {
        let list = Mutex<[SelfTestResult]>([])
        func add(_ result: SelfTestResult) { list.withLock { $0.append(result) } }
        var all: [SelfTestResult] { list.withLock { $0 } }
    }

    @Test("The CPU passes on its best level and on the portable one")
    func cpu() throws {
        let results = Results()
        let levels = [CPUBackend.supportedLevels[0], SWIFTLET_LEVEL_PORTABLE].map {
            String(cString: swiftlet_level_name($0))
        }
        try SelfTest(device: .cpu, levels: levels).run { results.add($0) }
        for result in results.all { #expect(result.hasPassed, "\(result)") }
        let names = Set(results.all.map(\.name))
        #expect(names == ["embed", "norms", "linear", "attention", "logits", "sampling", "model"])
        // Comparing with doubles leaves something, or nothing was compared.
        #expect(results.all.contains { $0.name == "attention" && $0.error > 0 })
    }

    @Test("The command says so, a line each, and exits with 0")
    func command() async throws {
        let finished = try await RunningCommand.run(["selftest", "--json"])
        #expect(finished.code == 0 && finished.output.split(separator: "\n").count > 20)
        #expect(!finished.output.contains("\"passed\":false"))
    }

    @Test("Without a GPU, device cuda is an error that names what is missing")
    func noGPU() async throws {
        if !CUDAInfo().gpus.isEmpty { try Test.cancel("there is a GPU here") }
        let finished = try await RunningCommand.run(["selftest", "--device", "cuda"])
        #expect(finished.code == 1 && finished.errors.contains("driver"))
    }
}

extension CUDATests {
    @Suite("Self-test on the emulated GPU", .serialized)
    struct SelfTests {
        @Test("It passes")
        func passes() throws {
            let results = SelfTestTests.Results()
            // The demo model is large for an emulated GPU.
            try SelfTest(
                device: .cuda, model: Golden.isHere ? Golden.model("qwen3-tied") : nil, libraries: Emulated.libraries,
                cubinFolder: Emulated.cubins, effort: 0
            ).run { results.add($0) }
            for result in results.all { #expect(result.hasPassed, "\(result)") }
            let names = Set(results.all.map(\.name))
            #expect(
                names.isSuperset(of: ["attention", "sampling", "model", "graphs", "sums and gathers between GPUs"]))
            #expect(results.all.contains { $0.name == "graphs" && $0.subject.contains("on 2 GPUs") })
            #expect(names.contains { $0.hasPrefix("kernel ") })
        }
    }
}

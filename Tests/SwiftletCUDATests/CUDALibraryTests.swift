// CUDA's libraries: where they are looked for, what is said when they are missing, and, where NVIDIA's wheels are
// installed, what can be asked of them without a GPU.

import CSwiftletKernels
import Swiftlet
import SwiftletTestSupport
import Testing

@Suite("CUDA libraries")
struct CUDALibraryTests {
    @Test("Folders are searched in the order that the documentation gives")
    func order() throws {
        let root = try TemporaryFolder()
        for name in [
            "venv/lib/python3.12/site-packages/nvidia/cublas/lib", "venv/lib/python3.12/site-packages/nvidia/cu13/lib",
            "usr/local/cuda-13.0/lib64", "usr/local/cuda-12.8/lib64", "usr/local/cuda/lib64",
            "usr/local/lib/python3.11/dist-packages/nvidia/nccl/lib",
        ] { try root.makeFolder(name) }
        let variables = [
            "SWIFTLET_CUDA_LIBRARY_PATH": "/first:/second", "LD_LIBRARY_PATH": "/second:/third",
            "VIRTUAL_ENV": root.path + "/venv", "CUDA_HOME": "/home-of-cuda", "PATH": "/nowhere/bin",
        ]
        let search = CUDASearch(environment: { variables[$0] }, root: root.path)
        let packages = root.path + "/venv/lib/python3.12/site-packages/nvidia"
        #expect(
            search.folders == [
                "/first", "/second", "/third", packages + "/cu13/lib", packages + "/cublas/lib",
                root.path + "/usr/local/lib/python3.11/dist-packages/nvidia/nccl/lib", "/home-of-cuda/lib64",
                root.path + "/usr/local/cuda/lib64", root.path + "/usr/local/cuda-13.0/lib64",
                root.path + "/usr/local/cuda-12.8/lib64",
            ])
    }

    @Test("A missing library names its package and where was looked", arguments: CUDALibraries.Name.allCases)
    func missing(name: CUDALibraries.Name) throws {
        if (try? CUDASearch().open(name)) != nil { try Test.cancel("this machine has it") }
        let folder = try TemporaryFolder()
        let search = CUDASearch(
            environment: { $0 == "SWIFTLET_CUDA_LIBRARY_PATH" ? folder.path : nil }, root: folder.path)
        let error = #expect(throws: LLMError.self) { try search.open(name) }
        guard let error else { return }
        #expect(error.code == .invalidConfiguration)
        #expect(error.message.contains(folder.path) && error.message.contains("SWIFTLET_CUDA_LIBRARY_PATH"))
        #expect(error.message.contains(name == .driver ? "driver" : "pip install nvidia-"))
    }

    @Test("Without a GPU, device cuda says what is missing and auto takes the CPU")
    func withoutGPU() async throws {
        if !CUDAInfo().gpus.isEmpty { try Test.cancel("there is a GPU here") }
        let error = await #expect(throws: LLMError.self) { _ = try await LLM(config: EngineConfig(device: .cuda)) }
        #expect(error?.message.contains("--device cpu") == true)
        let llm = try await LLM(config: EngineConfig(device: .automatic, kvCache: .bytes(8 << 20), threads: 1))
        #expect(llm.device == .cpu)
        await llm.shutdown()
        await #expect(throws: LLMError.self) {
            _ = try await LLM(config: EngineConfig(device: .automatic, enforceEager: true))
        }
    }

    @Test("What GPUs have no kernels for is refused by the option's name")
    func unsupportedOptions() {
        func refusal(_ change: (inout EngineConfig) -> Void) -> String? {
            var config = EngineConfig(device: .cuda)
            change(&config)
            do {
                try config.validate()
                return nil
            } catch {
                return error.message
            }
        }
        #expect(refusal { _ in } == nil)
        #expect(refusal { $0.quantization = .int8 } == nil)
        #expect(refusal { $0.kvCacheType = .int8 }?.contains("kv-cache-dtype") == true)
        #expect(refusal { $0.kvCacheType = .fp8 } == nil)
        #expect(throws: LLMError.self) { try EngineConfig(device: .cpu, kvCacheType: .fp8).validate() }
        #expect(refusal { $0.cpuLevel = "avx2" }?.contains("cpu-level") == true)
        #expect(throws: LLMError.self) { try EngineConfig(device: .cpu, enforceEager: true).validate() }
    }

    @Test("A library that is there and can't be opened says why")
    func damaged() throws {
        let folder = try TemporaryFolder()
        try folder.write("not a library", "libnccl.so.2")
        let search = CUDASearch(
            environment: { $0 == "SWIFTLET_CUDA_LIBRARY_PATH" ? folder.path : nil }, root: folder.path)
        if (try? CUDASearch().open(.collectives)) != nil { try Test.cancel("this machine has NCCL") }
        let error = #expect(throws: LLMError.self) { try search.open(.collectives) }
        #expect(error?.message.contains("invalid ELF") == true || error?.message.contains("too short") == true)
    }

    @Test("NCCL is told to connect the ranks when they join, not in a step that one may never come to")
    func connecting() {
        _ = try? CUDASearch().open(.collectives)
        #expect(Platform.environment("NCCL_RUNTIME_CONNECT") != nil)
    }

    /// A library of NVIDIA's wheels on this machine.
    private func installed(_ name: CUDALibraries.Name) throws -> DynamicLibrary {
        do {
            return try CUDASearch().open(name)
        } catch {
            try Test.cancel("\(name.rawValue) is not installed: \(error)")
        }
    }

    @Test("The real cublasLt takes our descriptions of products, without a GPU")
    func productDescriptors() throws {
        _ = try installed(.blas)
        let functions = try CublasLt(CUDALibraries())
        #expect(functions.version() >= 120_000)
        for (outputs, columns, rows) in [(4096, 1024, 16), (151_936, 1024, 256), (6144, 4096, 1)] {
            for isFloat32 in [false, true] {
                let product = try CublasLtProduct(
                    functions, outputs: outputs, columns: columns, rows: rows, isFloat32: isFloat32)
                withExtendedLifetime(product) {}
            }
        }
        let preference = try functions.made("a preference") { functions.createPreference($0) }
        var bytes = 32 << 20
        #expect(functions.setPreference(preference, 1, &bytes, 8) == 0)
        #expect(functions.destroyPreference(preference) == 0)
    }

    @Test(
        "The real NVRTC compiles every kernel into machine code for sm_80, sm_90 and sm_120",
        arguments: CUDAProgram.allCases)
    func realCompiler(program: CUDAProgram) throws {
        _ = try installed(.compiler)
        let compiler = try CUDACompiler(CUDALibraries())
        for architecture in [80, 90, 120] {
            let shapes = CUDAShapes(
                dtype: SWIFTLET_BFLOAT16, headDim: 128, queryHeads: 16, keyValueHeads: 8, queryGroup: 2,
                skippedQueryHeads: 0,
                blockSize: 64)
            let code = try compiler.cubin(
                program.source, options: CUDAKernels.options(architecture, shapes), cache: nil)
            // An ELF file.
            #expect(code.starts(with: [0x7F, 0x45, 0x4C, 0x46]) && code.count > 10_000)
        }
    }

    @Test("The real NCCL says its version and makes unique ids, without a GPU")
    func uniqueIDs() throws {
        _ = try installed(.collectives)
        let nccl = try NCCL(CUDALibraries())
        var version: Int32 = 0
        #expect(nccl.version(&version) == 0 && version >= 22_000)
        let ids = [try nccl.makeID(), try nccl.makeID()]
        #expect(ids[0] != ids[1] && ids[0].contains { $0 != 0 } && ids[0].count == NCCL.idWords)
        if !CUDAInfo().gpus.isEmpty { return }
        // What a group of one says where there is no GPU: the call itself is understood.
        let error = #expect(throws: LLMError.self) { _ = try nccl.join(ids[0], rank: 0, of: 1) }
        #expect(error?.message.contains("joining rank 0 of 1") == true)
    }
}

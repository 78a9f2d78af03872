// SelfTest: the CUDA kernels by themselves, at the edges of their shapes, against plain loops in C.
// Invariant: they are launched by the driver's own functions, past the backend.

import CSwiftletCUDAChecks
import CSwiftletKernels

extension SelfTest {
    /// Runs the checks of every kernel that a model of this shape has.
    func checkKernels(
        _ backend: CUDABackend, _ subject: String, _ libraries: CUDALibraries, effort: Int,
        _ report: (SelfTestResult) -> Void
    ) throws(LLMError) {
        var calls = swiftlet_cuda_calls(
            allocate: try libraries.function(.driver, "cuMemAlloc_v2"),
            free: try libraries.function(.driver, "cuMemFree_v2"),
            copy_in: try libraries.function(.driver, "cuMemcpyHtoD_v2"),
            copy_out: try libraries.function(.driver, "cuMemcpyDtoH_v2"),
            synchronize: try libraries.function(.driver, "cuStreamSynchronize"),
            find: try libraries.function(.driver, "cuModuleGetFunction"),
            launch: try libraries.function(.driver, "cuLaunchKernel"))
        let shape = backend.shapes
        let quantized = try CUDAModule(backend.device, libraries, .quantized, shape, cache: backend.cubins)
        var shapes = swiftlet_cuda_shapes(
            compute_float: shape.dtype == SWIFTLET_FLOAT32, kv_fp8: shape.hasFP8Cache, head_dim: Int32(shape.headDim),
            query_heads: Int32(shape.queryHeads), kv_heads: Int32(shape.keyValueHeads),
            query_group: Int32(shape.queryGroup), skipped_query_heads: Int32(shape.skippedQueryHeads),
            block_size: Int32(shape.blockSize))
        var index: Int32 = 0
        while let name = swiftlet_cuda_check_name(index) {
            var text = [CChar](repeating: 0, count: 512)
            let isMain = String(cString: swiftlet_cuda_check_program(index)) == CUDAProgram.main.rawValue
            let module = isMain ? backend.kernels.module : quantized
            let status = swiftlet_cuda_check(
                index, &calls, module.handle, &shapes, Int32(effort), &text, text.count)
            let told = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            var result = SelfTestResult(
                name: "kernel \(String(cString: name))", subject: subject, error: status == 0 ? 0 : .infinity, limit: 0)
            if status != 0 { result.problem = status > 0 ? "status \(status): \(told)" : told }
            report(result)
            index += 1
        }
    }
}

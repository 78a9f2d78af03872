// Every CUDA kernel against plain loops, on the emulated driver: shapes at the edges, guard pages, memory of NaN, several
// orders of threads. The kernels are the very sources that a GPU gets; the inline PTX is not run here.
//
// Owner: CSwiftletCUDA. Invariant: no test needs a GPU, and none is skipped where there is a compiler.

import Testing

@Suite(.enabled(if: KernelCheck.hasCompiler, "clang++ of the Swift toolchain is not in the path"))
struct CUDAKernelTests {
    static let ofRows = [
        "steps and embedding", "random weights", "norms", "norms of columns", "products", "sampling", "experts",
        "quantised products", "quantised layouts", "quantised experts",
    ]
    static let ofHeads = ["rope and cache", "attention, one row", "attention, prompts"]

    @Test(arguments: ofRows, [false, true])
    func `a kernel of rows gives what plain loops give`(check: String, isFloat: Bool) {
        for order in 0..<KernelCheck.threadOrders where check != "sampling" || order.isMultiple(of: 2) {
            let (status, text) = KernelCheck.run(check, KernelShape(isFloat: isFloat), order: order)
            #expect(status == 0, "order \(order): \(text)")
        }
    }

    /// Heads of 8 to 256 dimensions, groups of 1 to 24, blocks of 16 to 256, parts of groups.
    static let shapes = [
        KernelShape(headDim: 128, queryHeads: 4, kvHeads: 2, blockSize: 16),
        KernelShape(headDim: 64, queryHeads: 7, kvHeads: 1, blockSize: 64),
        KernelShape(headDim: 64, queryHeads: 4, kvHeads: 2, blockSize: 16, isFloat: true),
        KernelShape(headDim: 16, queryHeads: 8, kvHeads: 1, blockSize: 256),
        KernelShape(headDim: 8, queryHeads: 2, kvHeads: 2, blockSize: 16),
        KernelShape(headDim: 80, queryHeads: 3, kvHeads: 1, blockSize: 32),
        KernelShape(headDim: 256, queryHeads: 4, kvHeads: 1, blockSize: 64),
        KernelShape(headDim: 32, queryHeads: 4, kvHeads: 2, group: 4, skipped: 2, blockSize: 16),
        KernelShape(headDim: 16, queryHeads: 24, kvHeads: 1, blockSize: 16),
        KernelShape(headDim: 64, queryHeads: 4, kvHeads: 2, blockSize: 64, hasFP8Cache: true),
        KernelShape(headDim: 80, queryHeads: 9, kvHeads: 1, blockSize: 16, hasFP8Cache: true),
    ]

    @Test(arguments: ofHeads, shapes)
    func `a kernel of heads gives what plain loops give`(check: String, shape: KernelShape) {
        let orders: [Int32] = shape.headDim == 64 ? [0, 1, 2, 3, 4] : [1, 2]
        for order in orders {
            let (status, text) = KernelCheck.run(check, shape, order: order)
            #expect(status == 0, "order \(order): \(text)")
        }
    }
}

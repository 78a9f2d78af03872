// Every CUDA kernel against plain loops, on the emulated driver: shapes at the edges, guard pages, memory of NaN, several
// orders of threads. The kernels are the very sources that a GPU gets; the inline PTX is not run here.
//
// Owner: CSwiftletCUDA. Invariant: no test needs a GPU, and none is skipped where there is a compiler.

import SwiftletTestSupport
import Testing

@Suite(.enabled(if: KernelCheck.hasCompiler, "clang++ of the Swift toolchain is not in the path"))
struct CUDAKernelTests {
    static let ofRows = [
        "steps and embedding", "random weights", "norms", "norms of columns", "products", "sampling", "experts",
        "quantised products", "quantised layouts", "quantised experts",
    ]
    static let ofHeads = ["rope and cache", "attention, one row", "attention, prompts"]

    private static func expectRight(_ check: String, _ shape: KernelShape, order: Int32) {
        let (status, text) = KernelCheck.run(check, shape, order: order)
        #expect(status == 0, "\(shape.testDescription), order \(order): \(text)")
    }

    @Test(arguments: ofRows)
    func `a kernel of rows gives what plain loops give`(check: String) async throws {
        for order in 0..<KernelCheck.threadOrders where check != "sampling" || order.isMultiple(of: 2) {
            try await twoAtATime([false, true]) { Self.expectRight(check, KernelShape(isFloat: $0), order: order) }
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

    @Test(arguments: ofHeads)
    func `a kernel of heads gives what plain loops give`(check: String) async throws {
        for order in 0..<KernelCheck.threadOrders {
            let shapes = Self.shapes.filter { $0.headDim == 64 || order == 1 || order == 2 }
            try await twoAtATime(shapes) { Self.expectRight(check, $0, order: order) }
        }
    }
}

// Kernels with one thing wrong must be found out: what the checks are worth.
//
// Owner: CSwiftletCUDAChecks. Invariant: each mutation is a fault that somebody could make, and that a GPU might hide.

import SwiftletTestSupport
import Testing

@Suite(.enabled(if: KernelCheck.hasCompiler, "clang++ of the Swift toolchain is not in the path"))
struct CUDAKernelMutationTests {
    static let decode = "attention, one row"
    static let prefill = "attention, prompts"

    static let mutations = [
        Mutation(
            name: "a missing barrier before shared memory is used anew", check: decode, file: "attention_decode.cu",
            from: "__syncthreads();  // parts take the place of the tiles", to: ""),
        Mutation(
            name: "a missing barrier behind a copy of keys", check: prefill, file: "attention_prefill.cu",
            from: "__syncthreads();  // the keys are there, and nobody needs the values before these", to: ""),
        Mutation(
            name: "a write of keys that others still read", check: prefill, file: "attention_prefill.cu",
            from: "__syncthreads();  // the values are there, and nobody needs these keys", to: ""),
        Mutation(
            name: "a missing barrier in a reduction", check: "norms", file: "device.cuh",
            from: "scratch[warp_index()] = x;\n    __syncthreads();", to: "scratch[warp_index()] = x;"),
        Mutation(
            name: "lanes that read what other lanes have not written", check: "rope and cache", file: "rope.cu",
            from: "    __syncwarp();\n}", to: "}", shape: KernelShape(headDim: 16)),
        Mutation(
            name: "sums overwritten while others read them", check: "sampling", file: "sample.cu",
            from: "__syncthreads();  // earlier sums have been read", to: ""),
        Mutation(
            name: "a barrier that only some threads reach", check: "sampling", file: "sample.cu",
            from: "scratch[warp_index()] = best;\n    __syncthreads();",
            to: "scratch[warp_index()] = best;\n    if (warp_index() < 4) __syncthreads();"),
        Mutation(
            name: "too few copies waited for", check: decode, file: "attention_decode.cu",
            from: "copy_async_wait<1>();",
            to: "copy_async_wait<2>();"),
        Mutation(
            name: "swapped fragments of keys", check: decode, file: "attention.cuh",
            from: "multiply_add(low, q[k], b[0], b[1]);", to: "multiply_add(low, q[k], b[1], b[0]);"),
        Mutation(
            name: "fragments of values in another order", check: prefill, file: "attention.cuh",
            from: "row + lane % 16, 2 * d + lane / 16", to: "row + lane % 8 + lane / 16 * 8, 2 * d + lane / 8 % 2"),
        Mutation(
            name: "swapped weights", check: decode, file: "attention_decode.cu",
            from: "state.weigh(half, scores[2], scores[3])", to: "state.weigh(half, scores[3], scores[2])"),
        Mutation(
            name: "the last position skipped", check: decode, file: "attention_decode.cu", from: "at < work.limit ?",
            to: "at < work.limit - 1 ?"),
        Mutation(
            name: "the row's own position skipped", check: prefill, file: "attention_prefill.cu",
            from: "end[half] = exists ? position + 1 : 0;", to: "end[half] = exists ? position : 0;"),
        Mutation(
            name: "no window", check: decode, file: "attention_decode.cu", from: "at >= work.first && at <", to: "at <"),
        Mutation(
            name: "a sum that is not rescaled", check: prefill, file: "attention.cuh", from: "sum[half] *= factor;",
            to: ""),
        Mutation(
            name: "splits added without their maxima", check: decode, file: "attention.cuh",
            from: "sum = fmaf(parts[i * stride + PART_SUM], factor, sum);", to: "sum += parts[i * stride + PART_SUM];"),
        Mutation(
            name: "the last split forgotten", check: decode, file: "attention_decode.cu",
            from: "return (end - begin + tiles - 1) / tiles;", to: "return (end - begin) / tiles;"),
        Mutation(
            name: "rows behind the last one stored", check: prefill, file: "attention_prefill.cu",
            from: "if (row + 8 * half >= work.rows) continue;", to: ""),
        Mutation(
            name: "a store one past the end", check: "norms", file: "norm.cu",
            from: "c < columns; c += (int)blockDim.x)\n            store(",
            to: "c <= columns; c += (int)blockDim.x)\n            store("),
        Mutation(
            name: "a read beyond a row of weights", check: "products", file: "linear.cu",
            from: "if (c >= columns) break;",
            to: ""),
        Mutation(
            name: "uninitialised shared memory read", check: "norms", file: "device.cuh",
            from: "lane_index() < (int)blockDim.x / WARP ?", to: "lane_index() <= (int)blockDim.x / WARP ?"),
        Mutation(
            name: "gate taken for up", check: "products", file: "linear.cu",
            from: "column + out_columns) * (size_t)columns",
            to: "column) * (size_t)columns"),
        Mutation(
            name: "a sine of the wrong sign", check: "rope and cache", file: "rope.cu",
            from: "-(x[d + half] * rope[half + d])", to: "(x[d + half] * rope[half + d])"),
        Mutation(
            name: "NaN let into the cache", check: "rope and cache", file: "rope.cu", from: "x != x ? 0.0f : ", to: ""),
        Mutation(
            name: "padding stored in the cache", check: "rope and cache", file: "rope.cu",
            from: "if (sequences[row] < 0) return;", to: ""),
        Mutation(
            name: "a tie counted once too often", check: "sampling", file: "sample.cu",
            from: "(1u << lane_index()) - 1u",
            to: "(2u << lane_index()) - 1u"),
        Mutation(
            name: "the highest id among equals", check: "sampling", file: "sample.cu", from: "(u64)(~(unsigned)i)",
            to: "(u64)((unsigned)i)"),
        Mutation(
            name: "a sequence's first row taken for the one before", check: "steps and embedding", file: "steps.cu",
            from: "if (offsets[middle] <= row) low", to: "if (offsets[middle] < row) low"),
        Mutation(
            name: "columns overwritten while others read them", check: "experts", file: "experts.cu",
            from: "__syncthreads();  // and no longer needed", to: ""),
        Mutation(
            name: "a slot's row taken for the slot", check: "experts", file: "experts.cu",
            from: "return sorted[slot] / per_row; }", to: "return slot; }"),
        Mutation(
            name: "weights of all experts where those chosen count", check: "experts", file: "experts.cu",
            from: "if (renormalizes && sum == sum) sum = part;", to: ""),
        Mutation(
            name: "rows of the next expert", check: "experts", file: "experts.cu", from: "slot < tile.end && output",
            to: "output"),
    ]

    @Test func `a wrong kernel is found out`() async throws {
        try await twoAtATime(Self.mutations + Self.quantized) { Self.isFoundOut($0) }
    }

    private static func isFoundOut(_ mutation: Mutation) {
        var statuses: [Int32] = []
        for order in 0..<KernelCheck.threadOrders where statuses.last ?? 0 == 0 {
            statuses.append(KernelCheck.run(mutation.check, mutation.shape, order: order, mutation: mutation).status)
        }
        #expect(!statuses.contains(-2), "\(mutation.name): it does not compile, or its text is not there")
        #expect(statuses.last != 0, "\(mutation.name): all orders of threads gave the right results")
    }
}

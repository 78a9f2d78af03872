// Faults of the kernels for weights of four and eight bits, each of which has to be found out.
//
// Owner: CSwiftletCUDAChecks. Invariant: as of the other mutations.

extension CUDAKernelMutationTests {
    static let quantized = [
        Mutation(
            name: "a store past the last output", check: "quantised products", file: "quantized_product.cuh",
            from: "if (output >= columns) return;", to: ""),
        Mutation(
            name: "rows behind the last one stored", check: "quantised products", file: "quantized_product.cuh",
            from: "if (row >= rows.count) continue;", to: ""),
        Mutation(
            name: "columns behind the last one read", check: "quantised products", file: "quantized_product.cuh",
            from: "bool exists = inputs[n] && 32 * number + 8 * lane < columns;", to: "bool exists = inputs[n];"),
        Mutation(
            name: "parts added before all are there", check: "quantised products", file: "quantized_product.cuh",
            from: "__syncthreads();  // all are there", to: ""),
        Mutation(
            name: "parts overwritten while others read them", check: "quantised products",
            file: "quantized_product.cuh",
            from: "__syncthreads();  // the sums before these have been read", to: ""),
        Mutation(
            name: "a group's scale for its neighbour too", check: "quantised products", file: "quantized_product.cuh",
            from: "if (!is_group_done && j", to: "if (j"),
        Mutation(
            name: "swapped columns of a fragment", check: "quantised products", file: "quantized_product.cuh",
            from: "a[1][0], a[0][1], a[1][1]}, second", to: "a[0][1], a[1][0], a[1][1]}, second"),
        Mutation(
            name: "the first block of columns by all warps", check: "quantised products", file: "quantized_product.cuh",
            from: "for (int block = split; block < w.blocks; block += splits)",
            to: "for (int block = 0; block < w.blocks; block += splits)"),
        Mutation(
            name: "a zero point forgotten", check: "quantised products", file: "quantized.cuh",
            from: "float zero = zeros ? (float)zeros[place(row, number)] : 8.0f;", to: "float zero = 8.0f;"),
        Mutation(
            name: "float16 scales taken for bfloat16", check: "quantised products", file: "quantized.cuh",
            from: "return layout & HALF_SCALES ? half_float(bits) : ", to: "return "),
        Mutation(
            name: "bytes of fp8 in another order", check: "quantised layouts", file: "quantized.cuh",
            from: "widened<2, 3>", to: "widened<3, 2>"),
        Mutation(
            name: "padding of the last block left as it was", check: "quantised layouts", file: "quantized.cu",
            from: "        if (place.column < columns)\n            word =", to: "            word ="),
        Mutation(
            name: "up rows taken from the gate's lanes", check: "quantised layouts", file: "quantized.cu",
            from: "32 + (row - rows / 2) % 32", to: "(row - rows / 2) % 32"),
        Mutation(
            name: "a column that x does not have", check: "quantised layouts", file: "quantized.cu",
            from: "if (from >= 0) out", to: "if (true) out"),
        Mutation(
            name: "a slot's row taken for the slot", check: "quantised experts", file: "quantized.cu",
            from: "return sorted[slot] / per_row; }", to: "return slot; }"),
        Mutation(
            name: "another expert's weights", check: "quantised experts", file: "quantized.cu",
            from: "matrices[tile.expert]", to: "matrices[0]"),
        Mutation(
            name: "only the first slots of an expert", check: "quantised experts", file: "quantized.cu",
            from: "first < tile.end; first += 32)", to: "first < tile.first + 32 && first < tile.end; first += 32)"),
    ]
}

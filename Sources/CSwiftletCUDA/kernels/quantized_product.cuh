// quantized_product.cuh: products with weights of four or eight bits. A block has eight warps; a warp takes 16 rows of the
// matrix, for some of its columns when several warps share these rows. Weights go from memory into the registers of the
// tensor cores, 16 bytes a lane and the next ones on their way; x comes through the first-level cache.
//
// Invariant: a row of x gives what it gives alone: sums go block by block of columns, then over the warps that share them.
#pragma once

#include "quantized.cuh"

enum : int { PRODUCT_WARPS = 8, PRODUCT_THREADS = PRODUCT_WARPS * WARP };

/// Rows of x and of the result that a block takes: `count` from `first` on.
struct ProductRows {
    int first, count;
};

/// What becomes of the sums.
struct ProductResult {
    int columns;  // outputs
    const float *bias;
    int epilogue;
    float cap;
    void *out;

    /// Matrix rows of a warp's tile that are outputs: the other eight are the ups of gates.
    __device__ int tile_outputs() const { return is_gated(epilogue) ? 8 : 16; }

    __device__ void store_one(size_t row, int output, float y, float up) const {
        if (output >= columns) return;
        size_t i = row * (size_t)columns + (size_t)output;
        if (bias) y += bias[output];
        if (!is_gated(epilogue)) return finish(epilogue, y, cap, out, i);
        if (bias) up += bias[output + columns];
        store((element *)out + i, gated(epilogue, y, up));
    }
};

#if COMPUTE_FLOAT
/// The sum of all lanes.
template <typename Format>
__device__ inline float quantized_dot(const Quantized<Format> &w, int row, const float *x, int columns) {
    float sum = 0;
    for (int number = lane_index(); number * 8 < columns; number += WARP) {
        float a[8];
        w.read(row, number, a);
        for (int i = 0; i < 8 && number * 8 + i < columns; i++) sum = fmaf(a[i], x[number * 8 + i], sum);
    }
    return warp_sum(sum);
}
#else
/// sums [8 BLOCKS rows of x, 16 matrix rows] of a warp: matrix rows `low` and `high` are those of this lane's group. `split`
/// of `splits`: which blocks of columns. Columns are a multiple of 8.
template <typename Format, int BLOCKS, typename RowOf>
__device__ inline void multiply_quantized(const Quantized<Format> &w, int low, int high, const bf16 *x, RowOf row_of,
                                          int count, int columns, int split, int splits, float (&sums)[BLOCKS][4]) {
    int group = lane_index() / 4, lane = lane_index() % 4;
    const unsigned char *low_bytes = w.row(low) + 16 * lane, *high_bytes = w.row(high) + 16 * lane;
    const bf16 *inputs[BLOCKS];
    float parts[BLOCKS][4];
#pragma unroll
    for (int n = 0; n < BLOCKS; n++) {
        int row = 8 * n + group;
        inputs[n] = row < count ? x + (size_t)row_of(row) * (size_t)columns + 8 * lane : nullptr;
#pragma unroll
        for (int i = 0; i < 4; i++) sums[n][i] = parts[n][i] = 0;
    }
    uint4 next[2] = {};
    auto load = [&](int block) {
        if (block >= w.blocks) return;
        next[0] = load_once(low_bytes + (size_t)block * w.BLOCK), next[1] = load_once(high_bytes + (size_t)block * w.BLOCK);
    };
    load(split);
    for (int block = split; block < w.blocks; block += splits) {
        const unsigned words[2][4] = {{next[0].x, next[0].y, next[0].z, next[0].w}, {next[1].x, next[1].y, next[1].z, next[1].w}};
        load(block + splits);
#pragma unroll
        for (int j = 0; j < Format::PIECES; j++) {
            int number = block * Format::PIECES + j;  // of 32 columns
            unsigned a[2][4];
            Format::unpack(words[0] + j * Format::WORDS, w.offset(low, number), a[0]);
            Format::unpack(words[1] + j * Format::WORDS, w.offset(high, number), a[1]);
            unsigned first[4] = {a[0][0], a[1][0], a[0][1], a[1][1]}, second[4] = {a[0][2], a[1][2], a[0][3], a[1][3]};
#pragma unroll
            for (int n = 0; n < BLOCKS; n++) {
                if (8 * n >= count) break;
                bool exists = inputs[n] && 32 * number + 8 * lane < columns;
                uint4 b = exists ? *(const uint4 *)(inputs[n] + 32 * number) : make_uint4(0, 0, 0, 0);
                multiply_add(parts[n], first, b.x, b.y);
                multiply_add(parts[n], second, b.z, b.w);
            }
            bool is_group_done = ((unsigned)number + 1 & (1u << (w.layout & GROUP_SHIFT)) - 1) == 0;
            if (!is_group_done && j < Format::PIECES - 1) continue;
            float low_scale = w.scale(low, number), high_scale = w.scale(high, number);
#pragma unroll
            for (int n = 0; n < BLOCKS; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    sums[n][i] = fmaf(i < 2 ? low_scale : high_scale, parts[n][i], sums[n][i]);
                    parts[n][i] = 0;
                }
        }
    }
}

/// The sums of all warps that share matrix rows, in the first of them: warps `tiles` apart.
template <int BLOCKS>
__device__ inline void add_splits(int tiles, float (&sums)[BLOCKS][4]) {
    __shared__ float4 parts[PRODUCT_WARPS][WARP];
    if (tiles == PRODUCT_WARPS) return;
#pragma unroll
    for (int n = 0; n < BLOCKS; n++) {
        __syncthreads();  // the sums before these have been read
        parts[warp_index()][lane_index()] = make_float4(sums[n][0], sums[n][1], sums[n][2], sums[n][3]);
        __syncthreads();  // all are there
        for (int warp = warp_index() + tiles; warp_index() < tiles && warp < PRODUCT_WARPS; warp += tiles) {
            float4 part = parts[warp][lane_index()];
            sums[n][0] += part.x, sums[n][1] += part.y, sums[n][2] += part.z, sums[n][3] += part.w;
        }
    }
}
#endif

/// What a block does: outputs from tile blockIdx.x * tiles on, `tiles` (1, 2, 4 or 8) of them, for these rows, at most
/// 8 BLOCKS. `row_of` says which row of x a row is.
template <typename Format, int BLOCKS, typename RowOf>
__device__ inline void quantized_product(const Quantized<Format> &w, const element *x, RowOf row_of, ProductRows rows,
                                         int columns, int tiles, const ProductResult &result) {
    int tile = (int)blockIdx.x * tiles + warp_index() % tiles, outputs = result.tile_outputs();
    bool gates = is_gated(result.epilogue);
#if COMPUTE_FLOAT
    if (warp_index() >= tiles) return;
    for (int output = tile * outputs; output < (tile + 1) * outputs && output < result.columns; output++)
        for (int row = 0; row < rows.count; row++) {
            const float *in = x + (size_t)row_of(row) * (size_t)columns;
            float y = quantized_dot(w, output, in, columns);
            float up = gates ? quantized_dot(w, output + result.columns, in, columns) : 0.0f;
            if (lane_index() == 0) result.store_one((size_t)(rows.first + row), output, y, up);
        }
#else
    float sums[BLOCKS][4];
    int output = tile * outputs + lane_index() / 4, low = output < result.columns ? output : 0;
    int high = gates ? low + result.columns : output + 8 < result.columns ? output + 8 : 0;
    multiply_quantized(w, low, high, x, row_of, rows.count, columns, warp_index() / tiles, PRODUCT_WARPS / tiles, sums);
    add_splits(tiles, sums);
    if (warp_index() >= tiles) return;
#pragma unroll
    for (int n = 0; n < BLOCKS; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int row = 8 * n + 2 * (lane_index() % 4) + i;
            if (row >= rows.count) continue;
            result.store_one((size_t)(rows.first + row), output, sums[n][i], sums[n][2 + i]);
            if (!gates) result.store_one((size_t)(rows.first + row), output + 8, sums[n][2 + i], 0);
        }
#endif
}

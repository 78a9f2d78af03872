// rope.cu: from the float32 projection to what attention reads: per-head norms, rotary embedding, and the write of keys
// and values into the paged cache, in one pass.
//
// Invariant: what is written for a row depends on the row alone; everything up to the last rounding is float32.
#include "device.cuh"

enum : int { LANE_DIMS = (HEAD_DIM + WARP - 1) / WARP };  // dimensions of a lane

/// x [HEAD_DIM] (shared) = the head, normed if there is a weight; a warp does it.
__device__ inline void norm_head(const float *in, const float *weight, float epsilon, float *x) {
    float values[LANE_DIMS], squares = 0;
#pragma unroll
    for (int i = 0; i < LANE_DIMS; i++) {
        int d = lane_index() + i * WARP;
        values[i] = d < HEAD_DIM ? in[d] : 0.0f;
        squares = fmaf(values[i], values[i], squares);
    }
    float scale = weight ? rsqrtf(warp_sum(squares) / (float)HEAD_DIM + epsilon) : 1.0f;
#pragma unroll
    for (int i = 0; i < LANE_DIMS; i++) {
        int d = lane_index() + i * WARP;
        if (d < HEAD_DIM) x[d] = weight ? values[i] * scale * weight[d] : values[i];
    }
    __syncwarp();
}

/// Dimension d of x turned: d and d + rotary_dim / 2 are a pair; `rope` has their cosines, then as many sines.
__device__ inline float rotated(const float *x, int d, const float *rope, int rotary_dim) {
    int half = rotary_dim / 2;
    if (d >= rotary_dim) return x[d];
    if (d < half) return fmaf(x[d], rope[d], -(x[d + half] * rope[half + d]));
    return fmaf(x[d], rope[d - half], x[d - half] * rope[d]);
}

/// Values must stay finite: a masked position's weight is 0, and 0 times infinity or NaN would reach other rows.
__device__ inline float clamped(float x) {
    const float most = 0x1.fep127f;  // the largest bfloat16
    return x != x ? 0.0f : fminf(fmaxf(x, -most), most);
}

/// One head of one row of qkv [rows, qkv_stride]: queries go to `queries` [rows, QUERY_HEADS * HEAD_DIM], keys and values
/// into the cache. rope is [positions, rotary_dim], or NULL: nothing is turned. Norm weights are [HEAD_DIM] or NULL.
/// Grid (rows, QUERY_HEADS + 2 KV_HEADS), block 32.
extern "C" __global__ void __launch_bounds__(32)
    rope_and_store(const float *qkv, const int *sequences, const int *positions, const int *slots, int qkv_stride,
                   const float *query_norm, const float *key_norm, float epsilon, const float *rope, int rotary_dim,
                   element *queries, cached *keys, cached *values) {
    __shared__ float x[HEAD_DIM];
    int row = (int)blockIdx.x, head = (int)blockIdx.y;
    if (sequences[row] < 0) return;
    const float *in = qkv + (size_t)row * (size_t)qkv_stride + (size_t)head * HEAD_DIM;
    bool is_query = head < QUERY_HEADS, is_value = head >= QUERY_HEADS + KV_HEADS;
    int kv_head = (head - QUERY_HEADS) % KV_HEADS;
    size_t at = is_query ? 0 : slot_offset(slots[row] / BLOCK_SIZE, kv_head, slots[row] % BLOCK_SIZE);
    if (is_value) {
        for (int d = lane_index(); d < HEAD_DIM; d += WARP) store(values + at + d, clamped(in[d]));
        return;
    }
    norm_head(in, is_query ? query_norm : key_norm, epsilon, x);
    const float *turns = rope + (size_t)positions[row] * (size_t)rotary_dim;
    element *query = queries + ((size_t)row * QUERY_HEADS + (size_t)(is_query ? head : 0)) * HEAD_DIM;
    for (int d = lane_index(); d < HEAD_DIM; d += WARP) {
        float y = rope ? rotated(x, d, turns, rotary_dim) : x[d];
        if (is_query) store(query + d, y);
        else store(keys + at + d, y);
    }
}

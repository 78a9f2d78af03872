// attention.cuh: what decode and prefill share: which positions a row sees, the online softmax, and, for the tensor
// cores, how keys and values lie in shared memory.
//
// Scores are kept in units of log2, so that an exponential is one instruction. A position that a row does not see has
// score NOTHING, and a maximum starts there, so nothing minus nothing is 0 and never NaN.
// Invariant: weights are rounded to the compute type before they are added up, as the values see them.
#pragma once

#include "batch.cuh"
#include "device.cuh"

#define NOTHING (-1e30f)
#define LOG2_E 1.44269504f

/// How scores are made of dot products.
struct ScoreRule {
    float scale, cap;  // cap 0: none

    __device__ float operator()(float dot) const {
        float score = dot * scale;
        return LOG2_E * (cap > 0 ? soft_capped(score, cap) : score);
    }
};

/// The first position that a row at `position` sees; window 0: all up to its own.
__device__ inline int first_seen(int position, int window) {
    return window > 0 && position >= window ? position - window + 1 : 0;
}

/// 2^(score - maximum) for a weight; 0 for what is not seen. (NaN stays NaN, so that nothing broken looks healthy.)
__device__ inline float weight_of(float score, float maximum) {
    return score == NOTHING ? 0.0f : power_of_two(score - maximum);
}

// --- Parts -----------------------------------------------------------------------------------------------------

// What some of a row's positions gave: HEAD_DIM sums of weighted values, the maximum, and the sum of weights.
enum : int { PART = HEAD_DIM + 2, PART_MAXIMUM = HEAD_DIM, PART_SUM = HEAD_DIM + 1 };

/// Dimension d of `count` parts, `stride` floats apart, put together in their order; also their maximum and sum.
__device__ inline float merged(const float *parts, int count, int stride, int d, float &maximum, float &sum) {
    maximum = NOTHING;
    for (int i = 0; i < count; i++) maximum = fmaxf(maximum, parts[i * stride + PART_MAXIMUM]);
    float out = sum = 0;
    for (int i = 0; i < count; i++) {
        float factor = power_of_two(parts[i * stride + PART_MAXIMUM] - maximum);
        sum = fmaf(parts[i * stride + PART_SUM], factor, sum);
        out = fmaf(parts[i * stride + d], factor, out);
    }
    return out;
}

// --- Tensor cores ----------------------------------------------------------------------------------------------
#if !COMPUTE_FLOAT

// A row of keys or values in shared memory: 16 bytes longer than a head in whole steps, an odd number of 16-byte units,
// so that the eight rows which a matrix load touches lie in different banks.
enum : int {
    UNIT = 16 / sizeof(cached),  // of a row that is copied, or loaded, at once
    ROW = (PADDED_DIM + 2 * UNIT - 1) / (2 * UNIT) * (2 * UNIT) + UNIT,
    CHUNKS = HEAD_DIM / UNIT,
    STEPS = PADDED_DIM / 16  // of a product over the dimensions of a head
};
#define LOADS_AT_ONCE (HEAD_DIM > 128 ? 1 : 8)  // large heads need their registers for other things

struct Tile {
    cached *rows;  // [positions][ROW]

    __device__ cached *at(int row, int chunk) const { return rows + row * ROW + chunk * UNIT; }
};

/// Starts to copy this thread's part of `count` positions from `first` on, both multiples of 16, to a tile; positions
/// from `limit` on become zeros. `index` of `threads` threads is this one.
template <int count, int threads>
__device__ inline void load_tile(const cached *cache, const int *table, int head, int first, int limit, int index,
                                 Tile tile) {
#pragma unroll
    for (int group = 0; group < count; group += 16) {  // sixteen positions lie in one block
        int start = first + group;
        int block = start < limit ? table[start / BLOCK_SIZE] : 0;
        const cached *in = cache + slot_offset(block, head, start % BLOCK_SIZE);
#pragma unroll LOADS_AT_ONCE
        for (int turn = 0; turn < 16 * CHUNKS; turn += threads) {
            int i = turn + index;
            if (i >= 16 * CHUNKS) break;
            bool exists = start + i / CHUNKS < limit;
            copy_async(tile.at(group + i / CHUNKS, i % CHUNKS), in + (exists ? i * UNIT : 0), exists);
        }
    }
}

/// Zeros behind a head that is not a whole number of steps; copies never write there.
template <int count, int threads>
__device__ inline void pad_tile(int index, Tile tile) {
#if HEAD_DIM % 16 != 0
    for (int row = index; row < count; row += threads) *(uint4 *)tile.at(row, CHUNKS) = make_uint4(0, 0, 0, 0);
#endif
}

/// Two neighbouring elements of a query head's row, from dimension d on; zeros behind the head.
__device__ inline unsigned query_pair(const bf16 *row, int d) {
    return row && d < HEAD_DIM ? *(const unsigned *)(row + d) : 0u;
}

// Which dimension an element of a fragment is makes no difference to a product as long as both sides agree. Eight-bit
// keys and values come in fours where others come in pairs, so their dimensions are taken in another order.

/// The first of two neighbouring dimensions of a step that this lane has, in the lower (0) or upper (1) half of the step.
__device__ inline int query_dim(int half) {
    return KV_FP8 ? 4 * (lane_index() % 4) + 2 * half : 2 * (lane_index() % 4) + 8 * half;
}

/// The dimension of out[n][i], and of out[n][i + 2], of this lane.
__device__ inline int output_dim(int n, int i) {
    return KV_FP8 ? n / 2 * 16 + 4 * (lane_index() % 4) + 2 * i + n % 2 : 8 * n + 2 * (lane_index() % 4) + i;
}

/// A warp's 16 rows of queries as the products want them. Row g and row g + 8 of this lane are given, or NULL: zeros.
__device__ inline void load_queries(const bf16 *low, const bf16 *high, unsigned (&q)[STEPS][4]) {
#pragma unroll
    for (int k = 0; k < STEPS; k++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            q[k][2 * half] = query_pair(low, 16 * k + query_dim(half));
            q[k][2 * half + 1] = query_pair(high, 16 * k + query_dim(half));
        }
}

/// scores [16, 16] of positions row..<row + 16 of the tile: two tiles of eight positions.
__device__ inline void multiply_keys(const unsigned (&q)[STEPS][4], Tile keys, int row, float (&low)[4], float (&high)[4]) {
    int lane = lane_index();
#pragma unroll
    for (int i = 0; i < 4; i++) low[i] = high[i] = 0;
#if KV_FP8
#pragma unroll
    for (int k = 0; k < STEPS; k += 2) {
        unsigned b[4];  // positions 0..<8: this step and the next one; positions 8..<16: the same
        load_matrices(b, keys.at(row + lane % 8 + lane / 16 * 8, k + lane / 8 % 2));
        multiply_add(low, q[k], widened<0, 1>(b[0]), widened<2, 3>(b[0]));
        multiply_add(high, q[k], widened<0, 1>(b[2]), widened<2, 3>(b[2]));
        if (k + 1 == STEPS) break;
        multiply_add(low, q[k + 1], widened<0, 1>(b[1]), widened<2, 3>(b[1]));
        multiply_add(high, q[k + 1], widened<0, 1>(b[3]), widened<2, 3>(b[3]));
    }
#else
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        unsigned b[4];  // positions 0..<8: dims 0..<8 and 8..<16 of the step; positions 8..<16: the same
        load_matrices(b, keys.at(row + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
        multiply_add(low, q[k], b[0], b[1]);
        multiply_add(high, q[k], b[2], b[3]);
    }
#endif
}

/// out [8 HALVES, 8] += weights [16, 16] * values [16, 8].
template <int HALVES>
__device__ inline void multiply_step(const unsigned (&weights)[4], unsigned b0, unsigned b1, float (&out)[2 * HALVES]) {
    float c[4] = {out[0], out[1], HALVES > 1 ? out[2 % (2 * HALVES)] : 0.0f, HALVES > 1 ? out[3 % (2 * HALVES)] : 0.0f};
    multiply_add(c, weights, b0, b1);
#pragma unroll
    for (int i = 0; i < 2 * HALVES; i++) out[i] = c[i];
}

/// out [8 HALVES, PADDED_DIM] += weights [16, 16] * values of positions row..<row + 16 of the tile.
template <int HALVES>
__device__ inline void multiply_values(const unsigned (&weights)[4], Tile values, int row,
                                       float (&out)[PADDED_DIM / 8][2 * HALVES]) {
    int lane = lane_index();
#if KV_FP8
#pragma unroll
    for (int d = 0; d < STEPS; d += 2) {
        unsigned b[4];  // this step: positions 0..<8 and 8..<16; the next step: the same
        load_matrices_transposed(b, values.at(row + lane % 16, d + lane / 16));
#pragma unroll
        for (int n = 0; n < 2; n++) {
            if (d + n == STEPS) break;
            unsigned low = b[2 * n], high = b[2 * n + 1];
            multiply_step<HALVES>(weights, widened<0, 2>(low), widened<0, 2>(high), out[2 * (d + n)]);
            multiply_step<HALVES>(weights, widened<1, 3>(low), widened<1, 3>(high), out[2 * (d + n) + 1]);
        }
    }
#else
#pragma unroll
    for (int d = 0; d < STEPS; d++) {
        unsigned b[4];  // dims 0..<8 of the step: positions 0..<8 and 8..<16; dims 8..<16: the same
        load_matrices_transposed(b, values.at(row + lane % 16, 2 * d + lane / 16));
        multiply_step<HALVES>(weights, b[0], b[1], out[2 * d]);
        multiply_step<HALVES>(weights, b[2], b[3], out[2 * d + 1]);
    }
#endif
}

/// The largest of a row's values, and their sum: a row lies in four neighbouring lanes.
__device__ inline float row_maximum(float x) {
    x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
    return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}
__device__ inline float row_sum(float x) {
    x += __shfl_xor_sync(ALL_LANES, x, 1);
    return x + __shfl_xor_sync(ALL_LANES, x, 2);
}

/// The state of this lane's row g, and of row g + 8 with two halves: maximum, sum of weights (this lane's part), output.
template <int HALVES>
struct RowState {
    float maximum[HALVES], sum[HALVES];
    float out[PADDED_DIM / 8][2 * HALVES];

    __device__ void clear() {
#pragma unroll
        for (int h = 0; h < HALVES; h++) maximum[h] = NOTHING, sum[h] = 0;
#pragma unroll
        for (int d = 0; d < PADDED_DIM / 8; d++)
#pragma unroll
            for (int i = 0; i < 2 * HALVES; i++) out[d][i] = 0;
    }

    /// Moves a row's maximum to at least `largest` of its four lanes.
    __device__ void raise(int half, float largest) {
        float next = fmaxf(maximum[half], row_maximum(largest));
        float factor = power_of_two(maximum[half] - next);
        maximum[half] = next;
        sum[half] *= factor;
#pragma unroll
        for (int d = 0; d < PADDED_DIM / 8; d++) {
            out[d][2 * half] *= factor;
            out[d][2 * half + 1] *= factor;
        }
    }

    /// The weights of a row's two neighbouring positions, rounded, and added to its sum.
    __device__ unsigned weigh(int half, float score, float next_score) {
        unsigned pair = bf16_pair(weight_of(score, maximum[half]), weight_of(next_score, maximum[half]));
        sum[half] += low_float(pair) + high_float(pair);
        return pair;
    }
};
#else
// --- Float32 ---------------------------------------------------------------------------------------------------

/// A row of one query head, its dimensions spread over the lanes of a warp.
struct LaneState {
    enum : int { DIMS = (HEAD_DIM + WARP - 1) / WARP };
    float maximum = NOTHING, sum = 0;
    float query[DIMS], out[DIMS];

    __device__ void start(const float *row) {
#pragma unroll
        for (int i = 0; i < DIMS; i++) {
            int d = lane_index() + i * WARP;
            query[i] = d < HEAD_DIM ? row[d] : 0.0f;
            out[i] = 0;
        }
    }

    /// One more position that the row sees.
    __device__ void add(const float *key, const float *value, ScoreRule rule) {
        float dot = 0;
#pragma unroll
        for (int i = 0; i < DIMS; i++) {
            int d = lane_index() + i * WARP;
            if (d < HEAD_DIM) dot = fmaf(query[i], key[d], dot);
        }
        float score = rule(warp_sum(dot)), next = fmaxf(maximum, score);
        float factor = power_of_two(maximum - next), weight = weight_of(score, next);
        maximum = next;
        sum = fmaf(sum, factor, weight);
#pragma unroll
        for (int i = 0; i < DIMS; i++) {
            int d = lane_index() + i * WARP;
            if (d < HEAD_DIM) out[i] = fmaf(weight, value[d], out[i] * factor);
        }
    }
};

/// Positions first..<end, every `step`-th.
__device__ inline void attend(LaneState &state, const float *keys, const float *values, const int *table, int head,
                              int first, int end, int step, ScoreRule rule) {
    for (int position = first; position < end; position += step) {
        size_t at = slot_offset(table[position / BLOCK_SIZE], head, position % BLOCK_SIZE);
        state.add(keys + at, values + at, rule);
    }
}
#endif

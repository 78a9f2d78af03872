// attention_prefill.cu: attention of sequences that have several rows in this step: prompts, and chunks of prompts behind
// what is cached, always read from the cache. Bound by the tensor cores.
//
// A block is 64 rows of one sequence and KV head, a row being a token at one query head of the group (row r is token
// r / group, query head r % group), 16 of them a warp. Keys and values come in tiles, in turn: values are on their way
// while scores are computed, the next keys while the values are used.
// Blocks are numbered without a table: sequence s has the numbers from floor(rows before it / 64) + s on, which is never
// too few; those without rows return. The longest contexts come first.
// Invariant: a row's result depends on its own context alone: tiles are counted from position 0.
#include "attention.cuh"

enum : int {
    BLOCK_ROWS = 64,
    PREFILL_WARPS = 4,
    PREFILL_THREADS = PREFILL_WARPS * WARP,
    WARP_ROWS = BLOCK_ROWS / PREFILL_WARPS,
    KEYS = HEAD_DIM > 128 ? 16 : 64  // of a tile; large heads need their registers for other things
};

/// What a block works on.
struct Prefill {
    const int *table;
    int head, first_query, group;  // the KV head; its query heads here
    int first_token, first_position;  // of the sequence: its first row of this step
    int first_row, rows;              // of this block; of the sequence

    __device__ int position(int row) const { return first_position + row / group; }
    /// Where a row's query head lies in queries and out.
    __device__ size_t offset(int row) const {
        return ((size_t)(first_token + row / group) * QUERY_HEADS + (size_t)(first_query + row % group)) * HEAD_DIM;
    }
};

__device__ inline int first_number(const int *offsets, int sequence) {
    return (int)((i64)offsets[sequence] * QUERY_GROUP / BLOCK_ROWS) + sequence;
}

/// False when this block has nothing to do.
__device__ inline bool find_work(Batch batch, int number, int head, Prefill &work) {
    const int *offsets = batch.query_offsets();
    int low = 0, high = batch.sequences();
    if (number >= first_number(offsets, high)) return false;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (first_number(offsets, middle) <= number) low = middle;
        else high = middle;
    }
    work.table = batch.table(low);
    work.head = head;
    work.first_query = first_query_head(head);
    work.group = first_query_head(head + 1) - work.first_query;
    work.first_token = offsets[low];
    work.first_position = batch.first_position(low);
    work.first_row = (number - first_number(offsets, low)) * BLOCK_ROWS;
    work.rows = batch.row_count(low) * work.group;
    return batch.row_count(low) > 1 && work.first_row < work.rows;
}

#if COMPUTE_FLOAT
__device__ inline void attend_rows(const Prefill &work, const float *queries, const float *keys, const float *values,
                                   ScoreRule rule, int window, float *out) {
    int first = work.first_row + warp_index() * WARP_ROWS;
    int end = first + WARP_ROWS < work.rows ? first + WARP_ROWS : work.rows;
    for (int row = first; row < end; row++) {
        LaneState state;
        state.start(queries + work.offset(row));
        int position = work.position(row);
        attend(state, keys, values, work.table, work.head, first_seen(position, window), position + 1, 1, rule);
        for (int i = 0; i < LaneState::DIMS; i++)
            if (lane_index() + i * WARP < HEAD_DIM)
                out[work.offset(row) + (size_t)(lane_index() + i * WARP)] = state.out[i] / state.sum;
    }
}
#else
/// The positions that one of this lane's rows sees; none for rows that do not exist.
struct Seen {
    int first[2], end[2];

    __device__ Seen(const Prefill &work, int row, int window) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            bool exists = row + 8 * half < work.rows;
            int position = work.position(exists ? row + 8 * half : 0);
            first[half] = first_seen(position, window);
            end[half] = exists ? position + 1 : 0;
        }
    }
};

/// Scores become weights, those of positions that a row does not see 0. scores [KEYS / 8][4] start at `position`.
__device__ inline void weigh_tile(float (&scores)[KEYS / 8][4], int position, const Seen &seen, ScoreRule rule,
                                  RowState<2> &state, unsigned (&weights)[KEYS / 16][4]) {
    position += 2 * (lane_index() % 4);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float largest = NOTHING;
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int at = position + 8 * n + i;
                float &score = scores[n][2 * half + i];
                score = at >= seen.first[half] && at < seen.end[half] ? rule(score) : NOTHING;
                largest = fmaxf(largest, score);
            }
        state.raise(half, largest);
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
            weights[n / 2][half + n % 2 * 2] = state.weigh(half, scores[n][2 * half], scores[n][2 * half + 1]);
    }
}

__device__ inline void store_rows(const Prefill &work, int row, const RowState<2> &state, bf16 *out) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float inverse = 1.0f / row_sum(state.sum[half]);
        if (row + 8 * half >= work.rows) continue;
        bf16 *to = out + work.offset(row + 8 * half);
#pragma unroll
        for (int d = 0; d < PADDED_DIM / 8; d++) {
            if (8 * d >= HEAD_DIM) break;
#if KV_FP8  // neighbours are in neighbouring tiles
            int i = d % 2;
            float low = state.out[d & ~1][2 * half + i], high = state.out[(d & ~1) + 1][2 * half + i];
            *(unsigned *)(to + output_dim(d & ~1, i)) = bf16_pair(low * inverse, high * inverse);
#else
            float low = state.out[d][2 * half], high = state.out[d][2 * half + 1];
            *(unsigned *)(to + output_dim(d, 0)) = bf16_pair(low * inverse, high * inverse);
#endif
        }
    }
}

__device__ inline void attend_rows(const Prefill &work, const bf16 *queries, const cached *keys, const cached *values,
                                   ScoreRule rule, int window, bf16 *out, Tile key_tile, Tile value_tile) {
    int thread = (int)threadIdx.x, row = work.first_row + warp_index() * WARP_ROWS + lane_index() / 4;
    int last_row = work.first_row + BLOCK_ROWS < work.rows ? work.first_row + BLOCK_ROWS - 1 : work.rows - 1;
    int end = work.position(last_row) + 1;
    int first = first_seen(work.position(work.first_row), window) / KEYS * KEYS;
    Seen seen(work, row, window);
    unsigned q[STEPS][4];
    load_queries(row < work.rows ? queries + work.offset(row) : nullptr,
                 row + 8 < work.rows ? queries + work.offset(row + 8) : nullptr, q);
    pad_tile<KEYS, PREFILL_THREADS>(thread, key_tile);
    pad_tile<KEYS, PREFILL_THREADS>(thread, value_tile);
    RowState<2> state;
    state.clear();
    load_tile<KEYS, PREFILL_THREADS>(keys, work.table, work.head, first, end, thread, key_tile);
    copy_async_commit();
    for (int position = first; position < end; position += KEYS) {
        copy_async_wait<0>();
        __syncthreads();  // the keys are there, and nobody needs the values before these
        load_tile<KEYS, PREFILL_THREADS>(values, work.table, work.head, position, end, thread, value_tile);
        copy_async_commit();
        float scores[KEYS / 8][4];
#pragma unroll
        for (int n = 0; n < KEYS / 16; n++) multiply_keys(q, key_tile, 16 * n, scores[2 * n], scores[2 * n + 1]);
        copy_async_wait<0>();
        __syncthreads();  // the values are there, and nobody needs these keys
        if (position + KEYS < end)
            load_tile<KEYS, PREFILL_THREADS>(keys, work.table, work.head, position + KEYS, end, thread, key_tile);
        copy_async_commit();
        unsigned weights[KEYS / 16][4];
        weigh_tile(scores, position, seen, rule, state, weights);
#pragma unroll
        for (int n = 0; n < KEYS / 16; n++) multiply_values<2>(weights[n], value_tile, 16 * n, state.out);
    }
    store_rows(work, row, state, out);
}
#endif

/// As attention_decode; out [rows, QUERY_HEADS * HEAD_DIM]. Rows of sequences with one row are left alone.
/// Grid (floor(rows * QUERY_GROUP / 64) + sequences, KV_HEADS) for at least that many rows and sequences, block 128.
extern "C" __global__ void __launch_bounds__(PREFILL_THREADS)
    attention_prefill(const element *queries, const int *words, const cached *keys, const cached *values, float scale,
                      float soft_cap, int window, element *out) {
#if !COMPUTE_FLOAT
    __shared__ uint4 key_rows[KEYS * ROW / UNIT], value_rows[KEYS * ROW / UNIT];
#endif
    Prefill work;
    if (!find_work(Batch{words}, (int)(gridDim.x - 1 - blockIdx.x), (int)blockIdx.y, work)) return;
    ScoreRule rule = {scale, soft_cap};
#if COMPUTE_FLOAT
    attend_rows(work, queries, keys, values, rule, window, out);
#else
    attend_rows(work, queries, keys, values, rule, window, out, Tile{(cached *)key_rows}, Tile{(cached *)value_rows});
#endif
}

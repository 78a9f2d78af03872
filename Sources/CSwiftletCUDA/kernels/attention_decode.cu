// attention_decode.cu: attention of sequences that have one row in this step: bound by reading the cache.
//
// A block is one split of the context of one sequence and KV head, for up to 16 query heads of the group, which share
// every key and value read. Each warp takes tiles of 16 positions in turn, the next one on its way (cp.async) while the
// tensor cores work on this one; warps meet only at the end. Splits are put together by attention_combine; with one
// split the result is written at once.
// Invariant: a row's result depends on its own context, and on how many splits there are.
#include "attention.cuh"

#ifndef SPLIT_TILES
#define SPLIT_TILES 8  // tiles that a split has at least: shorter contexts use fewer splits
#endif

enum : int {
    TILE = 16,
    HEADS = 16,  // rows of a warp's product
    DECODE_WARPS = HEAD_DIM > 128 ? 1 : HEAD_DIM > 64 ? 2 : 4,
    DECODE_THREADS = DECODE_WARPS * WARP,
    PARTS = (QUERY_GROUP + HEADS - 1) / HEADS,  // blocks that share a KV head's query heads
    HALVES = QUERY_GROUP > 8 ? 2 : 1
};

/// The tiles that a context is made of, and how many a split has.
struct Split {
    int begin, end, tiles;

    __device__ Split(int length, int window, int splits) {
        begin = first_seen(length - 1, window) / TILE;
        end = (length + TILE - 1) / TILE;
        int least = (end - begin + splits - 1) / splits;
        tiles = least < SPLIT_TILES ? SPLIT_TILES : least;
    }
    __device__ int count() const { return (end - begin + tiles - 1) / tiles; }
};

/// What a block works on.
struct Decode {
    const int *table;
    int head, first_query, queries;  // the KV head; its query heads here
    int first, limit;                // positions that are seen
    int begin, end;                  // tiles of this split
};

#if COMPUTE_FLOAT
__device__ inline void attend_split(const Decode &work, const float *row, const float *keys, const float *values,
                                    ScoreRule rule, float *parts) {
    int first = work.begin * TILE < work.first ? work.first : work.begin * TILE;
    int end = work.end * TILE < work.limit ? work.end * TILE : work.limit;
    for (int q = 0; q < work.queries; q++) {
        LaneState state;
        state.start(row + (work.first_query + q) * HEAD_DIM);
        attend(state, keys, values, work.table, work.head, first + warp_index(), end, DECODE_WARPS, rule);
        float *part = parts + (warp_index() * HEADS + q) * PART;
        for (int i = 0; i < LaneState::DIMS; i++)
            if (lane_index() + i * WARP < HEAD_DIM) part[lane_index() + i * WARP] = state.out[i];
        if (lane_index() == 0) part[PART_MAXIMUM] = state.maximum, part[PART_SUM] = state.sum;
    }
}
#else
/// A warp's row g or g + 8, as it lies in four lanes.
__device__ inline void store_part(const RowState<HALVES> &state, int half, int queries, float *parts) {
    int q = lane_index() / 4 + 8 * half;
    float sum = row_sum(state.sum[half]);
    if (q >= queries) return;
    float *part = parts + (warp_index() * HEADS + q) * PART;
#pragma unroll
    for (int d = 0; d < PADDED_DIM / 8; d++) {
        if (8 * d >= HEAD_DIM) break;
#pragma unroll
        for (int i = 0; i < 2; i++) part[output_dim(d, i)] = state.out[d][2 * half + i];
    }
    if (lane_index() % 4 == 0) part[PART_MAXIMUM] = state.maximum[half], part[PART_SUM] = sum;
}

/// Scores of a tile's positions, this lane's four of row g and of row g + 8, become weights and are used.
__device__ inline void add_tile(const Decode &work, const unsigned (&q)[STEPS][4], Tile keys, Tile values,
                                int position, ScoreRule rule, RowState<HALVES> &state) {
    float low[4], high[4];
    multiply_keys(q, keys, 0, low, high);
    position += 2 * (lane_index() % 4);
    unsigned weights[4] = {0, 0, 0, 0};
#pragma unroll
    for (int half = 0; half < HALVES; half++) {
        float scores[4] = {low[2 * half], low[2 * half + 1], high[2 * half], high[2 * half + 1]};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int at = position + i % 2 + i / 2 * 8;
            scores[i] = at >= work.first && at < work.limit ? rule(scores[i]) : NOTHING;
        }
        state.raise(half, fmaxf(fmaxf(scores[0], scores[1]), fmaxf(scores[2], scores[3])));
        weights[half] = state.weigh(half, scores[0], scores[1]);
        weights[half + 2] = state.weigh(half, scores[2], scores[3]);
    }
    multiply_values<HALVES>(weights, values, 0, state.out);
}

__device__ inline void attend_split(const Decode &work, const bf16 *row, const cached *keys, const cached *values,
                                    ScoreRule rule, cached *tiles, float *parts) {
    enum : int { TILE_SIZE = TILE * ROW };
    cached *own = tiles + warp_index() * 4 * TILE_SIZE;  // [2 stages][keys, values]
    unsigned q[STEPS][4];
    int g = lane_index() / 4;
    const bf16 *first_row = row + work.first_query * HEAD_DIM;
    load_queries(g < work.queries ? first_row + g * HEAD_DIM : nullptr,
                 g + 8 < work.queries ? first_row + (g + 8) * HEAD_DIM : nullptr, q);
    pad_tile<4 * TILE, WARP>(lane_index(), Tile{own});
    RowState<HALVES> state;
    state.clear();
    auto load = [&](int tile, int stage) {
        if (tile < work.end) {
            cached *to = own + stage * 2 * TILE_SIZE;
            load_tile<TILE, WARP>(keys, work.table, work.head, tile * TILE, work.limit, lane_index(), Tile{to});
            load_tile<TILE, WARP>(values, work.table, work.head, tile * TILE, work.limit, lane_index(),
                                  Tile{to + TILE_SIZE});
        }
        copy_async_commit();
    };
    int stage = 0;
    load(work.begin + warp_index(), stage);
    for (int tile = work.begin + warp_index(); tile < work.end; tile += DECODE_WARPS, stage ^= 1) {
        load(tile + DECODE_WARPS, stage ^ 1);
        copy_async_wait<1>();
        __syncwarp();  // all lanes' copies are there
        cached *from = own + stage * 2 * TILE_SIZE;
        add_tile(work, q, Tile{from}, Tile{from + TILE_SIZE}, tile * TILE, rule, state);
        __syncwarp();  // and no longer needed
    }
    copy_async_wait<0>();
    __syncthreads();  // parts take the place of the tiles
#pragma unroll
    for (int half = 0; half < HALVES; half++) store_part(state, half, work.queries, parts);
}
#endif

/// queries [rows, QUERY_HEADS * HEAD_DIM]; keys, values [blocks, KV_HEADS, BLOCK_SIZE, HEAD_DIM]; partial [sequences,
/// QUERY_HEADS, splits, HEAD_DIM + 2], not used with one split; then out [rows, QUERY_HEADS * HEAD_DIM] is written.
/// Grid (splits, KV_HEADS * ceil(QUERY_GROUP / 16), sequences of the bucket), block DECODE_THREADS: 32, 64 or 128.
extern "C" __global__ void __launch_bounds__(DECODE_THREADS, HEAD_DIM > 128 ? 1 : 384 / DECODE_THREADS)
    attention_decode(const element *queries, const int *words, const cached *keys, const cached *values, float scale,
                     float soft_cap, int window, float *partial, element *out) {
#if COMPUTE_FLOAT
    __shared__ float parts[DECODE_WARPS * HEADS * PART];
#else
    __shared__ uint4 tiles[DECODE_WARPS * 4 * TILE * ROW / UNIT];
    float *parts = (float *)tiles;
#endif
    Batch batch = {words};
    int sequence = (int)blockIdx.z, splits = (int)gridDim.x;
    if (sequence >= batch.sequences() || batch.row_count(sequence) != 1) return;
    Decode work;
    work.table = batch.table(sequence);
    work.head = (int)blockIdx.y / PARTS;
    work.first_query = first_query_head(work.head) + (int)blockIdx.y % PARTS * HEADS;
    work.queries = first_query_head(work.head + 1) - work.first_query;
    if (work.queries > HEADS) work.queries = HEADS;
    work.limit = batch.context_lengths()[sequence];
    work.first = first_seen(work.limit - 1, window);
    Split split(work.limit, window, splits);
    work.begin = split.begin + (int)blockIdx.x * split.tiles;
    work.end = work.begin + split.tiles < split.end ? work.begin + split.tiles : split.end;
    if (work.begin >= work.end || work.queries <= 0) return;
    int row = batch.query_offsets()[sequence];
    const element *query_row = queries + (size_t)row * (QUERY_HEADS * HEAD_DIM);
#if COMPUTE_FLOAT
    attend_split(work, query_row, keys, values, ScoreRule{scale, soft_cap}, parts);
#else
    attend_split(work, query_row, keys, values, ScoreRule{scale, soft_cap}, (cached *)tiles, parts);
#endif
    __syncthreads();
    for (int i = (int)threadIdx.x; i < work.queries * HEAD_DIM; i += DECODE_THREADS) {
        int q = i / HEAD_DIM, d = i % HEAD_DIM, query = work.first_query + q;
        float maximum, sum, y = merged(parts + q * PART, DECODE_WARPS, HEADS * PART, d, maximum, sum);
        if (splits == 1) {
            store(out + ((size_t)row * QUERY_HEADS + (size_t)query) * HEAD_DIM + d, y / sum);
            continue;
        }
        float *part = partial + (((size_t)sequence * QUERY_HEADS + (size_t)query) * splits + blockIdx.x) * PART;
        part[d] = y;
        if (d == 0) part[PART_MAXIMUM] = maximum, part[PART_SUM] = sum;
    }
}

/// out = the splits put together. Grid (sequences of the bucket, QUERY_HEADS), block 128.
extern "C" __global__ void __launch_bounds__(128)
    attention_combine(const float *partial, const int *words, int splits, int window, element *out) {
    Batch batch = {words};
    int sequence = (int)blockIdx.x, query = (int)blockIdx.y;
    if (sequence >= batch.sequences() || batch.row_count(sequence) != 1) return;
    Split split(batch.context_lengths()[sequence], window, splits);
    const float *parts = partial + ((size_t)sequence * QUERY_HEADS + (size_t)query) * splits * PART;
    element *row = out + ((size_t)batch.query_offsets()[sequence] * QUERY_HEADS + (size_t)query) * HEAD_DIM;
    for (int d = (int)threadIdx.x; d < HEAD_DIM; d += (int)blockDim.x) {
        float maximum, sum, y = merged(parts, split.count(), PART, d, maximum, sum);
        store(row + d, y / sum);
    }
}

// experts.cu: a mixture of experts: which experts a row goes to, the products of each expert with its rows, and their sum.
//
// A row has a slot at each of its experts; slots are sorted by expert, so that an expert is an ordinary product over
// neighbouring slots. A block computes 64 slots of one expert times 64 rows of its matrix, on tensor cores; blocks are
// numbered without a table: expert e has the numbers from floor(its first slot / 64) + e on.
// Invariant: a row's result depends on its own logits and on itself; sums go from the lowest expert to the highest.
#include "epilogue.cuh"
#include "experts.cuh"

enum : int {
    MOST_EXPERTS = 1024,
    MOST_PER_ROW = 64,
    EXPERT_THREADS = 128,
    OUTPUTS = 64,  // rows of the matrix that a block takes
    DEPTH = 64,    // columns at once
    DEPTH_ROW = DEPTH + 8  // in shared memory: an odd number of 16-byte units
};

// --- Routing -----------------------------------------------------------------------------------------------------

/// Orders logits, the lower expert first among equals; NaN is the least.
__device__ inline u64 expert_key(float logit, int expert) {
    float x = logit == logit ? logit + 0.0f : -INFINITE;
    unsigned bits = __float_as_uint(x);
    return (u64)(bits ^ ((unsigned)((int)bits >> 31) | 0x80000000u)) << 32 | (u64)(~(unsigned)expert);
}

/// exp(logit - maximum); NaN stays NaN, so that whatever is computed shows it.
__device__ inline float expert_share(float logit, float maximum) {
    float x = logit - maximum;
    return x != x ? x : x > -87.0f ? expf(x) : 0.0f;
}

/// chosen [rows, per_row], ascending, and weights [rows, per_row]: the experts with the largest logits [rows, experts],
/// and their softmax over all experts, or over the chosen ones when it `renormalizes`. Rows that are no one's (by
/// `sequences`, which may be NULL) have expert -1. At most 1024 experts and 64 of them a row. Grid ceil(rows / 8).
extern "C" __global__ void __launch_bounds__(256)
    route_experts(const float *logits, const int *sequences, int rows, int experts, int per_row, int renormalizes,
                  int *chosen, float *weights) {
    __shared__ int found[8][MOST_PER_ROW];
    int row = (int)blockIdx.x * 8 + warp_index(), lane = lane_index();
    if (row >= rows) return;
    chosen += (size_t)row * (size_t)per_row;
    weights += (size_t)row * (size_t)per_row;
    if (sequences && sequences[row] < 0) {
        for (int i = lane; i < per_row; i += WARP) chosen[i] = -1, weights[i] = 0;
        return;
    }
    const float *own = logits + (size_t)row * (size_t)experts;
    int *numbers = found[warp_index()];
    u64 last = ~0ull;
    for (int i = 0; i < per_row; i++) {
        u64 best = 0;
        for (int e = lane; e < experts; e += WARP) {
            u64 key = expert_key(own[e], e);
            if (key < last && key > best) best = key;
        }
#pragma unroll
        for (int distance = WARP / 2; distance > 0; distance /= 2) {
            u64 other = __shfl_xor_sync(ALL_LANES, best, distance);
            best = other > best ? other : best;
        }
        last = best;
        if (lane == 0) numbers[i] = (int)~(unsigned)best;
    }
    __syncwarp();
    float maximum = own[numbers[0]], sum = 0, part = 0;
    for (int e = lane; e < experts; e += WARP) sum += expert_share(own[e], maximum);
    sum = warp_sum(sum);
    for (int i = lane; i < per_row; i += WARP) part += expert_share(own[numbers[i]], maximum);
    part = warp_sum(part);
    // A NaN of any expert shows, also of one that is not chosen: it is in the softmax of all.
    if (renormalizes && sum == sum) sum = part;
    for (int i = lane; i < per_row; i += WARP) {
        int place = 0;
        for (int j = 0; j < per_row; j++) place += numbers[j] < numbers[i];
        chosen[place] = numbers[i];
        weights[place] = expert_share(own[numbers[i]], maximum) / sum;
    }
}

/// starts [experts + 1]: the first slot of each expert; places [count]: the slot of each of a row's experts (-1: none);
/// sorted: which of them is in a slot. Grid 1, block 1024.
extern "C" __global__ void __launch_bounds__(1024)
    sort_experts(const int *chosen, int count, int experts, int *starts, int *places, int *sorted) {
    __shared__ int counts[MOST_EXPERTS];
    for (int e = (int)threadIdx.x; e < MOST_EXPERTS; e += (int)blockDim.x) counts[e] = 0;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x)
        if (chosen[i] >= 0) atomicAdd(&counts[chosen[i]], 1);
    __syncthreads();
    if (warp_index() == 0) {  // each lane has 32 experts
        int own = 0, before;
        for (int i = 0; i < MOST_EXPERTS / WARP; i++) own += counts[lane_index() * (MOST_EXPERTS / WARP) + i];
        before = own;
#pragma unroll
        for (int distance = 1; distance < WARP; distance *= 2) {
            int other = __shfl_up_sync(ALL_LANES, before, distance);
            if (lane_index() >= distance) before += other;
        }
        before -= own;
        for (int i = 0; i < MOST_EXPERTS / WARP; i++) {
            int e = lane_index() * (MOST_EXPERTS / WARP) + i, n = counts[e];
            counts[e] = before;
            if (e <= experts) starts[e] = before;
            before += n;
        }
        if (experts == MOST_EXPERTS && lane_index() == WARP - 1) starts[experts] = before;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x) {
        places[i] = chosen[i] >= 0 ? atomicAdd(&counts[chosen[i]], 1) : -1;
        if (chosen[i] >= 0) sorted[places[i]] = i;
    }
}

/// out [rows, columns] = or += the sum of a row's partials [slots, columns] with its weights. Grid rows.
extern "C" __global__ void __launch_bounds__(256)
    combine_experts(const float *partials, const int *places, const float *weights, int per_row, int columns, int adds,
                    float *out) {
    size_t row = blockIdx.x;
    places += row * (size_t)per_row;
    weights += row * (size_t)per_row;
    if (places[0] < 0) return;
    for (int c = (int)threadIdx.x; c < columns; c += (int)blockDim.x) {
        float sum = 0;
        for (int i = 0; i < per_row; i++)
            sum = fmaf(weights[i], partials[(size_t)places[i] * (size_t)columns + (size_t)c], sum);
        float *to = out + row * (size_t)columns + (size_t)c;
        *to = adds ? *to + sum : sum;
    }
}

// --- Products ----------------------------------------------------------------------------------------------------

/// The rows of a matrix that a block takes: outputs from `first` on; gated: 32 of the gate, then the same of up.
struct OutputRows {
    int first, outputs;
    bool is_gated;

    /// The row of the matrix that is number i of the block; -1: none.
    __device__ int row(int i) const {
        int output = first + (is_gated ? i % 32 : i);
        return output >= outputs ? -1 : is_gated && i >= 32 ? outputs + output : output;
    }
};

#if COMPUTE_FLOAT
__device__ inline float dot(const float *x, const float *w, int columns) {
    float sum = 0;
    for (int c = 0; c < columns; c++) sum = fmaf(x[c], w[c], sum);
    return sum;
}
#else
/// This thread's part of 64 rows of a tile from column k on: four rows, or NULL, 16 bytes of each.
__device__ inline void load_depth(const bf16 *const (&rows)[4], const bf16 *any, int k, int columns, bf16 *tile) {
    int chunk = (int)threadIdx.x % 8, at = k + chunk * 8;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        bf16 *to = tile + ((int)threadIdx.x / 8 + 16 * i) * DEPTH_ROW + chunk * 8;
        if (columns % 8 == 0) {
            bool exists = rows[i] && at < columns;
            copy_async(to, exists ? rows[i] + at : any, exists);
        } else {
            for (int j = 0; j < 8; j++) to[j] = rows[i] && at + j < columns ? rows[i][at + j] : bf16{0};
        }
    }
}

/// sums [16 slots, 64 outputs] of a warp += x [64, DEPTH] times w [64, DEPTH].
__device__ inline void multiply_depth(const bf16 *x, const bf16 *w, float (&sums)[OUTPUTS / 8][4]) {
    int lane = lane_index();
#pragma unroll
    for (int k = 0; k < DEPTH; k += 16) {
        unsigned a[4], b[4];
        load_matrices(a, x + (warp_index() * 16 + lane % 16) * DEPTH_ROW + k + lane / 16 * 8);
#pragma unroll
        for (int n = 0; n < OUTPUTS / 16; n++) {
            load_matrices(b, w + (16 * n + lane % 8 + lane / 16 * 8) * DEPTH_ROW + k + lane / 8 % 2 * 8);
            multiply_add(sums[2 * n], a, b[0], b[1]);
            multiply_add(sums[2 * n + 1], a, b[2], b[3]);
        }
    }
}

/// All columns: x has a row for each slot of the tile (`row_of`), w the block's rows.
template <typename RowOf>
__device__ inline void multiply_tile(const ExpertTile &tile, const OutputRows &rows, const bf16 *x, RowOf row_of,
                                     const bf16 *w, int columns, bf16 *memory, float (&sums)[OUTPUTS / 8][4]) {
    const bf16 *inputs[4], *weights[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int number = (int)threadIdx.x / 8 + 16 * i, slot = tile.first + number, row = rows.row(number);
        inputs[i] = slot < tile.end ? x + (size_t)row_of(slot) * (size_t)columns : nullptr;
        weights[i] = row >= 0 ? w + (size_t)row * (size_t)columns : nullptr;
    }
#pragma unroll
    for (int n = 0; n < OUTPUTS / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) sums[n][i] = 0;
    enum : int { TILE_SIZE = 64 * DEPTH_ROW };
    auto load = [&](int k, int stage) {
        if (k < columns) {
            load_depth(inputs, x, k, columns, memory + stage * 2 * TILE_SIZE);
            load_depth(weights, w, k, columns, memory + stage * 2 * TILE_SIZE + TILE_SIZE);
        }
        copy_async_commit();
    };
    int stage = 0;
    load(0, 0);
    for (int k = 0; k < columns; k += DEPTH, stage ^= 1) {
        load(k + DEPTH, stage ^ 1);
        copy_async_wait<1>();
        __syncthreads();  // these columns are there
        multiply_depth(memory + stage * 2 * TILE_SIZE, memory + stage * 2 * TILE_SIZE + TILE_SIZE, sums);
        __syncthreads();  // and no longer needed
    }
}
#endif

/// out [slots, outputs] = the activation of gate and up: matrices [experts] are [2 outputs, columns], x is [rows, columns],
/// slot s is row sorted[s] / per_row. Grid (ceil(outputs / 32), floor(count / 64) + experts) for `count` slots, block 128.
extern "C" __global__ void __launch_bounds__(EXPERT_THREADS)
    experts_gate_up(const element *x, const int *starts, const int *sorted, int per_row, int experts, int columns,
                    int outputs, const element *const *matrices, int epilogue, element *out) {
    ExpertTile tile;
    if (!find_tile(starts, experts, (int)blockIdx.y, tile)) return;
    const element *w = matrices[tile.expert];
    OutputRows rows = {(int)blockIdx.x * 32, outputs, true};
#if COMPUTE_FLOAT
    for (int i = (int)threadIdx.x; i < SLOTS * 32; i += EXPERT_THREADS) {
        int slot = tile.first + i / 32, output = rows.first + i % 32;
        if (slot >= tile.end || output >= outputs) continue;
        const float *in = x + (size_t)(sorted[slot] / per_row) * (size_t)columns, *gate = w + (size_t)output * (size_t)columns;
        float y = gated(epilogue, dot(in, gate, columns), dot(in, gate + (size_t)outputs * (size_t)columns, columns));
        store(out + (size_t)slot * (size_t)outputs + (size_t)output, y);
    }
#else
    __shared__ uint4 memory[4 * 64 * DEPTH_ROW / 8];
    float sums[OUTPUTS / 8][4];
    multiply_tile(tile, rows, x, [&](int slot) { return sorted[slot] / per_row; }, w, columns, (bf16 *)memory, sums);
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int slot = tile.first + warp_index() * 16 + lane_index() / 4 + i / 2 * 8;
            int output = rows.first + 8 * n + 2 * (lane_index() % 4) + i % 2;
            if (slot < tile.end && output < outputs)
                store(out + (size_t)slot * (size_t)outputs + (size_t)output, gated(epilogue, sums[n][i], sums[n + 4][i]));
        }
#endif
}

/// out [slots, outputs], float32 = x [slots, columns] times the transposed matrices [experts] of [outputs, columns].
/// Grid (ceil(outputs / 64), floor(count / 64) + experts) for `count` slots, block 128.
extern "C" __global__ void __launch_bounds__(EXPERT_THREADS)
    experts_down(const element *x, const int *starts, int experts, int columns, int outputs,
                 const element *const *matrices, float *out) {
    ExpertTile tile;
    if (!find_tile(starts, experts, (int)blockIdx.y, tile)) return;
    const element *w = matrices[tile.expert];
    OutputRows rows = {(int)blockIdx.x * OUTPUTS, outputs, false};
#if COMPUTE_FLOAT
    for (int i = (int)threadIdx.x; i < SLOTS * OUTPUTS; i += EXPERT_THREADS) {
        int slot = tile.first + i / OUTPUTS, output = rows.first + i % OUTPUTS;
        if (slot >= tile.end || output >= outputs) continue;
        out[(size_t)slot * (size_t)outputs + (size_t)output] =
            dot(x + (size_t)slot * (size_t)columns, w + (size_t)output * (size_t)columns, columns);
    }
#else
    __shared__ uint4 memory[4 * 64 * DEPTH_ROW / 8];
    float sums[OUTPUTS / 8][4];
    multiply_tile(tile, rows, x, [](int slot) { return slot; }, w, columns, (bf16 *)memory, sums);
#pragma unroll
    for (int n = 0; n < OUTPUTS / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int slot = tile.first + warp_index() * 16 + lane_index() / 4 + i / 2 * 8;
            int output = rows.first + 8 * n + 2 * (lane_index() % 4) + i % 2;
            if (slot < tile.end && output < outputs) out[(size_t)slot * (size_t)outputs + (size_t)output] = sums[n][i];
        }
#endif
}

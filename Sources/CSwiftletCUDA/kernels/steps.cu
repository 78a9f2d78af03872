// steps.cu: what begins a step: where each row stands, and its embedding; what ends it where several ranks have a part of
// the vocabulary each; and random weights.
//
// Invariant: rows of a bucket behind the batch's last one have sequence -1; nothing is stored in the cache for them.
#include "batch.cuh"
#include "device.cuh"

/// sequences, positions, slots [max_rows]: of each row, its sequence (-1: none), its position, and its slot in the
/// cache, block * BLOCK_SIZE + slot of the block. Grid ceil(max_rows / 256).
extern "C" __global__ void __launch_bounds__(256)
    step_rows(const int *words, int max_rows, int *sequences, int *positions, int *slots) {
    Batch batch = {words};
    int row = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (row >= max_rows) return;
    if (row >= batch.tokens()) {
        sequences[row] = -1;
        positions[row] = 0;
        slots[row] = -1;
        return;
    }
    const int *offsets = batch.query_offsets();
    int low = 0, high = batch.sequences();
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (offsets[middle] <= row) low = middle;
        else high = middle;
    }
    int position = batch.first_position(low) + row - offsets[low];
    sequences[row] = low;
    positions[row] = position;
    slots[row] = batch.table(low)[position / BLOCK_SIZE] * BLOCK_SIZE + position % BLOCK_SIZE;
}

/// x [rows, columns] = scale * table[id - first_id]; zeros for an id that the table [table_rows, columns] does not have
/// (another rank's) and for rows that are no one's. Grid rows.
extern "C" __global__ void __launch_bounds__(256)
    embed(const int *words, const int *sequences, const element *table, int first_id, int table_rows, int columns,
          float scale, float *x) {
    Batch batch = {words};
    int row = (int)blockIdx.x;
    int id = sequences[row] < 0 ? -1 : batch.ids()[row] - first_id;
    bool exists = id >= 0 && id < table_rows;
    const element *in = table + (size_t)(exists ? id : 0) * (size_t)columns;
    float *out = x + (size_t)row * (size_t)columns;
    for (int c = (int)threadIdx.x; c < columns; c += (int)blockDim.x) out[c] = exists ? to_float(in[c]) * scale : 0.0f;
}

/// out [rows, columns], float32, of the ranks' parts, which lie one behind the other: that of the columns begin..<ends[rank]
/// is [rows, ends[rank] - begin] and begins behind rows * begin values. Grid (ceil(columns / 256), rows).
extern "C" __global__ void __launch_bounds__(256)
    gather_columns(const float *parts, const int *ends, int ranks, int rows, int columns, float *out) {
    int column = (int)(blockIdx.x * blockDim.x + threadIdx.x), row = (int)blockIdx.y;
    if (column >= columns) return;
    int rank = 0, begin = 0;
    while (rank + 1 < ranks && column >= ends[rank]) begin = ends[rank++];
    const float *part = parts + (size_t)rows * (size_t)begin;
    out[(size_t)row * (size_t)columns + (size_t)column] = part[(size_t)row * (size_t)(ends[rank] - begin) + (size_t)(column - begin)];
}

__device__ inline u64 mixed(u64 x) {  // splitmix64's finalizer
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/// out [rows, columns] = the numbers of the CPU backend's swiftlet_fill_random, uniform in [-scale, scale). Any grid.
extern "C" __global__ void __launch_bounds__(256)
    fill_random(element *out, int rows, int columns, u64 seed, float scale) {
    size_t count = (size_t)rows * (size_t)columns, stride = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        u64 row = i / (size_t)columns, column = i % (size_t)columns;
        u64 bits = mixed(mixed(seed ^ mixed(row + 1)) + column * 0x9e3779b97f4a7c15ull);
        store(out + i, ((float)(bits >> 40) * 0x1p-23f - 1.0f) * scale);
    }
}

// quantized.cu: weights of four or eight bits: products of few rows, mixtures of experts, and what brings weights into
// their layout and out of it. A program of its own, compiled for models that have such weights.
//
// Invariant: only weights are rounded: x is the compute type everywhere, sums are float32.
#include "batch.cuh"
#include "experts.cuh"
#include "quantized_product.cuh"

// --- Products of few rows ----------------------------------------------------------------------------------------

/// A block's part of x · wᵀ: rows from 8 BLOCKS * blockIdx.y on.
template <typename Format, int BLOCKS>
__device__ inline void linear_rows(const element *x, int rows, int columns, const void *w, int layout, int tiles,
                                   const ProductResult &result) {
    int first = (int)blockIdx.y * 8 * BLOCKS, count = rows - first < 8 * BLOCKS ? rows - first : 8 * BLOCKS;
    Quantized<Format> matrix(w, is_gated(result.epilogue) ? 2 * result.columns : result.columns, columns, layout);
    quantized_product<Format, BLOCKS>(
        matrix, x, [=](int row) { return first + row; }, {first, count}, columns, tiles, result);
}

/// out [rows, out_columns] = x [rows, columns] · wᵀ + bias, by one of the epilogues, as linear_small_8's. Columns are a
/// multiple of 8 (of any number with float32). A tile is 16 outputs, or 8 gated ones; a block takes `tiles`, 1, 2, 4 or
/// 8, each by 8 / tiles warps. Grid (ceil(out_columns / tile / tiles), ceil(rows / 8)).
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    linear_int4_8(const element *x, int rows, int columns, const void *w, int layout, int tiles, int out_columns,
                  const float *bias, int epilogue, float cap, void *out) {
    linear_rows<Int4, 1>(x, rows, columns, w, layout, tiles, {out_columns, bias, epilogue, cap, out});
}
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    linear_int8_8(const element *x, int rows, int columns, const void *w, int layout, int tiles, int out_columns,
                  const float *bias, int epilogue, float cap, void *out) {
    linear_rows<Int8, 1>(x, rows, columns, w, layout, tiles, {out_columns, bias, epilogue, cap, out});
}
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    linear_fp8_8(const element *x, int rows, int columns, const void *w, int layout, int tiles, int out_columns,
                 const float *bias, int epilogue, float cap, void *out) {
    linear_rows<Float8, 1>(x, rows, columns, w, layout, tiles, {out_columns, bias, epilogue, cap, out});
}

/// The same in blocks of 32 rows. Grid (the same, ceil(rows / 32)).
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    linear_int4_32(const element *x, int rows, int columns, const void *w, int layout, int tiles, int out_columns,
                   const float *bias, int epilogue, float cap, void *out) {
    linear_rows<Int4, 4>(x, rows, columns, w, layout, tiles, {out_columns, bias, epilogue, cap, out});
}
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    linear_int8_32(const element *x, int rows, int columns, const void *w, int layout, int tiles, int out_columns,
                   const float *bias, int epilogue, float cap, void *out) {
    linear_rows<Int8, 4>(x, rows, columns, w, layout, tiles, {out_columns, bias, epilogue, cap, out});
}
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    linear_fp8_32(const element *x, int rows, int columns, const void *w, int layout, int tiles, int out_columns,
                  const float *bias, int epilogue, float cap, void *out) {
    linear_rows<Float8, 4>(x, rows, columns, w, layout, tiles, {out_columns, bias, epilogue, cap, out});
}

// --- Experts -----------------------------------------------------------------------------------------------------

enum : int { EXPERT_TILES = 4 };  // of a block: each by two warps

/// A block's slots, 32 at a time.
template <typename Format, typename RowOf>
__device__ inline void expert_rows(const int *starts, int experts, const element *x, RowOf row_of, int columns,
                                   const void *const *matrices, int layout, const ProductResult &result) {
    ExpertTile tile;
    if (!find_tile(starts, experts, (int)blockIdx.y, tile)) return;
    int rows = is_gated(result.epilogue) ? 2 * result.columns : result.columns;
    Quantized<Format> matrix(matrices[tile.expert], rows, columns, layout);
    for (int first = tile.first; first < tile.end; first += 32) {
        int count = tile.end - first < 32 ? tile.end - first : 32;
        quantized_product<Format, 4>(
            matrix, x, [=](int slot) { return row_of(first + slot); }, {first, count}, columns, EXPERT_TILES, result);
    }
}

template <typename Format>
__device__ inline void gate_up(const element *x, const int *starts, const int *sorted, int per_row, int experts,
                               int columns, int outputs, const void *const *matrices, int epilogue, int layout,
                               element *out) {
    expert_rows<Format>(
        starts, experts, x, [=](int slot) { return sorted[slot] / per_row; }, columns, matrices, layout,
        {outputs, nullptr, epilogue, 0, out});
}

template <typename Format>
__device__ inline void down(const element *x, const int *starts, int experts, int columns, int outputs,
                            const void *const *matrices, int layout, float *out) {
    expert_rows<Format>(
        starts, experts, x, [](int slot) { return slot; }, columns, matrices, layout,
        {outputs, nullptr, STORE_FLOAT, 0, out});
}

/// As experts_gate_up, with the same grid. Block 256.
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    experts_gate_up_int4(const element *x, const int *starts, const int *sorted, int per_row, int experts, int columns,
                         int outputs, const void *const *matrices, int epilogue, int layout, element *out) {
    gate_up<Int4>(x, starts, sorted, per_row, experts, columns, outputs, matrices, epilogue, layout, out);
}
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    experts_gate_up_int8(const element *x, const int *starts, const int *sorted, int per_row, int experts, int columns,
                         int outputs, const void *const *matrices, int epilogue, int layout, element *out) {
    gate_up<Int8>(x, starts, sorted, per_row, experts, columns, outputs, matrices, epilogue, layout, out);
}
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    experts_gate_up_fp8(const element *x, const int *starts, const int *sorted, int per_row, int experts, int columns,
                        int outputs, const void *const *matrices, int epilogue, int layout, element *out) {
    gate_up<Float8>(x, starts, sorted, per_row, experts, columns, outputs, matrices, epilogue, layout, out);
}

/// As experts_down, with the same grid. Block 256.
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    experts_down_int4(const element *x, const int *starts, int experts, int columns, int outputs,
                      const void *const *matrices, int layout, float *out) {
    down<Int4>(x, starts, experts, columns, outputs, matrices, layout, out);
}
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    experts_down_int8(const element *x, const int *starts, int experts, int columns, int outputs,
                      const void *const *matrices, int layout, float *out) {
    down<Int8>(x, starts, experts, columns, outputs, matrices, layout, out);
}
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
    experts_down_fp8(const element *x, const int *starts, int experts, int columns, int outputs,
                     const void *const *matrices, int layout, float *out) {
    down<Float8>(x, starts, experts, columns, outputs, matrices, layout, out);
}

// --- Out of the layout -------------------------------------------------------------------------------------------

/// Eight columns of a matrix of any format.
struct AnyQuantized {
    const void *memory;
    int format, rows, columns, layout;

    __device__ void read(int row, int number, float (&x)[8]) const {
        switch (format) {
        case INT4: Quantized<Int4>(memory, rows, columns, layout).read(row, number, x); break;
        case INT8: Quantized<Int8>(memory, rows, columns, layout).read(row, number, x); break;
        default: Quantized<Float8>(memory, rows, columns, layout).read(row, number, x);
        }
    }
};

/// out [count, columns] = rows first..<first + count of a matrix [rows, columns]. Any grid.
extern "C" __global__ void __launch_bounds__(256)
    expand_weights(const void *w, int format, int rows, int columns, int layout, int first, int count, element *out) {
    AnyQuantized matrix = {w, format, rows, columns, layout};
    size_t width = ((size_t)columns + 7) / 8, stride = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < (size_t)count * width; i += stride) {
        int row = (int)(i / width), number = (int)(i % width);
        float x[8];
        matrix.read(first + row, number, x);
        element *to = out + (size_t)row * (size_t)columns + (size_t)number * 8;
        if (columns % 8 == 0) {
            store_four(to, make_float4(x[0], x[1], x[2], x[3])), store_four(to + 4, make_float4(x[4], x[5], x[6], x[7]));
        } else {
            for (int c = 0; c < 8 && number * 8 + c < columns; c++) store(to + c, x[c]);
        }
    }
}

/// As embed, of a table of any format; values are not rounded. Grid rows.
extern "C" __global__ void __launch_bounds__(256)
    embed_quantized(const int *words, const int *sequences, const void *table, int format, int layout, int first_id,
                    int table_rows, int columns, float scale, float *x) {
    Batch batch = {words};
    int row = (int)blockIdx.x;
    int id = sequences[row] < 0 ? -1 : batch.ids()[row] - first_id;
    bool exists = id >= 0 && id < table_rows;
    AnyQuantized matrix = {table, format, table_rows, columns, layout};
    for (int number = (int)threadIdx.x; number * 8 < columns; number += (int)blockDim.x) {
        float values[8] = {};
        if (exists) matrix.read(id, number, values);
        for (int c = 0; c < 8 && number * 8 + c < columns; c++)
            x[(size_t)row * (size_t)columns + (size_t)(number * 8 + c)] = values[c] * scale;
    }
}

/// out [rows, columns] = columns order[…] of x [rows, x_columns]; 0 where that is -1. Any grid.
extern "C" __global__ void __launch_bounds__(256)
    order_columns(const element *x, int rows, int x_columns, const int *order, int columns, element *out) {
    size_t count = (size_t)rows * (size_t)columns, stride = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        int from = order[i % (size_t)columns];
        if (from >= 0) out[i] = x[i / (size_t)columns * (size_t)x_columns + (size_t)from];
        else store(out + i, 0.0f);
    }
}

// --- Into the layout ---------------------------------------------------------------------------------------------

/// A word of the layout: four or, of four bits, eight columns from `column` on.
struct WordPlace {
    int row, column;

    __device__ WordPlace(size_t i, int blocks, bool is_int4) {
        int in_block = (int)(i % 16), block = (int)(i / 16 % (size_t)blocks), unit = in_block / 4, word = in_block % 4;
        row = (int)(i / 16 / (size_t)blocks);
        column = is_int4 ? block * 128 + word * 32 + unit * 8 : block * 64 + word / 2 * 32 + unit * 8 + word % 2 * 4;
    }
};

/// Rows first..<first + count of a matrix of eight bits = source [count, columns] with `flip` in each byte. Any grid.
extern "C" __global__ void __launch_bounds__(256)
    arrange_bytes(const unsigned char *source, int first, int count, int columns, int flip, unsigned *out) {
    int blocks = (columns + 63) / 64;
    size_t words = (size_t)count * (size_t)blocks * 16, stride = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < words; i += stride) {
        WordPlace place(i, blocks, false);
        unsigned word = 0;
        for (int c = 0; c < 4 && place.column + c < columns; c++)
            word |= (unsigned)(source[(size_t)place.row * (size_t)columns + (size_t)(place.column + c)] ^ flip) << 8 * c;
        out[(size_t)first * (size_t)blocks * 16 + i] = word;
    }
}

/// The CPU backend's panels of 64 rows; see swiftlet_matrix and swiftlet_groups.
struct Panels {
    const unsigned *words;
    int rows, columns, gates;
    int group;  // columns of four bits that share a scale
    bool has_zeros;

    __device__ int lane(int row) const { return !gates ? row % 64 : row < rows / 2 ? row % 32 : 32 + (row - rows / 2) % 32; }
    __device__ int panel(int row) const { return !gates ? row / 64 : row % (rows / 2) / 32; }
    __device__ int header() const { return has_zeros ? 48 : 32; }  // words before a group's weights

    __device__ const unsigned *group_words(int row, int index) const {
        size_t groups = (size_t)(columns + group - 1) / (size_t)group, lines = ((size_t)columns + 1) / 2;
        size_t panel_words = groups * (size_t)header() + lines * 16;
        return words + (size_t)panel(row) * panel_words +
               (size_t)index * ((size_t)header() + ((size_t)group + 1) / 2 * 16);
    }
    /// Eight columns.
    __device__ unsigned four_bits(int row, int column) const {
        int index = column / group, line = column % group / 2, shift = lane(row) / 16 * 4;
        const unsigned *from = group_words(row, index) + header() + lane(row) % 16;
        unsigned word = 0;
        for (int k = 0; k < 4 && column + 2 * k < columns; k++)
            word |= (from[(line + k) * 16] >> shift & 0x000f000fu) << 4 * k;
        return word;
    }
    __device__ const unsigned *bytes(int row) const {
        return words + (size_t)panel(row) * (((size_t)columns + 3) / 4 + 2) * 64 + lane(row);
    }
    __device__ unsigned eight_bits(int row, int column) const { return bytes(row)[(size_t)(column / 4) * 64]; }
    __device__ unsigned scale_bits(int row) const { return bytes(row)[((size_t)columns + 3) / 4 * 64]; }
};

/// A matrix [rows, columns] in this layout out of the CPU backend's panels: int8 with a scale a row, or int4 in groups of
/// `group` columns. Any grid.
extern "C" __global__ void __launch_bounds__(256)
    arrange_panels(const unsigned *panels, int format, int rows, int columns, int gates, int group, int layout,
                   unsigned *out) {
    bool is_int4 = format == INT4;
    Panels from = {panels, rows, columns, gates, group, (layout & HAS_ZEROS) != 0};
    int blocks = is_int4 ? (columns + 127) / 128 : (columns + 63) / 64;
    int groups = is_int4 ? (columns + group - 1) / group : 1;
    size_t words = (size_t)rows * (size_t)blocks * 16, scales = (size_t)rows * (size_t)groups;
    size_t start = (size_t)blockIdx.x * blockDim.x + threadIdx.x, stride = (size_t)gridDim.x * blockDim.x;
    for (size_t i = start; i < words; i += stride) {
        WordPlace place(i, blocks, is_int4);
        unsigned word = 0;
        if (place.column < columns)
            word = is_int4 ? from.four_bits(place.row, place.column) : from.eight_bits(place.row, place.column);
        out[i] = word;
    }
    for (size_t i = start; i < scales; i += stride) {
        int row = (int)(i / (size_t)groups), index = (int)(i % (size_t)groups), lane = from.lane(row);
        if (!is_int4) {
            out[words + i] = from.scale_bits(row);
            continue;
        }
        const unsigned *head = from.group_words(row, index);
        ((unsigned short *)(out + words))[i] = ((const unsigned short *)head)[lane];
        if (from.has_zeros)
            ((unsigned char *)(out + words))[2 * scales + i] = ((const unsigned char *)(head + 32))[lane];
    }
}

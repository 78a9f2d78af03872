// linear.cu: products of few rows, bound by reading the weights: one warp computes an output of all rows, its lanes
// 16 bytes apart, four loads in flight; and what is left to do behind cublasLt.
//
// Invariant: an output is one sum per lane, then over the lanes, in an order that does not depend on the rows beside it.
#include "epilogue.cuh"

enum : int { LOADS = 4, STEP = WARP * CHUNK };  // loads in flight, columns that a warp reads at once

/// sums[r] += w · x[r] over the lane's columns, `w` [columns] and x [rows, columns]; rows behind the last one are not read.
template <int ROWS>
__device__ inline void multiply_chunks(const element *w, const element *x, int rows, int columns, float (&sums)[ROWS]) {
    for (int first = lane_index() * CHUNK; first < columns; first += LOADS * STEP) {
        uint4 weights[LOADS];
#pragma unroll
        for (int i = 0; i < LOADS; i++)
            if (first + i * STEP < columns) weights[i] = load_once(w + first + i * STEP);
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
            int c = first + i * STEP;
            if (c >= columns) break;
            float a[CHUNK];
            unpack(weights[i], a);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                if (r >= rows) break;
                float b[CHUNK];
                unpack(*(const uint4 *)(x + (size_t)r * (size_t)columns + c), b);
#pragma unroll
                for (int j = 0; j < CHUNK; j++) sums[r] = fmaf(a[j], b[j], sums[r]);
            }
        }
    }
}

/// The same where rows do not start at multiples of 16 bytes.
template <int ROWS>
__device__ inline void multiply_singly(const element *w, const element *x, int rows, int columns, float (&sums)[ROWS]) {
    for (int c = lane_index(); c < columns; c += WARP) {
        float a = to_float(w[c]);
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            if (r < rows) sums[r] = fmaf(a, to_float(x[(size_t)r * (size_t)columns + c]), sums[r]);
    }
}

/// sums[r] of every lane = w · x[r].
template <int ROWS>
__device__ inline void multiply(const element *w, const element *x, int rows, int columns, float (&sums)[ROWS]) {
#pragma unroll
    for (int r = 0; r < ROWS; r++) sums[r] = 0;
    if (columns % CHUNK == 0) multiply_chunks(w, x, rows, columns, sums);
    else multiply_singly(w, x, rows, columns, sums);
#pragma unroll
    for (int r = 0; r < ROWS; r++) sums[r] = warp_sum(sums[r]);
}

template <int ROWS>
__device__ inline void linear_rows(const element *x, int rows, int columns, const element *w, int out_columns,
                                   const float *bias, int epilogue, float cap, void *out) {
    int column = (int)blockIdx.x * ((int)blockDim.x / WARP) + warp_index();
    if (column >= out_columns) return;
    float sums[ROWS], ups[ROWS];
    multiply(w + (size_t)column * (size_t)columns, x, rows, columns, sums);
    float add = bias ? bias[column] : 0.0f, add_up = 0;
    if (is_gated(epilogue)) {
        multiply(w + (size_t)(column + out_columns) * (size_t)columns, x, rows, columns, ups);
        if (bias) add_up = bias[column + out_columns];
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        if (r % WARP != lane_index() || r >= rows) continue;
        size_t i = (size_t)r * (size_t)out_columns + (size_t)column;
        if (is_gated(epilogue)) store((element *)out + i, gated(epilogue, sums[r] + add, ups[r] + add_up));
        else finish(epilogue, sums[r] + add, cap, out, i);
    }
}

/// out [rows, out_columns] = x [rows, columns] · wᵀ + bias, by one of the epilogues; for the gated ones w is
/// [2 out_columns, columns], gate then up, and so is the bias (or NULL). Grid ceil(out_columns / 8). At most 1 row.
extern "C" __global__ void __launch_bounds__(256)
    linear_small_1(const element *x, int rows, int columns, const element *w, int out_columns, const float *bias,
                   int epilogue, float cap, void *out) {
    linear_rows<1>(x, rows, columns, w, out_columns, bias, epilogue, cap, out);
}

/// At most 2 rows.
extern "C" __global__ void __launch_bounds__(256)
    linear_small_2(const element *x, int rows, int columns, const element *w, int out_columns, const float *bias,
                   int epilogue, float cap, void *out) {
    linear_rows<2>(x, rows, columns, w, out_columns, bias, epilogue, cap, out);
}

/// At most 4 rows.
extern "C" __global__ void __launch_bounds__(256)
    linear_small_4(const element *x, int rows, int columns, const element *w, int out_columns, const float *bias,
                   int epilogue, float cap, void *out) {
    linear_rows<4>(x, rows, columns, w, out_columns, bias, epilogue, cap, out);
}

/// At most 8 rows.
extern "C" __global__ void __launch_bounds__(256, 1)
    linear_small_8(const element *x, int rows, int columns, const element *w, int out_columns, const float *bias,
                   int epilogue, float cap, void *out) {
    linear_rows<8>(x, rows, columns, w, out_columns, bias, epilogue, cap, out);
}

// --- Behind cublasLt -----------------------------------------------------------------------------------------------

/// One output of a row of sums.
__device__ inline void finish_one(const float *row, int column, int out_columns, const float *bias, int epilogue, float cap,
                                  void *out, size_t i) {
    float y = row[column] + (bias ? bias[column] : 0.0f);
    if (!is_gated(epilogue)) return finish(epilogue, y, cap, out, i);
    float up = row[column + out_columns] + (bias ? bias[column + out_columns] : 0.0f);
    store((element *)out + i, gated(epilogue, y, up));
}

/// Four neighbouring gated ones.
__device__ inline void finish_four(const float *row, int column, int out_columns, const float *bias, int epilogue,
                                   element *out) {
    float4 gate = *(const float4 *)(row + column), up = *(const float4 *)(row + column + out_columns);
    if (bias) {
        const float *b = bias + column, *u = b + out_columns;
        gate = make_float4(gate.x + b[0], gate.y + b[1], gate.z + b[2], gate.w + b[3]);
        up = make_float4(up.x + u[0], up.y + u[1], up.z + u[2], up.w + u[3]);
    }
    store_four(out, make_float4(gated(epilogue, gate.x, up.x), gated(epilogue, gate.y, up.y),
                                gated(epilogue, gate.z, up.z), gated(epilogue, gate.w, up.w)));
}

/// The same epilogues of sums that are there: y [rows, out_columns], or [rows, 2 out_columns] when gated. Any grid.
extern "C" __global__ void __launch_bounds__(256)
    linear_finish(const float *y, int rows, int out_columns, const float *bias, int epilogue, float cap, void *out) {
    bool by_four = is_gated(epilogue) && out_columns % 4 == 0;
    int width = by_four ? out_columns / 4 : out_columns;
    size_t count = (size_t)rows * (size_t)width, stride = (size_t)gridDim.x * blockDim.x;
    size_t y_columns = (size_t)out_columns * (is_gated(epilogue) ? 2 : 1);
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        // Dividing 32 bits is several times as fast.
        size_t row = count >> 32 ? i / (size_t)width : (unsigned)i / (unsigned)width;
        int column = (int)(i - row * (size_t)width);
        const float *sums = y + row * y_columns;
        if (by_four) finish_four(sums, 4 * column, out_columns, bias, epilogue, (element *)out + 4 * i);
        else finish_one(sums, column, out_columns, bias, epilogue, cap, out, i);
    }
}

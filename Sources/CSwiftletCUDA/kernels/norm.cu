// norm.cu: RMS norms of rows of the residual stream and of parts of rows.
//
// Invariant: a row's sum of squares is added in one order: per thread, then over the block.
#include "batch.cuh"
#include "device.cuh"

__device__ inline float square_sum(const float *x, int columns, float *scratch) {
    float sum = 0;
    if (columns % 4 == 0 && (size_t)x % 16 == 0) {
        const float4 *four = (const float4 *)x;
        for (int c = (int)threadIdx.x; c < columns / 4; c += (int)blockDim.x) {
            float4 v = four[c];
            sum = fmaf(v.x, v.x, fmaf(v.y, v.y, fmaf(v.z, v.z, fmaf(v.w, v.w, sum))));
        }
    } else {
        for (int c = (int)threadIdx.x; c < columns; c += (int)blockDim.x) sum = fmaf(x[c], x[c], sum);
    }
    return block_sum(sum, scratch);
}

/// out = x / rms * weight, or x itself without a weight. `out` may be x.
template <typename Out>
__device__ inline void norm_row(const float *x, int columns, const float *weight, float epsilon, float *scratch,
                                Out *out) {
    float scale = weight ? rsqrtf(square_sum(x, columns, scratch) / (float)columns + epsilon) : 1.0f;
    if (columns % 4 == 0) {
        for (int c = 4 * (int)threadIdx.x; c < columns; c += 4 * (int)blockDim.x) {
            float4 v = *(const float4 *)(x + c);
            if (weight) {
                float4 w = *(const float4 *)(weight + c);
                v = make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
            }
            store_four(out + c, v);
        }
    } else {
        for (int c = (int)threadIdx.x; c < columns; c += (int)blockDim.x)
            store(out + c, weight ? x[c] * scale * weight[c] : x[c]);
    }
}

/// out [rows, columns] = the norms of the rows of x. Grid rows.
extern "C" __global__ void __launch_bounds__(256)
    rms_norm(const float *x, int columns, const float *weight, float epsilon, element *out) {
    __shared__ float scratch[WARP];
    size_t first = (size_t)blockIdx.x * (size_t)columns;
    norm_row(x + first, columns, weight, epsilon, scratch, out + first);
}

/// Row r of out = the norm of the row whose logits are the batch's wanted ones number first + r; zeros where there is
/// none. Grid rows.
extern "C" __global__ void __launch_bounds__(256)
    rms_norm_logits(const int *words, int first, const float *x, int columns, const float *weight, float epsilon,
                    element *out) {
    __shared__ float scratch[WARP];
    Batch batch = {words};
    int number = first + (int)blockIdx.x;
    element *row = out + (size_t)blockIdx.x * (size_t)columns;
    if (number < batch.logit_row_count()) {
        const float *in = x + (size_t)batch.logit_rows()[number] * (size_t)columns;
        norm_row(in, columns, weight, epsilon, scratch, row);
    } else {
        for (int c = (int)threadIdx.x; c < columns; c += (int)blockDim.x) store(row + c, 0.0f);
    }
}

/// Columns first..<first + columns of rows of x, `stride` floats apart, in place. Grid rows.
extern "C" __global__ void __launch_bounds__(256)
    rms_norm_columns(float *x, int stride, int first, int columns, const float *weight, float epsilon) {
    __shared__ float scratch[WARP];
    float *row = x + (size_t)blockIdx.x * (size_t)stride + first;
    float scale = rsqrtf(square_sum(row, columns, scratch) / (float)columns + epsilon);
    for (int c = (int)threadIdx.x; c < columns; c += (int)blockDim.x) row[c] = row[c] * scale * weight[c];
}

/// sums[row, column] of [rows, sums_stride] = the sum of squares of these columns. Grid rows.
extern "C" __global__ void __launch_bounds__(256)
    square_sums(const float *x, int stride, int first, int columns, float *sums, int sums_stride, int column) {
    __shared__ float scratch[WARP];
    float sum = square_sum(x + (size_t)blockIdx.x * (size_t)stride + first, columns, scratch);
    if (threadIdx.x == 0) sums[(size_t)blockIdx.x * (size_t)sums_stride + column] = sum;
}

/// Columns in place, as part of `width` columns of all ranks whose sum of squares is given. Grid rows.
extern "C" __global__ void __launch_bounds__(256)
    rms_norm_squares(float *x, int stride, int first, int columns, const float *squares, int squares_stride, int column,
                     int width, const float *weight, float epsilon) {
    float *row = x + (size_t)blockIdx.x * (size_t)stride + first;
    float sum = squares[(size_t)blockIdx.x * (size_t)squares_stride + column];
    float scale = rsqrtf(sum / (float)width + epsilon);
    for (int c = (int)threadIdx.x; c < columns; c += (int)blockDim.x) row[c] = row[c] * scale * weight[c];
}

/// out [rows, columns] += the norm of x. Grid rows.
extern "C" __global__ void __launch_bounds__(256)
    add_normed(const float *x, int columns, const float *weight, float epsilon, float *out) {
    __shared__ float scratch[WARP];
    const float *in = x + (size_t)blockIdx.x * (size_t)columns;
    float *row = out + (size_t)blockIdx.x * (size_t)columns;
    float scale = rsqrtf(square_sum(in, columns, scratch) / (float)columns + epsilon);
    for (int c = (int)threadIdx.x; c < columns; c += (int)blockDim.x) row[c] += in[c] * scale * weight[c];
}

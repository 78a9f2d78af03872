// rms_norm.c: shares out RMS norms; rms_norm.inc.h computes them. Owner: the CPU backend.
// Invariant: a row is normalised by one thread.

#include "kernels.h"

enum { ELEMENTS_PER_ITEM = 8192 };  // about 1 us: below that, handing out costs more than it gains

void swiftlet_rms_norm(swiftlet_cpu *cpu, const float *x, size_t x_stride, const int32_t *rows, int32_t count,
                       int32_t columns, const float *weight, float epsilon, swiftlet_dtype dtype, void *out,
                       size_t out_stride) {
    if (count <= 0 || columns <= 0) return;
    rms_norm_work work = {
        .cpu = cpu, .x = x, .rows = rows, .weight = weight, .out = out, .x_stride = x_stride,
        .out_stride = out_stride, .count = count, .columns = columns,
        .rows_per_item = swiftlet_ceil_div(ELEMENTS_PER_ITEM, columns), .epsilon = epsilon,
    };
    int32_t items = swiftlet_ceil_div(count, work.rows_per_item);
    swiftlet_parallel_for(cpu, items, cpu->kernels->rms_norm[dtype], &work);
}

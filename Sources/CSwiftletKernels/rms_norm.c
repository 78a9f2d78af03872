// rms_norm.c: shares out RMS norms; rms_norm.inc.h computes them. Owner: the CPU backend.
// Invariant: a row is normalised by one thread.

#include "kernels.h"

enum { ELEMENTS_PER_ITEM = 8192 };  // about 1 us: below that, handing out costs more than it gains

static void run(swiftlet_cpu *cpu, swiftlet_task task, rms_norm_work work) {
    if (work.count <= 0 || work.columns <= 0) return;
    work.cpu = cpu;
    work.rows_per_item = swiftlet_ceil_div(ELEMENTS_PER_ITEM, work.columns);
    swiftlet_parallel_for(cpu, swiftlet_ceil_div(work.count, work.rows_per_item), task, &work);
}

void swiftlet_rms_norm(swiftlet_cpu *cpu, const float *x, size_t x_stride, const int32_t *rows, int32_t count,
                       int32_t columns, const float *weight, float epsilon, swiftlet_dtype dtype, void *out,
                       size_t out_stride) {
    run(cpu, cpu->kernels->rms_norm[dtype], (rms_norm_work){
        .x = x, .rows = rows, .weight = weight, .out = out, .x_stride = x_stride, .out_stride = out_stride,
        .count = count, .columns = columns, .epsilon = epsilon,
    });
}

void swiftlet_add_normed(swiftlet_cpu *cpu, const float *x, size_t x_stride, int32_t count, int32_t columns,
                         const float *weight, float epsilon, float *out, size_t out_stride) {
    run(cpu, cpu->kernels->add_normed, (rms_norm_work){
        .x = x, .weight = weight, .out = out, .x_stride = x_stride, .out_stride = out_stride, .count = count,
        .columns = columns, .epsilon = epsilon,
    });
}

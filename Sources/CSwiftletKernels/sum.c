// sum.c: adds up what several ranks computed of the same rows. Owner: the CPU backend.
// Invariant: an element is one chain in the order of the parts, whatever the rows and threads, so all ranks that add up
// the same parts get the same bits.

#include <math.h>

#include "kernels.h"

enum { ITEM_ELEMENTS = 4096 };  // of the result: about two microseconds

typedef struct {
    const float *const *parts;  // [count] of [rows, columns]
    float *x;                   // [rows, columns]
    size_t stride, x_stride;
    int32_t count, rows, columns, rows_per_item;
    bool adds;
} sum_work;

static void sum_rows(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const sum_work *work = context;
    int32_t first = item * work->rows_per_item, rest = work->rows - first;
    int32_t end = rest < work->rows_per_item ? work->rows : first + work->rows_per_item;
    for (int32_t row = first; row < end; row++) {
        size_t at = (size_t)row * work->stride;
        float *x = work->x + (size_t)row * work->x_stride;
        enum { BLOCK = 256 };
        for (int32_t c = 0; c < work->columns; c += BLOCK) {
            int32_t count = work->columns - c < BLOCK ? work->columns - c : BLOCK;
            float sums[BLOCK];
            for (int32_t i = 0; i < count; i++) sums[i] = work->parts[0][at + (size_t)(c + i)];
            for (int32_t part = 1; part < work->count; part++) {
                const float *values = work->parts[part] + at + c;
                for (int32_t i = 0; i < count; i++) sums[i] += values[i];
            }
            if (work->adds)
                for (int32_t i = 0; i < count; i++) x[c + i] += sums[i];
            else
                for (int32_t i = 0; i < count; i++) x[c + i] = sums[i];
        }
    }
}

void swiftlet_sum(swiftlet_cpu *cpu, const float *const *parts, int32_t count, size_t stride, int32_t rows,
                  int32_t columns, bool adds, float *x, size_t x_stride) {
    if (rows <= 0 || columns <= 0 || count <= 0) return;
    sum_work work = {
        .parts = parts, .x = x, .stride = stride, .x_stride = x_stride, .count = count, .rows = rows,
        .columns = columns, .rows_per_item = swiftlet_ceil_div(ITEM_ELEMENTS, columns), .adds = adds,
    };
    swiftlet_parallel_for(cpu, swiftlet_ceil_div(rows, work.rows_per_item), sum_rows, &work);
}

// --- Norms over what several ranks have -----------------------------------------------------------------------

typedef struct {
    float *x;  // [rows, columns]
    float *sums;
    const float *weight;  // [columns]
    size_t stride, sum_stride;
    int32_t columns, width;
    float epsilon;
} norm_work;

static void sum_squares(void *context, int32_t row, int32_t thread) {
    (void)thread;
    enum { CHAINS = 8 };
    const norm_work *work = context;
    const float *x = work->x + (size_t)row * work->stride;
    float sums[CHAINS] = {0};
    int32_t c = 0;
    for (; c + CHAINS <= work->columns; c += CHAINS)
        for (int32_t i = 0; i < CHAINS; i++) sums[i] += x[c + i] * x[c + i];
    for (int32_t i = 0; c + i < work->columns; i++) sums[i] += x[c + i] * x[c + i];
    float total = 0;
    for (int32_t i = 0; i < CHAINS; i++) total += sums[i];
    work->sums[(size_t)row * work->sum_stride] = total;
}

static void scale_row(void *context, int32_t row, int32_t thread) {
    (void)thread;
    const norm_work *work = context;
    float *x = work->x + (size_t)row * work->stride;
    float scale = 1 / sqrtf(work->sums[(size_t)row * work->sum_stride] / (float)work->width + work->epsilon);
    for (int32_t c = 0; c < work->columns; c++) x[c] = x[c] * scale * work->weight[c];
}

void swiftlet_square_sums(swiftlet_cpu *cpu, const float *x, size_t x_stride, int32_t rows, int32_t columns,
                          float *sums, size_t sum_stride) {
    norm_work work = {
        .x = (float *)x, .stride = x_stride, .columns = columns, .sums = sums, .sum_stride = sum_stride,
    };
    swiftlet_parallel_for(cpu, rows, sum_squares, &work);
}

void swiftlet_scale_to_norm(swiftlet_cpu *cpu, float *x, size_t x_stride, int32_t rows, int32_t columns,
                            const float *squares, size_t square_stride, int32_t width, const float *weight,
                            float epsilon) {
    norm_work work = {
        .x = x, .stride = x_stride, .columns = columns, .sums = (float *)squares, .sum_stride = square_stride,
        .width = width, .weight = weight, .epsilon = epsilon,
    };
    swiftlet_parallel_for(cpu, rows, scale_row, &work);
}

// linear_order.c: products with a matrix whose columns are in another order than x's: GPTQ's "act-order", which sorts
// them so that each group's lie side by side. The rows of x are put into that order first, in memory of the cpu's own.
// Owner: the CPU backend.
// Invariant: a row is only moved; what is computed from it is what it would be alone.

#include <string.h>

#include "kernels.h"

enum {
    MAX_ROWS = 512,        // at once
    INLINE_VALUES = 8192,  // below which a second thread costs more than it gains
    ITEM_VALUES = 4096,
};

typedef struct {
    const uint8_t *x;  // [rows, columns]
    uint8_t *out;      // [rows, columns]
    const int32_t *order;
    const swiftlet_matrix *matrix;
    size_t x_stride, out_stride;  // in bytes
    int32_t rows, rows_per_item;
} order_work;

void swiftlet_order_row(const swiftlet_matrix *matrix, const int32_t *order, const void *x, void *out) {
    if (matrix->dtype == SWIFTLET_BFLOAT16)
        for (int32_t c = 0; c < matrix->columns; c++)
            ((uint16_t *)out)[c] = order[c] < 0 ? 0 : ((const uint16_t *)x)[order[c]];
    else
        for (int32_t c = 0; c < matrix->columns; c++)
            ((uint32_t *)out)[c] = order[c] < 0 ? 0 : ((const uint32_t *)x)[order[c]];
}

static void order_rows(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const order_work *work = context;
    int32_t first = item * work->rows_per_item, end = first + work->rows_per_item;
    for (int32_t row = first; row < end && row < work->rows; row++)
        swiftlet_order_row(work->matrix, work->order, work->x + (size_t)row * work->x_stride,
                           work->out + (size_t)row * work->out_stride);
}

void swiftlet_linear_ordered(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const int32_t *order, const void *x,
                             size_t x_stride, int32_t tokens, const float *bias, swiftlet_epilogue epilogue, float cap,
                             void *out, size_t out_stride) {
    size_t element = matrix->dtype == SWIFTLET_BFLOAT16 ? 2 : 4;
    size_t output = epilogue == SWIFTLET_STORE_FLOAT || epilogue == SWIFTLET_ADD_FLOAT ? 4 : element;
    // An odd number of cache lines from row to row, as the rows of activations have.
    size_t stride = (((size_t)matrix->columns * element + 63) / 64 | 1) * 64;
    size_t room = SWIFTLET_ROWS_BYTES / stride;
    int32_t at_once = room < MAX_ROWS ? (int32_t)room : MAX_ROWS;
    for (int32_t first = 0; first < tokens; first += at_once) {
        order_work work = {
            .x = (const uint8_t *)x + (size_t)first * x_stride * element, .out = cpu->ordered,
            .order = order, .matrix = matrix, .x_stride = x_stride * element, .out_stride = stride,
            .rows = tokens - first < at_once ? tokens - first : at_once,
        };
        bool is_small = (int64_t)work.rows * matrix->columns <= INLINE_VALUES;
        work.rows_per_item = is_small ? work.rows : swiftlet_ceil_div(ITEM_VALUES, matrix->columns);
        swiftlet_parallel_for(cpu, swiftlet_ceil_div(work.rows, work.rows_per_item), order_rows, &work);
        void *to = (uint8_t *)out + (size_t)first * out_stride * output;
        if (cap > 0)
            swiftlet_linear_capped(cpu, matrix, cpu->ordered, stride / element, work.rows, bias, cap, to, out_stride);
        else
            swiftlet_linear(cpu, matrix, cpu->ordered, stride / element, work.rows, bias, epilogue, to, out_stride);
    }
}

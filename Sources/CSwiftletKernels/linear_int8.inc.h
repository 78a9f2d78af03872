// linear_int8.inc.h: products with eight-bit weights, once per dtype of activations and results: the rows become
// eight-bit integers, the sums floats again. gemm.inc.h or gemm_strips.inc.h computes the sums. See level.inc.h.
// Invariant: a row has its own scale, and sums of integers are exact: no order of anything matters.

static void NAMED(quantize_rows)(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const quantize_work *work = context;
    int32_t first = item * work->rows_per_item, columns = work->matrix->columns;
    int32_t end = first + work->rows_per_item < work->rows ? first + work->rows_per_item : work->rows;
    for (int32_t row = first; row < end; row++) {
        const ELEMENT *x = (const ELEMENT *)work->x + (size_t)row * work->x_stride;  // [columns]
        int8_t *out = (int8_t *)work->out + (size_t)row * work->out_stride;
        vi largest[2] = {(vi)vw_set(0), (vi)vw_set(0)};
        int32_t c = 0;
        for (; c + 32 <= columns; c += 32) {
            // The rows come from the caches of other cores; the next one is a stream of its own.
            __builtin_prefetch((const char *)(x + work->x_stride + c), 0, 3);
            for (int32_t j = 0; j < 2; j++) largest[j] = int8_larger(largest[j], LOAD_16(x + c + 16 * j));
        }
        for (; c < columns; c += 16)
            largest[0] = int8_larger(largest[0], LOAD_FIRST(x + c, columns - c < 16 ? columns - c : 16));
        swiftlet_integer_scale scale =
            swiftlet_integer_scale_for(int8_largest(__builtin_elementwise_max(largest[0], largest[1])), 127);
        *int8_row_scale(out, columns) = scale.scale;
        vf inverse = vf_set(scale.inverse);
        vi bias = (vi)vw_set(INT8_X_BIAS);
        for (c = 0; c + 16 <= columns; c += 16) int8_store(out + c, int8_round(LOAD_16(x + c), inverse) + bias);
        // The row's end lies within its last 64 bytes.
        if (c < columns) int8_store(out + c, int8_round(LOAD_FIRST(x + c, columns - c), inverse) + bias);
    }
}

static void NAMED(linear_int8)(void *context, int32_t item, int32_t thread) {
    const linear_work *work = context;
    linear_item at = item_of_linear(work, item);
    float *sums = swiftlet_scratch(work->cpu, thread);  // [tokens][64], of int32 at first
    const float *scales = (const float *)(work->matrix->words + (size_t)(at.panel + 1) * work->panel_words) - 128;
    const int32_t *weight_sums = (const int32_t *)scales + 64;
    int8_t *x = (int8_t *)work->x + (size_t)at.first * work->x_stride;  // [tokens], see int8_row_scale
    panel_sums_int8(work, &at, sums);
    for (int32_t j = 0; j < 64; j += 16) {
        vf weight_scale = vf_load(scales + j);
        vi bias = (vi)vw_load((const uint32_t *)weight_sums + j) * (vi)vw_set(INT8_X_BIAS);
        for (int32_t t = 0; t < at.tokens; t++) {
            vf sum = __builtin_convertvector((vi)vf_load(sums + 64 * t + j) - bias, vf);
            float x_scale = *int8_row_scale(x + (size_t)t * work->x_stride, work->matrix->columns);
            vf_store(sums + 64 * t + j, sum * (vf_set(x_scale) * weight_scale));
        }
    }
    NAMED(store_panel)(work, sums, at.first, at.tokens, at.panel);
}

// rms_norm.inc.h: RMS norm of rows, once per dtype of the output. See level.inc.h for the macros.
// Invariant: a row's sum of squares is taken in one order: four vectors of sixteen lanes, then halves.

INLINE float NAMED(inverse_rms)(const float *x, int32_t columns, float epsilon) {
    vf sum[4] = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};
    int32_t c = 0;
    for (; c + 64 <= columns; c += 64)
        for (int j = 0; j < 4; j++) {
            vf v = vf_load(x + c + 16 * j);
            sum[j] = vf_fma(v, v, sum[j]);
        }
    for (; c < columns; c += 16) {
        vf v = c + 16 <= columns ? vf_load(x + c) : vf_load_first(x + c, columns - c);
        sum[0] = vf_fma(v, v, sum[0]);
    }
    float total = vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    return 1.0f / sqrtf(total / (float)columns + epsilon);
}

static void NAMED(rms_norm)(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const rms_norm_work *work = context;
    int32_t first = item * work->rows_per_item;
    int32_t end = first + work->rows_per_item < work->count ? first + work->rows_per_item : work->count;
    for (int32_t i = first; i < end; i++) {
        const float *x = work->x + (size_t)(work->rows ? work->rows[i] : i) * work->x_stride;  // [columns]
        ELEMENT *out = (ELEMENT *)work->out + (size_t)i * work->out_stride;                    // [columns]
        vf scale = vf_set(NAMED(inverse_rms)(x, work->columns, work->epsilon));
        int32_t c = 0;
        for (; c + 16 <= work->columns; c += 16)
            STORE_16(out + c, vf_load(x + c) * scale * vf_load(work->weight + c));
        int32_t rest = work->columns - c;
        if (rest > 0)
            STORE_FIRST(out + c, vf_load_first(x + c, rest) * scale * vf_load_first(work->weight + c, rest), rest);
    }
}

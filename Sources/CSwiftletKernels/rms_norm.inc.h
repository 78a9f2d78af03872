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

/// out = x * scale * weight, or x itself without a norm, or added to what out has.
INLINE void NAMED(norm_row)(const bool norms, const bool adds, const float *x, int32_t columns, const float *weight,
                            vf scale, ELEMENT *out) {
    int32_t c = 0;
    for (; c + 16 <= columns; c += 16) {
        vf y = vf_load(x + c);
        if (norms) y = y * scale * vf_load(weight + c);
        STORE_16(out + c, adds ? LOAD_16(out + c) + y : y);
    }
    int32_t rest = columns - c;
    if (rest == 0) return;
    vf y = vf_load_first(x + c, rest);
    if (norms) y = y * scale * vf_load_first(weight + c, rest);
    STORE_FIRST(out + c, adds ? LOAD_FIRST(out + c, rest) + y : y, rest);
}

INLINE void NAMED(norm_rows)(const bool norms, const bool adds, const rms_norm_work *work, int32_t item) {
    int32_t first = item * work->rows_per_item;
    int32_t end = first + work->rows_per_item < work->count ? first + work->rows_per_item : work->count;
    for (int32_t i = first; i < end; i++) {
        const float *x = work->x + (size_t)(work->rows ? work->rows[i] : i) * work->x_stride;  // [columns]
        ELEMENT *out = (ELEMENT *)work->out + (size_t)i * work->out_stride;                    // [columns]
        vf scale = vf_set(norms ? NAMED(inverse_rms)(x, work->columns, work->epsilon) : 1);
        NAMED(norm_row)(norms, adds, x, work->columns, work->weight, scale, out);
    }
}

static void NAMED(rms_norm)(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const rms_norm_work *work = context;
    if (work->weight) NAMED(norm_rows)(true, false, work, item);
    else NAMED(norm_rows)(false, false, work, item);
}

#if UNIT == 1
static void add_normed(void *context, int32_t item, int32_t thread) {
    (void)thread;
    NAMED(norm_rows)(true, true, context, item);
}
#endif

// gemm_store.inc.h: what matrix products share: above all what happens to the sums of one (bias, residual addition,
// gated activation, rounding). See gemm.inc.h, gemm_strips.inc.h and level.inc.h.
// Invariant: an output depends on its own sums alone.

INLINE vw NAMED(broadcast_word)(const ELEMENT *x) {
    uint32_t word;
    memcpy(&word, x, 4);
    return vw_set(word);
}

INLINE vf NAMED(with_bias)(const float *sums, const float *bias, int32_t count) {
    vf sum = vf_load(sums);
    return bias ? sum + vf_load_first(bias, count) : sum;
}

static void NAMED(store_plain)(const linear_work *work, const float *sums, size_t token, int32_t panel) {
    size_t at = token * work->out_stride + (size_t)panel * 64;
    const float *bias = work->bias ? work->bias + (size_t)panel * 64 : NULL;
    for (int32_t j = 0; j < 64; j += 16) {
        int32_t count = work->matrix->rows - panel * 64 - j;
        if (count <= 0) return;
        if (count > 16) count = 16;
        vf y = NAMED(with_bias)(sums + j, bias ? bias + j : NULL, count);
        float *out = (float *)work->out + at + j;
        if (work->epilogue == SWIFTLET_STORE)
            STORE_FIRST((ELEMENT *)work->out + at + j, y, count);
        else if (work->epilogue == SWIFTLET_STORE_FLOAT)
            vf_store_first(out, y, count);
        else
            vf_store_first(out, vf_load_first(out, count) + y, count);
    }
}

static void NAMED(store_gated)(const linear_work *work, const float *sums, size_t token, int32_t panel) {
    int32_t outputs = work->matrix->rows / 2;
    ELEMENT *out = (ELEMENT *)work->out + token * work->out_stride + (size_t)panel * 32;
    const float *bias = work->bias ? work->bias + (size_t)panel * 32 : NULL;
    for (int32_t j = 0; j < 32; j += 16) {
        int32_t count = outputs - panel * 32 - j;
        if (count <= 0) return;
        if (count > 16) count = 16;
        vf gate = NAMED(with_bias)(sums + j, bias ? bias + j : NULL, count);
        vf up = NAMED(with_bias)(sums + 32 + j, bias ? bias + outputs + j : NULL, count);
        STORE_FIRST(out + j, vf_silu(gate) * up, count);
    }
}

/// The outputs of one panel for tokens first..<first + count; sums is [count][64].
static void NAMED(store_panel)(const linear_work *work, const float *sums, int32_t first, int32_t count,
                               int32_t panel) {
    for (int32_t t = 0; t < count; t++) {
        if (work->epilogue == SWIFTLET_GATED_SILU)
            NAMED(store_gated)(work, sums + 64 * t, (size_t)(first + t), panel);
        else
            NAMED(store_plain)(work, sums + 64 * t, (size_t)(first + t), panel);
    }
}

/// Asks for the lines that the outputs of one panel will be stored to, while there is still work to do.
INLINE void NAMED(fetch_outputs)(const linear_work *work, int32_t first, int32_t count, int32_t panel) {
    bool gated = work->epilogue == SWIFTLET_GATED_SILU;
    size_t element = gated || work->epilogue == SWIFTLET_STORE ? sizeof(ELEMENT) : sizeof(float);
    size_t outputs = gated ? 32 : 64;
    for (int32_t t = first; t < first + count; t++) {
        size_t at = (size_t)t * work->out_stride + (size_t)panel * outputs;
        const char *line = (const char *)work->out + at * element;
        for (size_t byte = 0; byte < outputs * element; byte += 64) __builtin_prefetch(line + byte, 1, 3);
    }
}

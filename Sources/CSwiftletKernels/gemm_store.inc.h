// gemm_store.inc.h: what happens to the sums of a matrix product (bias, residual addition, gated activation, rounding),
// and the task of the products whose weights have the dtype. See gemm.inc.h, gemm_strips.inc.h and level.inc.h.
// Invariant: an output depends on its own sums alone.

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
            vf_store_first(out, work->cap > 0 ? vf_cap(y, work->cap) : y, count);
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
        vf active = work->epilogue == SWIFTLET_GATED_GELU ? vf_gelu(gate) : vf_silu(gate);
        STORE_FIRST(out + j, active * up, count);
    }
}

/// The outputs of one panel for tokens first..<first + count; sums is [count][64].
static void NAMED(store_panel)(const linear_work *work, const float *sums, int32_t first, int32_t count,
                               int32_t panel) {
    for (int32_t t = 0; t < count; t++) {
        if (is_gated(work->epilogue))
            NAMED(store_gated)(work, sums + 64 * t, (size_t)(first + t), panel);
        else
            NAMED(store_plain)(work, sums + 64 * t, (size_t)(first + t), panel);
    }
}

static void NAMED(linear)(void *context, int32_t item, int32_t thread) {
    const linear_work *work = context;
    linear_item at = item_of_linear(work, item);
    float *sums = swiftlet_scratch(work->cpu, thread);  // [tokens][64]
    NAMED(panel_sums)(work, &at, sums);
    NAMED(store_panel)(work, sums, at.first, at.tokens, at.panel);
}

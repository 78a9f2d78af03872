// attention_softmax.inc.h: from a row's scores of one tile to its weights, and how a row's partial results are
// rescaled, merged and finished. Included by attention.inc.h, once per dtype.
//
// Invariant: everything here reads and writes one row. A tile that the row can't see changes nothing.

/// 2^x for x <= 8 or so, exact at 0. Relative error 1e-4 for bfloat16 (the weights are rounded to it) and 2e-9,
/// before rounding, for float32. NaN stays NaN.
INLINE vf NAMED(power_of_two)(vf x) {
#if defined(LEVEL_AVX512) || defined(LEVEL_AVX512BF16)
    vf whole = (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    x = vf_max(vf_set(-126), x);
    // Adding 1.5 * 2^23 + 127 leaves round(x) + 127, an exponent, in the low bits.
    vf shifted = x + vf_set(12583039.0f);
    vf whole = shifted - vf_set(12583039.0f);
#endif
    vf r = x - whole;
#if UNIT == 2
    vf p = vf_fma(vf_set(0.05500893150130489f), r, vf_set(0.24221096351989188f));
    p = vf_fma(p, r, vf_set(0.6932829275249749f));
#else
    vf p = vf_fma(vf_set(0.00015353362020391573f), r, vf_set(0.001339887447582278f));
    p = vf_fma(p, r, vf_set(0.00961843735773754f));
    p = vf_fma(p, r, vf_set(0.055503324709855424f));
    p = vf_fma(p, r, vf_set(0.24022647913625336f));
    p = vf_fma(p, r, vf_set(0.6931472028551203f));
#endif
    p = vf_fma(p, r, vf_set(1));
#if defined(LEVEL_AVX512) || defined(LEVEL_AVX512BF16)
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)whole);
#else
    return p * (vf)((vw)shifted << 23);
#endif
}

/// Moves a row's maximum to at least `high` (any lane), and O and L with it.
NOINLINE void NAMED(raise_maximum)(vf high, int32_t dims, float *maximum, float *sum, float *out) {
    float candidate = vf_maximum(high);
    float raised = candidate > *maximum ? candidate : *maximum;
    vf factor = NAMED(power_of_two)(vf_set(*maximum - raised));
    bool first = *maximum == FIRST_MAXIMUM;  // O and L are still zero
    *maximum = raised;
    if (first) return;
    vf_store(sum, vf_load(sum) * factor);
    for (int32_t d = 0; d < dims; d += 16) vf_store(out + d, vf_load(out + d) * factor);
}

/// Sixteen times UNIT weights as the value tiles read them; the row's sum grows by the rounded weights, unless they carry
/// scales.
INLINE vf NAMED(store_weights)(const bool scaled, const vf *e, uint32_t *weights, vf sum) {
#if UNIT == 1
    vf_store((float *)weights, *e);
    return scaled ? sum : sum + *e;
#elif WIDENS
    for (int32_t j = 0; j < 2; j++) {
        vf rounded = (vf)bf16_round(e[j]);
        vf_store((float *)weights + 16 * j, rounded);
        if (!scaled) sum += rounded;
    }
    return sum;
#else
#if defined(LEVEL_AVX512BF16)
    vw pairs = (vw)_mm512_cvtne2ps_pbh((__m512)e[1], (__m512)e[0]);
    vw_store(weights, pairs);
#else
    STORE_16((uint16_t *)weights, e[0]);
    STORE_16((uint16_t *)weights + 16, e[1]);
    vw pairs = vw_load(weights);
#endif
    return scaled ? sum : DOT(sum, pairs, vw_set(0x3f803f80u));
#endif
}

/// weights[64 / UNIT] = 2^(scores[64] * scale - M) for the slots start..<limit of the tile, 0 for the others. M moves
/// only when a score exceeds it by more than 8, so O is seldom touched. `masked` false is for rows that see all;
/// `scaled` is for integers: a key's scale belongs to its score, a value's to its weight. `capped` makes tanh(score *
/// inner) of the scores first.
INLINE void NAMED(weigh)(const bool masked, const bool scaled, const bool capped, const attention_tile *at,
                         const float *scores, int32_t start, int32_t limit, float inner, float scale, int32_t dims,
                         float *maximum, float *sum, float *out, uint32_t *weights) {
    vf c[TILE_PANELS], e[TILE_PANELS];
    vi seen[TILE_PANELS];
#pragma clang loop unroll(full)
    for (int j = 0; j < TILE_PANELS; j++) {
        vw slot = (vw)vi_iota() + vw_set((uint32_t)(16 * j - start));
        seen[j] = masked ? slot < vw_set((uint32_t)(limit - start)) : (vi)vw_set(~0u);
        c[j] = vf_load(scores + 16 * j);
        if (scaled) c[j] *= vf_load(at->key_scales[j]);
        if (capped) c[j] = vf_tanh(c[j] * vf_set(inner));
    }
    vf high = vf_select(seen[0], c[0], vf_set(-__builtin_inff()));
#pragma clang loop unroll(full)
    for (int j = 1; j < TILE_PANELS; j++)
        high = vf_max(vf_select(seen[j], c[j], vf_set(-__builtin_inff())), high);
    high *= vf_set(scale);
    if (__builtin_expect(__builtin_reduce_or(high > vf_set(*maximum + 8)) != 0, 0))
        NAMED(raise_maximum)(high, dims, maximum, sum, out);
    vf m = vf_set(-*maximum);
#pragma clang loop unroll(full)
    for (int j = 0; j < TILE_PANELS; j++)
        e[j] = vf_select(seen[j], NAMED(power_of_two)(vf_fma(c[j], vf_set(scale), m)), vf_set(0));
    vf total = vf_load(sum);
#pragma clang loop unroll(full)
    for (int j = 0; scaled && j < TILE_PANELS; j++) {
        total += e[j];
        e[j] = vf_select(seen[j], e[j] * vf_load(at->value_scales[j]), vf_set(0));  // an unwritten scale may be NaN
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < TILE_PANELS; j += UNIT)
        total = NAMED(store_weights)(scaled, e + j, weights + WIDE_ROWS_OF(16 * (j / UNIT)), total);
    vf_store(sum, total);
}

/// Rows begin..<end, their scores [rows][64] of one tile.
INLINE void NAMED(softmax)(const bool scaled, const bool capped, const attention_work *work,
                           const attention_state *state, int32_t begin, int32_t end, int32_t tile, int32_t dims,
                           const attention_tile *at) {
    float inner = work->inner, scale = work->scale;
    for (int32_t i = begin; i < end; i++) {
        const float *scores = state->scores + (i - begin) * TILE_POSITIONS;
        int32_t start = state->start[i] > tile ? state->start[i] - tile : 0, limit = state->limit[i] - tile;
        float *high = state->high + i, *sum = state->sum + i * 16, *out = state->out + i * dims;
        uint32_t *weights = state->weights + i * WIDE_ROWS_OF(TILE_POSITIONS / UNIT);
        if (start == 0 && limit >= TILE_POSITIONS)
            NAMED(weigh)(false, scaled, capped, at, scores, 0, TILE_POSITIONS, inner, scale, dims, high, sum, out,
                         weights);
        else
            NAMED(weigh)(true, scaled, capped, at, scores, start, limit, inner, scale, dims, high, sum, out, weights);
    }
}
#define SOFTMAX(name, scaled, capped)                                                                              \
    NOINLINE void NAMED(name)(const attention_work *work, const attention_state *state, int32_t begin, int32_t end, \
                              int32_t tile, int32_t dims, const attention_tile *at) {                               \
        NAMED(softmax)(scaled, capped, work, state, begin, end, tile, dims, at);                                    \
    }
SOFTMAX(softmax_plain, false, false)
SOFTMAX(softmax_capped, false, true)
SOFTMAX(softmax_scaled, true, false)
SOFTMAX(softmax_scaled_capped, true, true)
#undef SOFTMAX

INLINE void NAMED(softmax_rows)(const attention_work *work, const attention_state *state, int32_t begin, int32_t end,
                                int32_t tile, int32_t dims, const attention_tile *at) {
    bool scaled = work->cache->format == SWIFTLET_KV_INT8, capped = work->inner != 0;
    if (scaled && capped) NAMED(softmax_scaled_capped)(work, state, begin, end, tile, dims, at);
    else if (scaled) NAMED(softmax_scaled)(work, state, begin, end, tile, dims, at);
    else if (capped) NAMED(softmax_capped)(work, state, begin, end, tile, dims, at);
    else NAMED(softmax_plain)(work, state, begin, end, tile, dims, at);
}

/// Merges one row's segment into what the segments before it gave. With nothing on one side, the other one
/// comes out unchanged.
static void NAMED(merge_row)(int32_t dims, float maximum, const float *sum, const float *out, float *all_maximum,
                             float *all_sum, float *all_out) {
    float high = maximum > *all_maximum ? maximum : *all_maximum;
    vf a = NAMED(power_of_two)(vf_set(*all_maximum - high));
    vf b = NAMED(power_of_two)(vf_set(maximum - high));
    *all_maximum = high;
    vf_store(all_sum, vf_fma(vf_load(sum), b, vf_load(all_sum) * a));
    for (int32_t d = 0; d < dims; d += 16)
        vf_store(all_out + d, vf_fma(vf_load(out + d), b, vf_load(all_out + d) * a));
}

/// O / L, rounded. Adding 0 removes -0, which masked slots may or may not have turned into +0.
static void NAMED(finish_row)(int32_t head_dim, const float *sum, const float *in, ELEMENT *out) {
    vf inverse = vf_set(1.0f / vf_sum(vf_load(sum)));
    for (int32_t d = 0; d < head_dim; d += 16) {
        vf x = vf_load(in + d) * inverse + vf_set(0);
        if (head_dim - d >= 16) STORE_16(out + d, x);
        else STORE_FIRST(out + d, x, head_dim - d);
    }
}

// rope.inc.h: a step's queries, keys and values, from the float32 projection to where attention reads them; see
// rope.c for the items and level.inc.h for the names.
//
// Invariant: what is written for a token depends on the token alone; everything up to the last rounding is float32.

#include "rope.h"

/// out[head_dim] = rounded rotation of the normed head. `rope` is the position's row: cosines, then sines.
static void NAMED(rotate_head)(const float *in, int32_t head_dim, const float *norm, float epsilon,
                               const float *rope, int32_t rotary_dim, ELEMENT *out) {
    _Alignas(64) float x[MAX_HEAD_DIM];
    vf squares = vf_set(0);
    for (int32_t d = 0; d < head_dim; d += 16) {
        vf v = vf_load_first(in + d, head_dim - d < 16 ? head_dim - d : 16);
        squares = vf_fma(v, v, squares);
        vf_store(x + d, v);
    }
    if (norm != NULL) {
        vf inverse = vf_set(1.0f / sqrtf(vf_sum(squares) / (float)head_dim + epsilon));
        for (int32_t d = 0; d < head_dim; d += 16)
            vf_store(x + d, vf_load(x + d) * inverse * vf_load_first(norm + d, head_dim - d < 16 ? head_dim - d : 16));
    }
    int32_t half = rotary_dim / 2;
    for (int32_t d = 0; d < half; d += 16) {
        int32_t n = half - d < 16 ? half - d : 16;
        vf a = vf_load_first(x + d, n), b = vf_load_first(x + half + d, n);
        vf cosine = vf_load_first(rope + d, n), sine = vf_load_first(rope + half + d, n);
        vf a_sine = a * sine, b_sine = b * sine;
        vf_store_first(x + d, vf_fma(a, cosine, -b_sine), n);
        vf_store_first(x + half + d, vf_fma(b, cosine, a_sine), n);
    }
    for (int32_t d = 0; d < head_dim; d += 16) {
        if (head_dim - d >= 16) STORE_16(out + d, vf_load(x + d));
        else STORE_FIRST(out + d, vf_load(x + d), head_dim - d);
    }
}

/// Values must stay finite: a masked slot's weight is 0, and 0 times infinity or NaN would reach other rows.
static void NAMED(round_values)(const float *in, int32_t head_dim, ELEMENT *out) {
    vf most = vf_set(0x1.fep127f);  // the largest bfloat16
    for (int32_t d = 0; d < head_dim; d += 16) {
        int32_t n = head_dim - d < 16 ? head_dim - d : 16;
        vf v = vf_load_first(in + d, n);
        v = vf_select(v == v, v, vf_set(0));
        v = vf_select(v > most, most, v);
        v = vf_select(v < -most, -most, v);
        STORE_FIRST(out + d, v, n);
    }
}

/// Slots begin..<end of a panel: keys [16][head_dim] to [head_dim / UNIT][16] words.
static void NAMED(store_keys)(const ELEMENT *keys, int32_t head_dim, int32_t begin, int32_t end, uint32_t *panel) {
    for (int32_t k = 0; k < head_dim / UNIT; k++)
        for (int32_t slot = begin; slot < end; slot++)
            memcpy(panel + 16 * k + slot, keys + (size_t)slot * (size_t)head_dim + UNIT * k, sizeof(uint32_t));
}

/// Slots begin..<end of a panel: values [16][head_dim] to [16 / UNIT][head_dim rounded up to 16] words. Behind a last,
/// even slot the other half becomes zero: what an earlier owner of the block left there must not be read.
static void NAMED(store_values)(const ELEMENT *values, int32_t head_dim, int32_t begin, int32_t end,
                                uint32_t *panel) {
    int32_t row = cache_value_row(head_dim);
#if UNIT == 1
    for (int32_t slot = begin; slot < end; slot++)
        memcpy(panel + slot * row, values + slot * head_dim, (size_t)head_dim * sizeof(float));
#else
    for (int32_t slot = begin; slot < end; slot = (slot | 1) + 1) {
        uint32_t *words = panel + slot / 2 * row;
        const uint16_t *low = values + slot * head_dim, *high = low + head_dim;
        if (slot & 1)
            for (int32_t d = 0; d < head_dim; d++) words[d] = (words[d] & 0xffffu) | (uint32_t)low[d] << 16;
        else if (slot + 1 < end)
            for (int32_t d = 0; d < head_dim; d++) words[d] = low[d] | (uint32_t)high[d] << 16;
        else
            for (int32_t d = 0; d < head_dim; d++) words[d] = low[d];
    }
#endif
}

/// The tokens at positions begin..<end, all in one panel, of one sequence and KV head, with its query heads.
static void NAMED(rope_tokens)(const rope_work *work, int32_t sequence, int32_t head, int32_t begin, int32_t end,
                               ELEMENT *keys, ELEMENT *values) {
    int32_t head_dim = work->cache->head_dim, kv_heads = work->cache->kv_heads;
    int32_t group = work->query_heads / kv_heads, base = begin & -ROPE_TOKENS;
    cache_panel panel = cache_find_panel(work->cache, work->batch, sequence, head, base, UNIT);
    for (int32_t k = 0; k < head_dim / UNIT; k++) __builtin_prefetch(panel.keys + 16 * k, 1, 3);
    for (int32_t position = begin; position < end; position++) {
        int32_t token = work->batch->query_offsets[sequence + 1] - work->batch->context_lengths[sequence] + position;
        const float *qkv = work->qkv + (size_t)token * work->qkv_stride;
        const float *rope = work->rope + (size_t)position * (size_t)work->rotary_dim;
        ELEMENT *q_out = (ELEMENT *)work->q_out + (size_t)token * work->q_stride;
        for (int32_t h = head * group; h < (head + 1) * group; h++)
            NAMED(rotate_head)(qkv + h * head_dim, head_dim, work->q_norm, work->epsilon, rope, work->rotary_dim,
                               q_out + h * head_dim);
        const float *k = qkv + (work->query_heads + head) * head_dim;
        NAMED(rotate_head)(k, head_dim, work->k_norm, work->epsilon, rope, work->rotary_dim,
                           keys + (position - base) * head_dim);
        NAMED(round_values)(k + kv_heads * head_dim, head_dim, values + (position - base) * head_dim);
    }
    NAMED(store_keys)(keys, head_dim, begin - base, end - base, panel.keys);
    NAMED(store_values)(values, head_dim, begin - base, end - base, panel.values);
}

static void NAMED(rope_and_store)(void *context, int32_t item, int32_t thread) {
    const rope_work *work = context;
    const swiftlet_paged_batch *batch = work->batch;
    int32_t number = item / work->cache->kv_heads;
    int32_t sequence = sequence_of_block(batch, number, 1, ROPE_TOKENS, ROPE_SPARE);
    int32_t first = first_position(batch, sequence), limit = batch->context_lengths[sequence];
    int32_t base = first / ROPE_TOKENS * ROPE_TOKENS +
                   ROPE_TOKENS * (int32_t)(number - first_block_number(batch, sequence, 1, ROPE_TOKENS, ROPE_SPARE));
    if (base >= limit) return;
    int32_t end = limit - base < ROPE_TOKENS ? limit : base + ROPE_TOKENS;
    ELEMENT *keys = swiftlet_scratch(work->cpu, thread);
    NAMED(rope_tokens)(work, sequence, item % work->cache->kv_heads, first > base ? first : base, end, keys,
                       keys + ROPE_TOKENS * MAX_HEAD_DIM);
}

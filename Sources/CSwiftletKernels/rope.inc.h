// rope.inc.h: a step's queries, keys and values, from the float32 projection to where attention reads them; see
// rope.c for the items and level.inc.h for the names.
//
// Invariant: what is written for a token depends on the token alone; everything up to the last rounding is float32.

#include "rope.h"

#ifndef ROPE_LANES
#define ROPE_LANES

// Up to sixteen lanes of what is left. Whole vectors go unmasked: a load can't be served by a masked store before it.
INLINE vf rope_load(const float *p, int32_t left) { return left >= 16 ? vf_load(p) : vf_load_first(p, left); }
INLINE void rope_store(float *p, vf v, int32_t left) {
    if (left >= 16) vf_store(p, v);
    else vf_store_first(p, v, left);
}

#endif

INLINE void NAMED(rope_round)(ELEMENT *p, vf v, int32_t left) {
    if (left >= 16) STORE_16(p, v);
    else STORE_FIRST(p, v, left);
}

/// out[head_dim] = rounded rotation of the normed head. `rope` is the position's row: cosines, then sines.
static void NAMED(rotate_head)(const float *in, int32_t head_dim, const float *norm, float epsilon,
                               const float *rope, int32_t rotary_dim, ELEMENT *out) {
    _Alignas(64) float x[MAX_HEAD_DIM];
    vf squares = vf_set(0);
    for (int32_t d = 0; d < head_dim; d += 16) {
        vf v = rope_load(in + d, head_dim - d);
        squares = vf_fma(v, v, squares);
        vf_store(x + d, v);
    }
    if (norm != NULL) {
        vf inverse = vf_set(1.0f / sqrtf(vf_sum(squares) / (float)head_dim + epsilon));
        for (int32_t d = 0; d < head_dim; d += 16)
            vf_store(x + d, vf_load(x + d) * inverse * rope_load(norm + d, head_dim - d));
    }
    int32_t half = rotary_dim / 2;
    for (int32_t d = 0; d < half; d += 16) {
        int32_t left = half - d;
        vf a = rope_load(x + d, left), b = rope_load(x + half + d, left);
        vf cosine = rope_load(rope + d, left), sine = rope_load(rope + half + d, left);
        vf a_sine = a * sine, b_sine = b * sine;
        rope_store(x + d, vf_fma(a, cosine, -b_sine), left);
        rope_store(x + half + d, vf_fma(b, cosine, a_sine), left);
    }
    for (int32_t d = 0; d < head_dim; d += 16) NAMED(rope_round)(out + d, vf_load(x + d), head_dim - d);
}

/// Values must stay finite: a masked slot's weight is 0, and 0 times infinity or NaN would reach other rows.
static void NAMED(round_values)(const float *in, int32_t head_dim, ELEMENT *out) {
    vf most = vf_set(0x1.fep127f);  // the largest bfloat16
    for (int32_t d = 0; d < head_dim; d += 16) {
        vf v = rope_load(in + d, head_dim - d);
        v = vf_select(v == v, v, vf_set(0));
        v = vf_select(v > most, most, v);
        v = vf_select(v < -most, -most, v);
        NAMED(rope_round)(out + d, v, head_dim - d);
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

/// One token's heads: the queries of KV heads head..<head + count to where they go, its keys and values to
/// [count][16][head_dim], in row `slot`.
static void NAMED(rope_token)(const rope_work *work, int32_t token, int32_t position, int32_t head, int32_t count,
                              ELEMENT *keys, ELEMENT *values, int32_t slot) {
    int32_t head_dim = work->cache->head_dim, kv_heads = work->cache->kv_heads;
    int32_t group = work->query_heads / kv_heads;
    const float *qkv = work->qkv + (size_t)token * work->qkv_stride;
    const float *rope = work->rope + (size_t)position * (size_t)work->rotary_dim;
    ELEMENT *q_out = (ELEMENT *)work->q_out + (size_t)token * work->q_stride;
    for (int32_t h = head * group; h < (head + count) * group; h++)
        NAMED(rotate_head)(qkv + h * head_dim, head_dim, work->q_norm, work->epsilon, rope, work->rotary_dim,
                           q_out + h * head_dim);
    const float *k = qkv + (work->query_heads + head) * head_dim, *v = k + kv_heads * head_dim;
    for (int32_t h = 0; h < count; h++) {
        int32_t row = (h * ROPE_TOKENS + slot) * head_dim;
        NAMED(rotate_head)(k + h * head_dim, head_dim, work->k_norm, work->epsilon, rope, work->rotary_dim, keys + row);
        NAMED(round_values)(v + h * head_dim, head_dim, values + row);
    }
}

/// The tokens at positions begin..<end of one sequence, all in one panel, for `count` KV heads from `head` on.
static void NAMED(rope_panel)(const rope_work *work, int32_t sequence, int32_t head, int32_t count, int32_t begin,
                              int32_t end, ELEMENT *scratch) {
    int32_t head_dim = work->cache->head_dim, base = begin & -ROPE_TOKENS;
    int32_t token = work->batch->query_offsets[sequence] - first_position(work->batch, sequence);
    ELEMENT *keys = scratch, *values = scratch + count * ROPE_TOKENS * head_dim;
    for (int32_t h = 0; h < count && end - begin == 1; h++) {  // a decode: nothing hides the way to memory
        cache_panel panel = cache_find_panel(work->cache, work->batch, sequence, head + h, base, UNIT);
        for (int32_t k = 0; k < head_dim / UNIT; k++) __builtin_prefetch(panel.keys + 16 * k, 1, 3);
    }
    for (int32_t position = begin; position < end; position++)
        NAMED(rope_token)(work, token + position, position, head, count, keys, values, position - base);
    for (int32_t h = 0; h < count; h++) {
        cache_panel panel = cache_find_panel(work->cache, work->batch, sequence, head + h, base, UNIT);
        int32_t rows = h * ROPE_TOKENS * head_dim;
        NAMED(store_keys)(keys + rows, head_dim, begin - base, end - base, panel.keys);
        NAMED(store_values)(values + rows, head_dim, begin - base, end - base, panel.values);
    }
}

static void NAMED(rope_and_store)(void *context, int32_t item, int32_t thread) {
    const rope_work *work = context;
    const swiftlet_paged_batch *batch = work->batch;
    int32_t number = item / work->items_per_panel, head = item % work->items_per_panel * work->heads_per_item;
    int32_t left = work->cache->kv_heads - head;
    int32_t sequence = sequence_of_block(batch, number, 1, ROPE_TOKENS, ROPE_SPARE);
    int32_t first = first_position(batch, sequence), limit = batch->context_lengths[sequence];
    int32_t base = first / ROPE_TOKENS * ROPE_TOKENS +
                   ROPE_TOKENS * (int32_t)(number - first_block_number(batch, sequence, 1, ROPE_TOKENS, ROPE_SPARE));
    if (base >= limit) return;
    NAMED(rope_panel)(work, sequence, head, left < work->heads_per_item ? left : work->heads_per_item,
                      first > base ? first : base, limit - base < ROPE_TOKENS ? limit : base + ROPE_TOKENS,
                      swiftlet_scratch(work->cpu, thread));
}

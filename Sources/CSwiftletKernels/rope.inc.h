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

/// The normed and rotated head, x [head_dim rounded up to 16]. `rope` is the position's row: cosines, then sines.
INLINE void NAMED(rotate_head)(const float *in, int32_t head_dim, const float *norm, float epsilon, const float *rope,
                               int32_t rotary_dim, float *x) {
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
}

/// x [head_dim rounded up to 16] = a head of values. They must stay finite: a masked slot's weight is 0, and 0 times
/// infinity or NaN would reach other rows.
INLINE void NAMED(clamp_values)(const float *in, int32_t head_dim, float *x) {
    vf most = vf_set(0x1.fep127f);  // the largest bfloat16
    for (int32_t d = 0; d < head_dim; d += 16) {
        vf v = rope_load(in + d, head_dim - d);
        v = vf_select(v == v, v, vf_set(0));
        v = vf_select(v > most, most, v);
        v = vf_select(v < -most, -most, v);
        vf_store(x + d, v);
    }
}

/// out[head_dim] = x, rounded.
INLINE void NAMED(round_head)(const float *x, int32_t head_dim, ELEMENT *out) {
    for (int32_t d = 0; d < head_dim; d += 16)
        if (head_dim - d >= 16) STORE_16(out + d, vf_load(x + d));
        else STORE_FIRST(out + d, vf_load(x + d), head_dim - d);
}

/// out[head_dim rounded up to 16] = x / scale, rounded to integers of -127...127 that are as wide as elements. Returns
/// the scale: NaN when there is a NaN or infinity in x, so that nothing broken looks healthy.
INLINE float NAMED(quantize_head)(const float *x, int32_t head_dim, ELEMENT *out) {
    vf most = vf_set(0), broken = vf_set(0);
    for (int32_t d = 0; d < head_dim; d += 16) {
        vf v = rope_load(x + d, head_dim - d);
        most = vf_max(vf_max(v, -v), most);
        broken = vf_fma(v, vf_set(0), broken);
    }
    float largest = vf_maximum(most);
    vf inverse = vf_set(largest > 0x1p-100f ? 127 / largest : 0), shift = vf_set(0x1.8p23f);
    for (int32_t d = 0; d < head_dim; d += 16) {
        // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
        vw integers = (vw)(vf_load(x + d) * inverse + shift) - (vw)shift;
#if UNIT == 1
        vf_store(out + d, (vf)integers);
#else
        *(vh_unaligned *)(out + d) = __builtin_convertvector(integers, vh);
#endif
    }
    return largest * (1.0f / 127) + vf_sum(broken);
}

// --- Into the cache -------------------------------------------------------------------------------------------

/// Word `index` of a panel; with eight-bit integers (`narrow`) each of its elements is a byte.
INLINE void NAMED(store_word)(const bool narrow, void *panel, int32_t index, uint32_t word) {
#if UNIT == 1
    if (narrow) ((uint8_t *)panel)[index] = (uint8_t)word;
#else
    if (narrow) ((uint16_t *)panel)[index] = (uint16_t)((word & 0xff) | (word >> 8 & 0xff00));
#endif
    else ((uint32_t *)panel)[index] = word;
}
/// Sixteen words from `index` on.
INLINE void NAMED(store_words)(const bool narrow, void *panel, int32_t index, vw words) {
#if UNIT == 1
    if (narrow) *((vb *)panel + index / 16) = __builtin_convertvector(words, vb);
#else
    if (narrow)
        *((vh *)panel + index / 16) = __builtin_convertvector((words & vw_set(0xff)) | (words >> 8 & vw_set(0xff00)), vh);
#endif
    else vw_store((uint32_t *)panel + index, words);
}
#if UNIT == 2
/// The first elements of sixteen words; the others are zero.
INLINE vw NAMED(load_low)(const bool narrow, const void *panel, int32_t index) {
    if (narrow) return __builtin_convertvector(*((const vh *)panel + index / 16), vw) & vw_set(0xff);
    return vw_load((const uint32_t *)panel + index) & vw_set(0xffff);
}
#endif

/// Slots begin..<end of a panel: keys [16][row] to [head_dim / UNIT][16] words. A whole panel is transposed.
INLINE void NAMED(store_keys)(const bool narrow, const ELEMENT *keys, int32_t head_dim, int32_t begin, int32_t end,
                              void *panel) {
    int32_t row = cache_value_row(head_dim) / UNIT, words = head_dim / UNIT;
    const uint32_t *in = (const uint32_t *)keys;
    int32_t whole = end - begin == ROPE_TOKENS ? words & -16 : 0;
    for (int32_t k = 0; k < whole; k += 16) {
        vw slots[16];
        UNROLL for (int slot = 0; slot < 16; slot++) slots[slot] = vw_load(in + slot * row + k);
        vw_transpose(slots);
        UNROLL for (int i = 0; i < 16; i++) NAMED(store_words)(narrow, panel, 16 * (k + i), slots[i]);
    }
    for (int32_t k = whole; k < words; k++)
        for (int32_t slot = begin; slot < end; slot++) {
            uint32_t word;
            memcpy(&word, in + slot * row + k, sizeof(word));
            NAMED(store_word)(narrow, panel, 16 * k + slot, word);
        }
}

/// Slots begin..<end of a panel: values [16][row] to [16 / UNIT][row] words. Behind a last, even slot the other half
/// becomes zero: what an earlier owner of the block left there must not be read.
INLINE void NAMED(store_values)(const bool narrow, const ELEMENT *values, int32_t head_dim, int32_t begin, int32_t end,
                                void *panel) {
    int32_t row = cache_value_row(head_dim);
#if UNIT == 1
    for (int32_t slot = begin; slot < end; slot++)
        for (int32_t d = 0; d < row; d += 16)
            NAMED(store_words)(narrow, panel, slot * row + d, (vw)vf_load(values + slot * row + d));
#else
    for (int32_t slot = begin; slot < end; slot = (slot | 1) + 1) {
        const ELEMENT *low = values + slot * row;
        for (int32_t d = 0; d < row; d += 16) {
            vw word = __builtin_convertvector(*(const vh *)(low + d), vw);
            int32_t at = slot / 2 * row + d;
            if (slot & 1) word = NAMED(load_low)(narrow, panel, at) | word << 16;
            else if (slot + 1 < end) word |= __builtin_convertvector(*(const vh *)(low + row + d), vw) << 16;
            NAMED(store_words)(narrow, panel, at, word);
        }
    }
#endif
}

/// One token's heads: the queries of KV heads head..<head + count to where they go, its keys and values to
/// [count][16][row] and their scales, when there are any, to [count][16], in row `slot`.
static void NAMED(rope_token)(const rope_work *work, int32_t token, int32_t position, int32_t head, int32_t count,
                              const rope_rows *rows, int32_t slot) {
    int32_t head_dim = work->cache->head_dim, row = cache_value_row(head_dim), kv_heads = work->cache->kv_heads;
    int32_t first_query = first_query_head(work->cache, head, work->query_heads);
    int32_t end_query = first_query_head(work->cache, head + count, work->query_heads);
    const float *qkv = work->qkv + (size_t)token * work->qkv_stride;
    const float *rope = work->rope + (size_t)position * (size_t)work->rotary_dim;
    ELEMENT *q_out = (ELEMENT *)work->q_out + (size_t)token * work->q_stride;
    _Alignas(64) float x[MAX_HEAD_DIM];
    for (int32_t h = first_query; h < end_query; h++) {
        NAMED(rotate_head)(qkv + h * head_dim, head_dim, work->q_norm, work->epsilon, rope, work->rotary_dim, x);
        NAMED(round_head)(x, head_dim, q_out + h * head_dim);
    }
    const float *k = qkv + (work->query_heads + head) * head_dim, *v = k + kv_heads * head_dim;
    bool narrow = work->cache->format == SWIFTLET_KV_INT8;
    for (int32_t h = 0; h < count; h++) {
        int32_t i = h * ROPE_TOKENS + slot;
        ELEMENT *key = (ELEMENT *)rows->keys + i * row, *value = (ELEMENT *)rows->values + i * row;
        NAMED(rotate_head)(k + h * head_dim, head_dim, work->k_norm, work->epsilon, rope, work->rotary_dim, x);
        if (narrow) rows->key_scales[i] = NAMED(quantize_head)(x, head_dim, key);
        else NAMED(round_head)(x, row, key);
        NAMED(clamp_values)(v + h * head_dim, head_dim, x);
        if (narrow) rows->value_scales[i] = NAMED(quantize_head)(x, head_dim, value);
        else NAMED(round_head)(x, row, value);
    }
}

/// Slots begin..<end of a head's panel, from its rows.
INLINE void NAMED(fill_panel)(const bool narrow, const rope_rows *rows, int32_t h, int32_t head_dim, int32_t begin,
                               int32_t end, const cache_panel *panel) {
    int32_t first = h * ROPE_TOKENS, row = cache_value_row(head_dim);
    NAMED(store_keys)(narrow, (ELEMENT *)rows->keys + first * row, head_dim, begin, end, panel->keys);
    NAMED(store_values)(narrow, (ELEMENT *)rows->values + first * row, head_dim, begin, end, panel->values);
    for (int32_t slot = begin; narrow && slot < end; slot++) {
        panel->key_scales[slot] = rows->key_scales[first + slot];
        panel->value_scales[slot] = rows->value_scales[first + slot];
    }
}

/// The tokens at positions begin..<end of one sequence, all in one panel, for `count` KV heads from `head` on.
static void NAMED(rope_panel)(const rope_work *work, int32_t sequence, int32_t head, int32_t count, int32_t begin,
                              int32_t end, void *scratch) {
    const swiftlet_kv_layer *cache = work->cache;
    int32_t head_dim = cache->head_dim, base = begin & -ROPE_TOKENS;
    int32_t token = work->batch->query_offsets[sequence] - first_position(work->batch, sequence);
    rope_rows rows = rope_divide(scratch, count, cache_value_row(head_dim));
    for (int32_t h = 0; h < count && end - begin == 1; h++) {  // a decode: nothing hides the way to memory
        cache_panel panel = cache_find_panel(cache, work->batch, sequence, head + h, base, UNIT);
        int32_t bytes = 16 * head_dim / UNIT * cache_word_bytes(cache, UNIT);
        for (int32_t i = 0; i < bytes; i += 64) __builtin_prefetch((const uint8_t *)panel.keys + i, 1, 3);
    }
    for (int32_t position = begin; position < end; position++)
        NAMED(rope_token)(work, token + position, position, head, count, &rows, position - base);
    for (int32_t h = 0; h < count; h++) {
        cache_panel panel = cache_find_panel(cache, work->batch, sequence, head + h, base, UNIT);
        if (cache->format == SWIFTLET_KV_INT8)
            NAMED(fill_panel)(true, &rows, h, head_dim, begin - base, end - base, &panel);
        else NAMED(fill_panel)(false, &rows, h, head_dim, begin - base, end - base, &panel);
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

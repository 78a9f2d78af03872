// rope.h: the arguments of swiftlet_rope_and_store as its tasks see them. Owner: rope.c, rope.inc.h.

#pragma once

#include "attention.h"

// Tokens are grouped by the panel of 16 slots that they are written to, so that two neighbours whose values share
// words are always written by one thread.
enum { ROPE_TOKENS = 16, ROPE_SPARE = 2 };  // n tokens at any position touch at most floor(n / 16) + 2 panels

typedef struct {
    const swiftlet_cpu *cpu;
    const swiftlet_kv_layer *cache;
    const swiftlet_paged_batch *batch;
    const float *qkv;                // [tokens, (query_heads + 2 kv_heads) * head_dim]
    const float *q_norm, *k_norm;    // [head_dim] or NULL
    const float *rope;               // [positions, rotary_dim]
    void *q_out;                     // [tokens, query_heads * head_dim]
    size_t qkv_stride, q_stride;
    int32_t query_heads, rotary_dim;
    int32_t heads_per_item, items_per_panel;  // KV heads
    float epsilon;
} rope_work;

/// The keys and values of a panel's tokens, before they are spread over the panel, in the scratch of the thread.
typedef struct {
    void *keys, *values;                // [heads][16][head_dim rounded up to 16] elements
    float *key_scales, *value_scales;   // [heads][16]
} rope_rows;

static inline size_t rope_row_bytes(int32_t heads, int32_t row) {
    return (size_t)(2 * heads * ROPE_TOKENS * (row + 1)) * sizeof(float);
}

static inline rope_rows rope_divide(float *scratch, int32_t heads, int32_t row) {
    int32_t count = heads * ROPE_TOKENS;
    float *scales = scratch + 2 * count * row;
    return (rope_rows){scratch, scratch + count * row, scales, scales + count};
}

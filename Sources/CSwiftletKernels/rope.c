// rope.c: norm, rotary embedding and the write into the paged cache, its level-independent part.
//
// An item is one panel of 16 slots of one sequence (the tokens of this step in it) and some KV heads with their
// query heads: as many as fit the scratch, so that a token's row is read from end to end, or one when there are few
// panels. Invariant: no word of the cache is touched by two items.

#include "rope.h"

void swiftlet_rope_and_store(swiftlet_cpu *cpu, const swiftlet_kv_layer *cache, const swiftlet_paged_batch *batch,
                             const float *qkv, size_t qkv_stride, int32_t query_heads, const float *q_norm,
                             const float *k_norm, float epsilon, const float *rope, int32_t rotary_dim,
                             void *q_out, size_t q_stride) {
    rope_work work = {
        .cpu = cpu, .cache = cache, .batch = batch, .qkv = qkv, .q_norm = q_norm, .k_norm = k_norm, .rope = rope,
        .q_out = q_out, .qkv_stride = qkv_stride, .q_stride = q_stride, .query_heads = query_heads,
        .rotary_dim = rotary_dim, .epsilon = epsilon,
    };
    int32_t panels = (int32_t)first_block_number(batch, batch->sequences, 1, ROPE_TOKENS, ROPE_SPARE);
    int32_t fitting = SWIFTLET_SCRATCH_BYTES / (int32_t)rope_row_bytes(1, cache_value_row(cache->head_dim));
    work.heads_per_item = panels < 8 * cpu->threads ? 1 : fitting < cache->kv_heads ? fitting : cache->kv_heads;
    work.items_per_panel = swiftlet_ceil_div(cache->kv_heads, work.heads_per_item);
    swiftlet_parallel_for(cpu, panels * work.items_per_panel, cpu->kernels->rope_and_store[cache->dtype], &work);
}

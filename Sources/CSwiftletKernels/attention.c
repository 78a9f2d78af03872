// attention.c: attention over the paged cache, its level-independent part: what the items are.
//
// An item is a block of rows of one sequence and KV head. Items are numbered head by head, a sequence's longest
// rows first, and the kernels claim them from the work's own counter, so that a thread may claim early and
// prefetch the start of its next item. Invariant: how rows are cut into items never changes a row's result.

#include "attention.h"

size_t swiftlet_kv_block_bytes(const swiftlet_kv_layer *cache) {
    return (size_t)cache->kv_heads * cache_head_bytes(cache, cache_unit(cache));
}

static int32_t items_per_head(const attention_work *work, int32_t rows_per_item) {
    return (int32_t)first_block_number(work->batch, work->batch->sequences, work->group, rows_per_item, 1);
}

/// Large items reuse the keys they load; smaller ones keep every thread busy when there is little to do. The heads
/// of one token stay together.
static int32_t choose_rows_per_item(const attention_work *work) {
    int32_t rows = ITEM_ROWS, wanted = 4 * work->cpu->threads;
    while (rows / 2 >= 2 * MAX_TILE_ROWS && rows / 2 >= work->group &&
           items_per_head(work, rows) * work->cache->kv_heads < wanted)
        rows /= 2;
    return rows;
}

void swiftlet_attention(swiftlet_cpu *cpu, const swiftlet_kv_layer *cache, const swiftlet_paged_batch *batch,
                        const void *q, size_t q_stride, int32_t query_heads, float scale, float cap,
                        int32_t window, void *out, size_t out_stride) {
    if (batch->tokens == 0) return;
    attention_work work = {
        .cpu = cpu, .cache = cache, .batch = batch, .q = q, .out = out, .q_stride = q_stride,
        .out_stride = out_stride, .group = cache->group, .query_heads = query_heads, .window = window,
        .scale = (cap > 0 ? cap : scale) * 1.44269504088896340736f, .inner = cap > 0 ? scale / cap : 0,
    };
    work.rows_per_item = choose_rows_per_item(&work);
    work.items_per_head = items_per_head(&work, work.rows_per_item);
    work.items = work.items_per_head * cache->kv_heads;
    int32_t helpers = work.items < cpu->threads ? work.items : cpu->threads;
    swiftlet_parallel_for(cpu, helpers, cpu->kernels->attention[cache->dtype], &work);
}

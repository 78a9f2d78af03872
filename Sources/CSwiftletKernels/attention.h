// attention.h: what the paged-cache operations (rope.c, attention.c and their *.inc.h) share: the geometry of the
// cache, the numbering of work items, and the scratch of a thread that runs attention.
//
// Invariant: nothing here depends on the instruction-set level; which rows share an item decides speed only.

#pragma once

#include <stdatomic.h>

#include "kernels.h"

enum {
    TILE_POSITIONS = 64,       // positions per tile, counted from position 0 of the sequence
    TILE_PANELS = 4,           // panels of 16 slots in a tile
    SEGMENT_POSITIONS = 2048,  // O, L and M start afresh at each multiple, and are merged in order
    ITEM_ROWS = 96,            // the most (token, query head) rows of an item
    MAX_HEAD_DIM = 256,
    MAX_TILE_ROWS = 6,         // the most rows of a register tile, on any level
    // From query to query where they are float32: a constant keeps all addresses of a tile in one register, and rows
    // at a power of two would share cache sets.
    WIDE_QUERY_WORDS = MAX_HEAD_DIM + 16,
};

// Of a row that has seen nothing: finite, so that nothing minus nothing is 0 and not NaN.
#define FIRST_MAXIMUM (-1e30f)

// --- Geometry of the cache ---------------------------------------------------------------------------------

static inline int32_t cache_unit(const swiftlet_kv_layer *cache) { return cache->dtype == SWIFTLET_BFLOAT16 ? 2 : 1; }

/// The words of a row of values: head_dim rounded up to whole vectors.
static inline int32_t cache_value_row(int32_t head_dim) { return (head_dim + 15) / 16 * 16; }

/// Bytes that a word of `unit` elements takes in the cache.
static inline int32_t cache_word_bytes(const swiftlet_kv_layer *cache, int32_t unit) {
    return cache->format == SWIFTLET_KV_INT8 ? unit : (int32_t)sizeof(uint32_t);
}

/// Bytes of a block's keys, and of its values, for one KV head.
static inline size_t cache_key_bytes(const swiftlet_kv_layer *cache, int32_t unit) {
    return (size_t)(cache->block_size * (cache->head_dim / unit)) * (size_t)cache_word_bytes(cache, unit);
}
static inline size_t cache_value_bytes(const swiftlet_kv_layer *cache, int32_t unit) {
    return (size_t)(cache->block_size / unit * cache_value_row(cache->head_dim)) *
           (size_t)cache_word_bytes(cache, unit);
}
/// Bytes of a block for one KV head: keys, values, and the scales of each if there are any.
static inline size_t cache_head_bytes(const swiftlet_kv_layer *cache, int32_t unit) {
    size_t scales = cache->format == SWIFTLET_KV_INT8 ? 2 * (size_t)cache->block_size * sizeof(float) : 0;
    return cache_key_bytes(cache, unit) + cache_value_bytes(cache, unit) + scales;
}

/// Where the panel of 16 slots that holds `position` (a multiple of 16) of a sequence lies, for one KV head. Words
/// are 32 bits, or `unit` bytes in a cache of eight-bit integers, which alone has scales.
typedef struct {
    void *keys;           // words [head_dim / unit][16]
    void *values;         // words [16 / unit][head_dim rounded up to 16]
    float *key_scales;    // [16]
    float *value_scales;  // [16]
} cache_panel;

static inline cache_panel cache_find_panel(const swiftlet_kv_layer *cache, const swiftlet_paged_batch *batch,
                                           int32_t sequence, int32_t head, int32_t position, int32_t unit) {
    int32_t shift = __builtin_ctz((unsigned)cache->block_size);
    int32_t slot = position & (cache->block_size - 1);
    int32_t block = batch->block_tables[(size_t)sequence * (size_t)batch->block_table_stride +
                                        (size_t)(position >> shift)];
    size_t word = (size_t)cache_word_bytes(cache, unit);
    uint8_t *keys = (uint8_t *)cache->base +
                    ((size_t)block * (size_t)cache->kv_heads + (size_t)head) * cache_head_bytes(cache, unit);
    uint8_t *values = keys + cache_key_bytes(cache, unit);
    float *scales = (float *)(values + cache_value_bytes(cache, unit)) + slot;
    return (cache_panel){keys + (size_t)(slot * (cache->head_dim / unit)) * word,
                         values + (size_t)(slot / unit * cache_value_row(cache->head_dim)) * word, scales,
                         scales + cache->block_size};
}

// --- Numbering of items --------------------------------------------------------------------------------------

// Each sequence's rows are cut into blocks. Without memory for prefix sums, sequence s gets the numbers from
// floor(rows before it / rows_per_block) + spare * s on: never too few, and a few numbers stay empty.
static inline int64_t first_block_number(const swiftlet_paged_batch *batch, int32_t sequence, int32_t rows_per_token,
                                         int32_t rows_per_block, int32_t spare) {
    return (int64_t)batch->query_offsets[sequence] * rows_per_token / rows_per_block + (int64_t)spare * sequence;
}

/// The last sequence whose numbers start at or before `number`.
static inline int32_t sequence_of_block(const swiftlet_paged_batch *batch, int64_t number, int32_t rows_per_token,
                                        int32_t rows_per_block, int32_t spare) {
    int32_t low = 0, high = batch->sequences;
    while (high - low > 1) {
        int32_t middle = low + (high - low) / 2;
        if (first_block_number(batch, middle, rows_per_token, rows_per_block, spare) <= number) low = middle;
        else high = middle;
    }
    return low;
}

/// The position of a sequence's first row of this step.
static inline int32_t first_position(const swiftlet_paged_batch *batch, int32_t sequence) {
    int32_t rows = batch->query_offsets[sequence + 1] - batch->query_offsets[sequence];
    return batch->context_lengths[sequence] - rows;
}

// --- Query heads ---------------------------------------------------------------------------------------------

/// The first of a KV head's query heads, by its number on this rank; `head` may be the number of KV heads.
static inline int32_t first_query_head(const swiftlet_kv_layer *cache, int32_t head, int32_t query_heads) {
    int32_t first = head * cache->group - cache->skipped;
    return first < 0 ? 0 : first < query_heads ? first : query_heads;
}

// --- Attention's work ----------------------------------------------------------------------------------------

typedef struct {
    const swiftlet_cpu *cpu;
    const swiftlet_kv_layer *cache;
    const swiftlet_paged_batch *batch;
    const void *q;  // [tokens, query_heads * head_dim]
    void *out;      // [tokens, query_heads * head_dim]
    size_t q_stride, out_stride;
    int32_t group;  // query heads per KV head; the first and the last one may have fewer here
    int32_t query_heads;
    int32_t window;
    int32_t rows_per_item;
    int32_t items_per_head, items;
    float scale;  // of the scores, log2(e) included
    float inner;  // of the scores before they are capped, after which `scale` comes; 0: they are not capped
    _Atomic int32_t claimed;
} attention_work;

/// Rows first..<first + count of one sequence and KV head, whose query heads here are first_query..<first_query + group.
/// Row r is token r / group, query head first_query + r % group.
typedef struct {
    int32_t sequence, head, first, count;
    int32_t first_query, group;
} attention_rows;

/// The keys and values of a tile's panels; a panel not needed stands for one that is. Those of eight bits are expanded
/// before they are used.
typedef struct {
    const uint32_t *keys[TILE_PANELS], *values[TILE_PANELS];
    const float *key_scales[TILE_PANELS], *value_scales[TILE_PANELS];  // [16] each
} attention_tile;

/// The rows' state, in the scratch of the thread.
typedef struct {
    uint32_t *queries;      // [count][head_dim / unit]
    uint32_t *weights;      // [count][64 / unit], of this tile
    float *scores;          // [tile rows][64], of this tile
    uint32_t *wide;         // [64][head_dim rounded up to 16] elements: keys or values of this tile, once expanded
    float *out, *all_out;   // [count][head_dim rounded up to 16]: O of this segment, and merged
    float *sum, *all_sum;   // [count][16]: L
    float *high, *all_high; // [count]: M
    int32_t *start, *limit; // [count]: the row sees positions start..<limit
} attention_state;

static_assert((ITEM_ROWS * (WIDE_QUERY_WORDS + 2 * MAX_HEAD_DIM + TILE_POSITIONS + 2 * 16 + 4) +
               MAX_TILE_ROWS * TILE_POSITIONS + TILE_POSITIONS * MAX_HEAD_DIM) * 4 <= SWIFTLET_SCRATCH_BYTES,
              "an item's state fits the scratch");

// attention.inc.h: attention of a block of query rows over the paged cache; see attention.c for the items and
// level.inc.h for the names. One arithmetic serves prefill, chunks and decode (in a decode the rows are the query
// heads of the group): tiles of 64 positions on a grid that starts at position 0, segments of 2048 merged in order.
//
// Invariant: a row's result is a function of the row, the keys and values it sees, and nothing else.

#include "attention.h"

#include "attention_tile.inc.h"
#include "attention_softmax.inc.h"

#ifndef ATTENTION_ITEMS
#define ATTENTION_ITEMS

/// The first position that a row at `position` sees.
INLINE int32_t attention_start(int32_t window, int32_t position) {
    return window > 0 && position >= window ? position - window + 1 : 0;
}

/// The rows of an item; none (count 0) for the few numbers that stay empty.
static attention_rows attention_item(const attention_work *work, int32_t item) {
    const swiftlet_paged_batch *batch = work->batch;
    int32_t number = work->items_per_head - 1 - item % work->items_per_head;
    int32_t sequence = sequence_of_block(batch, number, work->group, work->rows_per_item, 1);
    int64_t block = number - first_block_number(batch, sequence, work->group, work->rows_per_item, 1);
    int32_t head = item / work->items_per_head, first_query = first_query_head(work->cache, head, work->query_heads);
    int32_t group = first_query_head(work->cache, head + 1, work->query_heads) - first_query;
    int64_t rows = (int64_t)(batch->query_offsets[sequence + 1] - batch->query_offsets[sequence]) * group;
    int64_t first = block * work->rows_per_item;
    if (first >= rows) return (attention_rows){0};
    int64_t count = rows - first < work->rows_per_item ? rows - first : work->rows_per_item;
    return (attention_rows){sequence, head, (int32_t)first, (int32_t)count, first_query, group};
}

/// Claims the next item; count is 0 when none is left.
static attention_rows attention_claim(attention_work *work) {
    for (;;) {
        int32_t item = atomic_fetch_add_explicit(&work->claimed, 1, memory_order_relaxed);
        if (item >= work->items) return (attention_rows){0};
        attention_rows rows = attention_item(work, item);
        if (rows.count > 0) return rows;
    }
}

/// A row of an item: its token in the batch and in its sequence, and its query head in the group.
typedef struct {
    int32_t token, position, head;
} attention_cursor;

INLINE attention_cursor attention_first_row(const attention_work *work, const attention_rows *rows) {
    int32_t token = rows->first / rows->group;
    return (attention_cursor){work->batch->query_offsets[rows->sequence] + token,
                              first_position(work->batch, rows->sequence) + token, rows->first % rows->group};
}
INLINE void attention_next_row(const attention_rows *rows, attention_cursor *row) {
    if (++row->head < rows->group) return;
    row->head = 0;
    row->token++;
    row->position++;
}
/// Where the row's query or output lies, in elements.
INLINE size_t attention_offset(const attention_work *work, const attention_rows *rows, const attention_cursor *row,
                               size_t stride) {
    return (size_t)row->token * stride + (size_t)(rows->first_query + row->head) * (size_t)work->cache->head_dim;
}

/// Divides a thread's scratch. 2 * O, queries and weights of 96 rows and an expanded tile take 390 KiB at the largest
/// head.
static attention_state attention_divide(void *scratch, int32_t rows, int32_t dims) {
    attention_state state;
    float *next = scratch;
    state.queries = (uint32_t *)next, next += rows * WIDE_QUERY_WORDS;
    state.weights = (uint32_t *)next, next += rows * TILE_POSITIONS;
    state.scores = next, next += MAX_TILE_ROWS * TILE_POSITIONS;
    state.wide = (uint32_t *)next, next += TILE_POSITIONS * dims;
    state.out = next, next += rows * dims;
    state.all_out = next, next += rows * dims;
    state.sum = next, next += rows * 16;
    state.all_sum = next, next += rows * 16;
    state.high = next, next += rows;
    state.all_high = next, next += rows;
    state.start = (int32_t *)next, next += rows;
    state.limit = (int32_t *)next;
    return state;
}

/// Merging into nothing: the segment becomes the whole.
static void attention_swap(attention_state *state) {
    attention_state old = *state;
    state->out = old.all_out, state->all_out = old.out;
    state->sum = old.all_sum, state->all_sum = old.sum;
    state->high = old.all_high, state->all_high = old.high;
}

#endif

static attention_tile NAMED(find_tile)(const attention_work *work, const attention_rows *rows, int32_t tile,
                                       int32_t start, int32_t limit) {
    attention_tile found;
    int32_t first = start > tile ? (start - tile) / 16 : 0;
    int32_t last = (limit < tile + TILE_POSITIONS ? limit - 1 - tile : TILE_POSITIONS - 1) / 16;
    for (int32_t j = 0; j < TILE_PANELS; j++) {
        int32_t panel = j < first ? first : j > last ? last : j;
        cache_panel at =
            cache_find_panel(work->cache, work->batch, rows->sequence, rows->head, tile + 16 * panel, UNIT);
        found.keys[j] = at.keys, found.values[j] = at.values;
        found.key_scales[j] = at.key_scales, found.value_scales[j] = at.value_scales;
    }
    return found;
}

/// The first tile that an item will read.
static attention_tile NAMED(first_tile)(const attention_work *work, const attention_rows *rows) {
    int32_t position = first_position(work->batch, rows->sequence) + rows->first / rows->group;
    int32_t last = first_position(work->batch, rows->sequence) + (rows->first + rows->count - 1) / rows->group;
    int32_t start = attention_start(work->window, position);
    return NAMED(find_tile)(work, rows, start & -TILE_POSITIONS, start, last + 1);
}

/// Asks for the lines of a thread's next queries, or for those it will write: they lie apart, so that only asking
/// for all of them hides the distance.
INLINE void NAMED(prefetch_rows)(const attention_work *work, const attention_rows *rows, const bool writing) {
    const ELEMENT *base = writing ? work->out : work->q;
    attention_cursor at = attention_first_row(work, rows);
    for (int32_t i = 0; i < rows->count; i++, attention_next_row(rows, &at)) {
        const ELEMENT *p = base + attention_offset(work, rows, &at, writing ? work->out_stride : work->q_stride);
        for (int32_t d = 0; d < work->cache->head_dim; d += 16 * UNIT)
            if (writing) __builtin_prefetch(p + d, 1, 3);
            else __builtin_prefetch(p + d, 0, 2);
    }
}

/// At an item's last tile: its outputs' lines, and the queries and first tile of the thread's next item.
static attention_rows NAMED(look_ahead)(attention_work *work, const attention_rows *rows, attention_tile *first) {
    NAMED(prefetch_rows)(work, rows, true);
    attention_rows following = attention_claim(work);
    if (following.count == 0) return following;
    NAMED(prefetch_rows)(work, &following, false);
    *first = NAMED(first_tile)(work, &following);
    return following;
}

/// Copies the queries (rows at a large power-of-two stride would share cache sets) and notes what each row sees.
static void NAMED(load_rows)(const attention_work *work, const attention_rows *rows, attention_state *state) {
    int32_t words = work->cache->head_dim / UNIT;
    attention_cursor at = attention_first_row(work, rows);
    for (int32_t i = 0; i < rows->count; i++, attention_next_row(rows, &at)) {
        const ELEMENT *q = (const ELEMENT *)work->q + attention_offset(work, rows, &at, work->q_stride);
        uint32_t *copy = state->queries + i * (WIDENS ? WIDE_QUERY_WORDS : words);
#if WIDENS
        for (int32_t d = 0; d < 2 * words; d++) copy[d] = (uint32_t)q[d] << 16;
#else
        for (int32_t k = 0; k < words; k += 4) memcpy(copy + k, q + UNIT * k, 4 * sizeof(uint32_t));
#endif
        state->start[i] = attention_start(work->window, at.position);
        state->limit[i] = at.position + 1;
    }
}

/// Rows begin..<end of the item against one tile. `panel` to `last` are the panels that a row among them sees.
static void NAMED(attend_row_tile)(const attention_work *work, const attention_state *state, int32_t begin,
                                   int32_t end, int32_t tile, const attention_tile *at, const attention_tile *next) {
    int32_t words = work->cache->head_dim / UNIT, dims = cache_value_row(work->cache->head_dim);
    int32_t start = state->start[begin] - tile, limit = state->limit[end - 1] - tile;
    int32_t panels = limit < TILE_POSITIONS ? (limit + 15) / 16 : TILE_PANELS;
    const uint32_t *queries = state->queries + begin * (WIDENS ? WIDE_QUERY_WORDS : words);
    for (int32_t panel = start > 0 ? start / 16 : 0; panel < panels;) {
        int32_t width = 2;
        while ((1 << width) > panels - panel || NAMED(score_tiles)[end - begin][width] == NULL) width--;
        NAMED(score_tiles)[end - begin][width](queries, words, at->keys + panel,
                                               next->keys + panel, state->scores + 16 * panel);
        panel += 1 << width;
    }
    NAMED(softmax_rows)(work, state, begin, end, tile, dims, at);
}

static void NAMED(attend_values)(const attention_work *work, const attention_state *state, int32_t begin,
                                 int32_t end, int32_t tile, const attention_tile *at, const attention_tile *next) {
    int32_t dims = cache_value_row(work->cache->head_dim);
    int32_t start = state->start[begin] - tile, limit = state->limit[end - 1] - tile;
    int32_t panel = start > 0 ? start / 16 : 0;
    int32_t slots = limit < TILE_POSITIONS ? limit : TILE_POSITIONS;
    for (int32_t dim = 0; dim < dims;) {
        int32_t width = 3;
        while ((16 << width) > dims - dim || NAMED(value_tiles)[end - begin][width] == NULL) width--;
        NAMED(value_tiles)[end - begin][width](state->weights + begin * WIDE_ROWS_OF(TILE_POSITIONS / UNIT), panel,
                                               (slots + UNIT - 1) / UNIT, at->values, next->values, dim, dims,
                                               state->out + begin * dims + dim);
        dim += 16 << width;
    }
}

/// All rows of the item that see anything of the tile, in register tiles of even size. Eight-bit keys and values are
/// expanded first, for all of them at once, and asking for the next tile is done there.
static void NAMED(attend_tile)(const attention_work *work, const attention_state *state, int32_t count,
                               int32_t tile, const attention_tile *packed, const attention_tile *next) {
    int32_t begin = 0, end = count;
    while (state->limit[begin] <= tile) begin++;
    while (state->start[end - 1] >= tile + TILE_POSITIONS) end--;
    int32_t tiles = swiftlet_ceil_div(end - begin, TILE_ROWS);
    bool narrow = work->cache->format == SWIFTLET_KV_INT8;
    attention_tile at = *packed;
    if (narrow) NAMED(expand_panels)(16 * work->cache->head_dim, next->keys, at.keys, state->wide);
    for (int32_t i = 0; i < tiles; i++)
        NAMED(attend_row_tile)(work, state, begin + (end - begin) * i / tiles, begin + (end - begin) * (i + 1) / tiles,
                               tile, &at, narrow ? &at : next);
    if (narrow) NAMED(expand_panels)(16 * cache_value_row(work->cache->head_dim), next->values, at.values, state->wide);
    for (int32_t i = 0; i < tiles; i++)
        NAMED(attend_values)(work, state, begin + (end - begin) * i / tiles, begin + (end - begin) * (i + 1) / tiles,
                             tile, &at, narrow ? &at : next);
}

static void NAMED(clear_rows)(int32_t count, int32_t dims, float *high, float *sum, float *out) {
    for (int32_t i = 0; i < count; i++) high[i] = FIRST_MAXIMUM;
    memset(sum, 0, (size_t)count * 16 * sizeof(float));
    memset(out, 0, (size_t)count * (size_t)dims * sizeof(float));
}

static void NAMED(merge_rows)(attention_state *state, int32_t count, int32_t dims) {
    for (int32_t i = 0; i < count; i++)
        NAMED(merge_row)(dims, state->high[i], state->sum + i * 16, state->out + i * dims, state->all_high + i,
                         state->all_sum + i * 16, state->all_out + i * dims);
}

/// An item. Returns the thread's next one, which is claimed at the last tile, so that its start is on the way.
static attention_rows NAMED(attend)(attention_work *work, const attention_rows *rows, attention_state state) {
    int32_t head_dim = work->cache->head_dim, dims = cache_value_row(head_dim), count = rows->count;
    NAMED(load_rows)(work, rows, &state);
    int32_t start = state.start[0], limit = state.limit[count - 1];
    attention_rows following = {0};
    attention_tile at = NAMED(first_tile)(work, rows);
    for (int32_t tile = start & -TILE_POSITIONS, segment_end; tile < limit; tile = segment_end) {
        segment_end = (tile / SEGMENT_POSITIONS + 1) * SEGMENT_POSITIONS;
        bool merging = tile > start;
        NAMED(clear_rows)(count, dims, state.high, state.sum, state.out);
        for (; tile < limit && tile < segment_end; tile += TILE_POSITIONS) {
            attention_tile next = at;
            if (tile + TILE_POSITIONS < limit) next = NAMED(find_tile)(work, rows, tile + TILE_POSITIONS, start, limit);
            else following = NAMED(look_ahead)(work, rows, &next);
            NAMED(attend_tile)(work, &state, count, tile, &at, &next);
            at = next;
        }
        if (merging) NAMED(merge_rows)(&state, count, dims);
        else attention_swap(&state);
    }
    attention_cursor row = attention_first_row(work, rows);
    for (int32_t i = 0; i < count; i++, attention_next_row(rows, &row))
        NAMED(finish_row)(head_dim, state.all_sum + i * 16, state.all_out + i * dims,
                          (ELEMENT *)work->out + attention_offset(work, rows, &row, work->out_stride));
    return following;
}

/// Claims and runs items until none is left.
static void NAMED(attention)(void *context, int32_t item, int32_t thread) {
    (void)item;
    attention_work *work = context;
    attention_state state = attention_divide(swiftlet_scratch(work->cpu, thread), work->rows_per_item,
                                             cache_value_row(work->cache->head_dim));
    attention_rows rows = attention_claim(work);
    while (rows.count > 0) rows = NAMED(attend)(work, &rows, state);
}

#undef TILE_ROWS
#undef WIDENS
#undef WIDE_ROWS_OF
#undef WIDENED

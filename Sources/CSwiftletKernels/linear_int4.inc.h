// linear_int4.inc.h: y = W x for four-bit W on AVX-512; the counterpart of gemm.inc.h. See level.inc.h and int4.h.
//
// Few tokens wait for memory: their tiles expand the weights in registers, each anew. For many tokens a block of a
// panel is expanded once into the thread's scratch, and all tiles use it.
// Invariant: an output is one chain over its groups, ascending, of scale * (one chain of DOTs over the group's columns,
// ascending), whatever tile or chunk it is in and wherever its weights were expanded.

#define TILE_ROWS NAMED(TILE_ROWS)
#define HAS_WORDS (UNIT == 2 && HAS_BF16_DOT)  // else weights are expanded to float32

enum {
    NAMED(INT4_PAIR) = HAS_WORDS ? 64 : 128,  // words of two columns when expanded
    // Tokens up to which weights are expanded in registers: words take a shift and a look-up, beside the products.
    NAMED(INT4_DIRECT) = (HAS_WORDS ? 8 : 2) * TILE_ROWS,
    // Columns of a block: few enough for this one and the next in the L1 cache, or expanded and in the L2 cache.
    NAMED(INT4_DIRECT_BLOCK) = 256,
    NAMED(INT4_EXPANDED_BLOCK) = 512,
};

// Columns first ..< end of one panel, for the tiles of a chunk.
typedef struct {
    const swiftlet_matrix *matrix;
    const int4_layout *layout;
    const uint32_t *panel;
    int32_t first, end;
    const uint32_t *block;  // these columns expanded, or NULL
    const uint32_t *ahead;  // what comes after them
    int32_t ahead_stride;   // of what to fetch of that with each pair of columns, in words
    size_t x_stride;
} NAMED(int4_run);

// How a tile gets its weights.
typedef enum { NAMED(EXPANDED), NAMED(SYMMETRIC), NAMED(ZEROED) } NAMED(int4_kind);

// What expanding a group's weights needs.
typedef struct {
#if HAS_WORDS
    vw table, zero[4];
#else
    vf offset[4];
#endif
} NAMED(int4_constants);

INLINE NAMED(int4_constants) NAMED(int4_constants_of)(const int4_group *group, const bool zeros) {
    NAMED(int4_constants) constants;
#if HAS_WORDS
    constants.table = int4_table(zeros);
    for (int32_t j = 0; j < 4; j++) constants.zero[j] = zeros ? int4_zero(group->zeros, j) : vw_set(0);
#else
    for (int32_t j = 0; j < 4; j++) constants.offset[j] = int4_offset(zeros ? group->zeros : NULL, j);
#endif
    return constants;
}

// sum[i] += the product of x[i] and two columns; of the first one alone when `single`.
INLINE void NAMED(int4_step)(const int32_t rows, const NAMED(int4_kind) kind, const bool single, const ELEMENT *x,
                             size_t x_stride, const uint32_t *weights, const NAMED(int4_constants) *constants,
                             vf sum[6][4]) {
    vw row = kind == NAMED(EXPANDED) ? vw_set(0) : vw_load(weights);
#if HAS_WORDS
    const bool zeros = kind == NAMED(ZEROED);
    vw w[4];
    for (int32_t j = 0; j < 4; j++)
        w[j] = kind == NAMED(EXPANDED) ? vw_load(weights + 16 * j)
                                       : int4_words(row, j, zeros, constants->zero[j], constants->table);
    for (int32_t i = 0; i < rows; i++) {
        vw a = single ? vw_set((uint32_t)x[(size_t)i * x_stride]) : vw_broadcast(x + (size_t)i * x_stride);
        for (int32_t j = 0; j < 4; j++) sum[i][j] = DOT(sum[i][j], w[j], a);
    }
#else
    for (int32_t half = 0; half < (single ? 1 : 2); half++) {
        vf w[4];
        for (int32_t j = 0; j < 4; j++)
            w[j] = kind == NAMED(EXPANDED) ? (vf)vw_load(weights + 64 * half + 16 * j)
                                           : int4_floats(row, j, half, constants->offset[j]);
        for (int32_t i = 0; i < rows; i++) {
            const ELEMENT *from = x + (size_t)i * x_stride;
#if UNIT == 1
            vf a = vf_set(from[half]);
#else
            vw pair = single ? vw_set((uint32_t)*from) : vw_broadcast(from);
            vf a = half ? bf16_high(pair) : bf16_low(pair);
#endif
            for (int32_t j = 0; j < 4; j++) sum[i][j] = vf_fma(w[j], a, sum[i][j]);
        }
    }
#endif
}

// The product of x[rows] and the columns of one group that are in a run, the group's first ones if it `begins`. Where
// the group ends it has scales [64] and is scaled and added to sums [rows][64]; else it stays in partials [rows][64].
INLINE void NAMED(int4_span)(const int32_t rows, const NAMED(int4_kind) kind, const ELEMENT *x, size_t x_stride,
                             const uint32_t *weights, int32_t columns, const NAMED(int4_constants) *constants,
                             bool begins, const float *scales, const uint32_t *ahead, int32_t ahead_stride, float *sums,
                             float *partials) {
    const int32_t step = kind == NAMED(EXPANDED) ? NAMED(INT4_PAIR) : 16;
    vf sum[6][4];
    UNROLL
    for (int32_t i = 0; i < rows; i++)
        UNROLL
        for (int32_t j = 0; j < 4; j++) sum[i][j] = vf_set(0);
    if (!begins) {
        UNROLL
        for (int32_t i = 0; i < rows; i++)
            UNROLL
            for (int32_t j = 0; j < 4; j++) sum[i][j] = vf_load(partials + 64 * i + 16 * j);
    }
    int32_t pairs = columns / 2;
    for (int32_t k = 0; k < pairs; k++, x += 2, weights += step) {
        if (kind == NAMED(EXPANDED)) __builtin_prefetch(ahead, 0, 2);
        else __builtin_prefetch(ahead, 0, 3);
        ahead += ahead_stride;
        NAMED(int4_step)(rows, kind, false, x, x_stride, weights, constants, sum);
    }
    if (columns % 2) NAMED(int4_step)(rows, kind, true, x, x_stride, weights, constants, sum);
    if (!scales) {
        UNROLL
        for (int32_t i = 0; i < rows; i++)
            UNROLL
            for (int32_t j = 0; j < 4; j++) vf_store(partials + 64 * i + 16 * j, sum[i][j]);
        return;
    }
    UNROLL
    for (int32_t i = 0; i < rows; i++)
        UNROLL
        for (int32_t j = 0; j < 4; j++) {
            float *to = sums + 64 * i + 16 * j;
            vf_store(to, vf_fma(vf_load(scales + 16 * j), sum[i][j], vf_load(to)));
        }
}

// sums[rows][64] += the product of x[rows] and the columns of a run. partials: of the group that a run ends in.
INLINE void NAMED(int4_tile)(const int32_t rows, const NAMED(int4_kind) kind, const NAMED(int4_run) *run,
                             const ELEMENT *x, float *sums, float *partials) {
    const int4_layout *layout = run->layout;
    const uint32_t *ahead = run->ahead;
    for (int32_t c = run->first, index = c / layout->group_columns; c < run->end; index++) {
        int4_group group = int4_group_at(run->matrix, layout, run->panel, index);
        int32_t begin = index * layout->group_columns, end = begin + group.columns, first = c;
        bool ends = end <= run->end;
        c = ends ? end : run->end;
        _Alignas(64) float scales[64];
        for (int32_t j = 0; j < 4; j++)
            vf_store(scales + 16 * j, int4_scale(group.scales, j, run->matrix->groups.scales_are_f16));
        const uint32_t *weights = kind == NAMED(EXPANDED)
                                      ? run->block + (size_t)(first - run->first) / 2 * NAMED(INT4_PAIR)
                                      : group.rows + (size_t)(first - begin) / 2 * 16;
        NAMED(int4_constants) constants;
        if (kind != NAMED(EXPANDED)) constants = NAMED(int4_constants_of)(&group, kind == NAMED(ZEROED));
        NAMED(int4_span)(rows, kind, x + first, run->x_stride, weights, c - first, &constants, first == begin,
                         ends ? scales : NULL, ahead, run->ahead_stride, sums, partials);
        ahead += (c - first) / 2 * run->ahead_stride;
        for (size_t line = 0; line < layout->header_bytes / INT4_ROW_BYTES; line++, ahead += run->ahead_stride)
            __builtin_prefetch(ahead, 0, 2);
    }
}

#define TILE_OF(n)                                                                                                \
    case n:                                                                                                       \
        if (run->block) return NAMED(int4_tile)(n, NAMED(EXPANDED), run, x, sums, partials);                      \
        if (run->matrix->groups.has_zeros) return NAMED(int4_tile)(n, NAMED(ZEROED), run, x, sums, partials);     \
        return NAMED(int4_tile)(n, NAMED(SYMMETRIC), run, x, sums, partials);

static void NAMED(int4_any_tile)(int32_t rows, const NAMED(int4_run) *run, const ELEMENT *x, float *sums,
                                 float *partials) {
    if (rows > TILE_ROWS) __builtin_unreachable();
    switch (rows) { TILE_OF(1) TILE_OF(2) TILE_OF(3) TILE_OF(4) TILE_OF(5) TILE_OF(6) }
}
#undef TILE_OF

// The columns of a run, expanded: [columns / 2][INT4_PAIR].
static void NAMED(int4_expand)(const NAMED(int4_run) *run, uint32_t *block) {
    const int4_layout *layout = run->layout;
    for (int32_t c = run->first, index = c / layout->group_columns; c < run->end; index++) {
        int4_group group = int4_group_at(run->matrix, layout, run->panel, index);
        int32_t begin = index * layout->group_columns, end = begin + group.columns;
        if (end > run->end) end = run->end;
        const uint32_t *rows = group.rows + (size_t)(c - begin) / 2 * 16;
        bool zeros = group.zeros != NULL;
        NAMED(int4_constants) constants = NAMED(int4_constants_of)(&group, zeros);
        for (; c < end; c += 2, rows += 16, block += NAMED(INT4_PAIR)) {
            vw row = vw_load(rows);
            for (int32_t j = 0; j < 4; j++) {
#if HAS_WORDS
                vw_store(block + 16 * j, zeros ? int4_words(row, j, true, constants.zero[j], constants.table)
                                               : int4_words(row, j, false, constants.zero[j], constants.table));
#else
                vw_store(block + 16 * j, (vw)int4_floats(row, j, 0, constants.offset[j]));
                vw_store(block + 64 + 16 * j, (vw)int4_floats(row, j, 1, constants.offset[j]));
#endif
            }
        }
        c = end;
    }
}

// What is read after the columns of a run: the panel's next ones, or the first of the panel that this thread gets next,
// if all run equally fast.
static const uint32_t *NAMED(int4_next)(const linear_work *work, const NAMED(int4_run) *run, int32_t panel) {
    if (run->end < run->matrix->columns) return int4_place(run->matrix, run->layout, run->panel, run->end);
    int32_t next = panel + work->cpu->threads;
    if (next >= work->panels) return NULL;
    return int4_place(run->matrix, run->layout, run->matrix->words + (size_t)next * work->panel_words, 0);
}

static void NAMED(linear_int4)(void *context, int32_t item, int32_t thread) {
    const linear_work *work = context;
    const swiftlet_matrix *matrix = work->matrix;
    linear_item at = item_of_linear(work, item);
    const ELEMENT *x = (const ELEMENT *)work->x + (size_t)at.first * work->x_stride;  // [tokens, columns]
    float *sums = swiftlet_scratch(work->cpu, thread), *partials = sums + 64 * at.tokens;  // [tokens][64]
    uint32_t *block = (uint32_t *)(partials + 64 * at.tokens);  // [INT4_EXPANDED_BLOCK / 2][INT4_PAIR]
    memset(sums, 0, (size_t)at.tokens * 64 * sizeof(float));
    int4_layout layout = int4_layout_of(matrix);
    NAMED(int4_run) run = {
        .matrix = matrix, .layout = &layout, .panel = matrix->words + (size_t)at.panel * work->panel_words,
        .x_stride = work->x_stride,
    };
    bool direct = work->tokens <= NAMED(INT4_DIRECT);
    int32_t tiles = swiftlet_ceil_div(at.tokens, TILE_ROWS);
    int32_t block_columns = direct ? NAMED(INT4_DIRECT_BLOCK) : NAMED(INT4_EXPANDED_BLOCK);
    for (int32_t c = 0; c < matrix->columns; c = run.end) {
        int32_t rest = matrix->columns - c;
        run.first = c;
        run.end = c + (rest < block_columns ? rest : block_columns);
        const uint32_t *next = NAMED(int4_next)(work, &run, at.panel);
        if (!direct) {
            NAMED(int4_expand)(&run, block);
            run.block = block;
        }
        for (int32_t tile = 0, t = 0; tile < tiles; tile++) {
            int32_t rows = at.tokens / tiles + (tile < at.tokens % tiles);
            bool fetches = tile == 0 && next != NULL;
            run.ahead = fetches ? next : block;
            run.ahead_stride = fetches ? 16 : 0;
            NAMED(int4_any_tile)(rows, &run, x + (size_t)t * work->x_stride, sums + 64 * t, partials + 64 * t);
            t += rows;
        }
    }
    NAMED(store_panel)(work, sums, at.first, at.tokens, at.panel);
}

#undef TILE_ROWS
#undef HAS_WORDS

// gemm.inc.h: y = W x for packed W, once per type of weights; one path for every number of tokens. See level.inc.h.
//
// An item is one panel (64 outputs) times one chunk of tokens. The columns are walked in blocks that stay in the
// nearest cache, and per block the tokens in register tiles of up to TILE_ROWS x 64 outputs; between blocks the
// accumulators rest in the thread's scratch, which rounds nothing. While a block is used, the next one is fetched:
// each tile asks for its share of the lines, so that the memory never idles.
// Invariant: an output is one chain of DOTs over the columns, ascending, whatever tile or chunk it is in.

#define TILE_ROWS NAMED(TILE_ROWS)

// sums[i][0..<16 * vectors] += the product of x[i] and `words` words of a panel's columns; with `begins` the sums
// begin at zero. odd: one element of x comes after these. ahead: the panel that comes next, of which `lines` cache
// lines a step are fetched.
INLINE void NAMED(multiply)(const int32_t rows, const int32_t vectors, const int32_t lines, const ELEMENT *x,
                            size_t x_stride, const uint32_t *panel, int32_t words, bool begins, bool odd,
                            const uint32_t *ahead, float *sums) {
    vf sum[6][4];
    for (int32_t i = 0; i < rows; i++)
        for (int32_t j = 0; j < vectors; j++)
            sum[i][j] = begins ? vf_set(0) : vf_load(sums + 64 * i + 16 * j);
    for (int32_t k = 0; k < words; k++) {
        vw w[4];
        for (int32_t j = 0; j < vectors; j++) w[j] = vw_load(panel + (size_t)k * 64 + 16 * j);
        for (int32_t line = 0; line < lines; line++)
            __builtin_prefetch(ahead + ((size_t)k * (size_t)lines + (size_t)line) * 16, 0, 2);
        for (int32_t i = 0; i < rows; i++) {
            vw a = vw_broadcast(x + (size_t)i * x_stride + (size_t)k * UNIT);
            for (int32_t j = 0; j < vectors; j++) sum[i][j] = DOT(sum[i][j], w[j], a);
        }
    }
    if (UNIT == 2 && odd)
        for (int32_t i = 0; i < rows; i++) {
            vw a = vw_set((uint32_t)x[(size_t)i * x_stride + (size_t)words * UNIT]);
            for (int32_t j = 0; j < vectors; j++)
                sum[i][j] = DOT(sum[i][j], vw_load(panel + (size_t)words * 64 + 16 * j), a);
        }
    for (int32_t i = 0; i < rows; i++)
        for (int32_t j = 0; j < vectors; j++) vf_store(sums + 64 * i + 16 * j, sum[i][j]);
}

// One register tile of `rows` tokens: all 64 columns at once where the registers hold them, else in parts.
INLINE void NAMED(tile)(const int32_t rows, const int32_t lines, const ELEMENT *x, size_t x_stride,
                        const uint32_t *panel, int32_t words, bool begins, bool odd, const uint32_t *ahead,
                        float *sums) {
    const int32_t vectors = 4 * rows <= NAMED(TILE_VECTORS) ? 4 : 2 * rows <= NAMED(TILE_VECTORS) ? 2 : 1;
    for (int32_t j = 0; j < 4; j += vectors)
        NAMED(multiply)(rows, vectors, vectors == 4 ? lines : 0, x, x_stride, panel + 16 * j, words, begins,
                        odd, ahead, sums + 16 * j);
}

#define TILE_OF(n)                                                                                     \
    case n:                                                                                            \
        if (lines == 0) return NAMED(tile)(n, 0, x, x_stride, panel, words, begins, odd, ahead, sums); \
        if (lines == 1) return NAMED(tile)(n, 1, x, x_stride, panel, words, begins, odd, ahead, sums); \
        if (lines == 2) return NAMED(tile)(n, 2, x, x_stride, panel, words, begins, odd, ahead, sums); \
        return NAMED(tile)(n, 4, x, x_stride, panel, words, begins, odd, ahead, sums);

static void NAMED(any_tile)(int32_t rows, int32_t lines, const ELEMENT *x, size_t x_stride, const uint32_t *panel,
                            int32_t words, bool begins, bool odd, const uint32_t *ahead, float *sums) {
    if (rows > TILE_ROWS) __builtin_unreachable();
    switch (rows) { TILE_OF(1) TILE_OF(2) TILE_OF(3) TILE_OF(4) TILE_OF(5) TILE_OF(6) }
}
#undef TILE_OF

// --- The task -----------------------------------------------------------------------------------------------

// A block of columns for all tokens of a chunk. ahead: the block that comes next, or NULL. last: of this panel.
static void NAMED(multiply_block)(const linear_work *work, const linear_item *item, bool begins, bool last,
                                  const ELEMENT *x, const uint32_t *panel, int32_t words, bool odd,
                                  const uint32_t *ahead, float *sums) {
    int32_t tokens = item->tokens, tiles = swiftlet_ceil_div(tokens, TILE_ROWS);
    size_t fetched = 0, wanted = ahead == NULL ? 0 : (size_t)words * 64;
    for (int32_t tile = 0, t = 0; tile < tiles; tile++) {
        int32_t rows = tokens / tiles + (tile < tokens % tiles);  // evenly: a tile of one row would wait for loads
        if (last) fetch_outputs(work, (linear_item){item->panel, item->first + t, rows});
        size_t share = (wanted - fetched) / (size_t)(tiles - tile);
        int32_t lines = share == 0 ? 0 : share <= (size_t)words * 16 ? 1 : share <= (size_t)words * 32 ? 2 : 4;
        NAMED(any_tile)(rows, lines, x + (size_t)t * work->x_stride, work->x_stride, panel, words, begins, odd,
                        lines ? ahead + fetched : panel, sums + 64 * t);
        fetched += (size_t)words * (size_t)lines * 16;
        if (fetched > wanted) fetched = wanted;
        t += rows;
    }
}

/// sums [tokens][64] = the item's panel times its tokens.
static void NAMED(panel_sums)(const linear_work *work, const linear_item *item, float *sums) {
    const swiftlet_matrix *matrix = work->matrix;
    const ELEMENT *x = (const ELEMENT *)work->x + (size_t)item->first * work->x_stride;  // [tokens, columns]
    bool odd = UNIT == 2 && matrix->columns % 2 != 0;  // rows of int8 end with whole words
    int32_t full_words = (matrix->columns + (UNIT == 4 ? 3 : 0)) / UNIT;
    const uint32_t *words = matrix->words + (size_t)item->panel * work->panel_words;
    // This thread's next panel, if all run equally fast.
    int32_t next = item->panel + work->cpu->threads;
    for (int32_t k = 0; k == 0 || k < full_words; k += work->block_words) {
        int32_t rest = full_words - k;
        bool last = rest <= work->block_words;
        const uint32_t *ahead = words + (size_t)(k + work->block_words) * 64;
        if (last) ahead = next < work->panels ? matrix->words + (size_t)next * work->panel_words : NULL;
        if (!work->prefetches) ahead = NULL;
        NAMED(multiply_block)(work, item, k == 0, last, x + (size_t)k * UNIT, words + (size_t)k * 64,
                              last ? rest : work->block_words, last && odd, ahead, sums);
    }
}

#undef TILE_ROWS

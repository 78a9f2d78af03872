// gemm_strips.inc.h: y = W x for packed W where the registers don't hold 64 columns of several tokens (all levels but
// AVX-512); the counterpart of gemm.inc.h. See level.inc.h.
//
// An item is one panel (64 outputs) times one chunk of tokens. The columns are walked in blocks that fit the L1 cache,
// and per block the tokens in tiles of up to STRIP_ROWS. A tile's x is first copied side by side (and widened where
// there is no dot product of its type), then its outputs are computed in strips of 16 columns. Meanwhile
// the next block is fetched.
// Invariant: an output is one chain over the columns, ascending, whatever tile or chunk it is in.

// Without a dot product of the weights' type, a word is taken as two, and x is copied as what those are multiplied by.
#if UNIT == 2 && !HAS_BF16_DOT
#define WIDENS 1
#define FIRST_HALF bf16_low
#define SECOND_HALF bf16_high
#define MULTIPLY_HALF(sum, w, a) vf_fma(w, a, sum)
#elif UNIT == 4 && !HAS_INT8_DOT
#define WIDENS 1
#define FIRST_HALF int8_even
#define SECOND_HALF int8_odd
#define MULTIPLY_HALF dot_int16
#else
#define WIDENS 0
#endif

enum {
    NAMED(STRIP_WORDS) = 64,  // of a block: 16 KiB of a panel
    // From row to row of a tile's x. Twelve values more than a block has, so that rows lie in different cache banks.
    NAMED(STRIP_X) = (WIDENS ? 2 : 1) * NAMED(STRIP_WORDS) + 12,
};

// sums[rows][16 * vectors] += x[rows] times `words` words of the panel's columns; meanwhile fetches `lines` cache lines
// a word from `ahead`.
INLINE void NAMED(multiply_strip)(const int32_t rows, const int32_t vectors, const int32_t lines, const float *x,
                                  const uint32_t *panel, int32_t words, const uint32_t *ahead, float *sums) {
    vf sum[6][4], w[4];
    UNROLL
    for (int32_t i = 0; i < rows; i++)
        UNROLL
        for (int32_t j = 0; j < vectors; j++) sum[i][j] = vf_load(sums + 64 * i + 16 * j);
#if WIDENS
    const uint32_t *again = read_again(panel);
#endif
    for (int32_t k = 0; k < words; k++) {
        UNROLL
        for (int32_t line = 0; line < lines; line++)
            __builtin_prefetch(ahead + 16 * (lines * k + line), 0, 2);
#if WIDENS
        UNROLL
        for (int32_t half = 0; half < 2; half++) {
            UNROLL
            for (int32_t j = 0; j < vectors; j++) {
                vw word = vw_load((half == 0 ? panel : again) + 64 * k + 16 * j);
                w[j] = half == 0 ? FIRST_HALF(word) : SECOND_HALF(word);
            }
            UNROLL
            for (int32_t i = 0; i < rows; i++) {
                vf a = vf_set(x[NAMED(STRIP_X) * i + 2 * k + half]);
                UNROLL
                for (int32_t j = 0; j < vectors; j++) sum[i][j] = MULTIPLY_HALF(sum[i][j], w[j], a);
            }
        }
#else
        UNROLL
        for (int32_t j = 0; j < vectors; j++) w[j] = (vf)vw_load(panel + 64 * k + 16 * j);
        UNROLL
        for (int32_t i = 0; i < rows; i++) {
            vw a = (vw)vf_set(x[NAMED(STRIP_X) * i + k]);
            UNROLL
            for (int32_t j = 0; j < vectors; j++) sum[i][j] = DOT(sum[i][j], (vw)w[j], a);
        }
#endif
    }
    UNROLL
    for (int32_t i = 0; i < rows; i++)
        UNROLL
        for (int32_t j = 0; j < vectors; j++) vf_store(sums + 64 * i + 16 * j, sum[i][j]);
}

// sums[rows][64] += x[rows] times a block. With few rows it is read from end to end, which the hardware foresees; with
// more, in four strips, and during each a quarter of a block is fetched.
INLINE void NAMED(tile)(const int32_t rows, const float *x, const uint32_t *panel, int32_t words,
                        const uint32_t *const *fetch, float *sums) {
    const int32_t vectors = rows <= WIDE_ROWS ? 4 : 1, lines = rows <= WIDE_ROWS ? 0 : 1;
    for (int32_t j = 0; j < 4; j += vectors)
        NAMED(multiply_strip)(rows, vectors, lines, x, panel + 16 * j, words, fetch[j], sums + 16 * j);
}

static void NAMED(any_tile)(int32_t rows, const float *x, const uint32_t *panel, int32_t words,
                            const uint32_t *const *fetch, float *sums) {
    if (rows > NAMED(STRIP_ROWS)) __builtin_unreachable();
    switch (rows) {
        case 1: return NAMED(tile)(1, x, panel, words, fetch, sums);
        case 2: return NAMED(tile)(2, x, panel, words, fetch, sums);
        case 3: return NAMED(tile)(3, x, panel, words, fetch, sums);
        case 4: return NAMED(tile)(4, x, panel, words, fetch, sums);
        case 5: return NAMED(tile)(5, x, panel, words, fetch, sums);
        case 6: return NAMED(tile)(6, x, panel, words, fetch, sums);
    }
}

// The block of x that a tile multiplies: [rows][STRIP_X], zero between the last column and the end of its word.
static void NAMED(load_tile)(const ELEMENT *x, size_t x_stride, int32_t rows, int32_t columns, float *tile) {
    for (int32_t i = 0; i < rows; i++, x += x_stride, tile += NAMED(STRIP_X))
#if UNIT == 4  // quantised rows have room for whole vectors
        for (int32_t c = 0; c < columns; c += 64) {
            vw words = vw_load((const uint32_t *)(x + c));
#if WIDENS
            vf even = int8_even(words), odd = int8_odd(words);
            vf_store(tile + c / 2, INTERLEAVE_LOW(even, odd));
            vf_store(tile + c / 2 + 16, INTERLEAVE_HIGH(even, odd));
#else
            vw_store((uint32_t *)tile + c / 4, words);
#endif
        }
#else
        for (int32_t c = 0; c < columns; c += 16) {
            int32_t count = columns - c < 16 ? columns - c : 16;
#if WIDENS
            vf_store(tile + c, bf16_load_first(x + c, count));
#elif UNIT == 1
            vf_store(tile + c, vf_load_first(x + c, count));
#else
            if (count % 2) memset(tile + (c + count) / 2, 0, 4);
            memcpy(tile + c / 2, x + c, (size_t)count * 2);
#endif
        }
#endif
}

// A block of words for all tokens of a chunk. The block at `ahead` is fetched evenly over all strips of all tiles, so
// that the memory never idles and never has a queue.
static void NAMED(multiply_block)(const ELEMENT *x, size_t x_stride, int32_t tokens, int32_t columns,
                                  const uint32_t *block, const uint32_t *ahead, float *tile, float *sums) {
    int32_t tiles = swiftlet_ceil_div(tokens, NAMED(STRIP_ROWS)), words = swiftlet_ceil_div(columns, UNIT);
    for (int32_t i = 0, t = 0; i < tiles; i++) {
        int32_t rows = tokens / tiles + (i < tokens % tiles);
        NAMED(load_tile)(x + (size_t)t * x_stride, x_stride, rows, columns, tile);
        const uint32_t *fetch[4];
        for (int32_t j = 0; j < 4; j++) {
            int32_t strip = 4 * i + j;
            fetch[j] = strip % tiles == 0 ? ahead + 16 * words * (strip / tiles) : block;
        }
        NAMED(any_tile)(rows, tile, block, words, fetch, sums + 64 * t);
        t += rows;
    }
}

/// sums [tokens][64] = the item's panel times its tokens.
static void NAMED(panel_sums)(const linear_work *work, const linear_item *item, float *sums) {
    enum { BLOCK_COLUMNS = NAMED(STRIP_WORDS) * UNIT };
    const swiftlet_matrix *matrix = work->matrix;
    const ELEMENT *x = (const ELEMENT *)work->x + (size_t)item->first * work->x_stride;  // [tokens, columns]
    const uint32_t *block = matrix->words + (size_t)item->panel * work->panel_words;
    int32_t next = item->panel + work->cpu->threads;  // if all threads run equally fast
    float *tile = sums + 64 * work->tokens_per_chunk;  // [STRIP_ROWS][STRIP_X]
    memset(sums, 0, (size_t)item->tokens * 64 * sizeof(float));
    for (int32_t c = 0; c < matrix->columns; c += BLOCK_COLUMNS, block += NAMED(STRIP_WORDS) * 64) {
        int32_t rest = matrix->columns - c;
        const uint32_t *ahead = block;  // fetching what is there costs next to nothing
        if (rest >= 2 * BLOCK_COLUMNS) ahead = block + NAMED(STRIP_WORDS) * 64;
        else if (rest <= BLOCK_COLUMNS && next < work->panels) ahead = matrix->words + (size_t)next * work->panel_words;
        NAMED(multiply_block)(x + c, work->x_stride, item->tokens, rest < BLOCK_COLUMNS ? rest : BLOCK_COLUMNS, block,
                              ahead, tile, sums);
    }
}

#undef WIDENS
#undef FIRST_HALF
#undef SECOND_HALF
#undef MULTIPLY_HALF

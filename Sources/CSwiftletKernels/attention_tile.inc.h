// attention_tile.inc.h: the two register tiles of attention, R rows by W vectors of 16 lanes: scores (R rows
// against W panels of keys) and values (R rows of weights against 16 W dims of values). Included by
// attention.inc.h, once per dtype.
//
// Invariant: each lane of each accumulator is one chain, over words or slots ascending, whatever R and W are.

// The tiles of this level, as large as its registers allow: R <= 3 may be wider, so that enough chains run.
#if defined(LEVEL_AVX512BF16) || (defined(LEVEL_AVX512) && UNIT == 1)
#define TILE_ROWS 6
#define TILES(X) \
    X(1, 1) X(1, 2) X(1, 4) X(2, 1) X(2, 2) X(2, 4) X(3, 1) X(3, 2) X(3, 4) \
    X(4, 1) X(4, 2) X(4, 4) X(5, 1) X(5, 2) X(5, 4) X(6, 1) X(6, 2) X(6, 4)
#define WIDE_TILES(X) X(1, 8) X(2, 8) X(3, 8)
#elif defined(LEVEL_AVX512)  // low and high halves take a register each
#define TILE_ROWS 4
#define TILES(X) \
    X(1, 1) X(1, 2) X(1, 4) X(2, 1) X(2, 2) X(2, 4) X(3, 1) X(3, 2) X(3, 4) X(4, 1) X(4, 2) X(4, 4)
#define WIDE_TILES(X)
#elif defined(LEVEL_AVX2) || (HAS_NEON && (UNIT == 1 || HAS_BF16_DOT))
// A vector is two registers of sixteen, or four of thirty-two.
#define TILE_ROWS 6
#define TILES(X) X(1, 1) X(1, 2) X(1, 4) X(2, 1) X(2, 2) X(3, 1) X(3, 2) X(4, 1) X(5, 1) X(6, 1)
#define WIDE_TILES(X)
#elif HAS_NEON
#define TILE_ROWS 4
#define TILES(X) X(1, 1) X(1, 2) X(1, 4) X(2, 1) X(2, 2) X(3, 1) X(4, 1)
#define WIDE_TILES(X)
#else
#define TILE_ROWS 2
#define TILES(X) X(1, 1) X(1, 2) X(2, 1)
#define WIDE_TILES(X)
#endif

// Where registers are few and there is no product of bfloat16, queries and weights are float32 from the start
// (WIDE_ROWS_OF words for a word), and a word of keys or values becomes two vectors one after the other.
#define WIDENS (UNIT == 2 && !HAS_BF16_DOT && !HAS_AVX512)
#define WIDE_ROWS_OF(words) ((WIDENS ? 2 : 1) * (words))
#define WIDENED(half, word) (half == 0 ? bf16_low(word) : bf16_high(word))

/// scores[R][64] (at the tile's first panel) = queries[R][words] . keys[W][words][16]
typedef void (*NAMED(score_tile))(const uint32_t *queries, int32_t words, const uint32_t *const *keys,
                                  const uint32_t *const *next, float *scores);

INLINE void NAMED(score)(const int rows, const int width, const uint32_t *queries, int32_t words,
                         const uint32_t *const *keys, const uint32_t *const *next, float *scores) {
    vf c[6][8];
#if !WIDENS
    vw b[8];
#endif
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
        for (int j = 0; j < width; j++) c[i][j] = vf_set(0);
#if WIDENS
    const uint32_t *again[8];
    UNROLL
    for (int j = 0; j < width; j++) again[j] = read_again(keys[j]);
    for (int32_t k = 0; k < words; k++)
        UNROLL
        for (int half = 0; half < 2; half++)
            UNROLL
            for (int j = 0; j < width; j++) {
                if (half == 0) __builtin_prefetch(next[j] + 16 * k, 0, 2);
                vf key = WIDENED(half, vw_load((half == 0 ? keys[j] : again[j]) + 16 * k));
                UNROLL
                for (int i = 0; i < rows; i++)
                    c[i][j] = vf_fma((vf)vw_set(queries[i * WIDE_QUERY_WORDS + 2 * k + half]), key, c[i][j]);
            }
#else
    for (int32_t k = 0; k < words; k++) {
#pragma clang loop unroll(full)
        for (int j = 0; j < width; j++) {
            b[j] = vw_load(keys[j] + 16 * k);
            __builtin_prefetch(next[j] + 16 * k, 0, 2);
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < rows; i++) {
            vw a = vw_set(queries[i * words + k]);
#pragma clang loop unroll(full)
            for (int j = 0; j < width; j++) c[i][j] = DOT(c[i][j], a, b[j]);
        }
    }
#endif
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
        for (int j = 0; j < width; j++) vf_store(scores + i * TILE_POSITIONS + 16 * j, c[i][j]);
}

/// out[R][stride] (at the tile's first dim) += weights[R][64 / UNIT] . values[panel][16 / UNIT][stride], over the
/// rows of values from panel `begin` on, up to row `end` of the tile (in words: slots or pairs of slots).
typedef void (*NAMED(value_tile))(const uint32_t *weights, int32_t begin, int32_t end, const uint32_t *const *values,
                                  const uint32_t *const *next, int32_t dim, int32_t stride, float *out);

INLINE void NAMED(value)(const int rows, const int width, const uint32_t *weights, int32_t begin, int32_t end,
                         const uint32_t *const *values, const uint32_t *const *next, int32_t dim, int32_t stride,
                         float *out) {
    enum { PANEL_ROWS = 16 / UNIT, TILE_WORDS = TILE_POSITIONS / UNIT };
    vf c[6][8];
#if !WIDENS
    vw b[8];
#endif
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
        for (int j = 0; j < width; j++) c[i][j] = vf_load(out + i * stride + 16 * j);
    for (int32_t panel = begin; panel * PANEL_ROWS < end; panel++) {
        const uint32_t *v = values[panel] + dim, *p = weights + panel * PANEL_ROWS;
        // Asked for as they lie, not as they are used: a row apart they would come at three quarters of the speed.
        const uint32_t *n = next[panel] + dim * PANEL_ROWS;
        int32_t left = end - panel * PANEL_ROWS;
#if WIDENS
        const uint32_t *again = read_again(v);
        p = weights + 2 * panel * PANEL_ROWS;
        for (int32_t x = 0; x < (left < PANEL_ROWS ? left : PANEL_ROWS); x++)
            UNROLL
            for (int half = 0; half < 2; half++)
                UNROLL
                for (int j = 0; j < width; j++) {
                    if (half == 0) __builtin_prefetch(n + 16 * (x * width + j), 0, 2);
                    vf value = WIDENED(half, vw_load((half == 0 ? v : again) + (size_t)x * stride + 16 * j));
                    UNROLL
                    for (int i = 0; i < rows; i++)
                        c[i][j] = vf_fma((vf)vw_set(p[i * 2 * TILE_WORDS + 2 * x + half]), value, c[i][j]);
                }
#else
        for (int32_t x = 0; x < (left < PANEL_ROWS ? left : PANEL_ROWS); x++) {
#pragma clang loop unroll(full)
            for (int j = 0; j < width; j++) {
                b[j] = vw_load(v + (size_t)x * stride + 16 * j);
                __builtin_prefetch(n + 16 * (x * width + j), 0, 2);
            }
#pragma clang loop unroll(full)
            for (int i = 0; i < rows; i++) {
                vw a = vw_set(p[i * TILE_WORDS + x]);
#pragma clang loop unroll(full)
                for (int j = 0; j < width; j++) c[i][j] = DOT(c[i][j], a, b[j]);
            }
        }
#endif
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
        for (int j = 0; j < width; j++) vf_store(out + i * stride + 16 * j, c[i][j]);
}

INLINE void NAMED(store_exact)(ELEMENT *p, vf v) {
#if UNIT == 1
    vf_store(p, v);
#else
    bf16_store_exact(p, v);
#endif
}

/// Replaces a tile's panels of `count` eight-bit integers each by the same numbers as elements, which hold them
/// exactly, and asks for the next tile's.
static void NAMED(expand_panels)(int32_t count, const uint32_t *const *next, const uint32_t **panels, uint32_t *wide) {
    const uint32_t *packed = NULL;
    for (int32_t j = 0; j < TILE_PANELS; packed = panels[j], panels[j] = wide, j++) {
        if (panels[j] == packed) continue;  // stands for the one before
        if (j > 0) wide += count / UNIT;
        const int8_t *in = (const int8_t *)panels[j], *ahead = (const int8_t *)next[j];
        for (int32_t i = 0; i < count; i += 64) {
            __builtin_prefetch(ahead + i, 0, 2);
            UNROLL for (int32_t k = i; k < i + 64; k += 16)
                NAMED(store_exact)((ELEMENT *)wide + k, vf_from_int8(in + k));
        }
    }
}

// --- One function per tile, and tables [rows][log2 width] of them ------------------------------------------------

#define SCORE_TILE(R, W)                                                                                        \
    static void NAMED(score_##R##x##W)(const uint32_t *queries, int32_t words, const uint32_t *const *keys,    \
                                       const uint32_t *const *next, float *scores) {                           \
        NAMED(score)(R, W, queries, words, keys, next, scores);                                                \
    }
#define VALUE_TILE(R, W)                                                                                        \
    static void NAMED(value_##R##x##W)(const uint32_t *weights, int32_t begin, int32_t end,                    \
                                       const uint32_t *const *values, const uint32_t *const *next, int32_t dim, \
                                       int32_t stride, float *out) {                                           \
        NAMED(value)(R, W, weights, begin, end, values, next, dim, stride, out);                               \
    }
TILES(SCORE_TILE)
TILES(VALUE_TILE)
WIDE_TILES(VALUE_TILE)

#define LOG2_OF(W) (W == 8 ? 3 : W == 4 ? 2 : W == 2 ? 1 : 0)
#define SCORE_ENTRY(R, W) [R][LOG2_OF(W)] = NAMED(score_##R##x##W),
#define VALUE_ENTRY(R, W) [R][LOG2_OF(W)] = NAMED(value_##R##x##W),
static const NAMED(score_tile) NAMED(score_tiles)[TILE_ROWS + 1][4] = {TILES(SCORE_ENTRY)};
static const NAMED(value_tile) NAMED(value_tiles)[TILE_ROWS + 1][4] = {TILES(VALUE_ENTRY) WIDE_TILES(VALUE_ENTRY)};

#undef SCORE_TILE
#undef VALUE_TILE
#undef LOG2_OF
#undef SCORE_ENTRY
#undef VALUE_ENTRY
#undef TILES
#undef WIDE_TILES

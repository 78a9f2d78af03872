// linear_int4_strips.inc.h: y = W x for four-bit W where registers are few; the counterpart of gemm_strips.inc.h, whose
// tiles it uses, and of linear_int4.inc.h. See level.inc.h and int4.h.
//
// A block of one group's columns is expanded into the thread's scratch, then multiplied as any block is: as words where
// they have a dot product, else as float32.
// Invariant: as in linear_int4.inc.h.

#define HAS_WORDS (UNIT == 2 && HAS_BF16_DOT)
#if HAS_WORDS
#define TILED(name) name##_bf16
#else
#define TILED(name) name##_f32
#endif

// Columns of a group, expanded: [columns][64] float32, or [columns / 2][64] words.
static void NAMED(int4_expand)(const int4_group *group, int32_t first, int32_t columns, uint32_t *block) {
    for (int32_t j = 0; j < 4; j++) {
        const uint32_t *row = group->rows + (size_t)first / 2 * 16;
        uint32_t *out = block + 16 * j;
        vf offset = int4_offset(group->zeros, j);
        for (int32_t c = 0; c < columns; c += 2, row += 16, out += HAS_WORDS ? 64 : 128) {
            vf low = int4_floats(vw_load(row), j, 0, offset), high = int4_floats(vw_load(row), j, 1, offset);
#if HAS_WORDS
            vw_store(out, ((vw)low >> 16) | ((vw)high & vw_set(0xffff0000u)));
#else
            vw_store(out, (vw)low);
            vw_store(out + 64, (vw)high);
#endif
        }
    }
}

// The x of a tile: [rows][STRIP_X of the tile's type].
static void NAMED(int4_load_tile)(const ELEMENT *x, size_t x_stride, int32_t rows, int32_t columns, float *tile) {
#if UNIT == 1 || HAS_WORDS
    NAMED(load_tile)(x, x_stride, rows, columns, tile);
#else
    for (int32_t i = 0; i < rows; i++)
        for (int32_t c = 0; c < columns; c += 16) {
            int32_t count = columns - c < 16 ? columns - c : 16;
            vf_store(tile + TILED(STRIP_X) * i + c, bf16_load_first(x + (size_t)i * x_stride + c, count));
        }
#endif
}

// sums[tokens][64] += scales [64] * partials.
static void NAMED(int4_add_group)(const int4_group *group, bool f16, int32_t tokens, const float *partials,
                                  float *sums) {
    for (int32_t j = 0; j < 64; j += 16) {
        vf scale = int4_scale(group->scales, j / 16, f16);
        for (int32_t t = 0; t < tokens; t++) {
            float *sum = sums + 64 * t + j;
            vf_store(sum, vf_fma(scale, vf_load(partials + 64 * t + j), vf_load(sum)));
        }
    }
}

static void NAMED(linear_int4)(void *context, int32_t item, int32_t thread) {
    enum { ROWS = TILED(STRIP_ROWS), BLOCK_COLUMNS = TILED(STRIP_WORDS) * (HAS_WORDS ? 2 : 1) };
    const linear_work *work = context;
    const swiftlet_matrix *matrix = work->matrix;
    int4_layout layout = int4_layout_of(matrix);
    linear_item at = item_of_linear(work, item);
    int32_t tokens = at.tokens, tiles = swiftlet_ceil_div(tokens, ROWS);
    const uint32_t *panel = matrix->words + (size_t)at.panel * work->panel_words;
    const ELEMENT *x = (const ELEMENT *)work->x + (size_t)at.first * work->x_stride;  // [tokens, columns]
    uint32_t *block = swiftlet_scratch(work->cpu, thread);  // [STRIP_WORDS][64]
    const uint32_t *const fetch[4] = {block, block, block, block};
    float *tile = (float *)block + TILED(STRIP_WORDS) * 64;  // [ROWS][STRIP_X]
    float *sums = tile + ROWS * TILED(STRIP_X), *partials = sums + 64 * tokens;  // [tokens][64]
    memset(sums, 0, (size_t)tokens * 64 * sizeof(float));
    for (int32_t index = 0; index < layout.groups; index++, x += layout.group_columns) {
        int4_group group = int4_group_at(matrix, &layout, panel, index);
        memset(partials, 0, (size_t)tokens * 64 * sizeof(float));
        for (int32_t c = 0; c < group.columns; c += BLOCK_COLUMNS) {
            int32_t columns = group.columns - c < BLOCK_COLUMNS ? group.columns - c : BLOCK_COLUMNS;
            NAMED(int4_expand)(&group, c, columns, block);
            for (int32_t i = 0, t = 0; i < tiles; i++) {
                int32_t rows = tokens / tiles + (i < tokens % tiles);
                NAMED(int4_load_tile)(x + (size_t)t * work->x_stride + c, work->x_stride, rows, columns, tile);
                TILED(any_tile)(rows, tile, block, HAS_WORDS ? swiftlet_ceil_div(columns, 2) : columns, fetch,
                                partials + 64 * t);
                t += rows;
            }
        }
        NAMED(int4_add_group)(&group, matrix->groups.scales_are_f16, tokens, partials, sums);
    }
    NAMED(store_panel)(work, sums, at.first, tokens, at.panel);
}

#undef HAS_WORDS
#undef TILED

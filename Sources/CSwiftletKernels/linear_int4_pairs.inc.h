// linear_int4_pairs.inc.h: y = W x for four-bit W where pairs of 16-bit integers have a dot product and bfloat16 has
// none; the counterpart of linear_int4.inc.h. See level.inc.h and int4.h.
//
// That instruction multiplies twice as many values as a float32 multiply-add, and four-bit weights become its operands
// with a mask, where float32 would take a conversion too. So x is rounded to sixteen bits first, a block of a row with a
// scale of its own: bfloat16 has eight, so what this loses is far below what x has lost before.
// Invariant: sums within a block are exact and have no order; an output is one chain over its groups, ascending, of
// scale * (one chain over the group's blocks), whatever tile or chunk it is in.

// --- Rows of x as integers ----------------------------------------------------------------------------------

static void NAMED(int4_quantize_block)(const ELEMENT *x, int32_t columns, int32_t padded, int16_t *out,
                                       int4_block *block) {
    vf values[4];
    vi largest = (vi)vw_set(0), sum = (vi)vw_set(0);
    for (int32_t i = 0; i < padded / 16; i++) {
        int32_t rest = columns - 16 * i;
        values[i] = rest >= 16 ? LOAD_16(x + 16 * i) : rest > 0 ? LOAD_FIRST(x + 16 * i, rest) : vf_set(0);
        largest = int8_larger(largest, values[i]);
    }
    swiftlet_integer_scale scale = swiftlet_integer_scale_for(int8_largest(largest), 32767);
    for (int32_t i = 0; i < padded / 16; i++) {
        vi integers = int8_round(values[i], vf_set(scale.inverse));
        sum += integers;
        *(v_half_int16 *)(out + 16 * i) = __builtin_convertvector(integers, v_half_int16);
    }
    *block = (int4_block){scale.scale, vi_sum(sum)};
}

static void NAMED(int4_quantize_rows)(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const quantize_work *work = context;
    int4_layout layout = int4_layout_of(work->matrix);
    int32_t columns = work->matrix->columns, at_once = int4_block_columns(&layout);
    int32_t blocks = int4_blocks(work->matrix, &layout);
    int32_t first = item * work->rows_per_item, rest = work->rows - first;
    int32_t end = first + (rest < work->rows_per_item ? rest : work->rows_per_item);
    for (int32_t row = first; row < end; row++) {
        const ELEMENT *x = (const ELEMENT *)work->x + (size_t)row * work->x_stride;  // [columns]
        int16_t *out = (int16_t *)(work->out + (size_t)row * work->out_stride);      // [blocks][at_once]
        int4_block *ends = (int4_block *)(out + (size_t)blocks * (size_t)at_once);   // [blocks]
        for (int32_t block = 0; block < blocks; block++) {
            int32_t c = block * at_once, count = columns - c < at_once ? columns - c : at_once;
            NAMED(int4_quantize_block)(x + c, count, at_once, out + c, &ends[block]);
        }
    }
}

// --- The task -----------------------------------------------------------------------------------------------

// What a tile multiplies: a block of a group.
typedef struct {
    const swiftlet_matrix *matrix;
    const int4_group *group;
    const uint32_t *rows;     // [columns / 2][16]
    const int16_t *x;         // [rows][columns], of the block
    const int4_block *block;  // of the first row
    size_t x_stride;          // in int16
    int32_t columns;
    bool begins, ends;        // the group
} NAMED(int4_span);

// Strips of 16 outputs from 16 j on: partials[rows][64] += the product of x[rows] and a block, or sums[rows][64] +=
// what the group comes to.
INLINE void NAMED(int4_strips)(const int32_t rows, const int32_t strips, const int32_t j,
                               const NAMED(int4_span) *span, float *partials, float *sums) {
    vf sum[6][4];
    UNROLL
    for (int32_t i = 0; i < rows; i++)
        UNROLL
        for (int32_t s = 0; s < strips; s++) sum[i][s] = vf_set(0);
    const uint32_t *words = span->rows;
    const int16_t *x = span->x;
    for (int32_t k = 0; k < span->columns; k += 2, words += 16, x += 2) {
        vw row = vw_load(words), high = row >> 8;
        UNROLL
        for (int32_t s = 0; s < strips; s++) {
            vf w = int4_pairs(j + s < 2 ? row : high, j + s);
            UNROLL
            for (int32_t i = 0; i < rows; i++)
                sum[i][s] = dot_int16(sum[i][s], w, (vf)vw_broadcast(x + span->x_stride * (size_t)i));
        }
    }
    UNROLL
    for (int32_t s = 0; s < strips; s++) {
        vi zero = int4_pairs_zero(span->group->zeros, j + s);
        vf scale = int4_scale(span->group->scales, j + s, span->matrix->groups.scales_are_f16);
        scale *= vf_set(1 / int4_pairs_factor(j + s));
        UNROLL
        for (int32_t i = 0; i < rows; i++) {
            const int4_block *block = (const int4_block *)((const int16_t *)span->block + span->x_stride * (size_t)i);
            size_t at = 64 * (size_t)i + 16 * (size_t)(j + s);
            vi exact = (vi)sum[i][s] - zero * (vi)vw_set((uint32_t)block->sum);
            vf partial = vf_fma(__builtin_convertvector(exact, vf), vf_set(block->scale),
                                span->begins ? vf_set(0) : vf_load(partials + at));
            if (span->ends) vf_store(sums + at, vf_fma(scale, partial, vf_load(sums + at)));
            else vf_store(partials + at, partial);
        }
    }
}

// All 64 outputs, as many strips at once as the registers hold.
INLINE void NAMED(int4_tile)(const int32_t rows, const NAMED(int4_span) *span, float *partials, float *sums) {
    const int32_t strips = rows == 1 ? 4 : rows == 2 ? 2 : 1;
    UNROLL
    for (int32_t j = 0; j < 4; j += strips) NAMED(int4_strips)(rows, strips, j, span, partials, sums);
}

static void NAMED(int4_any_tile)(int32_t rows, const NAMED(int4_span) *span, float *partials, float *sums) {
    if (rows > STRIP_ROWS_int8) __builtin_unreachable();
    switch (rows) {
        case 1: return NAMED(int4_tile)(1, span, partials, sums);
        case 2: return NAMED(int4_tile)(2, span, partials, sums);
        case 3: return NAMED(int4_tile)(3, span, partials, sums);
        case 4: return NAMED(int4_tile)(4, span, partials, sums);
        case 5: return NAMED(int4_tile)(5, span, partials, sums);
        case 6: return NAMED(int4_tile)(6, span, partials, sums);
    }
}

static void NAMED(linear_int4)(void *context, int32_t item, int32_t thread) {
    const linear_work *work = context;
    const swiftlet_matrix *matrix = work->matrix;
    int4_layout layout = int4_layout_of(matrix);
    linear_item at = item_of_linear(work, item);
    int32_t at_once = int4_block_columns(&layout), blocks = int4_blocks(matrix, &layout);
    int32_t tokens = at.tokens, tiles = swiftlet_ceil_div(tokens, STRIP_ROWS_int8);
    const uint32_t *panel = matrix->words + (size_t)at.panel * work->panel_words;
    size_t x_stride = work->x_stride / sizeof(int16_t);
    const int16_t *x = (const int16_t *)((const uint8_t *)work->x + (size_t)at.first * work->x_stride);
    const int4_block *ends = (const int4_block *)(x + (size_t)blocks * (size_t)at_once);
    float *sums = swiftlet_scratch(work->cpu, thread), *partials = sums + 64 * tokens;  // [tokens][64]
    memset(sums, 0, (size_t)tokens * 64 * sizeof(float));
    for (int32_t index = 0, block = 0; index < layout.groups; index++) {
        int4_group group = int4_group_at(matrix, &layout, panel, index);
        for (int32_t c = 0; c < group.columns; c += at_once, block++) {
            int32_t rest = group.columns - c;
            NAMED(int4_span) span = {
                .matrix = matrix, .group = &group, .rows = group.rows + (size_t)c / 2 * 16, .x_stride = x_stride,
                .columns = rest < at_once ? rest : at_once, .begins = c == 0, .ends = rest <= at_once,
            };
            for (int32_t i = 0, t = 0; i < tiles; i++) {
                int32_t rows = tokens / tiles + (i < tokens % tiles);
                span.x = x + (size_t)t * x_stride + (size_t)block * (size_t)at_once;
                span.block = (const int4_block *)((const int16_t *)(ends + block) + (size_t)t * x_stride);
                NAMED(int4_any_tile)(rows, &span, partials + 64 * t, sums + 64 * t);
                t += rows;
            }
        }
    }
    NAMED(store_panel)(work, sums, at.first, tokens, at.panel);
}

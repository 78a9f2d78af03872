// format_int8.c: weights as eight-bit integers, a word of four neighbouring columns, with one scale a row: the row's
// largest magnitude stands for 127. See format.h.
// Invariant: rounding is to nearest even, so a row's integers are the same on every level.

#include <string.h>

#include "format.h"
#include "scalar.h"

enum { BLOCK_COLUMNS = 64 };  // a cache line of the packed panel

static int32_t words_per_row(const swiftlet_matrix *matrix) { return swiftlet_ceil_div(matrix->columns, 4); }

// [columns / 4][64] words, then [64] scales (float32) and [64] sums of a row's integers (int32).
static size_t panel_words(const swiftlet_matrix *matrix) { return ((size_t)words_per_row(matrix) + 2) * 64; }

// `count` elements of a row of the source, from `column` on.
static void read_source(const pack_group *group, const uint8_t *source, int32_t row, int32_t column, int32_t count,
                        float *values) {
    source += (size_t)row * group->row_bytes + (size_t)column * swiftlet_source_bytes(group->type);
    swiftlet_convert_to_float(source, group->type, (size_t)count, values);
}

static swiftlet_integer_scale scale_of(const pack_group *group, int32_t row) {
    float values[512], largest = 0;
    for (int32_t c = 0, count; c < group->whole_columns; c += count) {
        count = group->whole_columns - c < 512 ? group->whole_columns - c : 512;
        read_source(group, group->whole_row, row, c, count, values);
        // Of their bits, so that NaN is larger than everything.
        float block = group->cpu->kernels->largest_magnitude(values, count);
        if (scalar_bits(block) > scalar_bits(largest)) largest = block;
    }
    return swiftlet_integer_scale_for(largest, 127);
}

static void pack(const pack_group *group) {
    int32_t columns = group->matrix->columns, words = words_per_row(group->matrix);
    uint32_t *out = group->panel + group->lane, *trailer = out + (size_t)words * 64;
    bool whole_lines = group->rows == PACK_GROUP_ROWS && (uintptr_t)out % (PACK_GROUP_ROWS * sizeof(uint32_t)) == 0;
    swiftlet_integer_scale scales[PACK_GROUP_ROWS];
    int32_t sums[PACK_GROUP_ROWS] = {0};
    for (int32_t row = 0; row < group->rows; row++) scales[row] = scale_of(group, row);
    for (int32_t c = 0; c < columns; c += BLOCK_COLUMNS) {
        int32_t count = columns - c < BLOCK_COLUMNS ? columns - c : BLOCK_COLUMNS;
        uint32_t buffer[PACK_GROUP_ROWS][BLOCK_COLUMNS / 4];
        for (int32_t row = 0; row < group->rows; row++) {
            float values[BLOCK_COLUMNS];
            read_source(group, group->source, row, c, count, values);
            int8_t *integers = (int8_t *)buffer[row];
            memset(integers, 0, BLOCK_COLUMNS);
            sums[row] += group->cpu->kernels->quantize_int8(values, count, scales[row].inverse, integers);
        }
        if (whole_lines && count == BLOCK_COLUMNS) {
            swiftlet_store_lines(buffer, out + (size_t)(c / 4) * 64);
            continue;
        }
        for (int32_t i = 0; i < swiftlet_ceil_div(count, 4); i++) {
            uint32_t *lanes = out + (size_t)(c / 4 + i) * 64;
            for (int32_t row = 0; row < group->rows; row++) lanes[row] = buffer[row][i];
        }
    }
    for (int32_t row = 0; row < group->rows; row++) {
        trailer[row] = scalar_bits(scales[row].scale);
        trailer[64 + row] = (uint32_t)sums[row];
    }
}

static void read_row(const swiftlet_matrix *matrix, const uint32_t *panel, int32_t lane, float *x) {
    const uint32_t *words = panel + lane;
    float scale = scalar_from_bits(words[(size_t)words_per_row(matrix) * 64]);
    for (int32_t c = 0; c < matrix->columns; c++)
        x[c] = (float)(int8_t)(words[(size_t)(c / 4) * 64] >> (8 * (c % 4))) * scale;
}

const swiftlet_format swiftlet_format_int8 = {PACK_GROUP_ROWS, panel_words, pack, read_row};

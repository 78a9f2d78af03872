// format_native.c: weights kept in the compute type, a word of one float32 or two bfloat16. See format.h.
// Invariant: only words of real rows are written, and their padding columns get zero.

#include <string.h>

#include "format.h"
#include "scalar.h"

enum { BLOCK_WORDS = 16 };  // that are read of one row before the next one's turn

static int32_t words_per_row(const swiftlet_matrix *matrix) {
    return matrix->dtype == SWIFTLET_BFLOAT16 ? swiftlet_ceil_div(matrix->columns, 2) : matrix->columns;
}

static size_t panel_words(const swiftlet_matrix *matrix) { return (size_t)words_per_row(matrix) * 64; }

// `count` elements of the source to words; count is odd only at the end of a row of bfloat16.
static void words_from_source(const pack_group *group, const uint8_t *source, int32_t count, uint32_t *words) {
    float values[2 * BLOCK_WORDS];
    bool bf16 = group->matrix->dtype == SWIFTLET_BFLOAT16;
    if (bf16 && group->type == SWIFTLET_SOURCE_BF16) {
        if (count % 2) words[count / 2] = 0;
        memcpy(words, source, (size_t)count * 2);
        return;
    }
    swiftlet_convert_to_float(source, group->type, (size_t)count, bf16 ? values : (float *)words);
    if (!bf16) return;
    if (count % 2) values[count] = 0;
    for (int32_t i = 0; i < (count + 1) / 2; i++)
        words[i] = scalar_bf16(values[2 * i]) | (uint32_t)scalar_bf16(values[2 * i + 1]) << 16;
}

typedef uint32_t quad __attribute__((vector_size(16), may_alias));

void swiftlet_store_lines(uint32_t words[PACK_GROUP_ROWS][16], uint32_t *out) {
    for (int32_t i = 0; i < 16; i += 4)
        for (int32_t row = 0; row < PACK_GROUP_ROWS; row += 4) {
            quad in[4], pair[4];
            for (int32_t r = 0; r < 4; r++) memcpy(&in[r], &words[row + r][i], sizeof(quad));
            for (int32_t r = 0; r < 4; r += 2) {
                pair[r] = __builtin_shufflevector(in[r], in[r + 1], 0, 4, 1, 5);
                pair[r + 1] = __builtin_shufflevector(in[r], in[r + 1], 2, 6, 3, 7);
            }
            quad *line = (quad *)(out + (size_t)i * 64 + row);  // [4], a row of words apart
            for (int32_t half = 0; half < 2; half++) {
                quad low = __builtin_shufflevector(pair[half], pair[half + 2], 0, 1, 4, 5);
                quad high = __builtin_shufflevector(pair[half], pair[half + 2], 2, 3, 6, 7);
                __builtin_nontemporal_store(low, line + 32 * half);
                __builtin_nontemporal_store(high, line + 32 * half + 16);
            }
        }
}

static void pack(const pack_group *group) {
    const swiftlet_matrix *matrix = group->matrix;
    int32_t unit = matrix->dtype == SWIFTLET_BFLOAT16 ? 2 : 1, words = words_per_row(matrix);
    uint32_t *out = group->panel + group->lane;
    bool whole_lines = group->rows == PACK_GROUP_ROWS && (uintptr_t)out % (PACK_GROUP_ROWS * sizeof(uint32_t)) == 0;
    for (int32_t k = 0; k < words; k += BLOCK_WORDS) {
        int32_t column = k * unit;
        int32_t count = matrix->columns - column < BLOCK_WORDS * unit ? matrix->columns - column : BLOCK_WORDS * unit;
        int32_t block = words - k < BLOCK_WORDS ? words - k : BLOCK_WORDS;
        uint32_t buffer[PACK_GROUP_ROWS][BLOCK_WORDS];
        for (int32_t row = 0; row < group->rows; row++) {
            const uint8_t *source = group->source + (size_t)row * group->row_bytes;
            source += (size_t)column * swiftlet_source_bytes(group->type);
            __builtin_prefetch(source + 512);
            words_from_source(group, source, count, buffer[row]);
        }
        if (whole_lines && block == BLOCK_WORDS) {
            swiftlet_store_lines(buffer, out + (size_t)k * 64);
            continue;
        }
        for (int32_t i = 0; i < block; i++) {
            uint32_t *lanes = out + (size_t)(k + i) * 64;
            for (int32_t row = 0; row < group->rows; row++) lanes[row] = buffer[row][i];
        }
    }
}

static void read_row(const swiftlet_matrix *matrix, const uint32_t *panel, int32_t lane, float *x) {
    const uint32_t *words = panel + lane;
    if (matrix->dtype == SWIFTLET_FLOAT32) {
        for (int32_t c = 0; c < matrix->columns; c++) memcpy(x + c, words + (size_t)c * 64, 4);
        return;
    }
    for (int32_t c = 0; c < matrix->columns; c++) {
        uint32_t word = words[(size_t)(c / 2) * 64];
        x[c] = scalar_from_bf16((uint16_t)(c % 2 ? word >> 16 : word));
    }
}

const swiftlet_format swiftlet_format_native = {PACK_GROUP_ROWS, panel_words, pack, read_row};
